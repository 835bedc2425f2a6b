// The executor's side of the control protocol: a listening Unix socket to which the nodes of one topology
// connect. It knows which life of which node a connection speaks for (by the token in that life's
// environment), carries what nodes publish to those that have subscribed, and asks nodes to end.
//
//   auto hub = ControlHub::listen(io, dir + "/control", "topology", hooks);
//   hub->register_node("node", 1, token, interval);        // before the node starts; a cutover has two lives
//   ... on_hello, on_heartbeat, on_message, on_gone ...
//   hub->shutdown("node", 1, "cutover", grace, done);      // done(true): it has acknowledged
//   hub->unregister_node("node", 1);                       // after its end; its connections are closed
//
// Peers. Only processes of this process's own user are talked to. The first message of a connection must be a
// hello with a known node and its token, within hello_time; else it is refused and closed. A node may have
// several connections (a shell node has `kairoctl control run` and now and then a `kairoctl control
// publish`): those that are guests say nothing of its health.
//
// Order. What one sender has published arrives in its order, and everything that was published before
// shutdown() arrives before the shutdown. No message is kept for nodes that are not connected.
//
// Bounds. For each peer control_queue_bytes of published messages may wait; a peer that does not read loses
// what exceeds that, hears how much by control.lagged once it has read the rest, and delays nobody.
//
// Hooks are called from the io_context's thread and may call all functions but the destructor. Used by that
// one thread. Destroying it closes all connections and removes the socket's file; no hook and no `done` is
// called any more.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>

#include "api/envelope.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace kairo::executor {

/// Until a connection must have said hello.
inline constexpr std::chrono::seconds hello_time{10};
/// Connections of one life of a node.
inline constexpr std::size_t connections_per_node = 16;

/// A token for one life of a node.
std::string make_control_token();

class ControlHub {
 public:
  struct Hooks {
    /// A connection speaks for this life now, and is no guest. Again for each further one.
    std::function<void(const std::string& node, std::uint64_t generation)> on_hello = {};
    /// `data`: MsgPack of whatever the node says of itself.
    std::function<void(const std::string& node, std::uint64_t generation, const reflect::Any& data)>
        on_heartbeat = {};
    /// A node has published this; it has been handed to the subscribers.
    std::function<void(const std::string& node, std::string_view topic, const reflect::Any& data)>
        on_message = {};
    /// The life has no connection any more but guests.
    std::function<void(const std::string& node, std::uint64_t generation)> on_gone = {};
    /// Something malformed came and was ignored; `node` is empty before its hello.
    std::function<void(const std::string& node, const Error& why)> on_malformed = {};
    /// Connections cannot be accepted (out of descriptors); it goes on by itself.
    std::function<void(const Error&)> on_accept_failed = {};
  };
  struct Counters {
    std::uint64_t malformed = 0;  ///< Messages that were ignored.
    std::uint64_t refused = 0;    ///< Connections: another user's, a wrong token, no hello, one too many.
    std::uint64_t dropped = 0;    ///< Messages left out for slow peers, once for each.
  };
  using Done = std::function<void(bool acknowledged)>;

  /// Listens on `path`, in a directory that only this user may enter. E_ALREADY_EXISTS: another process does.
  static Result<std::unique_ptr<ControlHub>> listen(boost::asio::io_context& io, const std::string& path,
                                                    std::string topology, Hooks hooks);
  /// Takes a socket that listens already; its file is not removed.
  ControlHub(boost::asio::io_context& io, UniqueFd listening, std::string topology, Hooks hooks);
  ~ControlHub();
  ControlHub(const ControlHub&) = delete;
  ControlHub& operator=(const ControlHub&) = delete;

  /// A life of a node may connect from now on. Registering it again replaces its token.
  void register_node(const std::string& node, std::uint64_t generation, std::string token,
                     std::chrono::milliseconds heartbeat_interval);
  /// Closes its connections without on_gone; a shutdown that waits for it is done(false).
  void unregister_node(const std::string& node, std::uint64_t generation);
  [[nodiscard]] bool connected(const std::string& node, std::uint64_t generation) const;

  /// Hands a message to all who have subscribed to it. E_INVALID_PARAMS, E_LIMIT_EXCEEDED: see
  /// check_publication().
  Result<void> publish(std::string_view topic, const reflect::Any& data);
  /// Asks a life to end. `done` comes once, from the loop: true when it has acknowledged; false when `grace`
  /// has passed, it is not connected, or it was unregistered.
  void shutdown(const std::string& node, std::uint64_t generation, std::string_view reason,
                std::chrono::milliseconds grace, Done done);

  [[nodiscard]] const Counters& counters() const;

 private:
  class Body;
  class Peer;
  std::shared_ptr<Body> body_;
};

}  // namespace kairo::executor
