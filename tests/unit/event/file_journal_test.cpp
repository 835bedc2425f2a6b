#include "event/file_journal.hpp"

#include <numeric>
#include <sys/stat.h>
#include <thread>

#include <doctest/doctest.h>

#include "unit/event/journal_rig.hpp"

using namespace kairo;
using event::Fact;
using event::FileJournal;
using test::JournalRig;

namespace {
std::vector<std::uint64_t> range(std::uint64_t first, std::uint64_t last) {
  std::vector<std::uint64_t> out(last + 1 - first);
  std::iota(out.begin(), out.end(), first);
  return out;
}
}  // namespace

TEST_CASE("events are read again as they were, after their number") {
  JournalRig rig;
  CHECK(rig.journal->newest() == 0);
  CHECK(rig.journal->oldest() == 0);
  CHECK(rig.numbers().empty());
  Fact fact = test::fact("kairo.process.exited", 10);
  fact.event.id = "id-1";
  fact.owner = "user:1";
  fact.process_id = "p";
  fact.session_key = 7;
  REQUIRE(*rig.journal->append(fact) == 1);
  for (std::uint64_t i = 2; i <= 50; ++i) CHECK(rig.append() == i);
  CHECK(rig.journal->newest() == 50);
  CHECK(rig.journal->oldest() == 1);
  for (int round = 0; round < 2; ++round) {
    CHECK(rig.numbers() == range(1, 50));
    CHECK(rig.numbers(30) == range(31, 50));
    CHECK(rig.numbers(50).empty());
    CHECK(rig.numbers(UINT64_MAX).empty());
    Fact got;
    REQUIRE(rig.journal
                ->read(0,
                       [&](const Fact& each) {
                         got = each;
                         return false;
                       })
                .ok());
    CHECK(got.event.seq == 1);
    got.event.seq.reset();
    CHECK(reflect::to_msgpack(got) == reflect::to_msgpack(fact));
    rig.open();
    CHECK(rig.damages.empty());
    CHECK(rig.journal->oldest() == 1);
  }
  struct stat status {};
  REQUIRE(::fstatat(rig.dir.fd(), "journal", &status, 0) == 0);
  CHECK((status.st_mode & 0777) == 0700);
}

TEST_CASE("a reader may append, and reads up to what was newest when it began") {
  JournalRig rig;
  rig.options.segment_bytes = 2000;
  rig.open();
  for (int i = 0; i < 20; ++i) rig.append(100);
  std::vector<std::uint64_t> got;
  REQUIRE(rig.journal
              ->read(0,
                     [&](const Fact& each) {
                       got.push_back(*each.event.seq);
                       rig.append(100);
                       return true;
                     })
              .ok());
  CHECK(got == range(1, 20));
  CHECK(rig.numbers() == range(1, 40));
}

TEST_CASE("segments are begun when the last is full, and the oldest are removed") {
  JournalRig rig;
  rig.options.segment_bytes = 10'000;
  rig.options.max_bytes = 50'000;
  rig.open();
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    REQUIRE(rig.append(500) == i);
    std::uint64_t total = 0;
    for (const auto& name : rig.segments()) total += rig.dir.get(name).size();
    REQUIRE(total <= 50'000);
  }
  CHECK(rig.segments().size() >= 4);
  const auto oldest = rig.journal->oldest();
  CHECK(oldest > 900);
  CHECK(oldest < 940);
  CHECK(rig.numbers() == range(oldest, 1000));
  CHECK(rig.numbers(0) == rig.numbers(oldest - 1));
  for (std::uint64_t since = oldest; since <= 1000; ++since)
    REQUIRE(rig.numbers(since).size() == 1000 - since);
  const auto names = rig.segments();
  CHECK(names[0] == "journal/" + std::string(20 - std::to_string(oldest).size(), '0') +
                        std::to_string(oldest) + ".events");
  rig.open();
  CHECK(rig.journal->oldest() == oldest);
  CHECK(rig.append() == 1001);
}

TEST_CASE("an event that is larger than a segment gets one of its own") {
  JournalRig rig;
  rig.options.segment_bytes = 1000;
  rig.open();
  for (std::uint64_t i = 1; i <= 5; ++i) CHECK(rig.append(5000) == i);
  CHECK(rig.segments().size() == 5);
  CHECK(rig.numbers() == range(1, 5));
}

TEST_CASE("an event that is too large is refused without using up a number") {
  JournalRig rig;
  const auto refused = rig.journal->append(test::fact("big", limits::record_bytes));
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == Code::limit_exceeded);
  CHECK(rig.append() == 1);
}

TEST_CASE("old segments are removed, and segments are begun by age too") {
  JournalRig rig;
  auto now = system_now();
  rig.options.now = [&] { return now; };
  rig.options.max_age = std::chrono::hours(80);
  rig.open();
  rig.append();
  now += std::chrono::hours(11);
  rig.append();
  CHECK(rig.segments().size() == 2);
  now += std::chrono::hours(11);
  rig.append();
  CHECK(rig.segments().size() == 3);
  // What counts is when a segment took its last event.
  now += std::chrono::hours(81);
  CHECK(rig.append() == 4);
  CHECK(rig.segments().size() == 2);
  CHECK(rig.journal->oldest() == 3);
  CHECK(rig.numbers() == range(3, 4));
}

