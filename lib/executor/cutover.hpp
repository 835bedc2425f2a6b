// The order of a cutover (SPEC 9.5), as a table of state and event. Pure: the node does what it says
// (node_cutover.cpp).
//
//            new healthy          held             old drained
//   starting ──────────▶ holding ──────▶ draining ──────────▶ switched
//      │ new failed         │ new failed    │ time is up: the old node is killed, what it has not read
//      ▼                    ▼               ▼ goes to the new one
//   rolled back         rolled back      killing ──▶ switched
//
// An old node that ends on its own before its input was ended has left its unread bytes behind: the new one
// gets them, and there is nothing to drain.
#pragma once

#include <array>
#include <string_view>

namespace kairo::executor {

enum class CutoverState { starting, holding, draining, killing, switched, rolled_back };

enum class CutoverEvent {
  new_healthy,
  new_failed,   ///< It ended, could not be started, or was not healthy in time; or no border came in time.
  held,         ///< Everything before the border was accepted by the old node.
  old_drained,  ///< The old node's output has come to its end, and so has the node.
  old_gone,     ///< The old node ended before its input was.
  drain_timeout
};

enum class CutoverAction {
  none,
  hold,         ///< Hold the node's input at the border.
  end_old,      ///< End the old node's input.
  kill_old,     ///< SIGKILL; then wait for its end.
  switch_over,  ///< The new node gets what follows, behind what the old one left unread.
  roll_back     ///< The new node is ended, the old one goes on.
};

struct CutoverStep {
  CutoverState state;
  CutoverAction action;
  bool operator==(const CutoverStep&) const = default;
};

/// `old_lives`: whether the old node runs. An event that does not belong to a state changes nothing.
CutoverStep next(CutoverState state, CutoverEvent event, bool old_lives);

}  // namespace kairo::executor
