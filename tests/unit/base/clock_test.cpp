#include "base/clock.hpp"

#include <string_view>
#include <vector>

#include <doctest/doctest.h>

using namespace kairo;

namespace {
SystemTime at(std::int64_t microseconds) {
  return SystemTime(std::chrono::microseconds(microseconds));
}
}  // namespace

TEST_CASE("a time is written in UTC with six digits of a second") {
  CHECK(to_iso8601(at(0)) == "1970-01-01T00:00:00.000000Z");
  CHECK(to_iso8601(at(1)) == "1970-01-01T00:00:00.000001Z");
  CHECK(to_iso8601(at(951'827'696'123'456)) == "2000-02-29T12:34:56.123456Z");
}

TEST_CASE("a time before 1970 is written as the date that it is") {
  CHECK(to_iso8601(at(-1)) == "1969-12-31T23:59:59.999999Z");
}

TEST_CASE("what was written is read back unchanged") {
  for (const std::int64_t micros :
       {std::int64_t{0}, std::int64_t{-1}, std::int64_t{951'827'696'123'456},
        std::int64_t{4'102'444'799'999'999}, std::int64_t{-62'135'596'800'000'000}}) {
    SystemTime read;
    REQUIRE(from_iso8601(to_iso8601(at(micros)), read));
    CHECK(read == at(micros));
  }
}

TEST_CASE("the clock's own time survives the round trip") {
  const SystemTime now = system_now();
  SystemTime read;
  REQUIRE(from_iso8601(to_iso8601(now), read));
  CHECK(read == now);
}

TEST_CASE("a fraction may be absent or have one to nine digits") {
  SystemTime read;
  REQUIRE(from_iso8601("1970-01-01T00:00:01Z", read));
  CHECK(read == at(1'000'000));
  REQUIRE(from_iso8601("1970-01-01T00:00:01.5Z", read));
  CHECK(read == at(1'500'000));
  REQUIRE(from_iso8601("1970-01-01T00:00:01.123456789Z", read));
  CHECK(read == at(1'123'456));
}

TEST_CASE("an offset from UTC is taken into account") {
  SystemTime read;
  REQUIRE(from_iso8601("1970-01-01T02:30:00+02:30", read));
  CHECK(read == at(0));
  REQUIRE(from_iso8601("1969-12-31T23:00:00-01:00", read));
  CHECK(read == at(0));
}

TEST_CASE("anything else is refused and leaves the result alone") {
  const std::vector<std::string_view> wrong = {
      "",
      "now",
      "1970-01-01",
      "1970-01-01T00:00:00",
      "1970-01-01 00:00:00Z",
      "1970-01-01T00:00:00z",
      "1970-13-01T00:00:00Z",
      "1970-00-01T00:00:00Z",
      "1970-02-30T00:00:00Z",
      "2023-02-29T00:00:00Z",
      "1970-01-01T24:00:00Z",
      "1970-01-01T00:60:00Z",
      "1970-01-01T00:00:61Z",
      "1970-01-01T00:00:00.Z",
      "1970-01-01T00:00:00.1234567890Z",
      "1970-01-01T00:00:00Zx",
      "1970-01-01T00:00:00+0200",
      "1970-01-01T00:00:00+24:00",
      "1970-01-01T00:00:00+01:60",
      "-970-01-01T00:00:00Z",
      "1970-1-01T00:00:00Z",
      "+970-01-01T00:00:00Z",
      "1970-01-01T00:00: 1Z",
      "1970-01-01T-1:00:00Z",
  };
  for (const std::string_view text : wrong) {
    CAPTURE(text);
    SystemTime read = at(42);
    CHECK_FALSE(from_iso8601(text, read));
    CHECK(read == at(42));
  }
}
