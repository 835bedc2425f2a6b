// No number is ever given twice: kills, full disks, lost and damaged files, power losses.
#include <random>
#include <set>

#include <doctest/doctest.h>

#include "event/file_journal.hpp"
#include "unit/event/journal_rig.hpp"

using namespace kairo;
using event::Fact;
using event::FileJournal;
using test::JournalRig;

namespace {
constexpr const char* mark = "journal/seq";
constexpr std::uint64_t step = limits::event_number_step;
}  // namespace

TEST_CASE("numbers go on where they were when the journal is opened again") {
  JournalRig rig;
  std::uint64_t last = 0;
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 10; ++i) {
      CHECK(rig.append() == last + 1);
      ++last;
    }
    rig.open();
    CHECK(rig.damages.empty());
    CHECK(rig.journal->newest() == last);
  }
  rig.open();
  rig.open();
  CHECK(rig.append() == last + 1);
}

TEST_CASE("the high-water mark is always ahead") {
  JournalRig rig;
  rig.options.number_step = 10;
  rig.open();
  for (std::uint64_t i = 1; i <= 105; ++i) CHECK(rig.append() == i);
  rig.options.boot_id = "11111111-2222-3333-4444-555555555555";
  rig.open();
  CHECK(rig.journal->newest() == 110);
  CHECK(rig.append() == 111);
}

