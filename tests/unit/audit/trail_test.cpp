#include "unit/audit/rig.hpp"

using namespace kairo;
using namespace kairo::test;
using audit::Head;
using audit::Trail;

TEST_CASE("records reach the file when write() returns, each with the hash of the one before") {
  AuditRig rig;
  Trail trail = rig.trail();
  REQUIRE(AuditRig::add(trail, "user:1"));
  REQUIRE(AuditRig::add(trail, "user:2"));
  CHECK(trail.waiting());
  REQUIRE(trail.write().ok());
  CHECK(!trail.waiting());
  REQUIRE(rig.names() == std::vector<std::string>{"00000000000000000001.jsonl"});
  const auto lines = lines_in(rig.read(rig.names()[0]));
  REQUIRE(lines.size() == 3);
  CHECK(has(lines[0],
            R"({"seq":1,"time":"2023-11-14T22:13:20.000123Z","event":"kairo.audit.opened","firstSeq":1,)"));
  CHECK(has(lines[2], R"("method":"kernel.ping","principal":"user:2",)"));
  std::string prev(64, '0');
  for (std::size_t i = 0; i < 3; ++i) {
    const auto read = audit::read_line(lines[i]);
    REQUIRE(read.ok());
    CHECK(read->seq == i + 1);
    CHECK(read->prev == prev);
    CHECK(audit::is_sound(lines[i], *read));
    prev = read->hash;
  }
  CHECK(trail.written().seq == 3);
  CHECK(audit::text_of(trail.written().hash) == prev);
  struct stat status {};
  REQUIRE(::stat(rig.folder().c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0700);
  REQUIRE(::stat((rig.folder() + "/" + rig.names()[0]).c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("the next trail goes on in the same file, numbers and chain") {
  AuditRig rig;
  Head before;
  {
    Trail trail = rig.trail();
    AuditRig::fill(trail, 5);
    before = trail.written();
  }
  Trail next = rig.trail(before);
  AuditRig::fill(next, 5);
  CHECK(rig.names().size() == 1);
  const auto verdict = rig.verify(next.written());
  CHECK_MESSAGE(verdict.whole, verdict.problem);
  CHECK(verdict.records == 11);
  CHECK(verdict.against_head);
  CHECK(next.take_findings().empty());
}

TEST_CASE("rotation keeps the chain over files, and what it removes is missed by nobody") {
  AuditRig rig;
  rig.bounds.file_bytes = 2000;
  rig.bounds.files = 3;
  Trail trail = rig.trail();
  AuditRig::fill(trail, 60);
  auto doomed = trail.take_doomed();
  REQUIRE(doomed.size() > 2);
  CHECK(rig.names().size() == doomed.size() + 3);
  // Both before and after somebody has removed them.
  CHECK(rig.verify(trail.written()).whole);
  for (const std::string& each : doomed) REQUIRE(std::filesystem::remove(rig.folder() + "/" + each));
  const auto verdict = rig.verify(trail.written());
  CHECK_MESSAGE(verdict.whole, verdict.problem);
  CHECK(verdict.files == 3);
  CHECK(verdict.first_seq > 1);
  // But one more that rotation did not take is missed.
  std::filesystem::remove(rig.folder() + "/" + rig.names()[0]);
  const auto missed = rig.verify(trail.written());
  CHECK(!missed.whole);
  CHECK(missed.seq == verdict.first_seq);
  CHECK(has(missed.problem, "are missing"));
}

TEST_CASE("files go by age, too, and a file is left for its age") {
  AuditRig rig;
  rig.bounds.age = std::chrono::hours(8);
  Trail trail = rig.trail();
  REQUIRE(AuditRig::add(trail, "user:1"));
  REQUIRE(trail.write().ok());
  REQUIRE(AuditRig::add(trail, "user:1", test_time + std::chrono::minutes(59)));
  REQUIRE(trail.write().ok());
  CHECK(rig.names().size() == 1);
  REQUIRE(AuditRig::add(trail, "user:1", test_time + std::chrono::minutes(61)));
  REQUIRE(trail.write().ok());
  CHECK(rig.names().size() == 2);
  CHECK(trail.take_doomed().empty());
  // By the time of its last change the first one is of now, not of test_time.
  REQUIRE(AuditRig::add(trail, "user:1", system_now() + std::chrono::hours(9)));
  REQUIRE(trail.write().ok());
  CHECK(trail.take_doomed().size() == 2);
}

TEST_CASE("a torn last line is set aside, and the next record says so") {
  AuditRig rig;
  {
    Trail trail = rig.trail();
    AuditRig::fill(trail, 3);
  }
  const std::string name = rig.names()[0];
  const std::string whole = rig.read(name);
  for (const std::string& torn :
       {std::string("{\"seq\":5,\"ti"), std::string(200'000, '\0'), std::string("x\n\n")}) {
    rig.put(name, whole + torn);
    Trail next = rig.trail();
    AuditRig::fill(next, 1);
    CHECK(next.take_findings().size() == 1);
    const auto lines = lines_in(rig.read(name));
    REQUIRE(lines.size() == 6);
    CHECK(has(lines[4], "\"event\":\"kairo.audit.recovered\",\"file\":\"" + name + ".damaged-"));
    CHECK(has(lines[4], "\"bytes\":" + std::to_string(torn.size()) + ","));
    CHECK(rig.verify(next.written()).whole);
  }
  CHECK(rig.read(name + ".damaged-1") == "{\"seq\":5,\"ti");
}

TEST_CASE("a newest file without a record gives way to the one before") {
  AuditRig rig;
  {
    Trail trail = rig.trail();
    AuditRig::fill(trail, 3);
  }
  rig.put(audit::file_name(5), "");
  {
    Trail next = rig.trail();
    AuditRig::fill(next, 1);
    CHECK(rig.names().size() == 1);
  }
  rig.put(audit::file_name(6), "garbage\n");
  Trail next = rig.trail();
  AuditRig::fill(next, 1);
  CHECK(rig.verify().whole);
  CHECK(rig.verify().records == 6);
  CHECK(rig.read(audit::file_name(6) + ".damaged-1") == "garbage\n");
}

TEST_CASE("a cut is told, and its gap stays to be seen") {
  AuditRig rig;
  Head head;
  {
    Trail trail = rig.trail();
    AuditRig::fill(trail, 9);
    head = trail.written();
  }
  const std::string name = rig.names()[0];
  const auto lines = lines_in(rig.read(name));
  std::string cut;
  for (std::size_t i = 0; i < 6; ++i) cut += lines[i] + "\n";
  rig.put(name, cut);
  const auto truncated = rig.verify(head);
  CHECK(!truncated.whole);
  CHECK(truncated.seq == 7);
  CHECK(has(truncated.problem, "records 7 to 10 are missing"));
  Trail next = rig.trail(head);
  AuditRig::fill(next, 2);
  CHECK(next.take_findings().size() == 1);
  CHECK(has(lines_in(rig.read(name))[6], R"("seq":11,)"));
  CHECK(has(lines_in(rig.read(name))[6], R"("event":"kairo.audit.gap","fromSeq":7,"toSeq":10,)"));
  const auto after = rig.verify(next.written());
  CHECK(!after.whole);
  CHECK(after.seq == 7);
}

TEST_CASE("what cannot be opened is tried again, and what was lost meanwhile is counted") {
  AuditRig rig;
  std::ofstream(rig.dir.path() + "/audit") << "in the way";
  Trail trail = rig.trail();
  CHECK(!AuditRig::add(trail, "user:1"));
  CHECK(trail.failure().has_value());
  CHECK(!AuditRig::add(trail, "user:2"));
  CHECK(!trail.ready().ok());
  REQUIRE(std::filesystem::remove(rig.dir.path() + "/audit"));
  while (!trail.ready().ok()) {
  }
  CHECK(!trail.failure());
  REQUIRE(AuditRig::add(trail, "user:3"));
  REQUIRE(trail.write().ok());
  const auto lines = lines_in(rig.read(rig.names()[0]));
  REQUIRE(lines.size() == 3);
  CHECK(has(lines[1], R"("event":"kairo.audit.lost","records":2,)"));
  CHECK(rig.verify(trail.written()).whole);
}

TEST_CASE("a removed file is noticed, and the next record begins another one that says what is missing") {
  AuditRig rig;
  Trail trail = rig.trail();
  AuditRig::fill(trail, 3);
  CHECK(trail.look().ok());
  std::filesystem::remove_all(rig.folder());
  CHECK(!trail.look().ok());
  AuditRig::fill(trail, 2);
  CHECK(rig.names() == std::vector<std::string>{audit::file_name(5)});
  const auto verdict = rig.verify();
  CHECK(!verdict.whole);
  CHECK(has(verdict.problem, "records 1 to 4 are missing"));
}

TEST_CASE("a full disk takes whole records; the others wait, and follow when there is room") {
  AuditRig rig;
  const int code = in_child([&] {
    limit_files(1500);
    Trail trail = rig.trail();
    bool failed = false;
    for (int i = 0; i < 10; ++i) {
      if (!AuditRig::add(trail, "user:" + std::to_string(i))) return 2;
      failed = !trail.write().ok() || failed;
    }
    if (!failed || !trail.failure() || !trail.waiting()) return 3;
    const std::string name = rig.names()[0];
    const std::string text = rig.read(name);
    if (text.empty() || text.back() != '\n' || !rig.verify(trail.written()).whole) return 4;
    limit_files(RLIM_INFINITY);
    while (!trail.write().ok()) {
    }
    return rig.verify(trail.written()).whole && rig.verify().records == 11 ? 0 : 6;
  });
  CHECK(code == 0);
}

TEST_CASE("records that wait are bounded; those past the bound are counted in their place") {
  AuditRig rig;
  const int code = in_child([&] {
    limit_files(1000);
    Trail trail = rig.trail();
    std::uint64_t lost = 0;
    for (int i = 0; i < 20'000; ++i) {
      if (!AuditRig::add(trail, "user:1")) ++lost;
      if (i % 100 == 0) static_cast<void>(trail.write());
    }
    if (lost == 0 || trail.line().size() > 2 * limits::audit_pending_bytes) return 2;
    limit_files(RLIM_INFINITY);
    while (!trail.ready().ok()) {
    }
    if (!AuditRig::add(trail, "user:2") || !trail.write().ok()) return 4;
    const std::string text = rig.read(rig.names()[0]);
    if (!has(text, "\"event\":\"kairo.audit.lost\",\"records\":" + std::to_string(lost) + ",")) return 5;
    return rig.verify(trail.written()).whole ? 0 : 6;
  });
  CHECK(code == 0);
}

TEST_CASE("room is asked for ahead and given back") {
  AuditRig rig;
  {
    Trail trail = rig.trail();
    REQUIRE(trail.reserve().ok());
    AuditRig::fill(trail, 3);
    rig.bounds.file_bytes = 1;
    trail.set_bounds(rig.bounds);
    AuditRig::fill(trail, 1);  // leaves the first file
  }
  struct stat status {};
  REQUIRE(::stat((rig.folder() + "/" + rig.names()[0]).c_str(), &status) == 0);
  CHECK(static_cast<std::uint64_t>(status.st_blocks) * 512 < limits::audit_reserve_bytes / 2);
}
