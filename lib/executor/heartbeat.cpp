#include "executor/heartbeat.hpp"

#include <algorithm>

#include "base/limits.hpp"

namespace kairo::executor {
namespace {

using std::chrono::milliseconds;

/// A time that a file names, where a time point can hold it.
milliseconds bounded(std::uint64_t ms) {
  return milliseconds(
      std::clamp<std::uint64_t>(ms, 1, static_cast<std::uint64_t>(limits::longest_wait.count())));
}

constexpr std::uint64_t most_missed = 1'000'000;

}  // namespace

HeartbeatMonitor::HeartbeatMonitor(const api::HeartbeatOptions& options, SteadyTime now)
    : interval_(bounded(options.interval_ms)),
      timeout_(bounded(options.timeout_ms)),
      max_missed_(std::clamp<std::uint64_t>(options.max_missed, 1, most_missed)),
      last_(now) {}

milliseconds HeartbeatMonitor::due(State state) const {
  const milliseconds late = interval_ + (interval_ + milliseconds(1)) / 2;
  // What a time point holds, too.
  const milliseconds missed =
      std::min(late + interval_ * static_cast<std::int64_t>(max_missed_ - 1), 2 * limits::longest_wait);
  if (state == State::late) return late;
  return state == State::missed ? missed : std::max(missed, timeout_);
}

std::uint64_t HeartbeatMonitor::misses(milliseconds silence) const {
  const milliseconds late = due(State::late);
  return silence < late ? 0 : 1 + static_cast<std::uint64_t>((silence - late) / interval_);
}

std::optional<HeartbeatChange> HeartbeatMonitor::beat(SteadyTime now) {
  const auto silence = std::chrono::duration_cast<milliseconds>(now - last_);
  const bool was_late = state_ != State::on_time;
  last_ = now;
  state_ = State::on_time;
  if (!was_late) return {};
  return HeartbeatChange{HeartbeatChange::Kind::recovered, misses(silence), silence};
}

std::vector<HeartbeatChange> HeartbeatMonitor::step(SteadyTime now) {
  std::vector<HeartbeatChange> changes;
  const auto at = deadline();
  if (!at || now < *at) return changes;
  if (now - *at > interval_) last_ += now - *at;
  const auto silence = std::chrono::duration_cast<milliseconds>(now - last_);
  const auto tell = [&](HeartbeatChange::Kind kind, State state) {
    if (state_ >= state || silence < due(state)) return;
    state_ = state;
    changes.push_back({kind, misses(silence), silence});
  };
  tell(HeartbeatChange::Kind::late, State::late);
  tell(HeartbeatChange::Kind::missed, State::missed);
  tell(HeartbeatChange::Kind::timeout, State::timed_out);
  return changes;
}

std::optional<SteadyTime> HeartbeatMonitor::deadline() const {
  switch (state_) {
    case State::on_time: return last_ + due(State::late);
    case State::late: return last_ + due(State::missed);
    case State::missed: return last_ + due(State::timed_out);
    case State::timed_out: break;
  }
  return {};
}

api::Health HeartbeatMonitor::health() const {
  if (state_ == State::on_time) return api::Health::healthy;
  return state_ == State::late ? api::Health::late : api::Health::unhealthy;
}

}  // namespace kairo::executor
