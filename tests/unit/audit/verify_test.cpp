#include "audit/verify.hpp"

#include "unit/audit/rig.hpp"

using namespace kairo;
using namespace kairo::test;
using audit::Head;
using audit::Trail;

namespace {

/// Three files.
struct Filled : AuditRig {
  Head head;
  Filled() {
    bounds.file_bytes = 1500;
    Trail trail = this->trail();
    fill(trail, 20);
    head = trail.written();
    REQUIRE(names().size() >= 3);
    REQUIRE(verify(head).whole);
  }
};

}  // namespace

TEST_CASE("any byte that is changed anywhere is found, in its file and line") {
  const Filled rig;
  for (const std::string& name : rig.names()) {
    const std::string whole = rig.read(name);
    std::uint64_t line = 1;
    for (std::size_t at = 0; at < whole.size(); ++at) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ 1);
      rig.put(name, changed);
      const auto verdict = rig.verify(rig.head);
      CAPTURE(name);
      CAPTURE(at);
      CHECK(!verdict.whole);
      CHECK(verdict.file == name);
      // A newline that is gone joins two lines; the cut at the very end leaves one torn.
      CHECK((verdict.line == line || (verdict.line == 0 && at + 1 == whole.size())));
      if (whole[at] == '\n') ++line;
    }
    rig.put(name, whole);
  }
  CHECK(rig.verify(rig.head).whole);
}

TEST_CASE("what is left out, exchanged, put in or told twice is named") {
  const Filled rig;
  const std::string name = rig.names()[1];
  const auto lines = lines_in(rig.read(name));
  REQUIRE(lines.size() > 4);
  const auto joined = [](const std::vector<std::string>& all) {
    std::string out;
    for (const std::string& each : all) out += each + "\n";
    return out;
  };
  auto left_out = lines;
  left_out.erase(left_out.begin() + 2);
  rig.put(name, joined(left_out));
  auto verdict = rig.verify(rig.head);
  CHECK(!verdict.whole);
  CHECK(verdict.line == 3);
  CHECK(has(verdict.problem, "missing before this one"));

  auto exchanged = lines;
  std::swap(exchanged[1], exchanged[2]);
  rig.put(name, joined(exchanged));
  CHECK(rig.verify(rig.head).line == 2);

  auto twice = lines;
  twice.insert(twice.begin() + 1, lines[1]);
  rig.put(name, joined(twice));
  CHECK(rig.verify(rig.head).line == 3);

  // A record that somebody made with a hash that fits its bytes breaks the chain behind it.
  auto forged = lines;
  std::string made = lines[1].substr(0, lines[1].find(",\"prev\""));
  made.replace(made.find("user:"), 5, "root:");
  audit::Hash prev;
  const auto before = audit::read_line(lines[0]);
  std::copy(before->hash.begin(), before->hash.end(), prev.begin());
  audit::seal(made, 0, prev);
  made.pop_back();
  forged[1] = made;
  rig.put(name, joined(forged));
  verdict = rig.verify(rig.head);
  CHECK(!verdict.whole);
  CHECK(verdict.line == 3);
  CHECK(has(verdict.problem, "does not carry the hash of the record before it"));
}

TEST_CASE("a whole history that was made anew has another hash than the store knows") {
  const Filled rig;
  std::filesystem::remove_all(rig.folder());
  Trail again = rig.trail();
  for (int i = 0; i < 40; ++i) REQUIRE(AuditRig::add(again, "user:77"));
  REQUIRE(again.write().ok());
  const auto verdict = rig.verify(rig.head);
  CHECK(!verdict.whole);
  CHECK(verdict.seq == rig.head.seq);
  CHECK(has(verdict.problem, "under another hash"));
  // Without the store nothing gives it away.
  CHECK(rig.verify().whole);
}

TEST_CASE("a file in the middle, at the beginning or at the end that is gone is missed") {
  for (const int which : {0, 1, 2}) {
    const Filled rig;
    const auto names = rig.names();
    const std::string name = which == 2 ? names.back() : names[static_cast<std::size_t>(which)];
    std::filesystem::remove(rig.folder() + "/" + name);
    const auto verdict = rig.verify(rig.head);
    CAPTURE(which);
    CHECK(!verdict.whole);
    CHECK(has(verdict.problem, "missing"));
  }
}

TEST_CASE("a line without an end is told and breaks nothing, unless the store knows its record") {
  const Filled rig;
  const std::string name = rig.names().back();
  const std::string whole = rig.read(name);
  rig.put(name, whole + "{\"seq\":9");
  auto verdict = rig.verify(rig.head);
  CHECK(verdict.whole);
  CHECK(verdict.torn_bytes == 8);
  rig.put(name, whole.substr(0, whole.size() - 10));
  verdict = rig.verify(rig.head);
  CHECK(!verdict.whole);
  CHECK(verdict.seq == rig.head.seq);
}

TEST_CASE("a state directory without an audit says so; one that should have one is broken") {
  const Folder dir;
  const auto none = audit::verify(dir.path(), {});
  REQUIRE(!none.ok());
  CHECK(none.error().code == Code::not_found);
  const auto gone = audit::verify(dir.path(), Head{5, audit::no_hash});
  REQUIRE(gone.ok());
  CHECK(!gone->whole);
  CHECK(has(gone->problem, "records 1 to 5 are missing"));
}

TEST_CASE("a file of one endless line is refused without being held as a whole") {
  const Filled rig;
  rig.put(rig.names().back(), std::string(8u << 20, 'x'));
  const auto verdict = rig.verify();
  CHECK(!verdict.whole);
  CHECK(has(verdict.problem, "no record"));
}
