// A node dies in the middle of the stream: what it had read is its own loss, what it had not read is
// nobody's.
#include <csignal>
#include <filesystem>

#include "rig.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

/// Reads and passes exactly so many bytes, then dies; at the end of its input it ends in order.
api::TopologyNode dies_after(std::uint64_t bytes) {
  return program("middle", {"copy", std::to_string(bytes), "die", "KILL"});
}

}  // namespace

TEST_SUITE_BEGIN("processUnix" * doctest::skip(gated()));

TEST_CASE("a node that dies again and again loses nothing that it had not read") {
  Daemon daemon;
  constexpr std::uint64_t bytes = 4 * 1024 * 1024, each_life = 100'001;
  Rig rig(daemon, row({numbered(bytes), restarted(dies_after(each_life)), verifier()}));
  CHECK(rig.end().exit_code == 0);
  CHECK(rig.verdict() == "ok " + std::to_string(bytes) + "\n");
  const auto crashed = rig.events("kairo.node.crashed");
  CHECK(crashed.size() == bytes / each_life);
  // The event tells what all lives together have consumed: what the dead nodes themselves have counted.
  std::uint64_t lives = 0;
  for (const NodeEvent& each : crashed) {
    ++lives;
    CHECK(each.node == "middle");
    CHECK(each.generation == lives);
    CHECK(each.process_id == "t.middle." + std::to_string(lives));
    CHECK(each.consumed == lives * each_life);
    CHECK(each.message == "was ended by SIGKILL");
  }
  CHECK(rig.events("kairo.node.restarting").size() == crashed.size());
}

TEST_CASE("the same over pipes, and with a worker before and behind") {
  Daemon daemon;
  constexpr std::uint64_t bytes = 4 * 1024 * 1024, each_life = 300'001;
  auto middle = restarted(dies_after(each_life));
  middle.io = api::NodeIo::pipes;
  Rig rig(daemon, row({numbered(bytes), worker("before", "passthrough"), middle, worker("behind", "meter"),
                       verifier()}));
  CHECK(rig.end().exit_code == 0);
  CHECK(rig.verdict() == "ok " + std::to_string(bytes) + "\n");
  const auto crashed = rig.events("kairo.node.crashed");
  REQUIRE(crashed.size() == bytes / each_life);
  CHECK(crashed.back().consumed == crashed.size() * each_life);
}

