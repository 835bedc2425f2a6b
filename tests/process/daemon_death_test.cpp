// The daemon dies, the executor dies: what goes on, and what does not stay.
#include <csignal>
#include <filesystem>

#include "e2e/support.hpp"
#include "rig.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

/// kill -9 of the daemon, and the start of another by the next client.
void replace_daemon(Daemon& daemon) {
  const pid_t pid = daemon.pids().daemon;
  REQUIRE(::kill(pid, SIGKILL) == 0);
  eventually([&] { return ::kill(pid, 0) != 0; }, "the daemon is gone");
  REQUIRE(daemon.ctl({"ping"}).code == 0);
}

}  // namespace

TEST_SUITE_BEGIN("processUnix" * doctest::skip(gated()));

TEST_CASE("a topology goes on without its daemon, and the next daemon finds it") {
  Daemon daemon(Daemon::Options{.start = false});
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  Rig rig(daemon, row({numbered(endless), restarted(program("middle", {"cat"})), verifier()}));
  for (int i = 0; i < 3; ++i) {
    rig.await_more("sink", 1024 * 1024);
    const std::uint64_t before = rig.node("sink").bytes_in;
    replace_daemon(daemon);
    rig.connect_again();
    CHECK(rig.status().state == api::TopologyState::running);
    rig.await_bytes("sink", before + 1024 * 1024);
    CHECK_FALSE(rig.cutover("middle", i % 2 ? by_program({"cat"}) : by_module("passthrough")).rolled_back);
  }
  const auto result = rig.down();
  CHECK(result.drained);
  CHECK(rig.end().exit_code == 0);
  CHECK(rig.verdict() == "ok " + std::to_string(result.nodes[0].bytes_out) + "\n");
  CHECK(rig.events("kairo.node.crashed").empty());
  rig.check_nothing_left();
}

TEST_CASE("a daemon that dies during a cutover: it comes to its end all the same") {
  Daemon daemon(Daemon::Options{.start = false});
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  auto middle = program("middle", {"cat"});
  middle.health_ms = 300;
  Rig rig(daemon, row({numbered(endless), middle, verifier()}));
  for (int i = 0; i < 4; ++i) {
    rig.await_more("sink", 1024 * 1024);
    static_cast<void>(rig.client().send("topology.cutover", rig.cutover_of("middle", by_program({"cat"}))));
    REQUIRE(rig.client().pump().ok());
    // Before, while and after the new node is started.
    if (i > 0)
      eventually([&] { return rig.node("middle").generation > static_cast<std::uint64_t>(i); }, "it began");
    if (i > 1) rig.await_event("kairo.node.started", static_cast<std::size_t>(3 + i));
    replace_daemon(daemon);
    rig.connect_again();
    const std::uint64_t wanted = static_cast<std::uint64_t>(i) + 2;
    eventually(
        [&] {
          const auto now = rig.node("middle");
          return now.generation >= wanted && now.process_id == "t.middle." + std::to_string(now.generation);
        },
        "the new node has taken the place of the old one");
  }
  const auto result = rig.down();
  CHECK(result.drained);
  rig.end();
  CHECK(rig.verdict() == "ok " + std::to_string(result.nodes[0].bytes_out) + "\n");
}

TEST_CASE("a daemon that dies while a topology comes up: it is up, or not there") {
  Daemon daemon(Daemon::Options{.start = false});
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  for (int i = 0; i < 6; ++i) {
    auto topology = row({numbered(endless), program("a", {"cat"}), program("b", {"cat"}), verifier()});
    topology.name = "up" + std::to_string(i);
    const std::string executor = topology.name + ".executor";
    {
      client::Client client = connect(daemon);
      api::TopologyUpParams params;
      params.topology = topology;
      params.cwd = "/";
      static_cast<void>(client.send("topology.up", params));
      REQUIRE(client.pump().ok());
      // At six moments of its start.
      const auto there = [&](const std::string& id) {
        return client.call_raw("process.status", api::IdParams{id}, SteadyClock::now() + patience).ok();
      };
      if (i == 1 || i == 2) eventually([&] { return there(executor); }, "its executor was started");
      if (i == 3)
        eventually([&] { return there(topology.name + ".source.1"); }, "the first node was started");
      if (i >= 4) eventually([&] { return there(topology.name + ".sink.1"); }, "the last node was started");
    }
    replace_daemon(daemon);
    client::Client client = connect(daemon);
    auto status = client.call<api::TopologyStatus>("topology.status", api::TopologyParams{topology.name},
                                                   SteadyClock::now() + patience);
    if (i >= 3) REQUIRE(status.ok());
    if (!status) {
      CHECK(status.error().code == Code::not_found);
      continue;
    }
    if (!status->nodes.empty()) {
      eventually(
          [&] {
            status = client.call<api::TopologyStatus>("topology.status", api::TopologyParams{topology.name},
                                                      SteadyClock::now() + patience);
            return status.ok() && status->nodes.size() == 4 && status->nodes[3].bytes_in > 100'000;
          },
          "it runs");
      auto down = client.call<api::TopologyDownResult>(
          "topology.down", api::TopologyDownParams{topology.name, {}}, SteadyClock::now() + patience);
      REQUIRE(down.ok());
      CHECK(down->drained);
      CHECK(wait(client, executor).exit_code == 0);
      CHECK(wait(client, topology.name + ".sink.1").exit_code == 0);
    } else {
      // Its executor waits for a topology that nobody sends any more.
      api::CancelParams cancel;
      cancel.id = executor;
      static_cast<void>(client.call_raw("process.cancel", cancel, SteadyClock::now() + patience));
      wait(client, executor);
    }
  }
  eventually([&] { return !std::filesystem::exists(daemon.socket() + ".d"); }, "nothing is left");
}

