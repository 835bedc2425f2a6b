#include "event/topic.hpp"

#include <string>

#include <doctest/doctest.h>

using namespace kairo;
using event::matches;

TEST_CASE("a star stands for one segment, a greater-than sign for one or more at the end") {
  CHECK(matches("a.b", "a.b"));
  CHECK_FALSE(matches("a.b", "a.b.c"));
  CHECK_FALSE(matches("a.b", "a"));
  CHECK(matches("a.*", "a.b"));
  CHECK_FALSE(matches("a.*", "a.b.c"));
  CHECK_FALSE(matches("a.*", "a"));
  CHECK(matches("*.b", "a.b"));
  CHECK(matches("a.>", "a.b"));
  CHECK(matches("a.>", "a.b.c.d"));
  CHECK_FALSE(matches("a.>", "a"));
  CHECK(matches(">", "a"));
  CHECK(matches("a.*.c.>", "a.b.c.d.e"));
  CHECK_FALSE(matches("a.b", "ab"));
  CHECK_FALSE(matches("kairo.process.exited", "kairo.process.exitedx"));
}

TEST_CASE("patterns that mean nothing are refused with the reason") {
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "a.>.b", "a*", "*a.b", "a b", "a/b", ">>", "a.**"}) {
    CAPTURE(bad);
    auto checked = event::check_pattern(bad);
    REQUIRE_FALSE(checked.ok());
    CHECK(checked.error().code == Code::invalid_params);
  }
  for (const char* good : {"a", "a.b", "*", ">", "a.*.b", "a.>", "kairo.process.output.throttled", "x_1-y"})
    CHECK(event::check_pattern(good).ok());
  CHECK_FALSE(event::check_pattern(std::string(257, 'a')).ok());
}

TEST_CASE("a type has no wildcards") {
  CHECK(event::check_type("my.app.done").ok());
  CHECK_FALSE(event::check_type("my.*").ok());
  CHECK_FALSE(event::check_type("my.>").ok());
}
