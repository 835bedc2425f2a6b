#include "ipc/listener.hpp"

#include <cerrno>
#include <sys/socket.h>

namespace kairo::ipc {

Listener::Listener(boost::asio::io_context& io, UniqueFd listening, Accepted accepted, Failed failed)
    : listening_(io, listening.release()),
      pause_(io),
      accepted_(std::move(accepted)),
      failed_(std::move(failed)) {}

void Listener::start() {
  wait();
}

void Listener::stop() {
  stopped_ = true;
  boost::system::error_code ignored;
  pause_.cancel();
  listening_.close(ignored);
}

void Listener::wait() {
  listening_.async_wait(listening_.wait_read, [this](const boost::system::error_code& error) {
    if (error || stopped_) return;
    accept_all();
  });
}

void Listener::accept_all() {
  // A bounded turn, so that a flood of connections does not starve those that are served.
  for (int i = 0; i < 64; ++i) {
    UniqueFd socket(::accept4(listening_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN) break;
      failed_(system_error("cannot accept a connection", errno));
      pause_.expires_after(std::chrono::milliseconds(100));
      pause_.async_wait([this](const boost::system::error_code& error) {
        if (!error && !stopped_) wait();
      });
      return;
    }
    auto peer = peer_of(socket.get());
    if (peer) accepted_(std::move(socket), *peer);
  }
  wait();
}

}  // namespace kairo::ipc
