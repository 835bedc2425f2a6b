#include "support/harness.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <poll.h>
#include <stdexcept>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <doctest/doctest.h>

#include "api/methods.hpp"
#include "client/client.hpp"

extern char** environ;

namespace kairo::test {
namespace {

using std::chrono::milliseconds;
namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& attempt) {
  throw std::runtime_error(attempt + ": " + std::strerror(errno));
}

struct Pipe {
  UniqueFd read, write;
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) fail("cannot make a pipe");
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
};

void set_nonblocking(int fd) {
  if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) fail("cannot set O_NONBLOCK");
}

/// Appends what can be read; false at the end.
bool drain(int fd, std::string& to) {
  char bytes[65536];
  for (;;) {
    const ssize_t got = read(fd, bytes, sizeof bytes);
    if (got > 0) {
      to.append(bytes, static_cast<std::size_t>(got));
      if (got < static_cast<ssize_t>(sizeof bytes)) return true;
    } else if (got == 0) {
      return false;
    } else if (errno == EAGAIN) {
      return true;
    } else if (errno != EINTR) {
      return false;
    }
  }
}

/// Rulesets that the keeper keeps on purpose (sandbox/ruleset.hpp), for each of its two launching threads.
constexpr std::size_t kept_rulesets_max = 2 * 8;

/// Those that may be kept do not count.
std::size_t count_descriptors(pid_t pid) {
  std::error_code error;
  std::size_t rulesets = 0, others = 0;
  for (const auto& each : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd", error)) {
    std::error_code gone;
    const bool is_ruleset = fs::read_symlink(each.path(), gone) == "anon_inode:[landlock-ruleset]";
    ++(is_ruleset ? rulesets : others);
  }
  return others + rulesets - std::min(rulesets, kept_rulesets_max);
}

bool is_alive(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(stat, line)) return false;
  const std::size_t paren = line.rfind(')');
  return paren != std::string::npos && line.compare(paren, 4, ") Z ") != 0 &&
         line.compare(paren, 4, ") X ") != 0;
}

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& each : words) out += (out.empty() ? "" : " ") + each;
  return out;
}

}  // namespace

namespace {
/// Where the programs were built, or their copies for a user who may not look there.
std::string program_path(const char* built) {
  const char* copies = std::getenv("KAIRO_TEST_PROGRAMS");
  return copies ? std::string(copies) + "/" + fs::path(built).filename().string() : std::string(built);
}
}  // namespace

bool sanitized() {
#if defined(__SANITIZE_ADDRESS__)
  return true;
#else
  return std::getenv("KAIRO_TEST_SANITIZED") != nullptr;
#endif
}

std::string kairod_path() {
  return program_path(KAIRO_TEST_KAIROD);
}
std::string kairoctl_path() {
  return program_path(KAIRO_TEST_KAIROCTL);
}
std::string test_child_path() {
  return program_path(KAIRO_TEST_CHILD);
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string difference(std::string_view is, std::string_view wanted) {
  if (is == wanted) return {};
  const auto at = static_cast<std::size_t>(
      std::mismatch(is.begin(), is.end(), wanted.begin(), wanted.end()).first - is.begin());
  const auto some = [at](std::string_view text) { return "'" + std::string(text.substr(at, 80)) + "'"; };
  return "from byte " + std::to_string(at) + " of " + std::to_string(is.size()) + " " + some(is) +
         " instead of " + some(wanted) + " of " + std::to_string(wanted.size());
}

void eventually(const std::function<bool()>& condition, const char* what) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline)
      throw std::runtime_error(std::string("waited in vain: ") + what);
    std::this_thread::sleep_for(milliseconds(1));
  }
}

namespace {
/// Without rights, a user namespace gives them.
const char* own_mounts() {
  return ::geteuid() == 0 ? "-m" : "-Urm";
}
}  // namespace

bool can_mount() {
  return run({"unshare", own_mounts(), "mount", "-t", "tmpfs", "tmpfs", "/mnt"}).code == 0;
}

std::vector<std::string> mounting(const std::string& script) {
  return {"unshare", own_mounts(), "sh", "-c", "set -e; " + script + "; exec \"$@\"", "sh"};
}

