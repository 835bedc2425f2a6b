#include "daemon.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <memory>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "base/clock.hpp"
#include "base/limits.hpp"
#include "ipc/metrics_endpoint.hpp"
#include "ipc/socket_file.hpp"
#include "keeper/keeper.hpp"
#include "kernel/self_metrics.hpp"
#include "metrics/exposition.hpp"
#include "supervision.hpp"
#include "upgrade.hpp"

namespace kairo::daemon {
namespace {

void log_line(const std::string& line) {
  const std::string text = to_iso8601(system_now()) + " kairod: " + line + "\n";
  [[maybe_unused]] const ssize_t put = ::write(2, text.data(), text.size());
}

int exit_code_of(const Error& error) {
  switch (error.code) {
    case Code::invalid_params: return exit_usage;
    case Code::already_exists: return exit_unavailable;
    case Code::permission_denied: return exit_permission;
    default: return exit_internal;
  }
}

/// Makes the directory and those above it, the last one with mode 0700 and ours alone (SPEC 3.5).
Result<UniqueFd> open_state_dir(const std::string& path) {
  for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (::mkdir(part.c_str(), 0700) != 0 && errno != EEXIST)
      return system_error("cannot make the directory " + part, errno);
    if (slash == std::string::npos) break;
  }
  UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return system_error("cannot open the state directory " + path, errno);
  struct stat status {};
  if (::fstat(directory.get(), &status) != 0) return system_error("cannot look at " + path, errno);
  if (status.st_uid != ::geteuid())
    return Error(Code::permission_denied,
                 "the state directory " + path + " belongs to user " + std::to_string(status.st_uid));
  if ((status.st_mode & 077) != 0 && ::fchmod(directory.get(), 0700) != 0)
    return system_error("cannot close " + path + " to others", errno);
  return directory;
}

/// Two daemons never share a state directory.
Result<UniqueFd> lock_state_dir(int directory, const std::string& path) {
  UniqueFd lock(::openat(directory, "kairod.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return system_error("cannot open " + path + "/kairod.lock", errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
    return Error(Code::already_exists, "another daemon serves the state directory " + path);
  return lock;
}

/// Raises the limit of open files as far as it goes; gives back what it was, for the children (SPEC 4.8).
rlimit raise_open_files() {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  rlimit wanted = before;
  if (::geteuid() == 0) {
    std::ifstream most("/proc/sys/fs/nr_open");
    rlim_t number = 0;
    if (most >> number) wanted.rlim_max = std::max(wanted.rlim_max, number);
  }
  wanted.rlim_cur = wanted.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &wanted) != 0) {
    wanted = before;
    wanted.rlim_cur = wanted.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &wanted);
  }
  return before;
}

class Daemon final : public kernel::Host {
 public:
  Daemon(Invocation invocation, std::optional<Handover> handover)
      : invocation_(std::move(invocation)), former_(std::move(handover)), signals_(io_) {}

  Result<void> start(std::optional<Background>& background);
  /// Until it is to end, or to be replaced.
  void run() { io_.run(); }
  [[nodiscard]] bool replaced() const { return state_ == State::upgrading; }
  /// Returns when that was not possible.
  Error become_next();

  Result<Next> find_next() override { return daemon::find_next(invocation_.origin); }
  [[nodiscard]] kernel::OnShutdown on_shutdown() const override { return invocation_.config.on_shutdown; }
  void stop(kernel::OnShutdown what) override;
  void upgrade() override;
  [[nodiscard]] std::optional<std::string> metrics_address() const override {
    return endpoint_ ? std::optional(endpoint_->address()) : std::nullopt;
  }

 private:
  enum class State { serving, stopping, upgrading };

  Result<UniqueFd> listen();
  void wait_signal();
  void reload();
  void end(kernel::OnShutdown what);
  void serve_metrics();

  Invocation invocation_;
  std::optional<Handover> former_;  ///< Of the program whose place this one takes; until start().
  std::string socket_;
  std::string state_path_;
  rlimit files_{};  ///< As they were found.
  boost::asio::io_context io_{1};
  boost::asio::signal_set signals_;
  UniqueFd state_dir_;
  UniqueFd lock_;
  UniqueFd listener_;  ///< The kernel's, once more, so that it can be handed over.
  std::optional<ipc::SocketFile> socket_file_;
  std::unique_ptr<kernel::Kernel> kernel_;
  std::unique_ptr<ipc::MetricsEndpoint> endpoint_;
  bool endpoint_refused_ = false;  ///< That it could not be opened was told.
  State state_ = State::serving;
  int late_signal_ = 0;  ///< Came during an upgrade: for the next program.
};

