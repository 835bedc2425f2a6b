#include <doctest/doctest.h>

#include "storage/record_file.hpp"
#include "unit/storage/rig.hpp"

using namespace kairo;
using storage::Kind;
using storage::RecordFile;
using test::Folder;

namespace {

const Kind kind{"KAIROTST", 1};

std::vector<std::string> records_of(const Folder& dir) {
  std::vector<std::string> out;
  auto opened = RecordFile::open(dir.fd(), "x", kind, [&](std::string_view each) { out.emplace_back(each); });
  REQUIRE(opened.ok());
  CHECK_FALSE(opened->damage);
  return out;
}

RecordFile make(const Folder& dir, const std::vector<std::string>& records) {
  auto opened = RecordFile::open(dir.fd(), "x", kind, [](std::string_view) {});
  REQUIRE(opened.ok());
  for (const auto& each : records) REQUIRE(opened->file.append(each).ok());
  return std::move(opened->file);
}

}  // namespace

TEST_CASE("a rewrite replaces everything, and appends follow it") {
  Folder dir;
  auto file = make(dir, {"a", "b", "c"});
  std::vector<std::string> next;
  for (std::size_t i = 0; i < 1000; ++i) next.push_back(std::string(i, 'n'));
  REQUIRE(file.rewrite(next).ok());
  CHECK(file.bytes() == dir.get("x").size());
  REQUIRE(file.append("d").ok());
  next.emplace_back("d");
  CHECK(records_of(dir) == next);
  REQUIRE(file.rewrite({}).ok());
  CHECK(file.empty());
  CHECK(records_of(dir).empty());
  CHECK(dir.names() == std::vector<std::string>{"x"});
}

TEST_CASE("a rewrite takes the present boot id") {
  Folder dir;
  Kind other = kind;
  other.boot_id = "11111111-2222-3333-4444-555555555555";
  {
    REQUIRE(RecordFile::open(dir.fd(), "x", other, [](std::string_view) {}).ok());
  }
  auto file = make(dir, {});
  CHECK(file.boot_id() == other.boot_id);
  REQUIRE(file.rewrite({}).ok());
  CHECK(file.boot_id() == storage::machine_boot_id());
  CHECK(make(dir, {}).boot_id() == storage::machine_boot_id());
}

TEST_CASE("what a crash left of a rewrite is ignored and removed") {
  Folder dir;
  { make(dir, {"a", "b"}); }
  dir.put("x.new", dir.get("x") + "half");
  CHECK(records_of(dir) == std::vector<std::string>{"a", "b"});
  CHECK(dir.names() == std::vector<std::string>{"x"});
}

TEST_CASE("a rewrite that fails changes nothing") {
  const int wrong = test::in_child([] {
    Folder dir;
    auto file = make(dir, {"a", "b"});
    const std::vector<std::string> big(10, std::string(50'000, 'x'));
    test::limit_files(200'000);
    if (file.rewrite(big).ok()) return 1;
    test::limit_files(RLIM_INFINITY);
    if (dir.names() != std::vector<std::string>{"x"}) return 2;
    if (!file.append("c").ok()) return 3;
    if (records_of(dir) != std::vector<std::string>{"a", "b", "c"}) return 4;
    const std::vector<std::string> too_long = {std::string(limits::record_bytes + 1, 'x')};
    const auto refused = file.rewrite(too_long);
    if (refused.ok() || refused.error().code != Code::limit_exceeded) return 5;
    return records_of(dir).size() == 3 && dir.names().size() == 1 ? 0 : 6;
  });
  CHECK(wrong == 0);
}

TEST_CASE("a kill during a rewrite leaves the old records or the new ones") {
  Folder dir;
  const std::vector<std::string> old(100, std::string(1000, 'o')), fresh(100, std::string(1000, 'n'));
  { make(dir, old); }
  for (int round = 0; round < 30; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      auto file = make(dir, {});
      for (;;) {
        if (!file.rewrite(fresh).ok() || !file.rewrite(old).ok()) ::_exit(1);
      }
    }
    ::usleep(static_cast<useconds_t>(round * 300));
    REQUIRE(::kill(child, SIGKILL) == 0);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    const auto found = records_of(dir);
    CHECK((found == old || found == fresh));
  }
}
