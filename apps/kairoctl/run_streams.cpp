#include "run_streams.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace kairo::ctl {

void OutputEnd::look() {
  kind_ = Kind::plain;
  struct stat found {};
  if (fstat(fd_, &found) != 0) return;
  if (S_ISSOCK(found.st_mode)) {
    kind_ = Kind::socket;
  } else if (S_ISFIFO(found.st_mode) || (S_ISCHR(found.st_mode) && isatty(fd_))) {
    const std::string again = "/proc/self/fd/" + std::to_string(fd_);
    own_.reset(open(again.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
    // Another user's pipe (after su) cannot be opened; there a piece that surely fits is written at a time.
    kind_ = own_ ? Kind::nonblocking : Kind::shared_pipe;
  }
}

long OutputEnd::write_once(std::string_view bytes) {
  switch (kind_) {
    case Kind::socket: return send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    case Kind::nonblocking: return ::write(own_.get(), bytes.data(), bytes.size());
    case Kind::shared_pipe: {
      pollfd room{fd_, POLLOUT, 0};
      if (poll(&room, 1, 0) == 0) {
        errno = EAGAIN;
        return -1;
      }
      return ::write(fd_, bytes.data(), std::min<std::size_t>(bytes.size(), PIPE_BUF));
    }
    default: return ::write(fd_, bytes.data(), bytes.size());
  }
}

OutputEnd::State OutputEnd::write(std::string_view& bytes) {
  if (kind_ == Kind::unknown) look();
  while (!bytes.empty()) {
    const long put = write_once(bytes);
    if (put >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(put));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return State::blocked;
    } else if (errno != EINTR) {
      error_ = errno;
      return State::broken;
    }
  }
  return State::written;
}

InputEnd::InputEnd() {
  struct stat found {};
  if (fstat(STDIN_FILENO, &found) != 0) {
    null_ = true;
  } else if (S_ISCHR(found.st_mode)) {
    null_ = found.st_rdev == makedev(1, 3);
    terminal_ = !null_ && isatty(STDIN_FILENO);
  }
}

bool InputEnd::is_background() const {
  return terminal_ && tcgetpgrp(STDIN_FILENO) != getpgrp();
}

long InputEnd::read(char* to, std::size_t size) {
  return ::read(STDIN_FILENO, to, size);
}

void InputEnd::close() {
  ::close(STDIN_FILENO);
}

}  // namespace kairo::ctl