/// A listening socket: the former program's, a supervisor's, or a new one.
Result<UniqueFd> Daemon::listen() {
  auto activated = take_activation_socket();
  if (!activated) return std::move(activated).error();
  if (former_) {
    if (former_->claim) socket_file_.emplace(std::move(*former_->claim));
    return std::move(former_->listener);
  }
  if (*activated) return std::move(*activated);
  auto made = ipc::SocketFile::listen(socket_, invocation_.config.socket_mode.bits);
  if (!made) return std::move(made).error();
  socket_file_ = std::move(*made);
  return socket_file_->take_listener();
}

Result<void> Daemon::start(std::optional<Background>& background) {
  // What a former program serves is served on, whatever the files say by now.
  socket_ = former_ ? former_->socket : resolve_socket(invocation_.config);
  state_path_ = former_ ? former_->state_dir : resolve_state_dir(invocation_.config, socket_);
  ::signal(SIGPIPE, SIG_IGN);
  // Heard by this thread alone, and by it when it is ready: threads that are made here inherit the mask.
  block_signals();
  files_ = raise_open_files();
  const mode_t mask = ::umask(022);
  ::umask(mask);

  auto directory = open_state_dir(state_path_);
  if (!directory) return std::move(directory).error();
  state_dir_ = std::move(*directory);
  auto listening = listen();
  if (!listening) return std::move(listening).error();
  auto lock = former_ ? Result<UniqueFd>(std::move(former_->state_lock))
                      : lock_state_dir(state_dir_.get(), state_path_);
  if (!lock) {
    if (socket_file_) socket_file_->remove();
    return std::move(lock).error();
  }
  lock_ = std::move(*lock);
  listener_.reset(::fcntl(listening->get(), F_DUPFD_CLOEXEC, 0));

  kernel::KernelOptions options;
  options.listener = std::move(*listening);
  options.socket_path = socket_;
  options.state_dir = state_path_;
  options.keeper_command = {"/proc/self/exe", "keeper", "--nofile",
                            std::to_string(files_.rlim_cur) + ":" + std::to_string(files_.rlim_max)};
  // A keeper that was started by another program is to become this one, however this one was started.
  options.next_keeper.reset(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  if (!options.next_keeper)
    log_line("a running keeper is not upgraded: this program's file cannot be opened");
  options.umask = mask;
  options.host_root = invocation_.host_root;
  options.log = log_line;
  options.settings = invocation_.config.settings;
  options.policy = invocation_.config.policy;
  options.serves_users = invocation_.config.socket_mode.serves_users();
  options.host = this;
  auto kernel = kernel::Kernel::create(io_, std::move(options));
  if (!kernel) {
    if (socket_file_) socket_file_->remove();
    return std::move(kernel).error();
  }
  kernel_ = std::move(*kernel);
  kernel_->start();
  serve_metrics();

  for (const int number : {SIGTERM, SIGINT, SIGHUP}) signals_.add(number);
  wait_signal();
  unblock_signals();
  if (background) {
    auto ready = background->ready(state_path_ + "/kairod.log");
    if (!ready) return ready;
  }
  notify_supervisor("READY=1\nSTATUS=serving " + socket_ + "\nMAINPID=" + std::to_string(::getpid()));
  log_line("serving " + socket_ + ", state in " + state_path_);
  former_.reset();
  return {};
}

void Daemon::wait_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int number) {
    if (error) return;
    if (state_ == State::upgrading)
      late_signal_ = number == SIGHUP && late_signal_ != 0 ? late_signal_ : number;
    else if (number == SIGHUP)
      reload();
    else if (state_ == State::serving) {
      log_line("stopping (signal " + std::to_string(number) + ")");
      stop(invocation_.config.on_shutdown);
    }
    // A second signal while it stops is heard, too, and changes nothing.
    wait_signal();
  });
}

/// Opens the endpoint for metrics. Where that fails the daemon goes on without, says so, and tries again: its
/// sessions are worth more than its figures.
void Daemon::serve_metrics() {
  const ipc::HttpAddress& wanted = invocation_.config.metrics_listen;
  if (wanted.none() || endpoint_ || state_ != State::serving) return;
  auto opened = ipc::MetricsEndpoint::open(
      io_, wanted,
      {[this] { return metrics::render(kernel::self_metrics(*kernel_)); },
       std::string(metrics::exposition_type),
       [](const Error& error) { log_line("metrics: " + error.message + "; trying again"); }});
  if (opened) {
    endpoint_ = std::move(*opened);
    endpoint_refused_ = false;
    log_line("serving metrics at " + endpoint_->address());
    return;
  }
  if (!endpoint_refused_) {
    kernel_->degraded("metrics", opened.error().message + "; trying again");
  }
  endpoint_refused_ = true;
  kernel_->timers().after(limits::endpoint_retry, [this] { serve_metrics(); });
}

