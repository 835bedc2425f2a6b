#include "event/archive.hpp"

#include <fcntl.h>
#include <future>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/event/journal_rig.hpp"

using namespace kairo;
using event::Archive;
using event::Fact;
using event::Page;
using event::Query;

namespace {

/// A bus on a journal on disk, as the kernel has it, with an archive that comes and goes.
struct ArchiveRig {
  test::Folder dir;
  std::optional<event::Bus> bus;
  event::FileJournal* journal = nullptr;
  std::mutex mutex;
  std::vector<std::string> problems;
  std::vector<std::string> lines;
  std::unique_ptr<Archive> archive;
  event::FileJournal::Options options;

  ArchiveRig() { open(); }
  ~ArchiveRig() { archive.reset(); }
  void open() {
    archive.reset();
    options.state_dir = dir.fd();
    auto opened = event::FileJournal::open(options);
    if (!opened) throw std::runtime_error(opened.error().message);
    journal = opened->journal.get();
    bus.emplace(std::move(opened->journal));
  }
  void start(Archive::Bounds bounds = {}) {
    auto store = event::Store::open(dir.path());
    Archive::Options made;
    made.state_dir = dir.path();
    made.journal = journal;
    made.window = &bus->window();
    made.bounds = bounds;
    made.on_problem = [this](const Error& error) {
      const std::lock_guard lock(mutex);
      problems.push_back(error.message);
    };
    made.log = [this](const std::string& line) {
      const std::lock_guard lock(mutex);
      lines.push_back(line);
    };
    if (store)
      archive = std::make_unique<Archive>(std::move(made), std::move(store->store), std::nullopt);
    else
      archive = std::make_unique<Archive>(std::move(made), nullptr, store.error());
  }
  void publish(std::size_t count, std::size_t data_bytes = 10) {
    for (std::size_t i = 0; i < count; ++i) {
      Fact each = test::fact("test.event", data_bytes);
      if (!bus->publish(each)) throw std::runtime_error("the journal refused");
      if (archive) archive->grew();
    }
  }
  Page ask(Query query) {
    std::promise<Result<Page>> answer;
    archive->ask(std::move(query), [&](Result<Page> page) { answer.set_value(std::move(page)); });
    auto page = answer.get_future().get();
    if (!page) throw std::runtime_error(page.error().message);
    return *std::move(page);
  }
  /// Every number from `since` on, page by page.
  std::vector<std::uint64_t> all(std::uint64_t since = 0) {
    std::vector<std::uint64_t> out;
    Query query;
    query.since_seq = since;
    for (;;) {
      const Page page = ask(query);
      for (const Fact& each : page.facts) out.push_back(*each.event.seq);
      if (!page.more) return out;
      query.since_seq = page.upto;
    }
  }
  std::uint64_t stored() {
    auto store = event::Store::open(dir.path());
    return store ? store->store->newest() : 0;
  }
};

void check_numbers(const std::vector<std::uint64_t>& numbers, std::uint64_t first, std::uint64_t last) {
  REQUIRE(numbers.size() == last - first + 1);
  for (std::size_t i = 0; i < numbers.size(); ++i) REQUIRE(numbers[i] == first + i);
}

}  // namespace

