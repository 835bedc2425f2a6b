// A node's side of the control protocol over a Unix domain socket (SPEC 9.3; seed SB-MK-PROCESS-IO-P3): says
// hello, sends heartbeats, publishes and subscribes, hears the request to end, and connects again by itself.
//
//   UnixControlAdapter control(io, *ControlOptions::from_environment(), hooks);
//   control.subscribe("config.>");
//   control.start();
//   control.publish("progress", data);
//   ...                                  // hooks.on_shutdown: end; it is acknowledged by itself
//   control.shutdown();                  // all that was published is delivered; then on_closed
//
// What is published is sent in its order, also across a lost connection: what had not left whole waits for
// the next one. What had left when the connection was lost may or may not have arrived. Subscriptions are
// made again; what others have published meanwhile is not heard.
//
// Bounds. control_queue_bytes of published messages may wait; a further one is refused with E_LIMIT_EXCEEDED.
//
// Hooks are called from the io_context's thread and may call all functions but the destructor. Used by that
// one thread. After on_closed, or destruction, no hook is called any more.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>

#include "api/control.hpp"
#include "api/envelope.hpp"
#include "base/result.hpp"

namespace kairo::executor {

struct ControlOptions {
  std::string socket;
  std::string node;
  std::optional<std::string> token = {};
  bool guest = false;                               ///< See api::control::Hello.
  std::chrono::milliseconds heartbeat_interval{0};  ///< Zero: as the executor asks.
  bool acknowledge = true;                          ///< A shutdown, once on_shutdown has returned.
  /// Between two attempts to connect; each is twice as long as the one before.
  std::chrono::milliseconds first_pause{50};
  std::chrono::milliseconds longest_pause{2000};

  /// What a node was given (control_environment()). E_NOT_FOUND: this process is no node.
  static Result<ControlOptions> from_environment();
};

class UnixControlAdapter {
 public:
  struct Hooks {
    std::function<void(const api::control::Welcome&)> on_connected = {};
    /// What was subscribed to, and control.lagged.
    std::function<void(const api::Event&)> on_message = {};
    std::function<void(const api::control::Shutdown&)> on_shutdown = {};
    /// The connection was lost, or could not be made; another attempt follows.
    std::function<void(const Error&)> on_lost = {};
    /// The last call. nullptr: after shutdown(), and all was delivered. E_PERMISSION_DENIED and its like: the
    /// executor has refused this node, or its socket is another user's.
    std::function<void(const Error* why)> on_closed = {};
  };

  UnixControlAdapter(boost::asio::io_context& io, ControlOptions options, Hooks hooks);
  /// Closes at once.
  ~UnixControlAdapter();
  UnixControlAdapter(const UnixControlAdapter&) = delete;
  UnixControlAdapter& operator=(const UnixControlAdapter&) = delete;

  void start();
  /// `data`: MsgPack of one value, or empty. E_INVALID_PARAMS: no topic that may be published;
  /// E_LIMIT_EXCEEDED: too long, or too much waits; E_STDIN_CLOSED: after shutdown(). Then nothing was taken.
  Result<void> publish(std::string_view topic, std::string data = {});
  /// `pattern`: * is one segment, > is the rest.
  Result<void> subscribe(const std::string& pattern);
  void unsubscribe(const std::string& pattern);
  /// Says that the shutdown was heard, behind everything that was published. Only where
  /// ControlOptions::acknowledge is false.
  void acknowledge();
  /// Publishes no more; on_closed comes once the executor has taken everything, or with the error that says
  /// how much it has not.
  void shutdown();

  [[nodiscard]] bool connected() const;
  /// Messages that were malformed and ignored.
  [[nodiscard]] std::uint64_t malformed() const;
  /// Bytes of published messages that have not left.
  [[nodiscard]] std::size_t unsent_bytes() const;

 private:
  class Body;
  std::shared_ptr<Body> body_;
};

}  // namespace kairo::executor
