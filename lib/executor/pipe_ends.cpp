#include "executor/pipe_ends.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace kairo::executor {
namespace {

/// Bytes that a socket or pipe between two stages holds: enough that neither waits for the other at each
/// turn.
constexpr int ends_bytes = 256 * 1024;

}  // namespace

Result<PipeEnds> make_pipe_ends(api::NodeIo io, Direction direction) {
  int ends[2];
  PipeEnds made;
  if (io == api::NodeIo::pipes) {
    if (::pipe2(ends, O_CLOEXEC) != 0)
      return system_error("cannot make a pipe to a node", errno, Code::limit_exceeded);
    made.ours = UniqueFd(ends[direction == Direction::to_node ? 1 : 0]);
    made.theirs = UniqueFd(ends[direction == Direction::to_node ? 0 : 1]);
    // A bonus where the user's budget for pipes has it.
    (void)::fcntl(made.ours.get(), F_SETPIPE_SZ, ends_bytes);
  } else {
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      return system_error("cannot make a socket pair to a node", errno, Code::limit_exceeded);
    made.ours = UniqueFd(ends[0]);
    made.theirs = UniqueFd(ends[1]);
    for (const int end : ends) widen(end);
  }
  const int flags = ::fcntl(made.ours.get(), F_GETFL);
  if (flags < 0 || ::fcntl(made.ours.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return system_error("cannot make a pipe to a node non-blocking", errno);
  return made;
}

void widen(int socket) {
  (void)::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &ends_bytes, sizeof ends_bytes);
}

std::uint64_t unread_bytes(int fd) {
  int bytes = 0;
  return ::ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0 ? static_cast<std::uint64_t>(bytes) : 0;
}

Result<std::string> take_unread(int fd) {
  std::string out;
  while (const std::uint64_t waiting = unread_bytes(fd)) {
    const std::size_t before = out.size();
    out.resize(before + waiting);
    const ssize_t got = ::read(fd, out.data() + before, waiting);
    out.resize(before + (got > 0 ? static_cast<std::size_t>(got) : 0));
    if (got <= 0) return system_error("cannot read what a node left unread", errno);
  }
  return out;
}

}  // namespace kairo::executor
