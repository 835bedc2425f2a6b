#include "session/registry.hpp"

#include <array>

#include <doctest/doctest.h>

using namespace kairo;
using session::Registry;
using session::Session;

namespace {

struct Fixture {
  Registry registry{4};
  std::array<keeper::SessionSlot, 4> slots{};

  Session& add(const std::string& id) {
    auto place = registry.reserve([](std::uint32_t) { return true; });
    REQUIRE(place.ok());
    session::Record record;
    record.id = id;
    auto& session = registry.add(
        std::make_unique<Session>(std::move(record), place->key, place->slot, &slots[place->slot]));
    session.launched(1, system_now(), boot_clock_us());
    return session;
  }
  void end(Session& session, std::uint64_t boot_us) {
    session.exited(0, SystemTime(), boot_us);
    registry.note_ended(session);
    const std::uint32_t slot = session.slot_index();
    session.freeze(-1);
    registry.detach_slot(session);
    registry.give_back(slot);
  }
};

}  // namespace

TEST_CASE("a session is found by id, key and slot until it is forgotten") {
  Fixture fixture;
  Session& session = fixture.add("one");
  CHECK(fixture.registry.find("one") == &session);
  CHECK(fixture.registry.find_key(session.key()) == &session);
  CHECK(fixture.registry.find_slot(session.slot_index()) == &session);
  fixture.end(session, 1);
  CHECK(fixture.registry.find_slot(0) == nullptr);
  CHECK(fixture.registry.find("one") == &session);
  fixture.registry.remove(session);
  CHECK(fixture.registry.find("one") == nullptr);
  CHECK(fixture.registry.size() == 0);
}

TEST_CASE("when every slot is taken a further session is refused by name") {
  Fixture fixture;
  for (const char* id : {"a", "b", "c", "d"}) fixture.add(id);
  auto refused = fixture.registry.reserve([](std::uint32_t) { return true; });
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == Code::limit_exceeded);
}

TEST_CASE("a slot that the keeper still holds is not given out again") {
  Fixture fixture;
  Session& session = fixture.add("a");
  const std::uint32_t slot = session.slot_index();
  fixture.end(session, 1);
  auto place = fixture.registry.reserve([](std::uint32_t) { return false; });
  REQUIRE(place.ok());
  CHECK(place->slot != slot);
}

TEST_CASE("keys only grow, also beyond those of adopted sessions") {
  Fixture fixture;
  const std::uint64_t high = fixture.registry.next_key() + 1000;
  session::Record record;
  record.id = "old";
  fixture.registry.adopt(std::make_unique<Session>(std::move(record), high, 2, &fixture.slots[2]));
  auto place = fixture.registry.reserve([](std::uint32_t) { return true; });
  REQUIRE(place.ok());
  CHECK(place->key > high);
  CHECK(place->slot != 2);
}

TEST_CASE("the ended sessions that expire are the oldest by their end, surplus or over age") {
  Fixture fixture;
  Session& a = fixture.add("a");
  Session& b = fixture.add("b");
  Session& c = fixture.add("c");
  fixture.end(b, 10);
  fixture.end(a, 20);
  fixture.end(c, 30);
  const auto surplus = fixture.registry.expired(2, SystemTime::min());
  REQUIRE(surplus.size() == 1);
  CHECK(surplus[0] == &b);
  const auto aged = fixture.registry.expired(100, even_time(25));
  REQUIRE(aged.size() == 2);
  CHECK(aged[1] == &a);
}

TEST_CASE("pages go on after a key and see every session once") {
  Fixture fixture;
  for (const char* id : {"a", "b", "c"}) fixture.add(id);
  std::vector<std::string> seen;
  std::uint64_t after = 0;
  for (int page = 0; page < 3; ++page)
    fixture.registry.for_each(after, [&](Session& each) {
      seen.push_back(each.id());
      after = each.key();
      return false;
    });
  CHECK(seen == std::vector<std::string>{"a", "b", "c"});
}
