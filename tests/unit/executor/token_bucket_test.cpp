#include "executor/modules/token_bucket.hpp"

#include <algorithm>

#include <doctest/doctest.h>

using namespace kairo;
using namespace kairo::executor;
using namespace std::chrono_literals;

namespace {
const SteadyTime start{std::chrono::hours(1)};
}

TEST_CASE("a bucket starts full and never holds more than its burst") {
  TokenBucket bucket(1000, 300, start);
  CHECK(bucket.available(start) == 300);
  CHECK(bucket.available(start + 24h) == 300);
}

TEST_CASE("the rate is kept to the byte over hours, however often it is asked") {
  for (const std::uint64_t rate : {1ull, 3ull, 999ull, 1'000'003ull, 3'000'000'019ull}) {
    TokenBucket bucket(rate, rate, start);
    bucket.spend(bucket.available(start));
    std::uint64_t passed = 0;
    SteadyTime now = start;
    // An odd step, so that nearly every one leaves a fraction of a byte.
    for (int i = 0; i < 100'000; ++i) {
      now += 36'000'019ns;
      const std::uint64_t available = bucket.available(now);
      passed += available;
      bucket.spend(available);
    }
    const auto elapsed = static_cast<std::uint64_t>((now - start).count());
    __extension__ using Wide = unsigned __int128;
    CHECK(passed == static_cast<std::uint64_t>(static_cast<Wide>(elapsed) * rate / 1'000'000'000));
  }
}

TEST_CASE("at the time that when() names the bytes are there, and not a nanosecond earlier") {
  for (const std::uint64_t rate : {1ull, 7ull, 1000ull, 262'144ull, 1'000'000'007ull, 1ull << 40}) {
    TokenBucket bucket(rate, rate, start);
    SteadyTime now = start;
    std::uint64_t bytes = 1;
    for (int i = 0; i < 200; ++i) {
      bucket.spend(bucket.available(now));
      bytes = (bytes * 31 + 7) % rate + 1;
      const SteadyTime then = bucket.when(bytes);
      REQUIRE(then > now);
      if (then - now > 1ns) REQUIRE(TokenBucket(bucket).available(then - 1ns) < bytes);
      now = then;
      REQUIRE(bucket.available(now) >= bytes);
    }
  }
}
