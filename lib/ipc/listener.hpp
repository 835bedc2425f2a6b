// Accepts connections. Accepted sockets are close-on-exec and non-blocking from birth (Asio 1.81's acceptor
// gives neither).
#pragma once

#include <functional>
#include <memory>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/unique_fd.hpp"
#include "ipc/peer.hpp"

namespace kairo::ipc {

class Listener {
 public:
  using Accepted = std::function<void(UniqueFd, Peer)>;
  /// `failed` hears of trouble (out of descriptors); the listener pauses for 100 ms and goes on.
  using Failed = std::function<void(const Error&)>;

  Listener(boost::asio::io_context& io, UniqueFd listening, Accepted accepted, Failed failed);
  void start();
  void stop();

 private:
  void wait();
  void accept_all();
  boost::asio::posix::stream_descriptor listening_;
  boost::asio::steady_timer pause_;
  Accepted accepted_;
  Failed failed_;
  bool stopped_ = false;
};

}  // namespace kairo::ipc
