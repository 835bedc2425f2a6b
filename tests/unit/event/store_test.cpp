#include "event/store.hpp"

#include <csignal>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "event/archive.hpp"
#include "unit/event/journal_rig.hpp"

using namespace kairo;
using event::Fact;
using event::Query;
using event::Store;

namespace {

Fact fact(std::uint64_t seq, const std::string& type, const std::string& owner = "user:1",
          const std::string& correlation = {}, const std::string& process = {}) {
  Fact made;
  made.event.seq = seq;
  made.event.type = type;
  made.event.id = "e-" + std::to_string(seq);
  made.event.source = "kernel";
  made.event.time = to_iso8601(SystemTime(std::chrono::seconds(1'000'000 + seq)));
  made.event.data.msgpack = reflect::to_msgpack(std::string("data of " + std::to_string(seq)));
  made.owner = owner;
  made.process_id = process;
  if (!correlation.empty()) made.event.correlation_id = correlation;
  return made;
}

std::unique_ptr<Store> opened(const std::string& dir) {
  auto store = Store::open(dir);
  REQUIRE(store.ok());
  REQUIRE(store->store->prepare().ok());
  return std::move(store->store);
}

void put(Store& store, const std::vector<Fact>& facts) {
  REQUIRE(store.begin().ok());
  for (const Fact& each : facts) REQUIRE(store.add(each).ok());
  REQUIRE(store.commit().ok());
}

std::vector<std::uint64_t> numbers(const event::Page& page) {
  std::vector<std::uint64_t> out;
  for (const Fact& each : page.facts) out.push_back(*each.event.seq);
  return out;
}
std::vector<std::uint64_t> found(Store& store, const Query& query) {
  auto page = store.query(query);
  REQUIRE(page.ok());
  return numbers(*page);
}

/// The one value that a statement gives, from a connection of its own.
std::string ask(const std::string& dir, const std::string& sql) {
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open((dir + "/events.sqlite").c_str(), &db) == SQLITE_OK);
  std::string out;
  const auto take = [](void* to, int, char** values, char**) {
    *static_cast<std::string*>(to) = values[0] ? values[0] : "";
    return 0;
  };
  CHECK(sqlite3_exec(db, sql.c_str(), take, &out, nullptr) == SQLITE_OK);
  sqlite3_close(db);
  return out;
}

using Numbers = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("what the store took it gives back as it was, also to the next one that opens it") {
  test::Folder dir;
  Fact first = fact(7, "a.b", "user:1/x", "intent-1", "p-1");
  first.event.causation_id = "cause";
  Fact second = fact(9, "a.c", "");
  put(*opened(dir.path()), {first, second});
  struct stat status {};
  REQUIRE(::stat((dir.path() + "/events.sqlite").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  const auto store = opened(dir.path());
  CHECK(store->newest() == 9);
  CHECK(store->oldest() == 7);
  auto page = store->query({});
  REQUIRE(page.ok());
  REQUIRE(page->facts.size() == 2);
  CHECK(reflect::to_msgpack(page->facts[0].event) == reflect::to_msgpack(first.event));
  CHECK(page->facts[0].owner == "user:1/x");
  CHECK(page->facts[0].process_id == "p-1");
  CHECK(reflect::to_msgpack(page->facts[1].event) == reflect::to_msgpack(second.event));
  CHECK(page->upto == 9);
}

TEST_CASE("every filter of a query excludes what it should, alone and with others") {
  test::Folder dir;
  const auto store = opened(dir.path());
  const std::vector<Fact> facts = {fact(1, "kairo.process.spawned", "user:1", "i", "p"),
                                   fact(2, "kairo.process.exited", "user:1", "i", "p"),
                                   fact(3, "kairo.processes", "user:1/x", "i"),
                                   fact(4, "app.step", "user:10", "i"),
                                   fact(5, "app.step.two", "", "j", "q"),
                                   fact(6, "app.step", "user:1", "j", "q")};
  put(*store, facts);
  const auto at = [](std::int64_t seq) { return (1'000'000 + seq) * 1'000'000; };
  std::vector<Query> queries;
  for (const char* topic :
       {">", "app.step", "app.*", "app.>", "kairo.process.*", "*.step", "kairo.process.exited"})
    for (const bool correlated : {false, true})
      for (const bool of_process : {false, true})
        for (const bool viewed : {false, true})
          for (const bool timed : {false, true}) {
            Query query;
            query.topic = topic;
            if (correlated) query.correlation_id = "i";
            if (of_process) query.process_id = "p";
            if (viewed) query.viewer = "user:1";
            if (timed) {
              query.from_us = at(2);
              query.to_us = at(5);
            }
            queries.push_back(query);
            query.since_seq = 1;
            query.to_seq = 4;
            queries.push_back(query);
          }
  std::size_t some = 0;
  for (const Query& query : queries) {
    Numbers expected;
    for (const Fact& each : facts)
      if (query.admits(each)) expected.push_back(*each.event.seq);
    some += expected.empty() ? 0 : 1;
    CAPTURE(query.topic);
    CHECK(found(*store, query) == expected);
  }
  CHECK(some > 40);
  // The rule that both follow, by hand.
  CHECK(found(*store, {.topic = "app.*"}) == Numbers{4, 6});
  CHECK(found(*store, {.topic = "app.>"}) == Numbers{4, 5, 6});
  CHECK(found(*store, {.viewer = "user:1"}) == Numbers{1, 2, 3, 5, 6});
  CHECK(found(*store, {.viewer = "user:1/x"}) == Numbers{3, 5});
  CHECK(found(*store, {.from_us = at(2), .to_us = at(3)}) == Numbers{2, 3});
  CHECK(found(*store, {.correlation_id = "j", .process_id = "q"}) == Numbers{5, 6});
}

TEST_CASE("pages follow each other without gap or repeat, bounded by count and by bytes") {
  test::Folder dir;
  const auto store = opened(dir.path());
  std::vector<Fact> facts;
  for (std::uint64_t seq = 1; seq <= 100; ++seq) facts.push_back(fact(seq, seq % 2 ? "odd" : "even"));
  put(*store, facts);
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{400}, std::size_t{1} << 20}) {
    Query query;
    query.topic = "odd";
    query.limit = 7;
    query.bytes = bytes;
    Numbers all;
    for (;;) {
      auto page = store->query(query);
      REQUIRE(page.ok());
      CHECK(page->facts.size() <= 7);
      for (const std::uint64_t each : numbers(*page)) all.push_back(each);
      if (!page->more) break;
      CHECK(page->upto == all.back());
      query.since_seq = page->upto;
    }
    REQUIRE(all.size() == 50);
    for (std::size_t i = 0; i < all.size(); ++i) CHECK(all[i] == 2 * i + 1);
  }
}

