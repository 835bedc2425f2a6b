// Nodes that speak the control protocol, and fall silent. Silence is made by SIGSTOP, not by waiting.
#include <filesystem>

#include "rig.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

/// The example in shell: cat, with kairoctl as its voice.
api::TopologyNode speaking(const std::string& id, std::uint64_t timeout_ms) {
  auto node = plain(id, {"sh", std::string(KAIRO_TEST_SOURCE) + "/docs/examples/control/pass.sh"});
  const std::string bin = std::filesystem::path(kairoctl_path()).parent_path();
  node.env = std::map<std::string, std::string>{{"PATH", bin + ":/usr/bin:/bin"}};
  node.heartbeat.emplace();
  node.heartbeat->interval_ms = 100 * (scale > 1 ? 5 : 1);
  node.heartbeat->max_missed = 2;
  node.heartbeat->timeout_ms = timeout_ms;
  return node;
}

}  // namespace

TEST_SUITE_BEGIN("processUnix" * doctest::skip(gated()));

TEST_CASE("a node that falls silent is late, then missed, and recovers; its stream goes on") {
  Daemon daemon;
  Rig rig(daemon, row({numbered(endless), speaking("middle", 3'600'000), verifier()}));
  eventually([&] { return rig.node("middle").control; }, "it has said hello");
  CHECK(rig.node("middle").health == api::Health::healthy);
  must<api::ProcessSession>(rig.client(), "process.pause", api::IdParams{"t.middle.1"});
  rig.await_event("kairo.node.heartbeat.late");
  rig.await_event("kairo.node.heartbeat.missed");
  CHECK(rig.node("middle").health == api::Health::unhealthy);
  CHECK(rig.events("kairo.node.heartbeat.missed").back().misses >= 2);
  must<api::ProcessSession>(rig.client(), "process.resume", api::IdParams{"t.middle.1"});
  rig.await_event("kairo.node.heartbeat.recovered");
  CHECK(rig.events("kairo.node.heartbeat.timeout").empty());
  rig.await_more("sink", 1024 * 1024);
  CHECK(rig.node("middle").generation == 1);
  const auto result = rig.down();
  CHECK(result.drained);
  rig.end();
  CHECK(rig.verdict() == "ok " + std::to_string(result.nodes[0].bytes_out) + "\n");
}

TEST_CASE("silence past the timeout ends the node; its successor has what it did not read") {
  Daemon daemon;
  // Stopped before it could read: everything that it was given is its successor's.
  Rig rig(daemon,
          row({plain("source",
                     {"sh", "-c", "echo begin; read on < go; exec \"$0\" spew 1600", test_child_path()}),
               restarted(speaking("middle", 1000 * scale)), plain("sink", {"cat"})}),
          [&] {
            REQUIRE(::system(("mkfifo " + daemon.dir().file("go")).c_str()) == 0);
            return daemon.dir().path();
          }());
  eventually([&] { return rig.node("sink").bytes_in == 6 && rig.node("middle").control; }, "it has begun");
  must<api::ProcessSession>(rig.client(), "process.pause", api::IdParams{"t.middle.1"});
  daemon.dir().put("go", "on\n");
  rig.await_event("kairo.node.heartbeat.timeout");
  CHECK(rig.end().exit_code == 0);
  const auto crashed = rig.events("kairo.node.crashed");
  REQUIRE(crashed.size() >= 1);
  CHECK(crashed[0].message->find("gave no heartbeat for ") == 0);
  CHECK(crashed[0].consumed == 6);
  CHECK(wait(rig.client(), "t.middle.1").status == api::Status::killed);
  std::string wanted(1600, '\0');
  pattern_fill(wanted.data(), wanted.size(), 0);
  CHECK(rig.log_of("t.sink.1") == "begin\n" + wanted);
}

TEST_CASE("a node that is to speak and says nothing is not healthy, and times out") {
  Daemon daemon;
  auto mute = program("middle", {"cat"});
  mute.heartbeat.emplace();
  mute.heartbeat->interval_ms = 20;
  mute.heartbeat->max_missed = 2;
  mute.heartbeat->timeout_ms = 100;
  mute.on_failure = api::OnFailure::hold;
  Rig rig(daemon, row({numbered(endless), mute, verifier()}));
  rig.await_event("kairo.node.held");
  CHECK(rig.events("kairo.node.healthy").size() == 2);  // the other two
  // The same again is not healthy either.
  const auto result = rig.cutover("middle", by_program({"cat"}));
  CHECK(result.rolled_back);
  CHECK(rig.down(200).name == "t");
}

TEST_CASE("nodes that speak are replaced, and go down, like any other") {
  Daemon daemon;
  Rig rig(daemon, row({numbered(endless), speaking("middle", 3'600'000), verifier()}));
  eventually([&] { return rig.node("middle").control; }, "it has said hello");
  const auto result = rig.cutover(
      "middle", by_plain({"sh", std::string(KAIRO_TEST_SOURCE) + "/docs/examples/control/pass.sh"}));
  CHECK_FALSE(result.rolled_back);
  CHECK(result.old_node.drained);
  CHECK(rig.node("middle").generation == 2);
  CHECK(rig.node("middle").control);
  const auto down = rig.down();
  CHECK(down.drained);
  rig.end();
  CHECK(rig.verdict() == "ok " + std::to_string(down.nodes[0].bytes_out) + "\n");
  CHECK(wait(rig.client(), "t.middle.1").exit_code == 0);
  CHECK(wait(rig.client(), "t.middle.2").exit_code == 0);
}

TEST_SUITE_END();
