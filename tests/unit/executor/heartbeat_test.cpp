// HeartbeatMonitor, stepped at times of the test's own.
#include "executor/heartbeat.hpp"

#include <doctest/doctest.h>

using namespace kairo;
using executor::HeartbeatChange;
using executor::HeartbeatMonitor;
using Kind = HeartbeatChange::Kind;
using std::chrono::milliseconds;

namespace {

const SteadyTime start{std::chrono::hours(1)};

SteadyTime at(std::int64_t ms) {
  return start + milliseconds(ms);
}

std::vector<HeartbeatChange> only(Kind kind, std::uint64_t misses, std::int64_t silence) {
  return {{kind, misses, milliseconds(silence)}};
}

}  // namespace

TEST_CASE("heartbeats on time change nothing") {
  HeartbeatMonitor monitor({}, start);
  for (int i = 1; i <= 100; ++i) {
    CHECK(monitor.step(at(i * 1000)).empty());
    CHECK_FALSE(monitor.beat(at(i * 1000)));
    CHECK(monitor.health() == api::Health::healthy);
  }
}

TEST_CASE("silence is late, then missed, then a timeout, each told once and at its deadline") {
  HeartbeatMonitor monitor({.interval_ms = 1000, .timeout_ms = 10'000, .max_missed = 3}, start);
  CHECK(monitor.deadline() == at(1500));
  CHECK(monitor.step(at(1499)).empty());
  CHECK(monitor.step(at(1500)) == only(Kind::late, 1, 1500));
  CHECK(monitor.health() == api::Health::late);
  CHECK(monitor.step(at(1500)).empty());
  CHECK(monitor.deadline() == at(3500));
  CHECK(monitor.step(at(2500)).empty());
  CHECK(monitor.step(at(3500)) == only(Kind::missed, 3, 3500));
  CHECK(monitor.health() == api::Health::unhealthy);
  CHECK(monitor.deadline() == at(10'000));
  CHECK(monitor.step(at(9999)).empty());
  CHECK(monitor.step(at(10'000)) == only(Kind::timeout, 9, 10'000));
  CHECK(monitor.timed_out());
  CHECK_FALSE(monitor.deadline());
  CHECK(monitor.step(at(1'000'000)).empty());
}

TEST_CASE("there is no timeout before so many heartbeats are missed, however short it is") {
  HeartbeatMonitor monitor({.interval_ms = 1000, .timeout_ms = 100, .max_missed = 3}, start);
  CHECK(monitor.step(at(1500)) == only(Kind::late, 1, 1500));
  CHECK(monitor.deadline() == at(3500));
  const auto changes = monitor.step(at(3500));
  REQUIRE(changes.size() == 2);
  CHECK(changes[0] == HeartbeatChange{Kind::missed, 3, milliseconds(3500)});
  CHECK(changes[1] == HeartbeatChange{Kind::timeout, 3, milliseconds(3500)});
}

TEST_CASE("a heartbeat after each of them recovers, and only then is told") {
  for (const std::int64_t silence : {1500, 3500, 10'000}) {
    HeartbeatMonitor monitor({}, start);
    while (monitor.deadline() && *monitor.deadline() <= at(silence)) (void)monitor.step(*monitor.deadline());
    const auto recovered = monitor.beat(at(silence + 10));
    REQUIRE(recovered);
    CHECK(recovered->kind == Kind::recovered);
    CHECK(recovered->silence == milliseconds(silence + 10));
    CHECK(monitor.health() == api::Health::healthy);
    CHECK_FALSE(monitor.timed_out());
    CHECK_FALSE(monitor.beat(at(silence + 20)));
    CHECK(monitor.deadline() == at(silence + 20 + 1500));
  }
}

TEST_CASE("one that may miss one is unhealthy as soon as it is late") {
  HeartbeatMonitor monitor({.interval_ms = 100, .timeout_ms = 1000, .max_missed = 1}, start);
  const auto changes = monitor.step(at(150));
  REQUIRE(changes.size() == 2);
  CHECK(changes[0].kind == Kind::late);
  CHECK(changes[1].kind == Kind::missed);
}

TEST_CASE("a watcher that stood still counts the time against nobody") {
  HeartbeatMonitor monitor({.interval_ms = 1000, .timeout_ms = 10'000, .max_missed = 3}, start);
  CHECK(monitor.step(at(60'000)) == only(Kind::late, 1, 1500));
  // The heartbeats that waited in the socket are read next.
  const auto recovered = monitor.beat(at(60'001));
  REQUIRE(recovered);
  CHECK(recovered->misses == 1);
  // One that is gone is found out all the same.
  CHECK(monitor.step(at(120'000)) == only(Kind::late, 1, 1500));
  CHECK(monitor.step(*monitor.deadline()) == only(Kind::missed, 3, 3500));
  CHECK(monitor.step(*monitor.deadline()) == only(Kind::timeout, 9, 10'000));
}

TEST_CASE("options at their borders leave a deadline that a time point can hold") {
  for (const std::uint64_t each : {std::uint64_t{0}, std::uint64_t{1}, UINT64_MAX})
    for (const std::uint64_t missed : {std::uint64_t{0}, std::uint64_t{1}, UINT64_MAX}) {
      HeartbeatMonitor monitor({.interval_ms = each, .timeout_ms = each, .max_missed = missed}, start);
      SteadyTime before = start;
      while (const auto deadline = monitor.deadline()) {
        CHECK(*deadline > before);
        before = *deadline;
        CHECK_FALSE(monitor.step(*deadline).empty());
      }
      CHECK(monitor.timed_out());
    }
}
