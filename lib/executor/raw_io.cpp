#include "executor/raw_io.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace kairo::executor {
namespace {

template <class Call>
Moved moved_by(Call call) {
  for (;;) {
    const ssize_t got = call();
    if (got >= 0) return {static_cast<std::size_t>(got), 0};
    if (errno != EINTR) return {0, errno};
  }
}

}  // namespace

Moved read_some(int fd, char* to, std::size_t size) {
  return moved_by([&] { return ::read(fd, to, size); });
}

Moved write_some(int fd, std::string_view bytes) {
  const Moved sent =
      moved_by([&] { return ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL); });
  if (sent.error != ENOTSOCK) return sent;
  return moved_by([&] { return ::write(fd, bytes.data(), bytes.size()); });
}

Moved splice_some(int from, int to, std::size_t size) {
  return moved_by(
      [&] { return ::splice(from, nullptr, to, nullptr, size, SPLICE_F_NONBLOCK | SPLICE_F_MOVE); });
}

bool is_refusal(int error) {
  return error == EPIPE || error == ECONNRESET || error == ENOTCONN;
}

}  // namespace kairo::executor
