#include "base/ids.hpp"

#include <algorithm>
#include <set>
#include <string>

#include <doctest/doctest.h>

using namespace kairo;

TEST_CASE("ids of letters, digits, dots, dashes and underscores are valid") {
  for (const char* id : {"a", "0", "web-1", "A.b_c-9", "9lives", "a..b", "a-", "a."}) {
    CAPTURE(id);
    CHECK(is_valid_session_id(id));
  }
}

TEST_CASE("an id may have 128 characters and not one more") {
  CHECK(is_valid_session_id(std::string(128, 'x')));
  CHECK_FALSE(is_valid_session_id(std::string(129, 'x')));
}

TEST_CASE("an id that could be mistaken for a path, an option or nothing is invalid") {
  for (const std::string id : {"", ".", "..", "../x", "-a", "_a", "a/b", "a b", "a\n", "\xc3\xa4", "a:b"}) {
    CAPTURE(id);
    CHECK_FALSE(is_valid_session_id(id));
  }
  CHECK_FALSE(is_valid_session_id(std::string("a\0b", 3)));
}

TEST_CASE("random ids have the wanted length and are valid session ids") {
  for (const std::size_t length : {std::size_t{1}, std::size_t{12}, std::size_t{26}, std::size_t{128}}) {
    const std::string id = random_id(length);
    CHECK(id.size() == length);
    CHECK(is_valid_session_id(id));
  }
  CHECK(random_id(0).empty());
}

TEST_CASE("random ids do not repeat") {
  std::set<std::string> seen;
  for (int i = 0; i < 2000; ++i) seen.insert(random_id(16));
  CHECK(seen.size() == 2000);
}

TEST_CASE("random ids have no capital letters, so that they can be file names anywhere") {
  const std::string id = random_id(4096);
  CHECK(std::none_of(id.begin(), id.end(), [](char c) { return c >= 'A' && c <= 'Z'; }));
  CHECK(std::set<char>(id.begin(), id.end()).size() == 32);
}
