// The daemon's own start says when it is ready: `kairod --daemonize` ends with 0 once the socket answers, and
// with another status when it could not start, a live rival included. Its stderr comes back over a pipe, so
// that the reason can be told; the daemon itself has its log there. Exit code 69 means that a rival was
// first, and then that one is waited for.
#include "client/autostart.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "client/socket_path.hpp"

namespace kairo::client {
namespace {

using std::chrono::milliseconds;

/// kairod's exit code when another daemon has the socket or the state directory (kairod(8)).
constexpr int another_serves = 69;
constexpr std::size_t said_bytes = 4096;
/// How long the daemon that won is waited for before one is started once more.
constexpr milliseconds winner_patience{500};

bool is_program(const std::string& path) {
  struct stat found {};
  return stat(path.c_str(), &found) == 0 && S_ISREG(found.st_mode) && access(path.c_str(), X_OK) == 0;
}

/// The daemon's working directory is not ours.
std::string absolute(std::string path) {
  if (!path.empty() && path[0] == '/') return path;
  char* here = getcwd(nullptr, 0);
  if (here) path = std::string(here) + "/" + path;
  free(here);
  return path;
}

[[noreturn]] void become(const std::vector<char*>& argv, int null, int said) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number < NSIG; ++number) {
    // What this client ignores its daemon must not; nohup's SIGHUP among it, since a daemon reloads on it.
    if (number != SIGKILL && number != SIGSTOP) signal(number, SIG_DFL);
  }
  dup2(null, 0);
  dup2(null, 1);
  dup2(said, 2);
  syscall(SYS_close_range, 3u, ~0u, 0u);
  execv(argv[0], argv.data());  // it changes to / by itself, once it has found its own files
  const std::string problem = std::string("cannot execute ") + argv[0] + ": " + describe_errno(errno) + "\n";
  if (write(2, problem.data(), problem.size()) < 0) _exit(126);
  _exit(127);
}

struct Started {
  int status = -1;  ///< Exit code; -1 while it runs and after a signal.
  std::string said;
};

bool may_come(const Started& started) {
  return started.status == 0 || started.status == another_serves;
}

/// Runs the program until it has ended, or until the deadline.
Result<Started> run_daemon(const std::string& program, const std::vector<std::string>& arguments,
                           SteadyTime deadline) {
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& each : arguments) argv.push_back(const_cast<char*>(each.c_str()));
  argv.push_back(nullptr);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return system_error("cannot start " + program + ": no pipe", errno);
  UniqueFd said(ends[0]), say(ends[1]);
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return system_error("cannot start " + program + ": cannot open /dev/null", errno);
  const pid_t child = fork();
  if (child < 0) return system_error("cannot start " + program, errno);
  if (child == 0) become(argv, null.get(), say.get());
  say.reset();

  Started started;
  UniqueFd ended(static_cast<int>(syscall(SYS_pidfd_open, child, 0u)));
  bool over = false;
  while (!over && SteadyClock::now() < deadline) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - SteadyClock::now());
    pollfd watch[] = {{said.get(), POLLIN, 0}, {ended.get(), POLLIN, 0}};
    // Without pidfds (seccomp) the end is looked for every few milliseconds.
    const int pause = static_cast<int>(ended ? left.count() + 1 : 5);
    if (poll(watch, 2, pause) < 0 && errno != EINTR) break;
    int status = 0;
    const pid_t reaped = waitpid(child, &status, WNOHANG);
    over = reaped == child || (reaped < 0 && errno == ECHILD);
    if (reaped == child && WIFEXITED(status)) started.status = WEXITSTATUS(status);
    char bytes[1024];
    while (said && (watch[0].revents || over)) {
      if (over) fcntl(said.get(), F_SETFL, O_NONBLOCK);  // the daemon itself may still hold the other end
      const ssize_t got = read(said.get(), bytes, sizeof bytes);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        if (got == 0) said.reset();
        break;
      }
      if (started.said.size() < said_bytes) started.said.append(bytes, static_cast<std::size_t>(got));
      if (!over) break;
    }
  }
  while (!started.said.empty() && started.said.back() == '\n') started.said.pop_back();
  return started;
}

}  // namespace

std::string find_daemon() {
  if (const char* named = getenv("KAIROD"); named && *named) return named;
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self);
  if (length > 0) {
    std::string beside(self, static_cast<std::size_t>(length));
    beside.resize(beside.rfind('/') + 1);
    beside += "kairod";
    if (is_program(beside)) return beside;
  }
  const char* path = getenv("PATH");
  std::string_view rest = path ? path : "/usr/local/bin:/usr/bin:/bin";
  while (!rest.empty()) {
    const std::size_t colon = std::min(rest.find(':'), rest.size());
    std::string candidate(rest.substr(0, colon));
    candidate += "/kairod";
    if (candidate[0] == '/' && is_program(candidate)) return candidate;
    rest.remove_prefix(std::min(colon + 1, rest.size()));
  }
  return {};
}

Result<Channel> autostart(const AutostartOptions& options) {
  ConnectOptions connect = options.connect;
  if (connect.socket.empty()) connect.socket = resolve_socket();
  connect.socket = absolute(std::move(connect.socket));
  const std::string program = find_daemon();
  if (program.empty())
    return Error(Code::not_running,
                 "no daemon answers at " + connect.socket +
                     " and none can be started: there is no kairod beside this program or on PATH")
        .with("socket", connect.socket);
  std::vector<std::string> arguments{"--daemonize", "--socket", connect.socket};
  if (!options.state_dir.empty()) {
    arguments.emplace_back("--state-dir");
    arguments.push_back(absolute(options.state_dir));
  }
  const SteadyTime deadline = SteadyClock::now() + options.patience;
  Started started;
  do {
    auto ran = run_daemon(program, arguments, deadline);
    if (!ran) return std::move(ran).error();
    started = *std::move(ran);
    // One that said it serves answers at once, and a rival that won may not listen yet; either may have been
    // killed meanwhile, or be on its way out with the lock still in its hands: then another is started. After
    // any other failure there is nothing to wait for.
    const SteadyTime until = std::min(deadline, SteadyClock::now() + winner_patience);
    for (milliseconds pause{1};; pause = std::min(pause * 2, milliseconds(50))) {
      auto channel = Channel::connect(connect);
      if (channel || channel.error().code != Code::not_running) return channel;
      if (!may_come(started) || SteadyClock::now() >= until) break;
      std::this_thread::sleep_for(pause);
    }
  } while (may_come(started) && SteadyClock::now() < deadline);
  std::string message = program + " was started and no daemon answers at " + connect.socket;
  if (!started.said.empty()) message += "; it said: " + started.said;
  return Error(Code::not_running, std::move(message)).with("socket", connect.socket);
}

Result<Channel> connect_or_start(const AutostartOptions& options) {
  auto channel = Channel::connect(options.connect);
  if (channel || channel.error().code != Code::not_running) return channel;
  return autostart(options);
}

}  // namespace kairo::client
