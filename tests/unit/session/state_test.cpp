#include "session/state.hpp"

#include <doctest/doctest.h>

using namespace kairo::session;

TEST_CASE("every pair of phase and event leads where the table says, the impossible ones nowhere") {
  constexpr auto none = std::optional<Phase>();
  const std::optional<Phase> expected[phase_count][event_count] = {
      // launched        launch_failed   end_requested    exited          keeper_lost
      {Phase::running, Phase::ended, none, none, Phase::ended},  // starting
      {none, none, Phase::ending, Phase::ended, Phase::ended},   // running
      {none, none, Phase::ending, Phase::ended, Phase::ended},   // ending
      {none, none, none, none, none},                            // ended
  };
  for (std::size_t phase = 0; phase < phase_count; ++phase)
    for (std::size_t event = 0; event < event_count; ++event) {
      CAPTURE(phase);
      CAPTURE(event);
      CHECK(next(static_cast<Phase>(phase), static_cast<Event>(event)) == expected[phase][event]);
    }
}
