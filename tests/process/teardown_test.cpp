// topology.down: sources first, everything that is under way arrives, nothing stays.
#include <csignal>

#include "e2e/support.hpp"
#include "rig.hpp"

using namespace kairo;
using namespace kairo::test;

TEST_SUITE_BEGIN("processUnix" * doctest::skip(gated()));

TEST_CASE("a topology under full load goes down from its sources on, and what was under way arrives") {
  Daemon daemon;
  for (int i = 0; i < 5; ++i) {
    Rig rig(daemon,
            row({numbered(endless), program("cat", {"cat"}), worker("pass", "passthrough"), verifier()}));
    rig.await_more("sink", 4 * 1024 * 1024);
    const auto result = rig.down();
    CHECK(result.drained);
    REQUIRE(result.nodes.size() == 4);
    const char* const order[] = {"source", "cat", "pass", "sink"};
    for (std::size_t n = 0; n < 4; ++n) {
      CHECK(result.nodes[n].id == order[n]);
      CHECK(result.nodes[n].drained);
      CHECK(result.nodes[n].remaining == 0);
      if (n > 0) CHECK(result.nodes[n].bytes_in == result.nodes[0].bytes_out);
    }
    CHECK(rig.end().exit_code == 0);
    CHECK(rig.verdict() == "ok " + std::to_string(result.nodes[0].bytes_out) + "\n");
    CHECK(rig.status().state == api::TopologyState::finished);
    rig.check_nothing_left();
  }
}

TEST_CASE("split and merge go down without losing a line") {
  Daemon daemon;
  auto topology = row({program("source", {"lines", std::to_string(endless)})});
  for (const char* id : {"left", "right"}) {
    topology.nodes.push_back(plain(id, {"cat"}));
    join(topology, "source", id, api::ConnectionType::split);
    join(topology, id, "sink", api::ConnectionType::merge);
  }
  topology.nodes.push_back(worker("sink", "count"));
  Rig rig(daemon, topology);
  rig.await_bytes("sink", 4 * 1024 * 1024);
  const auto result = rig.down();
  CHECK(result.drained);
  CHECK(result.nodes.front().id == "source");
  CHECK(result.nodes.back().id == "sink");
  const std::uint64_t given = result.nodes.front().bytes_out;
  // The last line is torn: the source was ended. A newline then parts the two last pieces.
  const std::uint64_t taken = result.nodes.back().bytes_in;
  CHECK(taken >= 2 * given);
  CHECK(taken <= 2 * given + 1);
}

TEST_CASE("a node that does not drain is ended, and reported with what remains") {
  Daemon daemon;
  Rig rig(daemon, row({numbered(endless), program("stuck", {"copy", "1000", "ignore-term"}),
                       plain("sink", {"cat"})}));
  rig.await_bytes("sink", 1000);
  const auto result = rig.down(200);
  CHECK_FALSE(result.drained);
  for (const auto& each : result.nodes) {
    if (each.id != "stuck") continue;
    CHECK_FALSE(each.drained);
    CHECK(each.remaining == each.bytes_in - 1000);
  }
  CHECK(result.nodes.size() == 3);
  CHECK(rig.end().exit_code == 0);
  rig.check_nothing_left();
}

TEST_CASE("a source that ignores SIGTERM is killed after its grace") {
  Daemon daemon;
  Rig rig(daemon, row({program("source", {"ignore-term"}), plain("sink", {"cat"})}));
  rig.await_bytes("sink", 6);  // "ready\n"
  CHECK(rig.down().drained);
  CHECK(wait(rig.client(), "t.source.1").signal == "SIGKILL");
  CHECK(rig.log_of("t.sink.1") == "ready\n");
}

TEST_CASE("a topology goes down while a cutover waits, drains, or has a node that reads nothing") {
  Daemon daemon;
  for (const bool drains : {false, true}) {
    auto middle = program("middle", drains ? std::vector<std::string>{"copy", "1000", "sleep", "100000"}
                                           : std::vector<std::string>{"cat"});
    if (!drains) middle.health_ms = 3'600'000;
    Rig rig(daemon, row({numbered(endless), middle, verifier()}));
    rig.await_bytes("sink", 1000);
    // What takes the place of the one that does not drain does not end with its input either.
    auto params = rig.cutover_of("middle", by_program({"sleep", "100000"}));
    params.drain_timeout_ms = 600'000;
    params.health_timeout_ms = 600'000;
    const std::uint64_t asked = rig.client().send("topology.cutover", params);
    if (drains)
      eventually([&] { return rig.status().connections[0].held; }, "its input is held");
    else
      eventually([&] { return rig.node("middle").generation == 2; }, "the new node was started");
    const auto result = rig.down(drains ? 300 : 60'000);
    CHECK(result.drained == !drains);
    CHECK(rig.end().exit_code == 0);
    auto cutover = rig.client().await<api::CutoverResult>(asked, SteadyClock::now() + patience);
    if (!drains) {
      REQUIRE(cutover.ok());
      CHECK(cutover->rolled_back);
      CHECK(cutover->reason == "the topology goes down");
    } else {
      CHECK((cutover.ok() || cutover.error().code == Code::not_running));
    }
    rig.check_nothing_left();
  }
}

TEST_CASE("the same topology comes up again after its end, and a second of its name does not beside it") {
  Daemon daemon;
  const auto topology = row({numbered(endless), verifier()});
  {
    Rig rig(daemon, topology);
    api::TopologyUpParams params;
    params.topology = topology;
    auto second =
        rig.client().call<api::TopologyStatus>("topology.up", params, SteadyClock::now() + patience);
    REQUIRE(!second.ok());
    CHECK(second.error().code == Code::already_exists);
    rig.await_bytes("sink", 1000);
    CHECK(rig.status().state == api::TopologyState::running);
    CHECK(rig.down().drained);
    rig.end();
    auto over = rig.client().call<api::TopologyDownResult>("topology.down", api::TopologyDownParams{"t", {}},
                                                           SteadyClock::now() + patience);
    CHECK(over.error().code == Code::not_running);
  }
  Rig rig(daemon, topology);
  rig.await_bytes("sink", 1000);
  CHECK(rig.down().drained);
  rig.end();
  CHECK(rig.verdict().find("ok ") == 0);
}

TEST_CASE("a daemon that is stopped with its processes ends its topologies") {
  Daemon daemon;
  Rig rig(daemon, row({numbered(endless), program("cat", {"cat"}), verifier()}));
  rig.await_bytes("sink", 1000);
  const auto pids = daemon.pids();
  CHECK(daemon.ctl({"kernel", "stop", "--processes", "stop"}).code == 0);
  eventually(
      [&] {
        return ::kill(pids.keeper, 0) != 0 || processes_with("KAIRO_IPC_SOCKET=" + daemon.socket()).empty();
      },
      "every process has ended");
}

TEST_SUITE_END();
