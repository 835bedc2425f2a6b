#include "event/bus.hpp"

#include <set>
#include <vector>

#include <doctest/doctest.h>

using namespace kairo;
using event::Bus;
using event::Fact;

namespace {
Fact fact(const std::string& type) {
  Fact made;
  made.event.type = type;
  return made;
}

class RefusingJournal final : public event::Journal {
 public:
  Result<std::uint64_t> append(const Fact&) override { return Error(Code::internal, "the disk is full"); }
  [[nodiscard]] std::uint64_t newest() const override { return 0; }
};
class KeepingJournal final : public event::Journal {
 public:
  explicit KeepingJournal(std::vector<Fact>& kept) : kept_(kept) {}
  Result<std::uint64_t> append(const Fact& fact) override {
    kept_.push_back(fact);
    return kept_.size();
  }
  [[nodiscard]] std::uint64_t newest() const override { return kept_.size(); }

 private:
  std::vector<Fact>& kept_;
};
}  // namespace

TEST_CASE("what goes on record has its id and its time") {
  std::vector<Fact> kept;
  Bus bus(std::make_unique<KeepingJournal>(kept));
  Fact each = fact("a");
  REQUIRE(bus.publish(each).ok());
  REQUIRE(kept.size() == 1);
  CHECK_FALSE(kept[0].event.id.empty());
  CHECK(kept[0].event.id == each.event.id);
  CHECK(kept[0].event.time == each.event.time);
}

TEST_CASE("numbers increase by one and ids are never the same") {
  Bus bus(std::make_unique<event::MemoryJournal>());
  std::set<std::string> ids;
  for (std::uint64_t i = 1; i <= 100; ++i) {
    Fact each = fact("a");
    REQUIRE(bus.publish(each).ok());
    CHECK(each.event.seq == i);
    CHECK_FALSE(each.event.time.empty());
    CHECK(ids.insert(each.event.id).second);
  }
  CHECK(bus.newest() == 100);
}

TEST_CASE("subscribers get what matches, in order, until they leave") {
  Bus bus(std::make_unique<event::MemoryJournal>());
  std::vector<std::string> got;
  const auto token = bus.subscribe("a.*", [&](const Fact& each) { got.push_back(each.event.type); });
  for (const char* type : {"a.1", "b.1", "a.2"}) {
    Fact each = fact(type);
    REQUIRE(bus.publish(each).ok());
  }
  bus.unsubscribe(token);
  Fact late = fact("a.3");
  REQUIRE(bus.publish(late).ok());
  CHECK(got == std::vector<std::string>{"a.1", "a.2"});
}

TEST_CASE("a subscriber may leave, and bring others, while it is told") {
  Bus bus(std::make_unique<event::MemoryJournal>());
  int first = 0, second = 0;
  Bus::Token token = 0;
  token = bus.subscribe(">", [&](const Fact&) {
    ++first;
    bus.unsubscribe(token);
    bus.subscribe(">", [&](const Fact&) { ++second; });
  });
  for (int i = 0; i < 3; ++i) {
    Fact each = fact("x");
    REQUIRE(bus.publish(each).ok());
  }
  CHECK(first == 1);
  CHECK(second == 3);
}

TEST_CASE("what cannot be put on record is told without a number, and said to be so") {
  Bus bus(std::make_unique<RefusingJournal>());
  int told = 0;
  bus.subscribe(">", [&](const Fact& each) {
    ++told;
    CHECK_FALSE(each.event.seq);
  });
  Fact each = fact("x");
  CHECK_FALSE(bus.publish(each).ok());
  CHECK(told == 1);
}
