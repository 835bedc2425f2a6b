#include "executor/stop.hpp"

#include <cerrno>
#include <poll.h>
#include <sys/eventfd.h>

namespace kairo::executor {

Result<Stop> Stop::make() {
  Stop made;
  made.fd_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!made.fd_) return system_error("cannot make an eventfd", errno, Code::limit_exceeded);
  return made;
}

void Stop::ask() const {
  (void)::eventfd_write(fd_.get(), 1);
}

bool Stop::asked() const {
  return !sleep(std::chrono::milliseconds(0));
}

bool Stop::wait(int fd, short events, int watched) const {
  pollfd all[3] = {{fd_.get(), POLLIN, 0}, {fd, events, 0}, {watched, 0, 0}};
  while (::poll(all, 3, -1) < 0)
    if (errno != EINTR) return false;
  return all[0].revents == 0 && all[2].revents == 0;
}

bool Stop::sleep(std::chrono::milliseconds time) const {
  pollfd own{fd_.get(), POLLIN, 0};
  return ::poll(&own, 1, static_cast<int>(time.count())) <= 0;
}

}  // namespace kairo::executor