std::vector<std::string> beside(pid_t pid) {
  std::vector<std::string> words{"nsenter", "-t", std::to_string(pid), "-m"};
  if (::geteuid() != 0) words.insert(words.end(), {"-U", "--preserve-credentials"});
  return words;
}

std::vector<pid_t> processes_with(const std::string& entry) {
  std::vector<pid_t> out;
  std::error_code error;
  for (const auto& each : fs::directory_iterator("/proc", error)) {
    const std::string name = each.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string all = '\0' + read_file(each.path().string() + "/environ");
    const pid_t pid = std::stoi(name);
    if (all.find('\0' + entry + '\0') != std::string::npos && pid != getpid() && is_alive(pid))
      out.push_back(pid);
  }
  return out;
}

// --- Program -----------------------------------------------------------------------------------------

Program::Program(std::vector<std::string> argv, const StartOptions& options) : argv_(std::move(argv)) {
  std::signal(SIGPIPE, SIG_IGN);
  Pipe in, out, err;
  if (options.stdin_null) in.read.reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!options.stdin_file.empty()) in.read.reset(open(options.stdin_file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in.read) fail("cannot open the standard input of " + argv_[0]);
  if (options.stdout_closed) out.read.reset();

  std::map<std::string, std::string> env;
  for (char** each = environ; *each; ++each)
    if (const char* equals = std::strchr(*each, '='))
      env[std::string(*each, static_cast<std::size_t>(equals - *each))] = equals + 1;
  for (const auto& [key, value] : options.env) {
    if (value)
      env[key] = *value;
    else
      env.erase(key);
  }
  std::vector<std::string> entries;
  for (const auto& [key, value] : env) entries.push_back(key + "=" + value);
  std::vector<char*> envp, words;
  for (std::string& each : entries) envp.push_back(each.data());
  envp.push_back(nullptr);
  for (std::string& each : argv_) words.push_back(each.data());
  words.push_back(nullptr);

  pid_ = fork();
  if (pid_ < 0) fail("cannot fork");
  if (pid_ == 0) {
    std::signal(SIGPIPE, SIG_DFL);
    dup2(in.read.get(), 0);
    dup2(options.stdout_fd >= 0 ? options.stdout_fd : out.write.get(), 1);
    dup2(err.write.get(), 2);
    if (!options.cwd.empty() && chdir(options.cwd.c_str()) != 0) _exit(126);
    execvpe(words[0], words.data(), envp.data());
    _exit(127);
  }
  const bool drives_stdin = !options.stdin_null && options.stdin_file.empty();
  if (drives_stdin) stdin_ = std::move(in.write);
  stdout_ = std::move(out.read);
  if (options.stdout_fd >= 0) stdout_.reset();
  stderr_ = std::move(err.read);
  for (UniqueFd* each : {&stdin_, &stdout_, &stderr_})
    if (*each) set_nonblocking(each->get());
}

Program::~Program() {
  if (reaped_) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Program::signal(int number) const {
  if (!reaped_) kill(pid_, number);
}

/// One look at the outputs, for at most `pause`. True when stdin takes something.
bool Program::collect(milliseconds pause, bool writable) {
  pollfd watch[] = {
      {stdout_.get(), POLLIN, 0}, {stderr_.get(), POLLIN, 0}, {writable ? stdin_.get() : -1, POLLOUT, 0}};
  poll(watch, 3, static_cast<int>(pause.count()));
  if (watch[0].revents && !drain(stdout_.get(), ran_.out)) stdout_.reset();
  if (watch[1].revents && !drain(stderr_.get(), ran_.err)) stderr_.reset();
  return watch[2].revents != 0;
}

void Program::throw_late(const std::string& what) const {
  const auto end_of = [](const std::string& text) {
    return text.substr(text.size() - std::min<std::size_t>(text.size(), 2000));
  };
  throw std::runtime_error("waited in vain for " + what + " of `" + join(argv_) + "`\nstdout (" +
                           std::to_string(ran_.out.size()) + " bytes): " + end_of(ran_.out) +
                           "\nstderr: " + end_of(ran_.err));
}

void Program::await(const std::function<bool()>& condition, const char* what) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) throw_late(what);
    collect(milliseconds(5));
  }
}

void Program::await_out(const std::string& text) {
  await([&] { return ran_.out.find(text) != std::string::npos; }, ("\"" + text + "\" on the stdout").c_str());
}