TEST_CASE("a store of the first version is brought up to date with its events") {
  test::Folder dir;
  put(*opened(dir.path()), {fact(1, "a"), fact(2, "b")});
  ask(dir.path(), "DROP INDEX events_by_type; DROP TABLE marks; DROP TABLE audit; PRAGMA user_version = 1;");
  const auto store = opened(dir.path());
  CHECK(found(*store, {.topic = "b"}) == Numbers{2});
  CHECK(ask(dir.path(), "PRAGMA user_version") == "4");
  CHECK(ask(dir.path(), "SELECT count(*) FROM sqlite_master WHERE name = 'events_by_type'") == "1");
}

TEST_CASE("the audit's newest record is remembered, and read without opening the store for writing") {
  test::Folder dir;
  CHECK(!Store::read_audit_head(dir.path())->has_value());
  {
    const auto store = opened(dir.path());
    CHECK(!store->audit_head());
    REQUIRE(store->keep({7, std::string(64, 'a')}).ok());
    REQUIRE(store->keep({9, std::string(64, 'b')}).ok());
    CHECK(Store::read_audit_head(dir.path())->value().seq == 9);
  }
  CHECK(opened(dir.path())->audit_head()->hash == std::string(64, 'b'));
  const auto head = Store::read_audit_head(dir.path());
  REQUIRE(head.ok());
  CHECK(head->value().seq == 9);
}

TEST_CASE("a younger version's store is refused and left alone") {
  test::Folder dir;
  put(*opened(dir.path()), {fact(1, "a")});
  ask(dir.path(), "PRAGMA user_version = 5");
  auto store = Store::open(dir.path());
  REQUIRE_FALSE(store.ok());
  CHECK(store.error().code == Code::unsupported);
  CHECK(store.error().message.find("format version 5") != std::string::npos);
  CHECK(ask(dir.path(), "SELECT count(*) FROM events") == "1");
}

TEST_CASE("a file that is no database is set aside and told") {
  test::Folder dir;
  {
    const UniqueFd file(::open((dir.path() + "/events.sqlite").c_str(), O_WRONLY | O_CREAT, 0600));
    const std::string junk(8192, 'x');
    REQUIRE(::write(file.get(), junk.data(), junk.size()) == static_cast<ssize_t>(junk.size()));
  }
  auto store = Store::open(dir.path());
  REQUIRE(store.ok());
  REQUIRE(store->damages.size() == 1);
  CHECK(store->damages[0].find("events.sqlite.damaged-1") != std::string::npos);
  REQUIRE(store->store->prepare().ok());
  put(*store->store, {fact(1, "a")});
  CHECK(::access((dir.path() + "/events.sqlite.damaged-1").c_str(), F_OK) == 0);
}

