// The event store behind a real daemon: replay under load and across kills, what a reader that stands still
// is told, who sees what, and that output never gets there.
#include <csignal>
#include <set>
#include <sqlite3.h>
#include <thread>

#include "rig.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

using Numbers = std::vector<std::uint64_t>;

api::PublishParams message(const std::string& type, std::size_t bytes = 20) {
  api::PublishParams params;
  params.type = type;
  params.data.msgpack = reflect::to_msgpack(std::string(bytes, 'd'));
  return params;
}

/// Publishes so many, a few hundred under way at a time; gives their numbers.
Numbers publish(client::Client& client, std::size_t count, const api::PublishParams& params) {
  Numbers out;
  std::vector<std::uint64_t> under_way;
  for (std::size_t done = 0; done < count;) {
    under_way.clear();
    for (std::size_t i = 0; i < 200 && done + i < count; ++i)
      under_way.push_back(client.send("event.publish", params));
    for (const std::uint64_t id : under_way) {
      auto answer = client.await<api::PublishResult>(id, SteadyClock::now() + patience);
      if (!answer) return out;  // the daemon was killed
      out.push_back(answer->seq);
    }
    done += under_way.size();
  }
  return out;
}

std::optional<api::Event> next_event(client::Client& client) {
  for (;;) {
    auto push = client.poll_push(SteadyClock::now() + patience);
    if (!push || !*push) return std::nullopt;
    if ((*push)->type != wire::FrameType::event) continue;
    auto event = client::Client::decoded<api::Event>((*push)->payload);
    REQUIRE(event.ok());
    return *std::move(event);
  }
}

/// Every stored event of a topic, page by page.
Numbers query_all(client::Client& client, api::EventQueryParams params) {
  Numbers out;
  for (;;) {
    auto page = must<api::EventQueryResult>(client, "event.query", params);
    for (const api::Event& each : page.events) out.push_back(*each.seq);
    if (!page.next) return out;
    params.since_seq = page.next;
  }
}

/// Cancels by correlation id.
void cancel_all(client::Client& client, const std::string& correlation_id) {
  struct Order {
    std::string target_correlation_id, reason;
    static constexpr auto fields() {
      return std::tuple(reflect::field("targetCorrelationId", &Order::target_correlation_id, ""),
                        reflect::field("reason", &Order::reason, ""));
    }
  };
  api::PublishParams order;
  order.type = "kairo.cancel";
  order.data.msgpack = reflect::to_msgpack(Order{correlation_id, "changed my mind"});
  must<api::PublishResult>(client, "event.publish", order);
}

std::string ask_store(const Daemon& daemon, const char* sql) {
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open((daemon.state_dir() + "/events.sqlite").c_str(), &db) == SQLITE_OK);
  std::string out;
  const auto take = [](void* to, int, char** values, char**) {
    *static_cast<std::string*>(to) = values[0] ? values[0] : "";
    return 0;
  };
  CHECK(sqlite3_exec(db, sql, take, &out, nullptr) == SQLITE_OK);
  sqlite3_close(db);
  return out;
}

}  // namespace

TEST_SUITE_BEGIN("event");