void Daemon::end(kernel::OnShutdown what) {
  endpoint_.reset();
  kernel_->stop(what, [this] { io_.stop(); });
}

void Daemon::stop(kernel::OnShutdown what) {
  if (state_ != State::serving) return;
  state_ = State::stopping;
  notify_supervisor("STOPPING=1");
  listener_.reset();
  if (socket_file_) socket_file_->remove();
  end(what);
}

void Daemon::upgrade() {
  if (state_ != State::serving) return;
  state_ = State::upgrading;
  block_signals();  // what comes from here on is for the next program
  log_line("making room for " + invocation_.origin.program);
  notify_supervisor(reloading_state() + "\nSTATUS=upgrading");
  end(kernel::OnShutdown::keep);
}

Error Daemon::become_next() {
  io_.restart();
  io_.poll();  // a signal may have been caught before they were blocked
  kernel_.reset();
  // Not raise(): a signal of this thread alone would not outlive the exec for certain.
  if (late_signal_ != 0) ::kill(::getpid(), late_signal_);
  Handover handover{socket_, state_path_, std::move(listener_), std::move(lock_), {}};
  if (socket_file_) handover.claim = socket_file_->take_claim();
  ::setrlimit(RLIMIT_NOFILE, &files_);
  return daemon::become_next(invocation_.origin, std::move(handover));
}

void Daemon::reload() {
  notify_supervisor(reloading_state());
  auto config = load_config(invocation_.config_file);
  if (config) {
    kernel_->configure(config->settings, std::move(config->policy));
    invocation_.config.on_shutdown = invocation_.on_shutdown.value_or(config->on_shutdown);
    const ipc::HttpAddress metrics = invocation_.metrics_listen.value_or(config->metrics_listen);
    if (metrics.text() != invocation_.config.metrics_listen.text()) {
      invocation_.config.metrics_listen = metrics;
      endpoint_.reset();
      endpoint_refused_ = false;
      serve_metrics();
    }
    log_line("the configuration was reloaded");
  } else {
    log_line("the configuration was not reloaded: " + config.error().message);
  }
  notify_supervisor("READY=1");
}

}  // namespace

int run_daemon(Invocation invocation) {
  auto former = take_handover();
  if (!former) {
    log_line(former.error().message);
    return exit_code_of(former.error());
  }
  std::optional<Background> background;
  if (invocation.daemonize) {
    // The former program of this process has gone to the background already.
    if (!*former)
      background = Background::enter();
    else if (::chdir("/") != 0)
      return exit_internal;
  }
  Daemon daemon(std::move(invocation), std::move(*former));
  auto started = daemon.start(background);
  if (!started) {
    log_line(started.error().message);
    return exit_code_of(started.error());
  }
  daemon.run();
  if (daemon.replaced()) {
    log_line(daemon.become_next().message + "; the daemon ends");
    return exit_internal;
  }
  log_line("stopped");
  return exit_ok;
}

int run_keeper_command(int argc, char** argv) {
  if (keeper::is_succession()) return keeper::resume_keeper();
  keeper::KeeperOptions options;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    const std::string value = argv[i + 1];
    if (flag == "--nofile") {
      options.child_files_soft = std::strtoull(value.c_str(), nullptr, 10);
      const std::size_t colon = value.find(':');
      if (colon != std::string::npos)
        options.child_files_hard = std::strtoull(value.c_str() + colon + 1, nullptr, 10);
    } else if (flag == "--idle-exit") {
      options.idle_exit_seconds = static_cast<unsigned>(std::strtoul(value.c_str(), nullptr, 10));
    }
  }
  struct stat status {};
  if (::fstat(3, &status) != 0 || !S_ISSOCK(status.st_mode) || ::fstat(4, &status) != 0 ||
      !S_ISDIR(status.st_mode)) {
    std::fputs(
        "kairod keeper: is started by kairod alone, with its socket and directory as descriptors 3 and 4\n",
        stderr);
    return exit_usage;
  }
  options.listener.reset(3);
  options.state_dir.reset(4);
  return keeper::run_keeper(std::move(options));
}

}  // namespace kairo::daemon
