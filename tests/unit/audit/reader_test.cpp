#include "audit/reader.hpp"

#include "unit/audit/rig.hpp"

using namespace kairo;
using namespace kairo::test;
using audit::Filter;
using audit::Page;
using audit::Place;

namespace {

/// 3,000 records of ten users in several files; record n is of user n % 10, a second after the one before.
struct Filled : AuditRig {
  Filled() {
    bounds.file_bytes = 200'000;
    audit::Trail trail = this->trail();
    for (int i = 0; i < 3000; ++i) {
      REQUIRE(trail.begin(test_time + std::chrono::seconds(i)));
      audit::append_member(trail.line(), "method", i % 2 == 0 ? "kernel.ping" : "audit.query");
      audit::append_member(trail.line(), "principal",
                           "user:" + std::to_string(i % 10) + (i % 3 == 0 ? "/name" : ""));
      audit::append_member(trail.line(), "n", static_cast<std::uint64_t>(i));
      trail.end();
      if (i % 7 == 0) REQUIRE(trail.write().ok());
    }
    REQUIRE(trail.write().ok());
    REQUIRE(names().size() > 2);
  }
  [[nodiscard]] Page page(const Filter& filter, Place from = {}, std::size_t limit = 1000) const {
    auto out = audit::read_page(dir.path(), filter, from, limit);
    REQUIRE(out.ok());
    return *std::move(out);
  }
  [[nodiscard]] std::vector<std::string> all(const Filter& filter, std::size_t limit = 1000) const {
    std::vector<std::string> out;
    for (Place from;;) {
      const Page got = page(filter, from, limit);
      out.insert(out.end(), got.lines.begin(), got.lines.end());
      if (!got.more) return out;
      from = got.next;
    }
  }
};

Filter of_user(const std::string& name) {
  Filter out;
  out.principal = name;
  return out;
}

}  // namespace

TEST_CASE("pages of any size show every record once and in order") {
  const Filled rig;
  std::string everything;
  for (const std::string& each : rig.names()) everything += rig.read(each);
  const auto lines = lines_in(everything);
  for (const std::size_t limit : {std::size_t{1000}, std::size_t{7}, std::size_t{999}})
    CHECK(rig.all({}, limit) == lines);
  // Nothing follows the end, and what comes later does.
  Place end;
  for (Page got; got = rig.page({}, end), !got.lines.empty();) end = got.next;
  CHECK(rig.page({}, end).lines.empty());
  CHECK(Place::parse(end.text())->offset == end.offset);
}

TEST_CASE("a principal has its own records and those of names below it, and no namesake's") {
  const Filled rig;
  const auto own = rig.all(of_user("user:1"));
  CHECK(own.size() == 300);
  for (const std::string& each : own) CHECK((has(each, "\"user:1\"") || has(each, "\"user:1/name\"")));
  CHECK(rig.all(of_user("user:1/name")).size() == 100);
  CHECK(rig.all(of_user("user:")).empty());
  Filter both = of_user("user:1");
  both.viewer = "user:2";
  CHECK(rig.all(both).empty());
}

TEST_CASE("times and methods narrow a page") {
  const Filled rig;
  Filter filter;
  filter.method = "kernel.ping";
  CHECK(rig.all(filter).size() == 1500);
  filter.method = "kairo.audit.*";
  CHECK(rig.all(filter).size() == rig.names().size());
  filter = {};
  filter.method = "kernel.ping";
  filter.from_time = to_iso8601(test_time + std::chrono::seconds(100));
  filter.to_time = to_iso8601(test_time + std::chrono::seconds(109));
  CHECK(rig.all(filter).size() == 5);
}

TEST_CASE("the newest records come in order, from as many files as it takes") {
  const Filled rig;
  const auto everything = rig.all({});
  for (const std::size_t count : {std::size_t{1}, std::size_t{20}, std::size_t{900}}) {
    auto got = audit::read_last(rig.dir.path(), {}, count);
    REQUIRE(got.ok());
    CHECK(got->lines ==
          std::vector<std::string>(everything.end() - static_cast<std::ptrdiff_t>(count), everything.end()));
    CHECK(rig.page({}, got->next).lines.empty());
  }
  auto some = audit::read_last(rig.dir.path(), of_user("user:4"), 250);
  REQUIRE(some.ok());
  const auto own = rig.all(of_user("user:4"));
  CHECK(some->lines == std::vector<std::string>(own.end() - 250, own.end()));
}

TEST_CASE("a record that is being written is not shown in parts") {
  const Filled rig;
  const std::string name = rig.names().back();
  const std::string whole = rig.read(name);
  const auto newest = audit::read_last(rig.dir.path(), {}, 1);
  REQUIRE(newest.ok());
  rig.put(name, whole.substr(0, whole.size() - 20));
  const auto before = audit::read_last(rig.dir.path(), {}, 1);
  REQUIRE(before.ok());
  REQUIRE(before->lines.size() == 1);
  CHECK(before->lines != newest->lines);
  CHECK(rig.page({}, before->next).lines.empty());
  rig.put(name, whole);
  CHECK(rig.page({}, before->next).lines == newest->lines);
}

TEST_CASE("places that were never given are refused or lead nowhere") {
  for (const char* bad : {"", "1", "1:", ":1", "1:2x", "x:2", "-1:2"}) CHECK(!Place::parse(bad));
  const Filled rig;
  CHECK(rig.page({}, Place{UINT64_MAX, UINT64_MAX}).lines.empty());
  CHECK(rig.page({}, Place{1, UINT64_MAX}, 3).lines.size() == 3);  // the next file
}