void Program::await_err(const std::string& text) {
  await([&] { return ran_.err.find(text) != std::string::npos; }, ("\"" + text + "\" on the stderr").c_str());
}

std::size_t Program::write_some(std::string_view bytes, milliseconds quiet) {
  const std::size_t all = bytes.size();
  auto deadline = std::chrono::steady_clock::now() + quiet;
  while (!bytes.empty() && std::chrono::steady_clock::now() < deadline) {
    if (!collect(milliseconds(20), true)) continue;
    const ssize_t put = ::write(stdin_.get(), bytes.data(), bytes.size());
    if (put < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (put < 0) break;
    bytes.remove_prefix(static_cast<std::size_t>(put));
    deadline = std::chrono::steady_clock::now() + quiet;
  }
  return all - bytes.size();
}

bool Program::write(std::string_view bytes) {
  const std::size_t written = write_some(bytes, patience);
  if (written < bytes.size() && errno != EPIPE) throw_late("room in the stdin");
  return written == bytes.size();
}

bool Program::ended() {
  if (reaped_) return true;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return false;
  reaped_ = true;
  ran_.code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return true;
}

const Ran& Program::wait() {
  stdin_.reset();
  auto deadline = std::chrono::steady_clock::now() + patience;
  while (stdout_ || stderr_ || !ended()) {
    const auto now = std::chrono::steady_clock::now();
    if (now > deadline) throw_late(reaped_ ? "the end of the outputs" : "the end");
    const bool had_ended = ended();
    const std::size_t before = ran_.out.size() + ran_.err.size();
    collect(milliseconds(stdout_ || stderr_ ? 20 : 1));
    if (ran_.out.size() + ran_.err.size() != before)
      deadline = now + patience;
    else if (!had_ended && ended())
      deadline = now + std::chrono::seconds(5);  // a daemon that it started must not hold our pipes
  }
  return ran_;
}

Ran run(std::vector<std::string> argv, const std::string& input, const StartOptions& options) {
  StartOptions given = options;
  if (input.empty() && given.stdin_file.empty()) given.stdin_null = true;
  Program program(std::move(argv), given);
  if (!input.empty()) program.write(input);
  return program.wait();
}

// --- Daemon ------------------------------------------------------------------------------------------

Daemon::Daemon() : Daemon(Options{}) {}

Daemon::Daemon(const Options& options) {
  if (options.start) start(options);
}

Daemon::~Daemon() {
  try {
    stop();
  } catch (const std::exception& error) {
    complain(error.what());
  }
}

std::string Daemon::said() {
  if (!daemon_) return read_file(state_dir() + "/kairod.log");
  daemon_->look();
  return daemon_->err();
}

void Daemon::complain(const std::string& problem) {
  std::string log = said();
  if (log.size() > 4000) log.erase(0, log.size() - 4000);
  ADD_FAIL_CHECK_AT("harness", 0, problem << "\nthe daemon said:\n" << log);
}

void Daemon::start(const Options& wanted) {
  std::vector<std::string> argv{wanted.program,
                                "--socket",
                                socket(),
                                "--state-dir",
                                state_dir(),
                                "--on-shutdown",
                                wanted.keep ? "keep" : "stop"};
  argv.insert(argv.end(), wanted.arguments.begin(), wanted.arguments.end());
  StartOptions options;
  options.stdin_null = true;
  options.env = wanted.env;
  argv.insert(argv.begin(), wanted.behind.begin(), wanted.behind.end());
  options.env.emplace("STATE", state_dir());
  options.env.emplace("KAIRO_IPC_SOCKET", std::nullopt);
  daemon_.reset();  // one that was killed is reaped, and does not answer any more
  daemon_.emplace(argv, options);
  daemon_->await(
      [&] {
        if (daemon_->ended()) throw std::runtime_error("kairod ended: " + daemon_->wait().err);
        return client::Client::connect({.socket = socket()}).ok();
      },
      "an answer");
  const Pids idle = pids();
  for (pid_t pid : {idle.daemon, idle.keeper}) descriptors_[pid] = count_descriptors(pid);
}

Daemon::Pids Daemon::pids() const {
  auto client = client::Client::connect({.socket = socket()});
  if (!client) throw std::runtime_error(client.error().message);
  auto info = client->call<api::InfoResult>("kernel.info", api::NoParams{}, SteadyClock::now() + patience);
  if (!info) throw std::runtime_error(info.error().message);
  return {info->pid, info->keeper_pid};
}

std::string Daemon::inside(const std::string& name) const {
  return "/proc/" + std::to_string(pids().daemon) + "/root" + state_dir() + "/" + name;
}

std::vector<std::string> Daemon::ctl_argv(const std::vector<std::string>& arguments) const {
  std::vector<std::string> argv{kairoctl_path(), "--socket", socket(), "--state-dir", state_dir()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

Ran Daemon::ctl(const std::vector<std::string>& arguments, const std::string& input,
                const StartOptions& options) const {
  StartOptions given = options;
  given.env.emplace("KAIROD", kairod_path());
  given.env.emplace("KAIRO_IPC_SOCKET", std::nullopt);
  return run(ctl_argv(arguments), input, given);
}

void Daemon::end_sessions() {
  auto client = client::Client::connect({.socket = socket()});
  if (!client) return;
  const auto soon = [] { return SteadyClock::now() + patience; };
  api::ListParams page;
  for (;;) {
    auto listed = client->call<api::ListResult>("process.list", page, soon());
    if (!listed) throw std::runtime_error("cannot list sessions: " + listed.error().message);
    for (const api::ProcessSession& each : listed->sessions) {
      if (each.status == api::Status::running) {
        api::KillParams kill;
        kill.id = each.id;
        kill.signal = std::int32_t{SIGKILL};
        kill.scope = api::Scope::all;
        static_cast<void>(client->call_raw("process.kill", kill, soon()));
      }
      auto ended = client->call_raw("process.wait", api::WaitParams{each.id, {}}, soon());
      if (!ended) complain("session " + each.id + " does not end: " + ended.error().message);
      auto forgotten = client->call_raw("process.forget", api::IdParams{each.id}, soon());
      if (!forgotten) complain("session " + each.id + " cannot be forgotten: " + forgotten.error().message);
    }
    if (!listed->next) return;
    page.after = listed->next;
  }
}

void Daemon::check_descriptors(const Pids& pids) {
  for (pid_t pid : {pids.daemon, pids.keeper}) {
    const auto before = descriptors_.find(pid);
    if (before == descriptors_.end()) continue;
    // What belongs to connections and sessions that have just ended is closed a turn of the loop later.
    std::size_t now = 0;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while ((now = count_descriptors(pid)) > before->second && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(milliseconds(5));
    if (now <= before->second) continue;
    std::string open;
    std::error_code ignored;
    for (const auto& each : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd", ignored))
      open += " " + fs::read_symlink(each.path(), ignored).string();
    complain((pid == pids.keeper ? "the keeper" : "the daemon") + std::string(" leaks descriptors: ") +
             std::to_string(before->second) + " at the start, " + std::to_string(now) +
             " at the end:" + open);
  }
}

void Daemon::stop() {
  if (std::exchange(stopped_, true)) return;
  Pids running;
  if (client::Client::connect({.socket = socket()})) {
    running = pids();
    end_sessions();
    check_descriptors(running);
    kill(running.daemon, SIGTERM);
  } else if (daemon_) {
    // The test may have stopped it a moment ago.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!daemon_->ended() && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(milliseconds(5));
    if (!daemon_->ended()) {
      complain("the daemon does not answer at the end");
      daemon_->signal(SIGKILL);
    }
  }
  if (daemon_) {
    const int code = daemon_->wait().code;
    if (running.daemon > 0 && code != 0) complain("kairod ended with " + std::to_string(code));
  }
  // After --on-shutdown keep the keeper waits a while for a new daemon; the test need not.
  if (running.keeper > 0 && !daemon_) kill(running.keeper, SIGKILL);
  for (pid_t pid : {running.daemon, running.keeper})
    if (pid > 0) eventually([pid] { return !is_alive(pid); }, "the end of daemon and keeper");
  for (pid_t pid : processes_with("KAIRO_IPC_SOCKET=" + socket())) {
    complain("process " + std::to_string(pid) +
             " outlived its session: " + read_file("/proc/" + std::to_string(pid) + "/cmdline"));
    kill(pid, SIGKILL);
  }
}

}  // namespace kairo::test
