// Whether a node's heartbeats come (SPEC 9.4). Pure: the time goes in, changes come out. One monitor per life
// of a node that said control.hello; the first heartbeat is due an interval after that.
//
//   HeartbeatMonitor monitor(options, now);          // hello
//   monitor.beat(now)                                // a heartbeat has come: maybe `recovered`
//   monitor.step(now)                                // at deadline(): what has changed since
//
// The silence since the last heartbeat decides:
//
//   1.5 intervals            late: one heartbeat is missed (half an interval is slack)
//   each further interval    one more is missed
//   maxMissed are missed     missed: the node is unhealthy
//   timeoutMs                timeout: the node is to be restarted; never before it is unhealthy
//
// Every change is told once; after a timeout nothing follows until a heartbeat comes.
//
// A step that comes more than an interval after its deadline says that the watcher itself stood still (it was
// stopped, or the machine was). What came meanwhile still waits in the sockets, so that this time counts for
// nobody's silence: nothing is told that was not due at the deadline, and the next one lies an interval on.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "api/topology.hpp"
#include "base/clock.hpp"

namespace kairo::executor {

struct HeartbeatChange {
  enum class Kind { late, missed, timeout, recovered };
  Kind kind = Kind::late;
  std::uint64_t misses = 0;              ///< In a row, until now.
  std::chrono::milliseconds silence{0};  ///< Since the last heartbeat, or since hello.
  bool operator==(const HeartbeatChange&) const = default;
};

class HeartbeatMonitor {
 public:
  /// Intervals of zero count as 1 ms, maxMissed of zero as 1.
  HeartbeatMonitor(const api::HeartbeatOptions& options, SteadyTime now);

  /// A heartbeat has come. `recovered` where it was late or worse.
  std::optional<HeartbeatChange> beat(SteadyTime now);
  /// What has changed, in order.
  std::vector<HeartbeatChange> step(SteadyTime now);
  /// When something changes if no heartbeat comes; nothing after a timeout.
  [[nodiscard]] std::optional<SteadyTime> deadline() const;

  [[nodiscard]] api::Health health() const;
  [[nodiscard]] bool timed_out() const { return state_ == State::timed_out; }

 private:
  enum class State { on_time, late, missed, timed_out };
  [[nodiscard]] std::chrono::milliseconds due(State state) const;
  [[nodiscard]] std::uint64_t misses(std::chrono::milliseconds silence) const;

  std::chrono::milliseconds interval_;
  std::chrono::milliseconds timeout_;
  std::uint64_t max_missed_;
  State state_ = State::on_time;
  SteadyTime last_;
};

}  // namespace kairo::executor
