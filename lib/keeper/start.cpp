#include "keeper/start.hpp"

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ids.hpp"

namespace kairo::keeper {
namespace {

constexpr const char* socket_name = "keeper.sock";

/// By way of /proc, since a sun_path holds 107 bytes and a state directory may be deeper.
sockaddr_un address_of(int state_dir, const std::string& name) {
  sockaddr_un out{};
  out.sun_family = AF_UNIX;
  std::snprintf(out.sun_path, sizeof out.sun_path, "/proc/self/fd/%d/%s", state_dir, name.c_str());
  return out;
}

Result<UniqueFd> make_listener(int state_dir) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return system_error("cannot make the keeper's socket", errno);
  ::fchmod(socket.get(), 0600);
  const std::string temporary = std::string(socket_name) + "." + random_id(8);
  const sockaddr_un address = address_of(state_dir, temporary);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return system_error("cannot bind the keeper's socket in the state directory", errno);
  // It listens before it has its name, so that whoever finds it is served.
  const bool good = ::listen(socket.get(), 64) == 0 &&
                    ::renameat(state_dir, temporary.c_str(), state_dir, socket_name) == 0;
  const int error_number = errno;
  if (good) return socket;
  ::unlinkat(state_dir, temporary.c_str(), 0);
  return system_error("cannot put the keeper's socket in its place", error_number);
}

/// argv[0] for ps: the program's file, where the command only says /proc/self/exe.
std::string name_of(const std::string& program) {
  if (program != "/proc/self/exe") return program;
  char path[PATH_MAX];
  const ssize_t size = ::readlink(program.c_str(), path, sizeof path);
  return size > 0 ? std::string(path, static_cast<std::size_t>(size)) : program;
}

/// In a fork of a program that may have threads: system calls only. `failure` gets the errno.
[[noreturn]] void become_keeper(char* const* argv, const char* program, int listener, int state_dir, int log,
                                int null, int failure) {
  // First out of the way of 0..5, then into place; dup2 clears close-on-exec.
  int* const all[] = {&listener, &state_dir, &log, &null, &failure};
  bool good = true;
  for (int* each : all) good = good && (*each = ::fcntl(*each, F_DUPFD_CLOEXEC, 16)) >= 0;
  good = good && ::dup2(null, 0) == 0 && ::dup2(log, 1) == 1 && ::dup2(log, 2) == 2 &&
         ::dup2(listener, 3) == 3 && ::dup2(state_dir, 4) == 4 && ::dup3(failure, 5, O_CLOEXEC) == 5;
  if (good) {
    ::syscall(SYS_close_range, 6u, ~0u, 0u);
    ::setsid();
    ::umask(0077);
    good = ::chdir("/") == 0;
    for (int number = 1; number <= SIGRTMAX; ++number) ::signal(number, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (good) ::execv(program, argv);
    failure = 5;
  }
  const int error_number = errno;
  static_cast<void>(!::write(failure, &error_number, sizeof error_number));
  ::_exit(127);
}

bool wait_for(const Channel& channel, short event, SteadyTime deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
    if (left <= 0) return false;
    pollfd polled{channel.socket(), event, 0};
    const int ready = ::poll(&polled, 1, static_cast<int>(left));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

}  // namespace

bool wait_readable(const Channel& channel, SteadyTime deadline) {
  return wait_for(channel, POLLIN, deadline);
}
bool wait_writable(const Channel& channel, SteadyTime deadline) {
  return wait_for(channel, POLLOUT, deadline);
}

Result<std::optional<UniqueFd>> connect_keeper(int state_dir) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return system_error("cannot make a socket", errno);
  const sockaddr_un address = address_of(state_dir, socket_name);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED || errno == EAGAIN) return std::optional<UniqueFd>{};
    return system_error("cannot connect to the keeper", errno);
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != ::geteuid())
    return Error(Code::permission_denied,
                 "cannot use the keeper's socket: it belongs to user " + std::to_string(peer.uid));
  return std::optional<UniqueFd>(std::move(socket));
}

Result<void> start_keeper(int state_dir, const std::vector<std::string>& command) {
  auto listener = make_listener(state_dir);
  if (!listener) return std::move(listener).error();
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  UniqueFd log(
      ::openat(state_dir, "keeper.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!log) log = UniqueFd(::fcntl(null.get(), F_DUPFD_CLOEXEC, 0));
  int ends[2];
  if (!null || !log || ::pipe2(ends, O_CLOEXEC) != 0)
    return system_error("cannot prepare the keeper's start", errno);
  const UniqueFd failure(ends[0]);
  UniqueFd failure_end(ends[1]);

  const std::string name = name_of(command[0]);
  std::vector<char*> argv{const_cast<char*>(name.c_str())};
  for (std::size_t i = 1; i < command.size(); ++i) argv.push_back(const_cast<char*>(command[i].c_str()));
  argv.push_back(nullptr);

  const pid_t between = ::fork();
  if (between < 0) return system_error("cannot start the keeper", errno);
  if (between == 0) {
    // The one between ends at once, so that the keeper is nobody's child here and leaves no zombie.
    const pid_t keeper = ::fork();
    if (keeper == 0)
      become_keeper(argv.data(), command[0].c_str(), listener->get(), state_dir, log.get(), null.get(),
                    failure_end.get());
    const int error_number = errno;
    if (keeper < 0) static_cast<void>(!::write(failure_end.get(), &error_number, sizeof error_number));
    ::_exit(0);
  }
  failure_end.reset();
  while (::waitpid(between, nullptr, 0) < 0 && errno == EINTR) {
  }
  int error_number = 0;
  ssize_t got;
  do {
    got = ::read(failure.get(), &error_number, sizeof error_number);
  } while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof error_number))
    return system_error("cannot start the keeper \"" + command[0] + "\"", error_number);
  return {};
}

}  // namespace kairo::keeper
