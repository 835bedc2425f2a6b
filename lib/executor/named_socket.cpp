#include "executor/named_socket.hpp"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

#include <boost/asio/post.hpp>

namespace kairo::executor {

Result<std::shared_ptr<NamedSocket>> NamedSocket::listen(boost::asio::io_context& io, std::string path,
                                                         Connected connected, Failed failed) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Error(Code::invalid_params, "the path of a node's socket is longer than " +
                                           std::to_string(sizeof address.sun_path - 1) + " bytes: " + path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return system_error("cannot make a socket for a node", errno, Code::limit_exceeded);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return system_error("cannot make the socket " + path, errno);
  std::shared_ptr<NamedSocket> made(new NamedSocket(io, std::move(path)));
  // The first is the node; one more may have come by mistake.
  if (::listen(socket.get(), 2) != 0) return system_error("cannot listen on " + made->path_, errno);
  made->connected_ = std::move(connected);
  made->listener_ = std::make_unique<ipc::Listener>(
      io, std::move(socket),
      [it = made.get()](UniqueFd connection, const ipc::Peer& peer) {
        it->accept(std::move(connection), peer);
      },
      std::move(failed));
  made->listener_->start();
  return made;
}

NamedSocket::~NamedSocket() {
  remove();
}

void NamedSocket::remove() {
  if (!path_.empty()) ::unlink(path_.c_str());
  path_.clear();
}

void NamedSocket::accept(UniqueFd socket, const ipc::Peer& peer) {
  if (peer.uid != ::geteuid() || !connected_) return;
  remove();
  // Not from within the listener, which goes here.
  boost::asio::post(io_, [weak = weak_from_this(), connected = std::exchange(connected_, nullptr),
                          held = std::make_shared<UniqueFd>(std::move(socket))] {
    const auto self = weak.lock();
    if (!self) return;
    self->listener_.reset();
    connected(std::move(*held));
  });
}

}  // namespace kairo::executor
