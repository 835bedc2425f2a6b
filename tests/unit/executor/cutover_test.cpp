// The order of a cutover: every state with every event.
#include "executor/cutover.hpp"

#include <array>

#include <doctest/doctest.h>

using namespace kairo::executor;
using S = CutoverState;
using E = CutoverEvent;
using A = CutoverAction;

namespace doctest {
template <>
struct StringMaker<CutoverStep> {
  static String convert(const CutoverStep& step) {
    return toString(static_cast<int>(step.state)) + "/" + toString(static_cast<int>(step.action));
  }
};
}  // namespace doctest

namespace {

constexpr std::array states{S::starting, S::holding, S::draining, S::killing, S::switched, S::rolled_back};
constexpr std::array events{E::new_healthy, E::new_failed, E::held,
                            E::old_drained, E::old_gone,   E::drain_timeout};

struct Row {
  S state;
  E event;
  bool old_lives;
  CutoverStep step;
};

constexpr std::array rows{
    Row{S::starting, E::new_healthy, true, {S::holding, A::hold}},
    Row{S::starting, E::new_healthy, false, {S::switched, A::switch_over}},
    Row{S::starting, E::new_failed, true, {S::rolled_back, A::roll_back}},
    Row{S::starting, E::new_failed, false, {S::rolled_back, A::roll_back}},
    Row{S::holding, E::held, true, {S::draining, A::end_old}},
    Row{S::holding, E::held, false, {S::draining, A::end_old}},
    Row{S::holding, E::old_gone, false, {S::switched, A::switch_over}},
    Row{S::holding, E::old_gone, true, {S::switched, A::switch_over}},
    Row{S::holding, E::new_failed, true, {S::rolled_back, A::roll_back}},
    Row{S::holding, E::new_failed, false, {S::rolled_back, A::roll_back}},
    Row{S::draining, E::old_drained, true, {S::switched, A::switch_over}},
    Row{S::draining, E::old_drained, false, {S::switched, A::switch_over}},
    Row{S::draining, E::old_gone, true, {S::switched, A::switch_over}},
    Row{S::draining, E::old_gone, false, {S::switched, A::switch_over}},
    Row{S::draining, E::drain_timeout, true, {S::killing, A::kill_old}},
    Row{S::draining, E::drain_timeout, false, {S::killing, A::kill_old}},
    Row{S::killing, E::old_drained, true, {S::switched, A::switch_over}},
    Row{S::killing, E::old_drained, false, {S::switched, A::switch_over}},
    Row{S::killing, E::old_gone, true, {S::switched, A::switch_over}},
    Row{S::killing, E::old_gone, false, {S::switched, A::switch_over}},
};

}  // namespace

TEST_CASE("every state of a cutover does with every event what the table says, and nothing with the others") {
  for (const S state : states)
    for (const E event : events)
      for (const bool old_lives : {true, false}) {
        CutoverStep wanted{state, A::none};
        for (const Row& row : rows)
          if (row.state == state && row.event == event && row.old_lives == old_lives) wanted = row.step;
        CAPTURE(static_cast<int>(state));
        CAPTURE(static_cast<int>(event));
        CAPTURE(old_lives);
        CHECK(next(state, event, old_lives) == wanted);
      }
}

TEST_CASE("once its input has ended nothing brings the old node back") {
  for (const S state : {S::draining, S::killing, S::switched})
    for (const E event : events) CHECK(next(state, event, true).action != A::roll_back);
}