TEST_CASE("a node that dies while there is no daemon is started again by the next one") {
  Daemon daemon(Daemon::Options{.start = false});
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  // What it had read and not passed on goes with it, so that nobody looks at the numbers.
  Rig rig(daemon, row({numbered(endless), restarted(program("middle", {"cat"})), worker("sink", "count")}));
  rig.await_bytes("sink", 1024 * 1024);
  const auto node = status(rig.client(), "t.middle.1").pid;
  const pid_t pid = daemon.pids().daemon;
  REQUIRE(::kill(pid, SIGKILL) == 0);
  eventually([&] { return ::kill(pid, 0) != 0; }, "the daemon is gone");
  REQUIRE(::kill(static_cast<pid_t>(node), SIGKILL) == 0);
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  rig.connect_again();
  rig.await_event("kairo.node.crashed");
  eventually(
      [&] {
        return rig.node("middle").generation == 2 && rig.node("middle").state == api::NodeState::running;
      },
      "it lives again");
  rig.await_more("sink", 1024 * 1024);
  CHECK(rig.down().drained);
  rig.end();
}

TEST_CASE("an executor that is killed takes its nodes with it, and its places") {
  Daemon daemon;
  Rig rig(daemon, row({numbered(endless), program("stuck", {"copy", "1000", "ignore-term"}),
                       plain("sink", {"cat"})}));
  rig.await_bytes("sink", 1006);  // and "ready"
  REQUIRE(std::filesystem::exists(daemon.socket() + ".d/t/control.sock"));
  REQUIRE(std::filesystem::exists(daemon.socket() + ".d/t.sock"));
  send_signal(rig.client(), "t.executor", SIGKILL);
  CHECK(rig.end().signal == "SIGKILL");
  const auto stuck = wait(rig.client(), "t.stuck.1");
  REQUIRE(stuck.outcome.has_value());
  CHECK(stuck.outcome->reason == api::EndReason::owner_gone);
  wait(rig.client(), "t.source.1");
  wait(rig.client(), "t.sink.1");
  const auto status = rig.status();
  CHECK(status.state == api::TopologyState::failed);
  CHECK(status.reason->find("SIGKILL") != std::string::npos);
  rig.check_nothing_left();
  // And the name is free.
  Rig again(daemon, row({numbered(1600), verifier()}));
  CHECK(again.end().exit_code == 0);
}

TEST_CASE("an executor that dies while there is no daemon: the next daemon ends its nodes") {
  Daemon daemon(Daemon::Options{.start = false});
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  Rig rig(daemon, row({numbered(endless), program("stuck", {"copy", "1000", "ignore-term"}),
                       plain("sink", {"cat"})}));
  rig.await_bytes("sink", 1006);  // and "ready"
  const auto executor = static_cast<pid_t>(status(rig.client(), "t.executor").pid);
  const pid_t pid = daemon.pids().daemon;
  REQUIRE(::kill(pid, SIGKILL) == 0);
  eventually([&] { return ::kill(pid, 0) != 0; }, "the daemon is gone");
  REQUIRE(::kill(executor, SIGKILL) == 0);
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  rig.connect_again();
  CHECK(rig.end().signal == "SIGKILL");
  CHECK(wait(rig.client(), "t.stuck.1").status == api::Status::killed);
  rig.check_nothing_left();
}

TEST_SUITE_END();