TEST_CASE("large events go one by one, and what was removed stays known") {
  test::Folder dir;
  std::uint64_t seq = 0;
  {
    const auto store = opened(dir.path());
    for (int batch = 0; batch < 40; ++batch) {
      std::vector<Fact> facts;
      for (int i = 0; i < 10; ++i) {
        facts.push_back(fact(++seq, "a"));
        facts.back().event.data.msgpack = reflect::to_msgpack(std::string(100'000, 'd'));
      }
      put(*store, facts);
    }
    for (int turns = 0;; ++turns) {
      REQUIRE(turns < 100);
      auto more = store->prune(16u << 20, std::nullopt);
      REQUIRE(more.ok());
      if (!*more) break;
    }
    // 16 MiB hold some 160 of them.
    CHECK(seq - store->oldest() > 120);
    CHECK(seq - store->oldest() < 170);
    CHECK(store->pruned() == store->oldest() - 1);
    // Everything is too old but the newest, which stays.
    while (*store->prune(16u << 20, SystemTime::max())) {
    }
    CHECK(store->oldest() == seq);
  }
  const auto again = opened(dir.path());
  CHECK(again->pruned() == seq - 1);
  CHECK(again->newest() == seq);
}

TEST_CASE("a query without an index looks through a part, and says where to go on") {
  test::Folder dir;
  const auto store = opened(dir.path());
  std::uint64_t seq = 0;
  for (int batch = 0; batch < 12; ++batch) {
    std::vector<Fact> facts;
    for (int i = 0; i < 10'000; ++i) {
      ++seq;
      facts.push_back(fact(seq, seq == 119'999 ? "rare.kind" : "a.b"));
    }
    put(*store, facts);
  }
  Query query;
  query.topic = "rare.*";
  int pages = 0;
  std::vector<std::uint64_t> found;
  for (bool more = true; more; ++pages) {
    auto page = store->query(query);
    REQUIRE(page.ok());
    for (const Fact& each : page->facts) found.push_back(*each.event.seq);
    CHECK(page->upto > query.since_seq);
    query.since_seq = page->upto;
    more = page->more;
  }
  CHECK(pages == 3);
  CHECK(found == std::vector<std::uint64_t>{119'999});
  query.since_seq = UINT64_MAX;
  CHECK(store->query(query)->facts.empty());
}

TEST_CASE("the oldest events go when the store is too large or they are too old, and no others") {
  test::Folder dir;
  const auto store = opened(dir.path());
  std::uint64_t seq = 0;
  for (int batch = 0; batch < 20; ++batch) {
    std::vector<Fact> facts;
    for (int i = 0; i < 1000; ++i) {
      facts.push_back(fact(++seq, "a"));
      facts.back().event.data.msgpack = reflect::to_msgpack(std::string(500, 'd'));
    }
    put(*store, facts);
  }
  const SystemTime epoch{};
  for (int turns = 0;; ++turns) {
    REQUIRE(turns < 100);
    auto more = store->prune(8u << 20, epoch);
    REQUIRE(more.ok());
    if (!*more) break;
  }
  CHECK(store->oldest() > 1);
  CHECK(store->oldest() < seq - 5000);
  const std::string rows = ask(dir.path(), "SELECT count(*) FROM events");
  CHECK(rows == std::to_string(seq - store->oldest() + 1));
  // By age: everything before the event 19,001.
  const SystemTime cutoff(std::chrono::seconds(1'000'000 + 19'001));
  while (*store->prune(1ull << 40, cutoff)) {
  }
  CHECK(store->oldest() == 19'001);
  CHECK(store->newest() == 20'000);
}

TEST_CASE("a kill in the middle of a batch leaves whole batches and a sound file") {
  test::Folder dir;
  opened(dir.path()).reset();
  for (int turn = 0; turn < 10; ++turn) {
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      auto store = Store::open(dir.path());
      if (!store || !store->store->prepare()) ::_exit(1);
      std::uint64_t seq = store->store->newest();
      for (;;) {
        if (!store->store->begin()) ::_exit(2);
        for (int i = 0; i < 10; ++i)
          if (!store->store->add(fact(++seq, "a", "user:1", "c"))) ::_exit(3);
        if (!store->store->commit()) ::_exit(4);
        if (::write(ready[1], "x", 1) != 1) ::_exit(5);
      }
    }
    // After some batches, wherever that falls in the next one.
    char byte;
    for (int batches = 0; batches < 5 + turn; ++batches) REQUIRE(::read(ready[0], &byte, 1) == 1);
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    ::close(ready[0]);
    ::close(ready[1]);
    CHECK(ask(dir.path(), "PRAGMA integrity_check") == "ok");
    const auto store = opened(dir.path());
    CHECK(store->newest() % 10 == 0);
    CHECK(ask(dir.path(), "SELECT count(*) FROM events") == std::to_string(store->newest()));
  }
}
