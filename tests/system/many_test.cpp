// Many at once.
#include "rig.hpp"

using namespace kairo;
using namespace kairo::test;

TEST_SUITE_BEGIN("many");

TEST_CASE("two thousand programs in flight each end with a status of their own") {
  Daemon daemon;
  client::Client client = connect(daemon);
  constexpr int count = 2000;
  std::vector<std::uint64_t> spawns, waits;
  for (int i = 0; i < count; ++i) {
    api::SpawnParams params = command({"/bin/sh", "-c", "exit " + std::to_string(i % 200)});
    if (i % 10 != 0) params = command({"/bin/true"});
    params.id = "n" + std::to_string(i);
    spawns.push_back(client.send("process.spawn", params));
    waits.push_back(client.send("process.wait", api::WaitParams{*params.id, {}}));
  }
  for (int i = 0; i < count; ++i) {
    auto spawned = client.await<api::SpawnResult>(spawns[static_cast<std::size_t>(i)],
                                                  SteadyClock::now() + patience * 4);
    REQUIRE_MESSAGE(spawned.ok(), (spawned.ok() ? std::string() : spawned.error().message));
    auto ended = client.await<api::ProcessSession>(waits[static_cast<std::size_t>(i)],
                                                   SteadyClock::now() + patience * 4);
    REQUIRE_MESSAGE(ended.ok(), (ended.ok() ? std::string() : ended.error().message));
    CHECK(ended->exit_code == (i % 10 == 0 ? i % 200 : 0));
  }
}

TEST_CASE(
    "60 KiB of a program that ends at once arrive whole, a thousand times of a thousand, attached before or "
    "after") {
  Daemon daemon;
  client::Client client = connect(daemon);
  std::map<std::string, PatternCheck> checks;
  const auto take = [&](const client::Push& push) {
    if (push.type != wire::FrameType::stream_chunk) return;
    auto chunk = api::read_chunk(push.payload);
    REQUIRE(chunk.ok());
    checks[std::string(chunk->subscription_id)].take(*chunk);
  };
  int whole = 0;
  for (int i = 0; i < 1000; ++i) {
    api::SpawnParams params = child({"spew", "61440"});
    params.id = "s" + std::to_string(i);
    std::string subscription;
    if (i % 2 == 0) {
      // Attach and wait are on their way before the program has begun.
      const auto spawned = client.send("process.spawn", params);
      const auto attached = client.send("process.attach", attach_to(*params.id, api::Flow::lossless));
      REQUIRE(client.await<api::SpawnResult>(spawned).ok());
      auto answer = client.await<api::SubscriptionResult>(attached);
      REQUIRE(answer.ok());
      subscription = answer->subscription_id;
      wait(client, *params.id);
    } else {
      spawn(client, params);
      wait(client, *params.id);
      subscription =
          must<api::SubscriptionResult>(client, "process.attach", attach_to(*params.id, api::Flow::follow))
              .subscription_id;
    }
    PatternCheck& check = checks[subscription];
    while (!check.eof()) {
      auto push = client.poll_push(SteadyClock::now() + patience);
      REQUIRE(push.ok());
      REQUIRE(push->has_value());
      take(**push);
    }
    CHECK(check.problem() == "");
    if (check.offset() == 61440 && check.dropped() == 0) ++whole;
    must<api::Done>(client, "process.forget", api::IdParams{*params.id});
    checks.erase(subscription);
  }
  CHECK(whole == 1000);
}

TEST_CASE("a hundred waits on one process are all answered, with the same end") {
  Daemon daemon;
  client::Client client = connect(daemon);
  api::SpawnParams params = child({"cat"});
  params.id = "one";
  spawn(client, params);
  std::vector<std::uint64_t> waits;
  for (int i = 0; i < 100; ++i) waits.push_back(client.send("process.wait", api::WaitParams{"one", {}}));
  must<api::Done>(client, "process.stdin.close", api::IdParams{"one"});
  for (const std::uint64_t each : waits) {
    auto ended = client.await<api::ProcessSession>(each, SteadyClock::now() + patience);
    REQUIRE(ended.ok());
    CHECK(ended->exit_code == 0);
  }
}

TEST_SUITE_END();
