#include "stream/pacing.hpp"

#include <doctest/doctest.h>

using namespace kairo;
using namespace kairo::stream;
using namespace std::chrono_literals;

namespace {
const SteadyTime start{std::chrono::hours(1)};
}

TEST_CASE("the bucket starts with one second's worth and never holds more") {
  Pacing pacing(1000, start);
  CHECK(pacing.available(start) == 1000);
  CHECK(pacing.available(start + 1h) == 1000);
}

TEST_CASE("tokens come back at the rate") {
  Pacing pacing(1000, start);
  pacing.spend(1000);
  CHECK(pacing.available(start) == 0);
  CHECK(pacing.available(start + 100ms) == 100);
  CHECK(pacing.available(start + 350ms) == 350);
}

TEST_CASE("a debt is paid before anything is available") {
  Pacing pacing(1000, start);
  pacing.spend(1500);
  CHECK(pacing.available(start + 500ms) == 0);
  CHECK(pacing.available(start + 600ms) == 100);
}

TEST_CASE("at the time that when() names the bytes are there, at any rate") {
  for (const std::uint64_t rate : {1ull, 7ull, 1000ull, 262'144ull, 1'000'000'007ull, 1ull << 40}) {
    Pacing pacing(rate, start);
    SteadyTime now = start;
    std::uint64_t bytes = 1;
    for (int i = 0; i < 200; ++i) {
      pacing.spend(pacing.available(now));
      bytes = (bytes * 31 + 7) % rate + 1;
      const SteadyTime then = pacing.when(bytes, now);
      REQUIRE(then > now);
      now = then;
      REQUIRE(pacing.available(now) >= bytes);
    }
  }
}

TEST_CASE("what is available already is available now") {
  Pacing pacing(1000, start);
  CHECK(pacing.when(1000, start) == start);
}
