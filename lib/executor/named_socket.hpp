// A socket in the file system on which one program is to connect, once: the input or the output of a node
// with io "named" (SPEC 9.1), which finds the path in its environment. The first process of the executor's
// own user (SO_PEERCRED) is taken; then, or with this object, the path is gone.
//
// The directory is the user's own, so that nobody else gets as far as that.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "ipc/listener.hpp"

namespace kairo::executor {

/// What a node finds its sockets under.
inline constexpr const char* node_input_variable = "KAIRO_NODE_INPUT";
inline constexpr const char* node_output_variable = "KAIRO_NODE_OUTPUT";

class NamedSocket : public std::enable_shared_from_this<NamedSocket> {
 public:
  /// The connection, which does not block; from the loop, once. Not after destruction.
  using Connected = std::function<void(UniqueFd)>;
  using Failed = std::function<void(const Error&)>;

  /// Nothing may be at `path`. E_LIMIT_EXCEEDED: no descriptors are left; E_INVALID_PARAMS: the path is too
  /// long for a socket. `failed` hears of trouble with accepting, which goes on.
  static Result<std::shared_ptr<NamedSocket>> listen(boost::asio::io_context& io, std::string path,
                                                     Connected connected, Failed failed);
  ~NamedSocket();
  NamedSocket(const NamedSocket&) = delete;
  NamedSocket& operator=(const NamedSocket&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  NamedSocket(boost::asio::io_context& io, std::string path) : io_(io), path_(std::move(path)) {}
  void accept(UniqueFd socket, const ipc::Peer& peer);
  void remove();

  boost::asio::io_context& io_;
  std::string path_;  ///< Empty once it is gone.
  std::unique_ptr<ipc::Listener> listener_;
  Connected connected_;
};

}  // namespace kairo::executor
