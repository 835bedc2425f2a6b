#include "bench/daemon.hpp"

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <linux/magic.h>
#include <poll.h>
#include <sstream>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <thread>

#include "bench/connection.hpp"
#include "bench/system.hpp"

namespace kairo::bench {
namespace {

/// A Unix socket's path has at most 107 bytes; the rest of it is "/kairo-bench-XXXXXX/socket".
constexpr std::size_t longest_parent = 80;

bool is_on_disk(const std::string& path) {
  struct statfs status {};
  return ::statfs(path.c_str(), &status) == 0 && status.f_type != TMPFS_MAGIC &&
         status.f_type != RAMFS_MAGIC && ::access(path.c_str(), W_OK) == 0;
}

std::string make_directory() {
  std::string parent;
  char here[PATH_MAX];
  const char* named = std::getenv("TMPDIR");
  for (const char* candidate :
       {named ? named : "", static_cast<const char*>(::getcwd(here, sizeof here)), "/var/tmp"})
    if (parent.empty() && candidate && *candidate && std::string_view(candidate).size() <= longest_parent &&
        is_on_disk(candidate))
      parent = candidate;
  if (parent.empty()) throw std::runtime_error("no directory on a disk to put logs in: set TMPDIR");
  std::string path = parent + "/kairo-bench-XXXXXX";
  if (!::mkdtemp(path.data())) throw_errno("cannot make a directory in " + parent);
  return path;
}

pid_t start_daemon(const std::string& program, const std::string& directory) {
  const std::string log = directory + "/kairod.log", socket = directory + "/socket",
                    state = directory + "/state";
  const char* argv[] = {program.c_str(), "--socket",      socket.c_str(), "--state-dir",
                        state.c_str(),   "--on-shutdown", "stop",         nullptr};
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw_errno("cannot fork");
  if (pid > 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) end_child(1);
  ::setsid();  // the terminal's SIGINT is the benchmark's, not the daemon's
  const int in = ::open("/dev/null", O_RDONLY),
            out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(in, 0);
  ::dup2(out, 1);
  ::dup2(out, 2);
  ::close_range(3, ~0u, 0);
  ::execv(argv[0], const_cast<char**>(argv));
  std::perror(argv[0]);
  end_child(127);
}

}  // namespace

Daemon::Daemon(const Settings& settings) : program_(settings.kairod), directory_(make_directory()) {
  try {
    start();
  } catch (...) {
    stop();
    throw;
  }
}

void Daemon::start() {
  pid_ = start_daemon(program_, directory_);
  const auto start_time = Clock::now();
  for (;;) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      throw std::runtime_error(program_ + " ended before it served: " + log());
    }
    try {
      Connection connection(socket());
      keeper_pid_ = connection.call<api::InfoResult>("kernel.info", api::NoParams{}).keeper_pid;
      break;
    } catch (const NoServer&) {
      if (seconds_since(start_time) > 20) throw std::runtime_error("kairod does not serve: " + log());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  keeper_.reset(static_cast<int>(::syscall(SYS_pidfd_open, keeper_pid_, 0)));
}

void Daemon::kill() {
  kill_and_wait(std::exchange(pid_, -1));
}

Daemon::~Daemon() {
  stop();
}

void Daemon::stop() {
  if (pid_ > 0) {
    ::kill(pid_, SIGTERM);
    if (!await_end(std::chrono::seconds(20))) {
      std::fprintf(stderr, "kairo-bench: kairod did not end within 20 s of SIGTERM and was killed\n");
      kill_and_wait(pid_);
    }
    pid_ = -1;
  }
  if (keeper_ && !await_keeper(std::chrono::seconds(10))) {
    std::fprintf(stderr, "kairo-bench: the keeper did not end within 10 s of kairod and was killed\n");
    ::syscall(SYS_pidfd_send_signal, keeper_.get(), SIGKILL, nullptr, 0);
    if (!await_keeper(std::chrono::seconds(5))) std::fprintf(stderr, "kairo-bench: the keeper lives on\n");
  }
  keeper_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

bool Daemon::await_end(std::chrono::seconds limit) {
  const auto end = Clock::now() + limit;
  int status = 0;
  while (::waitpid(pid_, &status, WNOHANG) == 0) {
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

bool Daemon::await_keeper(std::chrono::seconds limit) const {
  pollfd ended{keeper_.get(), POLLIN, 0};
  const auto milliseconds = std::chrono::milliseconds(limit).count();
  return ::poll(&ended, 1, static_cast<int>(milliseconds)) == 1;
}

std::string Daemon::log() const {
  std::ifstream file(directory_ + "/kairod.log");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace kairo::bench