TEST_CASE(
    "segments of an earlier journal are as old as their files, but not older than this run of the machine") {
  JournalRig rig;
  rig.options.max_age = std::chrono::hours(24 * 365);
  auto now = system_now();
  rig.options.now = [&] { return now; };
  rig.open();
  for (int i = 0; i < 3; ++i) {
    rig.append();
    now += std::chrono::hours(24 * 60);  // another segment
  }
  REQUIRE(rig.segments().size() == 3);
  const timespec long_ago[2] = {{1, 0}, {1, 0}};
  for (const auto& name : rig.segments()) REQUIRE(::utimensat(rig.dir.fd(), name.c_str(), long_ago, 0) == 0);
  now = system_now();
  rig.open();
  CHECK(rig.segments().size() == 3);
  // Were they of an earlier run, their files would tell.
  rig.options.boot_id = "00000000-0000-0000-0000-000000000000";
  rig.open();
  CHECK(rig.segments().size() < 3);
}

TEST_CASE("what the newest segments hold is told while opening") {
  JournalRig rig;
  rig.options.segment_bytes = 2000;
  rig.open();
  for (int i = 0; i < 60; ++i) rig.append(100);
  const auto segments = rig.segments();
  REQUIRE(segments.size() > 3);
  std::vector<std::uint64_t> told;
  rig.options.on_record = [&](const Fact& each) { told.push_back(*each.event.seq); };
  rig.open();
  const auto first = std::stoull(segments[segments.size() - 2].substr(8, 20));
  CHECK(told == range(first, 60));
  told.clear();
  rig.options.replay_segments = 1000;
  rig.open();
  CHECK(told == range(1, 60));
  told.clear();
  rig.options.replay_segments = 1;
  rig.open();
  CHECK(told.size() < 20);
  CHECK(told.back() == 60);
}

TEST_CASE("damage in an older segment is passed over by readers and told once") {
  JournalRig rig;
  rig.options.segment_bytes = 2000;
  rig.open();
  for (int i = 0; i < 60; ++i) rig.append(100);
  const auto name = rig.segments()[1];
  auto bytes = rig.dir.get(name);
  bytes[bytes.size() - 5] ^= 1;  // its last record
  rig.dir.put(name, bytes);
  rig.open();
  CHECK(rig.damages.empty());
  const auto got = rig.numbers();
  CHECK(got.size() == 59);
  CHECK(std::is_sorted(got.begin(), got.end()));
  const auto told = rig.journal->take_damages();
  REQUIRE(told.size() == 1);
  CHECK(told[0].find("checksum is wrong") != std::string::npos);
  CHECK(rig.numbers().size() == 59);
  CHECK(rig.journal->take_damages().empty());
  CHECK(rig.dir.get(name) == bytes);
  CHECK(rig.append() == 61);
}

TEST_CASE("no more than eight damaged files are kept of all segments together") {
  JournalRig rig;
  for (int i = 0; i < 15; ++i) {
    rig.append();
    rig.close();
    const auto name = rig.segments().back();
    rig.dir.put(name, rig.dir.get(name) + "rubbish");
    rig.open();
    CHECK(rig.damages.size() == 1);
  }
  const auto names = rig.dir.names("journal");
  CHECK(std::count_if(names.begin(), names.end(),
                      [](const auto& name) { return name.find(".damaged-") != std::string::npos; }) <= 8);
  CHECK(rig.numbers().size() == 15);
}

TEST_CASE("a journal that cannot be there is an error") {
  test::Folder dir;
  dir.put("journal", "a file");
  FileJournal::Options options;
  options.state_dir = dir.fd();
  CHECK_FALSE(FileJournal::open(options).ok());
  dir.remove("journal");
  REQUIRE(::symlinkat("/tmp", dir.fd(), "journal") == 0);
  CHECK_FALSE(FileJournal::open(options).ok());
  options.state_dir = -1;
  CHECK_FALSE(FileJournal::open(options).ok());
}

TEST_CASE("strange files in its folder do not disturb it") {
  JournalRig rig;
  rig.append();
  for (const char* name : {"note.txt", "00000000000000000000.events", "99999999999999999999.events",
                           "1.events", "000000000000000000x1.events", "18446744073709551615.events"})
    rig.dir.put(std::string("journal/") + name, "strange");
  rig.open();
  CHECK(rig.damages.empty());
  CHECK(rig.append() == 2);
  CHECK(rig.numbers() == range(1, 2));
}

TEST_CASE("reading and syncing go on while another thread appends") {
  JournalRig rig;
  rig.options.segment_bytes = 20'000;
  rig.options.max_bytes = 200'000;
  rig.open();
  std::atomic<bool> done = false;
  std::atomic<int> bad = 0, reads = 0;
  std::thread reader([&] {
    while (!done || reads == 0) {
      std::uint64_t last = 0;
      auto read = rig.journal->read(0, [&](const Fact& each) {
        if (*each.event.seq <= last) ++bad;
        last = *each.event.seq;
        return true;
      });
      if (!read || !rig.journal->sync()) ++bad;
      if (rig.journal->oldest() > rig.journal->newest()) ++bad;
      ++reads;
    }
  });
  for (int i = 0; i < 5000; ++i) rig.append(100);
  done = true;
  reader.join();
  CHECK(bad == 0);
  CHECK(rig.journal->take_damages().empty());
}
