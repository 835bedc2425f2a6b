// The life of a session as a table: next(phase, event). Pure.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace kairo::session {

enum class Phase {
  starting,  ///< The launch order is with the keeper.
  running,
  ending,  ///< Somebody asked for its end (cancel, timeout, owner gone, shutdown); it has not ended yet.
  ended,
};
inline constexpr std::size_t phase_count = 4;

enum class Event {
  launched,
  launch_failed,
  end_requested,
  exited,       ///< The keeper reported the end; all output is recorded.
  keeper_lost,  ///< Nobody can follow it any more.
};
inline constexpr std::size_t event_count = 5;

/// Nothing for a pair that cannot happen; the caller then leaves everything as it is.
constexpr std::optional<Phase> next(Phase phase, Event event) {
  switch (phase) {
    case Phase::starting:
      switch (event) {
        case Event::launched: return Phase::running;
        case Event::launch_failed: return Phase::ended;
        case Event::end_requested: return std::nullopt;
        case Event::exited: return std::nullopt;
        case Event::keeper_lost: return Phase::ended;
      }
      break;
    case Phase::running:
    case Phase::ending:
      switch (event) {
        case Event::launched: return std::nullopt;
        case Event::launch_failed: return std::nullopt;
        case Event::end_requested: return Phase::ending;
        case Event::exited: return Phase::ended;
        case Event::keeper_lost: return Phase::ended;
      }
      break;
    case Phase::ended: return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace kairo::session
