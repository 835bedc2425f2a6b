// Finds the daemon again after a connection was lost: a daemon that was killed, restarted or upgraded leaves
// its sessions with the keeper, and the next one has them (SPEC 12.1). This is the policy alone: when to try,
// whether to start a daemon, when to give up. What to ask again on the new connection is known by whoever
// asked: LastingClient (lasting_client.hpp) for requests; an event loop of one's own does it itself.
//
//   Reconnector reconnector({.autostart = true});
//   auto channel = reconnector.connect();          // the first time: no patience
//   ...                                            // reconnector.answered() when a frame has come
//   reconnector.lost(error);                       // a call on the channel failed and is_unreachable(error)
//   auto again = reconnector.reconnect();          // waits; or, in a loop: attempt() at next_attempt(),
//   until
//                                                  // it gives a channel or an error
//
// Everything that the old connection still holds must be read before a stream is asked for again: the offset
// to go on at is behind the last byte that was received, and the bytes before it may be gone from the log.
#pragma once

#include <chrono>
#include <optional>

#include "client/autostart.hpp"
#include "client/channel.hpp"

namespace kairo::client {

struct ReconnectOptions {
  AutostartOptions start = {};  ///< Where the daemon is, and how one is started.
  bool autostart = true;        ///< Start a daemon where none answers; else wait for one that others start.
  Trace trace = {};             ///< Set on every channel.
  /// How long the daemon is sought after a loss, and how long a series of losses without an answer in between
  /// may go on. Zero: a loss is final.
  std::chrono::milliseconds patience{10'000};
};

class Reconnector {
 public:
  explicit Reconnector(ReconnectOptions options) : options_(std::move(options)) {}

  /// The first connection: one try, with autostart where that is allowed. Errors as of connect_or_start.
  Result<Channel> connect();

  /// The connection is gone, for this reason. Attempts may begin.
  void lost(Error why);
  /// One try. Nothing: try again at next_attempt(). E_NOT_RUNNING (is_unreachable) when the patience is over;
  /// any other error when the daemon may not be talked to. Starting a daemon may block for as long as that
  /// takes.
  Result<std::optional<Channel>> attempt();
  /// Each pause is longer than the one before, up to 100 ms; at once after a connection that had served.
  [[nodiscard]] SteadyTime next_attempt() const { return next_attempt_; }
  /// All attempts, with the pauses between them.
  Result<Channel> reconnect();

  /// To be called when something has come over the connection: it served.
  void answered() { answered_ = true; }
  /// How often a connection was found again.
  [[nodiscard]] unsigned times() const { return times_; }
  [[nodiscard]] const ReconnectOptions& options() const { return options_; }

 private:
  Result<Channel> find(std::chrono::milliseconds patience);
  Error gave_up(const Error& last) const;

  ReconnectOptions options_;
  bool answered_ = false;
  unsigned times_ = 0;
  std::optional<SteadyTime> connected_at_;  ///< Nothing for the first connection.
  SteadyTime since_{};                      ///< Beginning of the present series of losses.
  SteadyTime next_attempt_{};
  std::chrono::milliseconds pause_{0};
  std::optional<Error> why_;
  std::optional<Error> failed_;  ///< Of the last attempt to find a daemon.
};

}  // namespace kairo::client
