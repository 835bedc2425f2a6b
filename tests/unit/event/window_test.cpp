// What stays in memory of the newest events.
#include "event/window.hpp"

#include <doctest/doctest.h>

using namespace kairo;
using event::Window;

namespace {

Window::Entry entry(std::uint64_t seq, std::size_t bytes = 10) {
  event::Fact fact;
  fact.event.seq = seq;
  fact.event.data.msgpack = "\xdb" + std::string(4, '\0') + std::string(bytes, 'x');
  return std::make_shared<event::Recorded>(std::move(fact));
}

}  // namespace

TEST_CASE("what is not stored yet stays; what is stored leaves but for the newest few hundred") {
  Window window(0);
  for (std::uint64_t seq = 1; seq <= 2000; ++seq) window.put(entry(seq));
  CHECK(window.since() == 0);
  CHECK(window.behind(0, 5000)->size() == 2000);
  window.stored(100);
  CHECK(window.since() == 100);
  window.stored(2000);
  CHECK(window.since() == 2000 - 512);
  CHECK_FALSE(window.behind(2000 - 513, 1));
  const auto rest = window.behind(2000 - 512, 5000);
  REQUIRE(rest);
  CHECK(rest->size() == 512);
  CHECK(*rest->front()->event.seq == 2000 - 511);
  CHECK(window.newest() == 2000);
}

TEST_CASE("large events that are stored leave sooner") {
  Window window(7);
  for (std::uint64_t seq = 8; seq <= 17; ++seq) window.put(entry(seq, 200u << 10));
  window.stored(17);
  const auto rest = window.behind(window.since(), 100);
  REQUIRE(rest);
  CHECK(rest->size() <= 2);
  CHECK(window.since() >= 15);
}
