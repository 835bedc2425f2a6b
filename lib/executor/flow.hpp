// What moves a topology's bytes: an Outlet takes what one node gives and hands it to every connection that
// leaves the node, an Intake gives one node what all connections to it bring. Both outlive the lives of their
// nodes: a restart or a cutover gives them another duplex, and the connections between them know nothing of
// it.
//
//   Outlet ──edge──▶ Intake         direct: where both lives have descriptors the bytes are spliced
//      └────edge──▶ Intake          split: every edge gets all, the slowest sets the pace
//   Outlet ──edge──▶   │            merge: whole lines, one edge at a time; see Intake
//
// Back-pressure. An Outlet reads only while every edge of it can take something; an Intake takes only what
// its life accepts. Nothing is buffered but one read per Outlet and the unfinished line of each merged edge
// (at most merge_line_bytes; a longer line keeps the others waiting until it has ended). A merge takes whole
// lines; what an edge that has ended left without a newline goes at the very end, one newline between each.
//
// Direct edges between descriptors. What waits to be read is spliced but for its last 4 KiB, and small
// amounts are copied: so the last byte that passed is known whenever nothing flows, as a border at a line
// needs. A process that splices into sockets ignores SIGPIPE.
//
// The order of calls in the life of a node: open() both; ... at a cutover hold() the Intake, wait for `held`,
// end_life(), wait for the Outlet's on_end, open() both anew. After a crash open() the Outlet anew; the
// Intake stays, because the successor inherits the input's own end and with it every byte that was not read.
//
// What was taken from upstream and no life has accepted stays with the Intake for the next one; what a life
// that is a worker had not accepted when it broke, too.
//
// Used by one thread, that of the io_context, which outlives them. All hooks are called from the loop, never
// from within a call. Owned by the executor's nodes; connect() keeps no ownership: an Outlet and an Intake
// that are connected end together.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "api/topology.hpp"
#include "executor/duplex.hpp"
#include "executor/life.hpp"

namespace kairo::executor {

/// Bytes of an unfinished line that a merge keeps for each edge.
inline constexpr std::size_t merge_line_bytes = 64 * 1024;

class Intake;
class IntakeBody;
class OutletBody;

class Outlet {
 public:
  /// The present life's output is over, and everything before was handed to all edges; with the error that
  /// ended it.
  using Ended = std::function<void(const Error*)>;

  Outlet(boost::asio::io_context& io, Ended ended);
  ~Outlet();
  Outlet(const Outlet&) = delete;
  Outlet& operator=(const Outlet&) = delete;
  /// Takes from this life from now on; the one before must have ended.
  void open(std::shared_ptr<Life> life);
  /// No further life comes: the end goes to every edge.
  void finish();
  /// Every Intake behind it has stopped: nobody wants what it gives, and it is not read. Called at most once
  /// per life.
  std::function<void()> on_unwanted;

  /// Bytes that all lives, and the present one, have given.
  [[nodiscard]] std::uint64_t bytes() const;
  [[nodiscard]] std::uint64_t life_bytes() const;
  /// Whether any edge leaves it. Without one what it gives is not read.
  [[nodiscard]] bool connected() const;

 private:
  friend void connect(Outlet& from, Intake& to, api::ConnectionType type);
  friend std::uint64_t edge_bytes(const Outlet& from, const Intake& to);
  std::shared_ptr<OutletBody> body_;
};

/// What becomes of the writes that the life before had not accepted: they follow what it left (`first`), or
/// are part of that already (Worker::take_unread).
enum class Unaccepted { follows, is_in_first };

class Intake {
 public:
  using Held = std::function<void()>;
  struct Hooks {
    /// All edges have ended and the life accepted everything; its input was ended.
    std::function<void()> on_end;
    /// The life takes no more (its end of the socket is closed): nothing is given until open().
    std::function<void(const Error&)> on_refused;
  };

  Intake(boost::asio::io_context& io, Hooks hooks);
  ~Intake();
  Intake(const Intake&) = delete;
  Intake& operator=(const Intake&) = delete;
  /// Gives to this life from now on, `first` before all else, and releases a hold.
  void open(std::shared_ptr<Life> life, std::string first = {}, Unaccepted unaccepted = Unaccepted::follows);
  /// Stops at the next border of that kind. `held` is called, from the loop, when everything before the
  /// border was given to the life (a process's descriptor has it, a worker may be yet to accept it). At once
  /// where nothing flows and the last byte that passed ended a line (or there was none). All edges having
  /// ended is a border, too.
  void hold(api::Boundary boundary, Held held);
  /// Takes a hold back, also one that has not been reached yet; the present life goes on.
  void release();
  /// Ends the input of the present life behind what it was given. Only while held.
  void end_life();
  /// The node takes no more, ever: what comes is refused, and outlets that feed nobody else hear on_unwanted.
  void stop();

  /// Bytes that all lives, and the present one, have accepted.
  [[nodiscard]] std::uint64_t bytes() const;
  [[nodiscard]] std::uint64_t life_bytes() const;
  /// Bytes that were taken from the nodes before and have been given to no life.
  [[nodiscard]] std::uint64_t waiting() const;
  [[nodiscard]] bool held() const;
  [[nodiscard]] bool ended() const;
  [[nodiscard]] bool connected() const;

 private:
  friend void connect(Outlet& from, Intake& to, api::ConnectionType type);
  friend std::uint64_t edge_bytes(const Outlet& from, const Intake& to);
  std::shared_ptr<IntakeBody> body_;
};

/// Lets everything that `from` gives go to `to`. Before both are opened. The bytes that passed: edge_bytes().
void connect(Outlet& from, Intake& to, api::ConnectionType type);
/// Bytes that have passed from one to the other.
std::uint64_t edge_bytes(const Outlet& from, const Intake& to);

}  // namespace kairo::executor
