// What the executor serves: requests that kairod passes on (topology.*), over the listening socket that it
// was started with. Whoever may connect there is the daemon: the socket lies in a directory of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>

#include <boost/asio/io_context.hpp>
#include <msgpack.hpp>

#include "base/unique_fd.hpp"
#include "ipc/connection.hpp"
#include "ipc/listener.hpp"
#include "stream/batch.hpp"

namespace kairo::executor {

class Server {
 public:
  /// MsgPack of a result, or an error; once.
  using Answer = std::function<void(Result<std::string>)>;
  using Handle = std::function<void(std::string_view method, const msgpack::object* params, Answer answer)>;
  using Log = std::function<void(const std::string&)>;

  Server(boost::asio::io_context& io, UniqueFd listening, Handle handle, Log log);
  ~Server();
  void start();
  void stop();
  /// Calls `done` once every answer has been sent, or cannot be.
  void when_sent(std::function<void()> done);

 private:
  class Peer;
  void accept(UniqueFd socket, ipc::Peer peer);
  void drained();

  boost::asio::io_context& io_;
  Handle handle_;
  Log log_;
  stream::Batch batch_{1};  ///< Unused: answers go through the outbox alone.
  std::unordered_set<std::shared_ptr<Peer>> peers_;
  ipc::Listener listener_;
  std::function<void()> when_sent_;
};

}  // namespace kairo::executor
