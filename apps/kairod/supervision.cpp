#include "supervision.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

namespace kairo::daemon {

void notify_supervisor(const std::string& state) {
  // Taken out of the environment, so that children do not speak for the daemon.
  static const std::string named = [] {
    const char* value = std::getenv("NOTIFY_SOCKET");
    std::string kept = value ? value : "";
    ::unsetenv("NOTIFY_SOCKET");
    return kept;
  }();
  const char* path = named.c_str();
  if (named.empty() || (path[0] != '/' && path[0] != '@')) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t length = std::strlen(path);
  if (length >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  // Nothing can be done about a supervisor that does not listen.
  [[maybe_unused]] const ssize_t sent = ::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL,
                                                 reinterpret_cast<const sockaddr*>(&address), size);
}

std::string reloading_state() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return "RELOADING=1\nMONOTONIC_USEC=" + std::to_string(now.tv_sec * 1'000'000 + now.tv_nsec / 1000);
}

Result<UniqueFd> take_activation_socket() {
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  const bool ours = pid && count && std::strtol(pid, nullptr, 10) == ::getpid();
  const long passed = ours ? std::strtol(count, nullptr, 10) : 0;
  ::unsetenv("LISTEN_PID");
  ::unsetenv("LISTEN_FDS");
  ::unsetenv("LISTEN_FDNAMES");
  notify_supervisor("STATUS=starting");
  if (passed == 0) return UniqueFd();
  if (passed != 1)
    return Error(Code::invalid_params,
                 "socket activation passed " + std::to_string(passed) + " sockets; one is wanted");
  UniqueFd socket(3);
  int listening = 0;
  socklen_t size = sizeof listening;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || !listening)
    return Error(Code::invalid_params, "socket activation passed something that is no listening socket");
  ::fcntl(socket.get(), F_SETFD, FD_CLOEXEC);
  ::fcntl(socket.get(), F_SETFL, ::fcntl(socket.get(), F_GETFL) | O_NONBLOCK);
  return socket;
}

Background Background::enter() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) std::_Exit(70);
  const pid_t child = ::fork();
  if (child < 0) std::_Exit(70);
  if (child > 0) {
    ::close(ends[1]);
    char byte = 0;
    ssize_t got = 0;
    do got = ::read(ends[0], &byte, 1);
    while (got < 0 && errno == EINTR);
    if (got == 1) std::_Exit(0);
    // It ended before it was ready, and has said why on our stderr.
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    std::_Exit(WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 70);
  }
  ::setsid();
  Background out;
  // Everything that the caller left open, but the pipe, goes.
  const int kept = ::fcntl(ends[1], F_DUPFD_CLOEXEC, 3);
  out.parent_.reset(::dup3(kept, 3, O_CLOEXEC) == 3 ? 3 : kept);
  ::close_range(static_cast<unsigned>(out.parent_.get()) + 1, ~0u, 0);
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ::dup2(null.get(), 0);
  if (::chdir("/") != 0) std::_Exit(70);
  return out;
}

Result<void> Background::ready(const std::string& log_file) {
  const UniqueFd log(::open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!log) return system_error("cannot open " + log_file, errno);
  ::dup2(log.get(), 1);
  ::dup2(log.get(), 2);
  [[maybe_unused]] const ssize_t told = ::write(parent_.get(), "r", 1);
  parent_.reset();
  return {};
}

}  // namespace kairo::daemon
