#include "executor/modules/tally.hpp"

#include <doctest/doctest.h>

using namespace kairo;
using namespace kairo::executor;
using namespace std::chrono_literals;

namespace {
const SteadyTime start{std::chrono::hours(1)};
}

TEST_CASE("bytes, lines and pieces are counted; a last line may lack its line feed") {
  Tally tally;
  CHECK(tally.counted().lines == 0);
  tally.add("one\ntwo", start);
  CHECK(tally.counted().lines == 2);
  tally.add("\n", start);
  CHECK(tally.counted().lines == 2);
  tally.add("\n\nx", start);
  CHECK(tally.counted().lines == 5);
  CHECK(tally.counted().bytes == 11);
  CHECK(tally.counted().chunks == 3);
}

TEST_CASE("the rate is that of the last one to two seconds") {
  Tally tally;
  CHECK(tally.bytes_per_second(start) == 0);
  for (SteadyTime now = start; now < start + 10s; now += 100ms) tally.add(std::string(100, 'x'), now);
  CHECK(tally.bytes_per_second(start + 10s) >= 950);
  CHECK(tally.bytes_per_second(start + 10s) <= 1050);
  CHECK(tally.bytes_per_second(start + 10500ms) > 0);
  CHECK(tally.bytes_per_second(start + 13s) == 0);
}

TEST_CASE("a first piece is not taken for an endless rate") {
  Tally tally;
  tally.add(std::string(1000, 'x'), start);
  CHECK(tally.bytes_per_second(start) == 1000);
}
