#include "base/error.hpp"

#include <cerrno>
#include <memory>
#include <string>

#include <doctest/doctest.h>

#include "base/result.hpp"

using namespace kairo;

TEST_CASE("the names of the codes are those of the protocol, and lead back to the codes") {
  CHECK(code_name(Code::invalid_request) == "E_INVALID_REQUEST");
  CHECK(code_name(Code::invalid_params) == "E_INVALID_PARAMS");
  CHECK(code_name(Code::unknown_method) == "E_UNKNOWN_METHOD");
  CHECK(code_name(Code::not_found) == "E_NOT_FOUND");
  CHECK(code_name(Code::already_exists) == "E_ALREADY_EXISTS");
  CHECK(code_name(Code::permission_denied) == "E_PERMISSION_DENIED");
  CHECK(code_name(Code::spawn_failed) == "E_SPAWN_FAILED");
  CHECK(code_name(Code::not_running) == "E_NOT_RUNNING");
  CHECK(code_name(Code::stdin_closed) == "E_STDIN_CLOSED");
  CHECK(code_name(Code::timeout) == "E_TIMEOUT");
  CHECK(code_name(Code::limit_exceeded) == "E_LIMIT_EXCEEDED");
  CHECK(code_name(Code::unsupported) == "E_UNSUPPORTED");
  CHECK(code_name(Code::shutting_down) == "E_SHUTTING_DOWN");
  CHECK(code_name(Code::internal) == "E_INTERNAL");
  for (int i = 0; i <= static_cast<int>(Code::internal); ++i)
    CHECK(code_from_name(code_name(static_cast<Code>(i))) == static_cast<Code>(i));
}

TEST_CASE("an unknown name of a code counts as internal") {
  CHECK(code_from_name("E_FROM_THE_FUTURE") == Code::internal);
  CHECK(code_from_name("") == Code::internal);
}

TEST_CASE("a system error says what was attempted and why it failed") {
  const Error error = system_error("cannot open \"/nowhere\"", ENOENT, Code::not_found);
  CHECK(error.code == Code::not_found);
  CHECK(error.message == "cannot open \"/nowhere\": no such file or directory (ENOENT)");
  REQUIRE(error.details.size() == 2);
  CHECK(error.details[0].first == "errno");
  CHECK(std::get<std::int64_t>(error.details[0].second) == ENOENT);
  CHECK(error.details[1].first == "errnoName");
  CHECK(std::get<std::string>(error.details[1].second) == "ENOENT");
}

TEST_CASE("an errno without a name is told by its number") {
  CHECK(errno_name(4242) == "errno 4242");
  CHECK(describe_errno(4242) == "unknown error (errno 4242)");
  CHECK(describe_errno(-1) == "unknown error (errno -1)");
}

TEST_CASE("a result holds a value or an error") {
  Result<int> good = 7;
  CHECK(good.ok());
  CHECK(*good == 7);
  Result<int> bad = Error(Code::timeout, "too slow");
  CHECK_FALSE(bad);
  CHECK(bad.error().code == Code::timeout);
  Result<void> nothing;
  CHECK(nothing.ok());
  nothing = Error(Code::internal, "broken");
  CHECK_FALSE(nothing);
  CHECK(nothing.error().message == "broken");
}

TEST_CASE("a result of an error of its own is told apart from the value by position") {
  Result<std::unique_ptr<int>> owner = std::make_unique<int>(3);
  std::unique_ptr<int> taken = std::move(owner).value();
  CHECK(*taken == 3);
}

TEST_CASE("taking a value from a failure is a bug that throws") {
  Result<int> bad = Error(Code::timeout, "too slow");
  CHECK_THROWS_AS(bad.value(), std::bad_variant_access);
}