TEST_CASE("a replay that begins under load becomes live without gap or repeat") {
  Daemon daemon;
  auto writer = connect(daemon);
  const Numbers before = publish(writer, 30'000, message("load.a"));
  Numbers after;
  std::thread load([&] {
    auto own = client::Client::connect({.socket = daemon.socket()});
    if (own) after = publish(*own, 30'000, message("load.a"));
  });
  auto reader = connect(daemon);
  must<api::EventSubscribeResult>(reader, "event.subscribe",
                                  api::EventSubscribeParams{"load.*", before.front() - 1});
  Numbers got;
  while (got.size() < 60'000) {
    const auto event = next_event(reader);
    REQUIRE(event.has_value());
    REQUIRE(event->type == "load.a");
    got.push_back(*event->seq);
  }
  load.join();
  Numbers expected = before;
  expected.insert(expected.end(), after.begin(), after.end());
  CHECK(got == expected);
}

TEST_CASE("replays across kills of the daemon miss nothing and repeat nothing, and the store stays sound") {
  Daemon daemon({.start = false});
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  std::uint64_t last = 0;
  Numbers got;
  std::set<std::uint64_t> told;  // numbers that publish() was answered with
  for (int turn = 0; turn < 6; ++turn) {
    REQUIRE(daemon.ctl({"ping"}).code == 0);
    auto reader = connect(daemon);
    must<api::EventSubscribeResult>(reader, "event.subscribe", api::EventSubscribeParams{"load.*", last});
    Numbers numbers;
    std::thread load([&] {
      auto own = client::Client::connect({.socket = daemon.socket()});
      if (own) numbers = publish(*own, 1'000'000, message("load.a"));
    });
    // Until some came; then the daemon dies under load.
    const std::size_t until = got.size() + 3000;
    while (got.size() < until) {
      const auto event = next_event(reader);
      if (!event) break;
      if (event->type != "load.a") continue;
      got.push_back(*event->seq);
      last = *event->seq;
    }
    REQUIRE(got.size() >= until);
    REQUIRE(kill(daemon.pids().daemon, SIGKILL) == 0);
    load.join();
    told.insert(numbers.begin(), numbers.end());
    // What is left in the connection was pushed, too.
    while (const auto event = next_event(reader)) {
      if (event->type != "load.a") continue;
      got.push_back(*event->seq);
      last = *event->seq;
    }
  }
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  auto reader = connect(daemon);
  api::EventQueryParams rest;
  rest.topic = "load.*";
  rest.since_seq = last;
  for (const std::uint64_t each : query_all(reader, rest)) got.push_back(each);
  rest.since_seq = 0;
  CHECK(got == query_all(reader, rest));
  const std::set<std::uint64_t> had(got.begin(), got.end());
  CHECK(std::includes(had.begin(), had.end(), told.begin(), told.end()));
  CHECK(ask_store(daemon, "PRAGMA integrity_check") == "ok");
}

TEST_CASE("a live reader that stands still is told exactly what it missed, and can query it") {
  Daemon daemon;
  auto writer = connect(daemon);
  auto reader = connect(daemon);
  must<api::EventSubscribeResult>(reader, "event.subscribe", api::EventSubscribeParams{"load.*", {}});
  const Numbers sent = publish(writer, 20'000, message("load.a", 400));
  Numbers got;
  std::size_t missed = 0;
  while (got.size() < sent.size()) {
    const auto event = next_event(reader);
    REQUIRE(event.has_value());
    if (event->type != "kairo.event.lagged") {
      got.push_back(*event->seq);
      continue;
    }
    struct Data {
      std::uint64_t from_seq = 0, to_seq = 0, count = 0;
      static constexpr auto fields() {
        return std::tuple(reflect::field("fromSeq", &Data::from_seq, ""),
                          reflect::field("toSeq", &Data::to_seq, ""),
                          reflect::field("count", &Data::count, ""));
      }
    };
    const auto data = client::Client::decoded<Data>(event->data.msgpack);
    REQUIRE(data.ok());
    api::EventQueryParams range;
    range.topic = "load.*";
    range.since_seq = data->from_seq - 1;
    std::size_t here = 0;
    for (const std::uint64_t each : query_all(reader, range))
      if (each <= data->to_seq) {
        got.push_back(each);
        ++here;
      }
    CHECK(here == data->count);
    missed += here;
  }
  CHECK(missed > 0);
  CHECK(got == sent);
}

TEST_CASE("a principal has its own events and no other's, live, replayed and queried") {
  Daemon daemon;
  auto one = connect(daemon);
  auto two = connect(daemon);
  must<api::IdentifyResult>(one, "identify", api::IdentifyParams{"one"});
  must<api::IdentifyResult>(two, "identify", api::IdentifyParams{"two"});
  const Numbers first = publish(one, 3, message("own.a"));
  const Numbers second = publish(two, 4, message("own.a"));
  api::EventQueryParams params;
  params.topic = "own.*";
  CHECK(query_all(one, params) == first);
  CHECK(query_all(two, params) == second);
  auto plain = connect(daemon);
  CHECK(query_all(plain, params).size() == 7);
  auto again = connect(daemon);
  must<api::IdentifyResult>(again, "identify", api::IdentifyParams{"two"});
  must<api::EventSubscribeResult>(again, "event.subscribe", api::EventSubscribeParams{"own.*", 0});
  const Numbers live = publish(two, 1, message("own.a"));
  publish(one, 1, message("own.a"));
  Numbers got;
  while (got.size() < 5) got.push_back(*next_event(again)->seq);
  Numbers expected = second;
  expected.push_back(live[0]);
  CHECK(got == expected);
}

TEST_CASE("a cancel by correlation id reaches processes and waits, with who and why, and nobody else's") {
  Daemon daemon;
  auto client = connect(daemon);
  client.set_trace({.correlation_id = "job"});
  auto params = child({"sleep", "1000"});
  const std::string one = spawn(client, params).id;
  const std::string two = spawn(client, params).id;
  auto other = connect(daemon);
  const std::string kept = spawn(other, params).id;
  const std::uint64_t wait_ended = client.send("process.wait", api::WaitParams{one, {}});
  const std::uint64_t wait_kept = client.send("process.wait", api::WaitParams{kept, {}});
  REQUIRE(client.pump().ok());
  must<api::PingResult>(client, "kernel.ping", api::NoParams{});  // the waits were read before it
  cancel_all(other, "job");
  auto waited = client.await<api::ProcessSession>(wait_kept, SteadyClock::now() + patience);
  REQUIRE_FALSE(waited.ok());
  CHECK(waited.error().code == Code::timeout);
  CHECK(waited.error().message.find("changed my mind") != std::string::npos);
  // The wait for a process that is canceled itself was made under the same id: it is over, too.
  CHECK_FALSE(client.await<api::ProcessSession>(wait_ended, SteadyClock::now() + patience).ok());
  for (const std::string& id : {one, two}) CHECK(wait(other, id).outcome->reason == api::EndReason::canceled);
  CHECK(must<api::ProcessSession>(other, "process.status", api::IdParams{kept}).status ==
        api::Status::running);
  api::EventQueryParams story;
  story.correlation_id = "job";
  const auto page = must<api::EventQueryResult>(other, "event.query", story);
  std::vector<std::string> types;
  for (const api::Event& each : page.events) types.push_back(each.type);
  CHECK(types == std::vector<std::string>{"kairo.process.spawned", "kairo.process.spawned", "kairo.cancel",
                                          "kairo.process.canceled", "kairo.process.canceled",
                                          "kairo.process.exited", "kairo.process.exited"});
}

TEST_CASE(
    "a cancel reaches what was started from within, under an id of its own, and a detached descendant "
    "inherits") {
  Daemon daemon;
  auto client = connect(daemon);
  const std::string inner = "exec " + kairoctl_path() + " --socket " + daemon.socket() + " spawn --id ";
  auto outer =
      command({"sh", "-c", "(" + inner + "own --correlation-id other -- sleep 1000); exec sleep 1000"});
  client.set_trace({.correlation_id = "job"});
  const std::string id = spawn(client, outer).id;
  // It leaves a descendant, which starts another one when nothing else runs any more.
  const std::string go = daemon.dir().file("go");
  auto leaving = command(
      {"sh", "-c",
       "(until [ -e " + go + " ]; do sleep 0.01; done; " + inner + "late -- sleep 1000) > /dev/null 2>&1 &"});
  leaving.options->detach_descendants = true;
  const std::string left = spawn(client, leaving).id;
  auto other = connect(daemon);
  const auto is_there = [&](const char* name) {
    return other.call<api::ProcessSession>("process.status", api::IdParams{name}).ok();
  };
  eventually([&] { return is_there("own"); }, "the inner session is there");
  CHECK(wait(other, left).exit_code == 0);
  cancel_all(other, "job");
  for (const std::string& each : {id, std::string("own")})
    CHECK(wait(other, each).outcome->reason == api::EndReason::canceled);
  daemon.dir().put("go", "");
  eventually([&] { return is_there("late"); }, "the descendant has started another");
  CHECK(status(other, "late").correlation_id == "job");
}

TEST_CASE("a client that asks for much and reads nothing costs neither memory nor others their answers") {
  Daemon daemon;
  auto client = connect(daemon), greedy = connect(daemon);
  api::PublishParams large;
  large.type = "test.large";
  large.data.msgpack = "\xdb" + std::string("\x00\x01\x86\xa0", 4) + std::string(100'000, 'x');
  for (int i = 0; i < 40; ++i) must<api::PublishResult>(client, "event.publish", large);
  const pid_t pid = daemon.pids().daemon;
  const std::uint64_t before = anonymous_bytes(pid);
  for (int i = 0; i < 300; ++i) greedy.send("event.query", api::EventQueryParams{});
  while (greedy.wants_to_send()) REQUIRE(greedy.pump().ok());
  // Its queries stand behind one another; everybody else's do not stand behind them.
  api::EventQueryParams few;
  few.limit = 1;
  for (int i = 0; i < 20; ++i)
    CHECK(must<api::EventQueryResult>(client, "event.query", few).events.size() == 1);
  // A sanitizer keeps freed memory back on purpose.
  if (!sanitized())
    CHECK(anonymous_bytes(pid) < before + (64u << 20));
  else
    CHECK(before > 0);
  api::PublishParams tagged = large;
  tagged.correlation_id = std::string(300, 't');
  CHECK_FALSE(client.call<api::PublishResult>("event.publish", tagged).ok());
}

TEST_CASE("output never enters the store: a stream of a gigabyte adds fewer than 20 rows") {
  Daemon daemon;
  auto client = connect(daemon);
  const auto before = must<api::EventQueryResult>(client, "event.query", api::EventQueryParams{}).newest_seq;
  auto params = child({"spew", std::to_string(1ull << 30)});
  params.options->subscribe = true;  // throttled: what exceeds the rate is told by events
  const std::string id = spawn(client, params).id;
  CHECK(wait(client, id).streams.standard_output.bytes == 1ull << 30);
  const auto page = must<api::EventQueryResult>(client, "event.query", api::EventQueryParams{});
  CHECK(page.newest_seq - before < 20);
  CHECK(page.newest_seq - before >= 2);
}

TEST_SUITE_END();