TEST_CASE("a writer killed at any moment has recorded what it reported, and no number comes twice") {
  JournalRig rig;
  rig.options.segment_bytes = 50'000;
  rig.close();
  std::mt19937 random(20'261'120);
  std::set<std::uint64_t> reported;
  std::uint64_t last_reported = 0;
  for (int round = 0; round < 50; ++round) {
    CAPTURE(round);
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    UniqueFd out(ends[0]), in(ends[1]);
    const pid_t child = ::fork();
    if (child == 0) {
      rig.options.state_dir = rig.dir.fd();
      auto opened = FileJournal::open(rig.options);
      if (!opened) ::_exit(1);
      std::mt19937 sizes(static_cast<unsigned>(round));
      for (;;) {
        const auto number = opened->journal->append(test::fact("test.event", sizes() % 9000));
        if (!number || ::write(in.get(), &*number, sizeof *number) != sizeof *number) ::_exit(2);
      }
    }
    in.reset();
    std::vector<std::uint64_t> now;
    std::uint64_t number = 0;
    const auto take = [&] {
      if (::read(out.get(), &number, sizeof number) != sizeof number) return false;
      now.push_back(number);
      return true;
    };
    const std::size_t enough = random() % 60;
    while (now.size() < enough) REQUIRE(take());
    ::usleep(static_cast<useconds_t>(random() % 500));
    REQUIRE(::kill(child, SIGKILL) == 0);
    while (take()) {
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    for (const std::uint64_t each : now) {
      REQUIRE(each > last_reported);
      last_reported = each;
      reported.insert(each);
    }
    rig.open();
    const auto held = rig.numbers();
    REQUIRE(std::adjacent_find(held.begin(), held.end(), std::greater_equal<>()) == held.end());
    REQUIRE(std::includes(held.begin(), held.end(), reported.begin(), reported.end()));
    if (!held.empty()) REQUIRE(rig.journal->newest() >= held.back());
    last_reported = std::max(last_reported, rig.journal->newest());
    rig.close();
  }
  CHECK(reported.size() > 500);
}

TEST_CASE("after a damaged tail the numbers go on behind the mark, also when nothing was appended at first") {
  JournalRig rig;
  for (int i = 0; i < 10; ++i) rig.append();
  rig.close();
  const auto name = rig.segments().back();
  const auto bytes = rig.dir.get(name);
  rig.dir.put(name, bytes.substr(0, bytes.size() - 1));
  rig.open();
  REQUIRE(rig.damages.size() == 1);
  CHECK(rig.damages[0].find("a record is cut short") != std::string::npos);
  CHECK(rig.numbers().size() == 9);
  CHECK(rig.journal->newest() == step);
  for (int i = 0; i < 3; ++i) {
    rig.open();
    CHECK(rig.damages.empty());
    CHECK(rig.journal->newest() == step);
  }
  CHECK(rig.append() == step + 1);
  rig.open();
  CHECK(rig.append() == step + 2);
  CHECK(rig.numbers().size() == 11);
}

TEST_CASE("damage that was mended on a full disk is remembered by the opening that follows") {
  const int wrong = test::in_child([] {
    JournalRig rig;
    for (int i = 0; i < 10; ++i) rig.append();
    rig.close();
    const auto name = rig.segments().back();
    const auto bytes = rig.dir.get(name);
    rig.dir.put(name, bytes.substr(0, bytes.size() - 1));
    for (int round = 0; round < 2; ++round) {
      test::limit_files(60);  // no room for anything new, not even for the damaged tail
      rig.open();
      if (rig.journal->newest() != step) return 1;
      if (rig.journal->append(test::fact("x")).ok()) return 2;
      test::limit_files(RLIM_INFINITY);
    }
    rig.open();
    if (rig.append() != step + 1) return 3;
    return 0;
  });
  CHECK(wrong == 0);
}

TEST_CASE("a segment that is no segment is set aside, and its numbers are not given again") {
  JournalRig rig;
  rig.options.segment_bytes = 2000;
  rig.open();
  for (int i = 0; i < 60; ++i) rig.append(100);
  rig.close();
  rig.dir.put(rig.segments().back(), "nothing of the kind");
  rig.open();
  CHECK(rig.damages.size() == 1);
  CHECK(rig.append() == step + 1);
  CHECK(rig.numbers().back() == step + 1);
}

TEST_CASE("a lost newest segment is noticed, and its numbers are not given again") {
  JournalRig rig;
  rig.options.segment_bytes = 2000;
  rig.open();
  for (int i = 0; i < 60; ++i) rig.append(100);
  rig.close();
  rig.dir.remove(rig.segments().back());
  rig.open();
  REQUIRE(rig.damages.size() == 1);
  CHECK(rig.damages[0].find("is missing") != std::string::npos);
  CHECK(rig.journal->newest() == step);
  CHECK(rig.append() == step + 1);
  rig.open();
  CHECK(rig.damages.empty());
  CHECK(rig.append() == step + 2);
}

TEST_CASE("an empty newest segment, as a power loss leaves it, counts as lost") {
  for (const bool append_first : {true, false}) {
    JournalRig rig;
    rig.options.segment_bytes = 2000;
    rig.open();
    for (int i = 0; i < 60; ++i) rig.append(100);
    rig.close();
    rig.dir.put(rig.segments().back(), "");
    rig.open();
    if (!append_first) rig.open();
    CHECK(rig.append() == step + 1);
  }
}

TEST_CASE("when all segments are lost the mark still holds") {
  JournalRig rig;
  for (int i = 0; i < 5; ++i) rig.append();
  rig.close();
  for (const auto& name : rig.segments()) rig.dir.remove(name);
  rig.open();
  CHECK(rig.append() == step + 1);
  CHECK(rig.numbers() == std::vector<std::uint64_t>{step + 1});
  CHECK(rig.journal->oldest() == step + 1);
}

TEST_CASE("without its mark the journal goes on a whole step behind what its files claim") {
  for (const std::string instead : {"", "empty", "rubbish", "torn", "flipped"}) {
    CAPTURE(instead);
    JournalRig rig;
    for (int i = 0; i < 5; ++i) rig.append();
    rig.close();
    auto bytes = rig.dir.get(mark);
    if (instead.empty())
      rig.dir.remove(mark);
    else if (instead == "empty")
      rig.dir.put(mark, "");
    else if (instead == "rubbish")
      rig.dir.put(mark, "rubbish");
    else if (instead == "torn")
      rig.dir.put(mark, bytes.substr(0, bytes.size() - 3));
    else
      bytes[70] ^= 4, rig.dir.put(mark, bytes);
    rig.open();
    CHECK(rig.damages.size() == 1);
    const auto next = rig.append();
    CHECK(next > step + 5);
    CHECK(next <= 2 * step + 1);
    rig.open();
    CHECK(rig.damages.empty());
    CHECK(rig.append() == next + 1);
    CHECK(rig.numbers().size() == 7);
  }
}

TEST_CASE("a mark that is older than the events is not believed") {
  JournalRig rig;
  rig.options.number_step = 10;
  rig.open();
  rig.append();
  const auto old = rig.dir.get(mark);
  for (int i = 0; i < 30; ++i) rig.append();
  rig.close();
  rig.dir.put(mark, old);
  rig.open();
  CHECK(rig.damages.size() == 1);
  CHECK(rig.append() == 42);
  rig.open();
  CHECK(rig.damages.empty());
  CHECK(rig.append() == 43);
}

TEST_CASE("without its mark and with nothing but a damaged segment no number is given again") {
  JournalRig rig;
  for (int i = 0; i < 5; ++i) rig.append();
  rig.close();
  rig.dir.put(rig.segments().back(), "rubbish");
  rig.dir.remove(mark);
  rig.open();
  CHECK(rig.append() == step + 2);
}

TEST_CASE("after the machine was started anew the numbers go on behind the mark") {
  JournalRig rig;
  for (int i = 0; i < 5; ++i) rig.append();
  std::uint64_t last = 5;
  for (const char* boot : {"11111111-2222-3333-4444-555555555555", "21111111-2222-3333-4444-555555555555"}) {
    rig.options.boot_id = boot;
    for (int i = 0; i < 2; ++i) {
      rig.open();
      CHECK(rig.damages.empty());
      CHECK(rig.journal->newest() % step == 0);
      CHECK(rig.journal->newest() > last);
      CHECK(rig.journal->newest() <= last + step);
    }
    last = rig.append();
    CHECK(last % step == 1);
    rig.open();
    CHECK(rig.append() == last + 1);
    ++last;
  }
  CHECK(rig.numbers().size() == 9);
}

TEST_CASE("the mark's file stays small over many openings") {
  JournalRig rig;
  rig.options.number_step = 1;
  rig.open();
  for (std::uint64_t i = 1; i <= 400; ++i) REQUIRE(rig.append() == i);
  rig.open();
  CHECK(rig.dir.get(mark).size() < 200);
  CHECK(rig.append() == 401);
  rig.open();
  CHECK(rig.append() == 402);
}

TEST_CASE("a full disk fails appends; later ones succeed, and no number comes twice") {
  const int wrong = test::in_child([] {
    JournalRig rig;
    rig.options.segment_bytes = 3000;
    rig.open();
    std::vector<std::uint64_t> given;
    std::mt19937 random(7);
    int failed = 0;
    for (int i = 0; i < 600; ++i) {
      test::limit_files(i % 3 != 0 ? random() % 3500 : RLIM_INFINITY);
      const auto number = rig.journal->append(test::fact("x", random() % 900));
      if (number)
        given.push_back(*number);
      else
        ++failed;
      if (i % 100 == 99) {
        test::limit_files(RLIM_INFINITY);
        rig.open();
        if (!rig.damages.empty()) return 1;
      }
    }
    test::limit_files(RLIM_INFINITY);
    if (failed < 50 || given.size() < 200) return 2;
    if (rig.numbers() != given) return 3;
    // Nothing was used up by what failed.
    if (given.back() != given.size() || rig.append() != given.size() + 1) return 4;
    return 0;
  });
  CHECK(wrong == 0);
}

TEST_CASE("a journal on a full disk opens, and takes events when there is room") {
  const int wrong = test::in_child([] {
    JournalRig rig;
    rig.close();
    rig.dir.remove("journal");
    test::limit_files(0);
    rig.open();
    if (rig.journal->append(test::fact("x")).ok()) return 1;
    if (rig.journal->newest() != 0) return 2;
    test::limit_files(RLIM_INFINITY);
    if (rig.append() != 1) return 3;
    rig.open();
    if (!rig.damages.empty() || rig.append() != 2) return 4;
    return 0;
  });
  CHECK(wrong == 0);
}
