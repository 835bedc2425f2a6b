// RestartBackoff: every policy with every end.
#include "executor/restart.hpp"

#include <doctest/doctest.h>

using namespace kairo;
using api::RestartPolicy;
using executor::NodeEnd;
using executor::RestartBackoff;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds short_life{10};

api::RestartOptions options_of(RestartPolicy policy) {
  api::RestartOptions options;
  options.policy = policy;
  return options;
}

}  // namespace

TEST_CASE("each policy restarts after the ends that it names and after no other") {
  struct Pair {
    RestartPolicy policy;
    NodeEnd end;
    bool restart;
    const char* reason;
  };
  const Pair pairs[] = {
      {RestartPolicy::never, NodeEnd::finished, false, "it has finished"},
      {RestartPolicy::never, NodeEnd::failed, false, "it has failed, and its restart policy is \"never\""},
      {RestartPolicy::on_failure, NodeEnd::finished, false, "it has finished"},
      {RestartPolicy::on_failure, NodeEnd::failed, true, ""},
      {RestartPolicy::always, NodeEnd::finished, true, ""},
      {RestartPolicy::always, NodeEnd::failed, true, ""},
  };
  for (const Pair& each : pairs) {
    RestartBackoff backoff(options_of(each.policy));
    const auto decision = backoff.ended(each.end, short_life);
    CHECK(decision.restart == each.restart);
    CHECK(decision.reason == each.reason);
    CHECK(decision.attempt == (each.restart ? 1 : 0));
    CHECK(decision.delay == milliseconds(each.restart ? 100 : 0));
  }
}

TEST_CASE("the wait doubles up to its cap, and after so many restarts in a row it gives up") {
  api::RestartOptions options = options_of(RestartPolicy::on_failure);
  options.max_delay_ms = 1000;
  options.max_restarts = 6;
  RestartBackoff backoff(options);
  std::uint64_t attempt = 0;
  for (const int expected : {100, 200, 400, 800, 1000, 1000}) {
    const auto decision = backoff.ended(NodeEnd::failed, short_life);
    REQUIRE(decision.restart);
    CHECK(decision.delay == milliseconds(expected));
    CHECK(decision.attempt == ++attempt);
  }
  for (int i = 0; i < 2; ++i) {
    const auto last = backoff.ended(NodeEnd::failed, short_life);
    CHECK_FALSE(last.restart);
    CHECK(last.reason ==
          "it has failed again after 6 restarts in a row without a life of 10000 ms between them");
  }
}

TEST_CASE("no file makes the wait longer than 30 s, or overflow") {
  for (const std::uint64_t delay : {std::uint64_t{7'000}, std::uint64_t{40'000}, UINT64_MAX}) {
    api::RestartOptions options = options_of(RestartPolicy::always);
    options.delay_ms = delay;
    options.max_delay_ms = UINT64_MAX;
    options.max_restarts = 1000;
    RestartBackoff backoff(options);
    milliseconds wait{0};
    for (int i = 0; i < 1000; ++i) {
      const auto decision = backoff.ended(NodeEnd::failed, short_life);
      REQUIRE(decision.restart);
      CHECK(decision.delay >= wait);
      wait = decision.delay;
    }
    CHECK(wait == executor::longest_restart_delay);
  }
}

TEST_CASE("a stable life ends the row") {
  api::RestartOptions options = options_of(RestartPolicy::on_failure);
  options.max_restarts = 2;
  RestartBackoff backoff(options);
  const milliseconds stable(options.stable_after_ms);
  CHECK(backoff.ended(NodeEnd::failed, short_life).delay == milliseconds(100));
  CHECK(backoff.ended(NodeEnd::failed, stable - milliseconds(1)).delay == milliseconds(200));
  const auto again = backoff.ended(NodeEnd::failed, stable);
  CHECK(again.restart);
  CHECK(again.delay == milliseconds(100));
  CHECK(again.attempt == 1);
  CHECK(backoff.ended(NodeEnd::failed, short_life).restart);
  CHECK_FALSE(backoff.ended(NodeEnd::failed, short_life).restart);
  backoff.reset();
  CHECK(backoff.ended(NodeEnd::failed, short_life).attempt == 1);
}

TEST_CASE("no wait stays none, and no restarts are none") {
  api::RestartOptions options = options_of(RestartPolicy::always);
  options.delay_ms = 0;
  RestartBackoff at_once(options);
  CHECK(at_once.ended(NodeEnd::finished, short_life).delay == milliseconds(0));
  CHECK(at_once.ended(NodeEnd::finished, short_life).delay == milliseconds(0));
  options.max_restarts = 0;
  RestartBackoff none(options);
  CHECK_FALSE(none.ended(NodeEnd::failed, short_life).restart);
}