TEST_CASE("without a restart the topology fails, and says why") {
  Daemon daemon;
  Rig rig(daemon, row({numbered(endless), dies_after(100'001), verifier()}));
  const auto ended = rig.end();
  CHECK(ended.exit_code == 1);
  const auto crashed = rig.events("kairo.node.crashed");
  REQUIRE(crashed.size() == 1);
  CHECK(crashed[0].consumed == 100'001);
  const auto failed = rig.events("kairo.topology.failed");
  REQUIRE(failed.size() == 1);
  CHECK(failed[0].message->find(
            "node \"middle\" failed: the node was ended by SIGKILL, having consumed 100001 bytes") == 0);
  CHECK(rig.said().find("having consumed 100001 bytes") != std::string::npos);
  const auto status = rig.status();
  CHECK(status.state == api::TopologyState::failed);
  CHECK(status.nodes.empty());
  rig.check_nothing_left();
}

TEST_CASE(
    "a node that may not be started again often enough fails in the end, with the count of its restarts") {
  Daemon daemon;
  Rig rig(daemon, row({numbered(endless), restarted(dies_after(1000), 3), verifier()}));
  CHECK(rig.end().exit_code == 1);
  CHECK(rig.events("kairo.node.crashed").size() == 4);
  const auto failed = rig.events("kairo.node.failed");
  REQUIRE(failed.size() == 1);
  CHECK(failed[0].message->find("again after 3 restarts in a row") != std::string::npos);
}

TEST_CASE("a node that is held keeps what it had not read, and a cutover gives that to its successor") {
  for (const api::Boundary boundary : {api::Boundary::bytes, api::Boundary::line}) {
    Daemon daemon;
    auto middle = dies_after(100'001);
    middle.on_failure = api::OnFailure::hold;
    constexpr std::uint64_t bytes = 8 * 1024 * 1024;
    Rig rig(daemon, row({numbered(bytes), middle, verifier()}));
    rig.await_event("kairo.node.held");
    const auto held = rig.node("middle");
    CHECK(held.state == api::NodeState::held);
    CHECK(held.reason->find("having consumed 100001 bytes") != std::string::npos);
    CHECK(rig.status().state == api::TopologyState::running);
    // A held node that cannot be replaced stays as it is.
    const auto failed = rig.cutover("middle", by_plain({"/nonexistent"}), boundary);
    CHECK(failed.rolled_back);
    CHECK(rig.node("middle").state == api::NodeState::held);
    // One that dies of the same, and then one that does not.
    const auto replaced = rig.cutover("middle", by_program({"copy", "1000", "die", "KILL"}), boundary);
    CHECK_FALSE(replaced.rolled_back);
    CHECK(replaced.old_node.bytes_out == 100'001);
    rig.await_event("kairo.node.held", 2);
    const auto last = rig.cutover("middle", by_program({"cat"}), boundary);
    CHECK_FALSE(last.rolled_back);
    CHECK(rig.end().exit_code == 0);
    CHECK(rig.verdict() == "ok " + std::to_string(bytes) + "\n");
    const auto crashed = rig.events("kairo.node.crashed");
    REQUIRE(crashed.size() == 2);
    CHECK(crashed[1].consumed == 101'001);
  }
}

TEST_CASE("a source that dies is started again, a sink that dies gets what it had not read") {
  Daemon daemon;
  constexpr std::uint64_t bytes = 1024 * 1024;
  const std::string out = daemon.dir().file("out");
  auto sink =
      restarted(plain("sink", {"sh", "-c", "exec \"$0\" copy 100001 die KILL >> out", test_child_path()}));
  sink.cwd = daemon.dir().path();
  Rig rig(daemon, row({restarted(program("source", {"spew", std::to_string(bytes)})), sink}));
  CHECK(rig.end().exit_code == 0);
  const std::string all = read_file(out);
  CHECK(all.size() == bytes);
  CHECK(pattern_mismatch(all.data(), all.size(), 0) == all.size());
  CHECK(rig.events("kairo.node.crashed").size() == bytes / 100'001);
}

TEST_CASE("a sink that dies before anything has flowed is dealt with like any other") {
  Daemon daemon;
  for (int i = 0; i < 20; ++i) {
    // A source that takes its time to start: the sink is dead before the flow begins.
    auto topology =
        row({worker("source", "file-source", {{"path", "/dev/zero"}}), program("sink", {"exit", "3"})});
    Rig rig(daemon, topology);
    CHECK(rig.end().exit_code == 1);
  }
  // One that is started again lives, and gets everything.
  const std::string mark = daemon.dir().file("mark");
  auto sink =
      restarted(plain("sink", {"sh", "-c", "[ -e mark ] && exec \"$0\" verify-stdin; touch mark; exit 3",
                               test_child_path()}));
  sink.cwd = daemon.dir().path();
  Rig rig(daemon, row({numbered(100'000), sink}));
  CHECK(rig.end().exit_code == 0);
  CHECK(rig.log_of("t.sink.2") == "ok 100000\n");
}

TEST_CASE(
    "a worker that fails is held with what its file had not taken, and a cutover puts that into another") {
  Daemon daemon;
  auto sink = worker("sink", "file-sink", {{"path", "/dev/full"}});
  sink.on_failure = api::OnFailure::hold;
  constexpr std::uint64_t bytes = 3 * 1024 * 1024;
  Rig rig(daemon, row({numbered(bytes), sink}));
  rig.await_event("kairo.node.held");
  CHECK(rig.node("sink").reason->find("ENOSPC") != std::string::npos);
  api::Replacement with;
  const std::string out = daemon.dir().file("out");
  with.params = reflect::Any{reflect::to_msgpack(std::map<std::string, std::string>{{"path", out}})};
  const auto result = rig.cutover("sink", std::move(with));
  CHECK_FALSE(result.rolled_back);
  CHECK(rig.end().exit_code == 0);
  const std::string all = read_file(out);
  CHECK(all.size() == bytes);
  CHECK(pattern_mismatch(all.data(), all.size(), 0) == all.size());
}

TEST_CASE("a worker that cannot open its file again for a while gets what its first life had not taken") {
  Daemon daemon;
  const std::string out = daemon.dir().file("out"), link = daemon.dir().file("link");
  const auto point_at = [&](const std::string& target) {
    std::filesystem::create_symlink(target, link + ".new");
    std::filesystem::rename(link + ".new", link);
  };
  point_at("/dev/full");
  constexpr std::uint64_t bytes = 3 * 1024 * 1024;
  Rig rig(daemon, row({numbered(bytes), restarted(worker("sink", "file-sink", {{"path", link}}))}));
  rig.await_event("kairo.node.crashed");
  point_at("/nonexistent/file");
  eventually(
      [&] {
        return rig.node("sink").reason.value_or("").find("cannot be started again: cannot open") !=
               std::string::npos;
      },
      "its file cannot be opened");
  point_at(out);
  CHECK(rig.end().exit_code == 0);
  const std::string all = read_file(out);
  CHECK(all.size() == bytes);
  CHECK(pattern_mismatch(all.data(), all.size(), 0) == all.size());
}

TEST_CASE("a node that dies while another takes its place leaves its unread bytes to that one") {
  Daemon daemon;
  constexpr std::uint64_t bytes = 8 * 1024 * 1024;
  // It reads a thousand bytes and then nothing: its input is ended, and it does not come to its end.
  Rig rig(daemon, row({numbered(bytes), program("middle", {"copy", "1000", "sleep", "100000"}), verifier()}));
  rig.await_bytes("sink", 1000);
  auto params = rig.cutover_of("middle", by_program({"cat"}));
  params.drain_timeout_ms = 600'000;
  const std::uint64_t asked = rig.client().send("topology.cutover", params);
  eventually([&] { return rig.status().connections[0].held; }, "its input is held");
  send_signal(rig.client(), "t.middle.1", SIGKILL);
  auto result = rig.client().await<api::CutoverResult>(asked, SteadyClock::now() + patience);
  REQUIRE_MESSAGE(result.ok(), (result.ok() ? std::string() : result.error().message));
  CHECK_FALSE(result->rolled_back);
  CHECK(result->old_node.bytes_out == 1000);
  CHECK(result->old_node.remaining == result->old_node.bytes_in - 1000);
  CHECK_FALSE(result->old_node.drained);
  CHECK(rig.end().exit_code == 0);
  CHECK(rig.verdict() == "ok " + std::to_string(bytes) + "\n");
}

TEST_CASE(
    "a node that dies while its successor is not healthy yet: what follows is its own policy's affair") {
  Daemon daemon;
  auto middle = program("middle", {"cat"});
  middle.health_ms = 3'600'000;
  for (const bool again : {false, true}) {
    Rig rig(daemon, row({program("source", {"spew", "1600", "sleep", "2", "spew", "0"}),
                         again ? restarted(middle) : middle, verifier()}));
    auto params = rig.cutover_of("middle", by_program({"cat"}));
    params.health_timeout_ms = 600'000;
    const std::uint64_t asked = rig.client().send("topology.cutover", params);
    eventually([&] { return rig.node("middle").generation == 2 && rig.runs("t.middle.2"); },
               "the new node was started");
    send_signal(rig.client(), "t.middle.1", SIGKILL);
    wait(rig.client(), "t.middle.1");
    send_signal(rig.client(), "t.middle.2", SIGKILL);
    auto result = rig.client().await<api::CutoverResult>(asked, SteadyClock::now() + patience);
    if (result) {
      CHECK(result->rolled_back);
      CHECK(result->reason == "the new node was ended by SIGKILL");
    } else {
      CHECK(result.error().code == Code::not_running);  // the topology was over before it could tell
    }
    CHECK(rig.end().exit_code == (again ? 0 : 1));
    if (again) CHECK(rig.verdict() == "ok 1600\n");
  }
}

TEST_SUITE_END();