TEST_CASE("a query sees every event that was published before it") {
  ArchiveRig rig;
  rig.start();
  std::uint64_t last = 0;
  for (const std::size_t count : {1u, 3u, 500u, 5000u, 20'000u}) {
    rig.publish(count);
    last += count;
    check_numbers(rig.all(), 1, last);
  }
  CHECK(rig.problems.empty());
  rig.archive.reset();
  CHECK(rig.stored() == last);
}

TEST_CASE("what was published without a store comes into the next one from the journal") {
  ArchiveRig rig;
  rig.publish(20'000);  // more than the window holds
  rig.start();
  check_numbers(rig.all(), 1, 20'000);
  rig.open();
  rig.publish(10);
  rig.start();
  check_numbers(rig.all(), 1, 20'010);
}

TEST_CASE("a damaged store is set aside and made anew of the journal") {
  ArchiveRig rig;
  rig.publish(5000);
  rig.start();
  check_numbers(rig.all(), 1, 5000);
  rig.open();
  {
    // Into the file, past its log: every page but the first, which names the version.
    auto store = event::Store::open(rig.dir.path());
    REQUIRE(store.ok());
    REQUIRE(store->store->prepare().ok());
  }
  const std::string path = rig.dir.path() + "/events.sqlite";
  ::unlink((path + "-wal").c_str());
  ::unlink((path + "-shm").c_str());
  {
    const UniqueFd file(::open(path.c_str(), O_WRONLY));
    const std::string junk(200 * 4096, 'x');
    REQUIRE(::pwrite(file.get(), junk.data(), junk.size(), 100) == static_cast<ssize_t>(junk.size()));
  }
  rig.start();
  check_numbers(rig.all(), 1, 5000);
  rig.archive.reset();
  CHECK(rig.stored() == 5000);
  CHECK(::access((path + ".damaged-1").c_str(), F_OK) == 0);
}

TEST_CASE("without a store that can be used, the journal answers") {
  ArchiveRig rig;
  REQUIRE(::mkdir((rig.dir.path() + "/events.sqlite").c_str(), 0700) == 0);
  rig.publish(100);
  rig.start();
  rig.publish(3000);
  check_numbers(rig.all(), 1, 3100);
  Query query;
  query.topic = "other";
  CHECK(rig.ask(query).facts.empty());
  const std::lock_guard lock(rig.mutex);
  CHECK(rig.problems.size() == 1);
}

TEST_CASE("events that the journal dropped before they were stored are a gap that is told") {
  ArchiveRig rig;
  rig.options.segment_bytes = 64u << 10;
  rig.options.max_bytes = 256u << 10;
  rig.open();
  rig.publish(100);
  rig.start();
  check_numbers(rig.all(), 1, 100);
  rig.open();
  rig.publish(20'000, 100);  // without a store to wait for: the journal keeps its bound
  const std::uint64_t oldest = rig.journal->oldest();
  REQUIRE(oldest > 101);
  rig.start();
  Query query;
  query.limit = 50;
  const Page first = rig.ask(query);
  CHECK(first.gaps.empty());
  query.since_seq = 100;
  const Page page = rig.ask(query);
  REQUIRE(page.gaps.size() == 1);
  CHECK(page.gaps[0].first == 101);
  CHECK(page.gaps[0].last == oldest - 1);
  CHECK(page.facts.front().event.seq == oldest);
  check_numbers(rig.all(100), oldest, 20'100);
  const std::lock_guard lock(rig.mutex);
  REQUIRE(rig.problems.size() == 1);
  CHECK(rig.problems[0].find("lacks the events 101 to") != std::string::npos);
}

TEST_CASE("the journal keeps for the store what it has not taken, up to twice its bound") {
  ArchiveRig rig;
  rig.options.segment_bytes = 64u << 10;
  rig.options.max_bytes = 256u << 10;
  rig.options.stored = 0;
  rig.open();
  rig.publish(1500, 100);  // over the bound, under twice the bound
  CHECK(rig.journal->oldest() == 1);
  rig.publish(20'000, 100);
  CHECK(rig.journal->oldest() > 1);
  rig.journal->hold_behind(21'500);
  rig.publish(1000, 100);
  rig.start();
  const Page page = rig.ask({});
  REQUIRE(page.gaps.size() == 1);
  CHECK(page.gaps[0].first == 1);
  CHECK(page.gaps[0].last == rig.journal->oldest() - 1);
}

TEST_CASE("a number that only the store remembers is not given again") {
  ArchiveRig rig;
  rig.publish(100);
  rig.start();
  check_numbers(rig.all(), 1, 100);
  rig.archive.reset();
  test::Folder other;  // the journal is gone, the store is not
  event::FileJournal::Options options;
  options.state_dir = other.fd();
  options.stored = 100;
  auto opened = event::FileJournal::open(options);
  REQUIRE(opened.ok());
  auto number = opened->journal->append(test::fact("a"));
  REQUIRE(number.ok());
  CHECK(*number > 100);
}
