#include <array>
#include <string>

#include <doctest/doctest.h>

#include "reflect/fields.hpp"

using kairo::reflect::nearest_name;

namespace {
constexpr std::array<std::string_view, 5> names = {"id", "timeoutMs", "env", "envMode", "retainBytes"};
std::string_view nearest(std::string_view name) {
  return nearest_name(name, names.data(), names.size());
}
}  // namespace

TEST_CASE("a slip of the finger finds the name that was meant") {
  CHECK(nearest("timeoutMS") == "timeoutMs");
  CHECK(nearest("timeout") == "timeoutMs");
  CHECK(nearest("timeout_ms") == "timeoutMs");
  CHECK(nearest("retianBytes") == "retainBytes");
  CHECK(nearest("envmode") == "envMode");
  CHECK(nearest("Env") == "env");
}

TEST_CASE("the nearer of two is taken") {
  CHECK(nearest("envs") == "env");
}

TEST_CASE("a name that resembles none finds none") {
  CHECK(nearest("colour").empty());
  CHECK(nearest("x").empty());
  CHECK(nearest("q7").empty());
  CHECK(nearest("").empty());
  CHECK(nearest(std::string(100'000, 'e')).empty());
  CHECK(nearest_name("id", nullptr, 0).empty());
}
