// Cutovers under load: every byte goes through exactly one of the two nodes, in order.
#include <csignal>

#include "e2e/support.hpp"
#include "rig.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

const std::size_t cutovers = 1000 / scale;

/// What takes the place of the node, one after another: processes and modules in every order.
api::Replacement nth(std::size_t i) {
  switch (i % 5) {
    case 0: return by_program({"cat"});
    case 1: return by_module("passthrough");
    case 2: return by_module("meter");
    case 3: return by_plain({"cat"});
    default: return by_program({"copy", std::to_string(endless)});
  }
}

}  // namespace

TEST_SUITE_BEGIN("processUnix" * doctest::skip(gated()));

TEST_CASE("cutover after cutover under full load: nothing is missing, nothing comes twice, all is in order") {
  Daemon daemon;
  Rig rig(daemon, row({numbered(endless), program("middle", {"cat"}), verifier()}));
  rig.await_bytes("sink", 1024 * 1024);
  std::uint64_t given = 0, rolled_back = 0, undrained = 0, torn = 0, moved = 0;
  double longest = 0;
  for (std::size_t i = 0; i < cutovers; ++i) {
    const auto boundary = i % 3 == 0 ? api::Boundary::line : api::Boundary::bytes;
    const auto result = rig.cutover("middle", nth(i), boundary);
    given += result.old_node.bytes_in;
    rolled_back += result.rolled_back;
    undrained += !result.old_node.drained || result.old_node.bytes_in != result.old_node.bytes_out;
    // Records are lines of 16 bytes.
    if (boundary == api::Boundary::line) torn += given % pattern_record_bytes != 0;
    moved += result.old_node.bytes_in > 0;
    longest = std::max(longest, result.hold_ms);
  }
  CHECK(rolled_back == 0);
  CHECK(undrained == 0);
  CHECK(torn == 0);
  CHECK(moved > cutovers / 2);
  const auto result = rig.down();
  CHECK(result.drained);
  CHECK(rig.end().exit_code == 0);
  CHECK(result.nodes.back().bytes_in == result.nodes.front().bytes_out);
  CHECK(rig.verdict() == "ok " + std::to_string(result.nodes.front().bytes_out) + "\n");
  CHECK(rig.events("kairo.node.cutover.done").size() == cutovers);
  CHECK(rig.events("kairo.node.crashed").empty());
  MESSAGE("the longest hold took " << longest << " ms");
  rig.check_nothing_left();
}

TEST_CASE("two nodes of a row are replaced at the same time, again and again") {
  Daemon daemon;
  Rig rig(daemon, row({numbered(endless), program("a", {"cat"}), program("b", {"cat"}), verifier()}));
  for (std::size_t i = 0; i < 50 / scale; ++i) {
    const std::uint64_t first = rig.client().send("topology.cutover", rig.cutover_of("a", nth(i)));
    const std::uint64_t second = rig.client().send("topology.cutover", rig.cutover_of("b", nth(i + 1)));
    for (const std::uint64_t each : {first, second}) {
      auto result = rig.client().await<api::CutoverResult>(each, SteadyClock::now() + patience);
      REQUIRE_MESSAGE(result.ok(), (result.ok() ? std::string() : result.error().message));
      CHECK_FALSE(result->rolled_back);
    }
  }
  const auto result = rig.down();
  for (const auto& each : result.nodes) {
    CAPTURE(each.id);
    CAPTURE(each.bytes_in);
    CAPTURE(each.bytes_out);
    CHECK(each.remaining == 0);
    CHECK(each.drained);
  }
  rig.end();
  CHECK(rig.verdict() == "ok " + std::to_string(result.nodes[0].bytes_out) + "\n");
}

TEST_CASE("a source and a sink are replaced, too") {
  Daemon daemon;
  Rig rig(daemon, row({program("source", {"lines", std::to_string(endless)}), worker("sink", "count")}));
  rig.await_bytes("sink", 1024 * 1024);
  // A sink has no output that could be drained: it has ended when it has.
  const auto sink = rig.cutover("sink", by_plain({"wc", "-c"}));
  CHECK_FALSE(sink.rolled_back);
  CHECK(sink.old_node.drained);
  const auto source = rig.cutover("source", by_program({"bytes", "0a"}));
  CHECK_FALSE(source.rolled_back);
  CHECK(rig.end().exit_code == 0);
  CHECK(rig.log_of("t.sink.2") ==
        std::to_string(source.old_node.bytes_out + 1 - sink.old_node.bytes_in) + "\n");
}

TEST_CASE(
    "what is split, what is merged, and what splits and merges: each is replaced, and no line is lost or "
    "torn") {
  Daemon daemon;
  const std::string out = daemon.dir().file("out");
  const std::vector<std::string> marked{"sed", "s/^/left /"};
  auto pace = worker("pace", "rate-limit");
  pace.params =
      reflect::Any{reflect::to_msgpack(std::map<std::string, std::uint64_t>{{"bytesPerSecond", 8'000'000}})};
  auto topology =
      row({program("source", {"lines", std::to_string(endless)}), pace, worker("hub", "passthrough")});
  topology.nodes.push_back(plain("left", marked));
  topology.nodes.push_back(plain("right", {"cat"}));
  for (const char* id : {"left", "right"}) {
    join(topology, "hub", id, api::ConnectionType::split);
    join(topology, id, "merged", api::ConnectionType::merge);
  }
  topology.nodes.push_back(worker("merged", "passthrough"));
  topology.nodes.push_back(worker("file", "file-sink", {{"path", out}}));
  join(topology, "merged", "file");
  Rig rig(daemon, topology);
  rig.await_bytes("file", 1024 * 1024);
  std::uint64_t moved = 0;
  for (std::size_t i = 0; i < 6; ++i) {
    const bool process = i % 2 == 0;
    const auto replace = [&](const char* node, const api::Replacement& with, api::Boundary boundary) {
      CAPTURE(node);
      const auto result = rig.cutover(node, with, boundary);
      CHECK_FALSE(result.rolled_back);
      CHECK(result.old_node.drained);
      moved += result.old_node.bytes_in;
    };
    // What marks lines must get whole ones; the others may be cut anywhere.
    replace("left", by_plain(marked), api::Boundary::line);
    replace("right", process ? by_module("meter") : by_plain({"cat"}), api::Boundary::bytes);
    replace("merged", process ? by_plain({"cat"}) : by_module("passthrough"), api::Boundary::bytes);
    replace("hub", process ? by_program({"copy", std::to_string(endless)}) : by_module("passthrough"),
            api::Boundary::bytes);
  }
  CHECK(moved > 0);
  CHECK(rig.down().drained);
  CHECK(rig.end().exit_code == 0);
  std::map<bool, std::uint64_t> next;
  std::map<bool, std::size_t> wrong;
  std::string torn;
  for (const std::string& line : lines_of(read_file(out))) {
    const bool left = line.rfind("left ", 0) == 0;
    if (line == (left ? "left line " : "line ") + std::to_string(next[left])) {
      ++next[left];
    } else {
      ++wrong[left];
      torn += line + "\n";
    }
  }
  // The source was ended within a line, which is the last one of each.
  CAPTURE(torn);
  CHECK(wrong[true] <= 1);
  CHECK(wrong[false] <= 1);
  CHECK(next[true] == next[false]);
  CHECK(next[true] > 100'000);
}

TEST_CASE("a source that has nothing to give for now is replaced, too") {
  Daemon daemon;
  const std::string out = daemon.dir().file("out");
  Rig rig(daemon, row({plain("source", {"sh", "-c", "seq 1 5; exec sleep 100000"}),
                       worker("sink", "file-sink", {{"path", out}})}));
  rig.await_bytes("sink", 10);
  const auto result = rig.cutover("source", by_plain({"sh", "-c", "seq 6 9; exec sleep 100000"}));
  CHECK_FALSE(result.rolled_back);
  CHECK(result.old_node.drained);
  CHECK(result.old_node.bytes_out == 10);
  rig.await_bytes("sink", 18);
  CHECK(rig.down().drained);
  CHECK(rig.end().exit_code == 0);
  CHECK(read_file(out) == "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
}

TEST_CASE("a module that cannot open its file takes nobody's place, and nothing is lost") {
  Daemon daemon;
  constexpr std::uint64_t bytes = 8 * 1024 * 1024;
  const std::string out = daemon.dir().file("out");
  Rig rig(daemon, row({program("source", {"spew", std::to_string(bytes), "sleep", "100000"}),
                       program("middle", {"cat"}), worker("sink", "file-sink", {{"path", out}})}));
  rig.await_bytes("sink", 1024 * 1024);
  for (const char* node : {"middle", "sink"}) {
    api::Replacement with = by_module(std::string_view(node) == "sink" ? "file-sink" : "tee");
    with.params =
        reflect::Any{reflect::to_msgpack(std::map<std::string, std::string>{{"path", "/nonexistent/file"}})};
    const auto result = rig.cutover(node, with);
    CHECK(result.rolled_back);
    REQUIRE(result.reason);
    CHECK(result.reason->find("the new node cannot be started: cannot open \"/nonexistent/file\"") == 0);
    CHECK(result.new_node.bytes_in == 0);
  }
  rig.await_bytes("sink", bytes);
  CHECK(rig.down().drained);
  CHECK(rig.end().exit_code == 0);
  const std::string all = read_file(out);
  CHECK(all.size() == bytes);
  CHECK(pattern_mismatch(all.data(), all.size(), 0) == all.size());
}

TEST_CASE(
    "a new node that ends, cannot be started or is never healthy: the old one goes on, and nothing is lost") {
  Daemon daemon;
  auto middle = program("middle", {"cat"});
  middle.health_ms = 3'600'000;
  Rig rig(daemon, row({numbered(endless), middle, verifier()}));
  rig.await_bytes("sink", 1024 * 1024);

  auto ends = rig.cutover("middle", by_program({"exit", "3"}));
  CHECK(ends.rolled_back);
  CHECK(ends.reason == "the new node exited with 3");
  auto dies = rig.cutover("middle", by_program({"die", "SEGV"}), api::Boundary::line);
  CHECK(dies.rolled_back);
  CHECK(dies.reason == "the new node was ended by SIGSEGV");
  auto missing = rig.cutover("middle", by_plain({"/nonexistent/program"}));
  CHECK(missing.rolled_back);
  CHECK(missing.reason->find("the new node cannot be started: ") == 0);
  auto params = rig.cutover_of("middle", by_program({"cat"}));
  params.health_timeout_ms = 100;
  auto silent = rig.try_cutover(params);
  REQUIRE(silent.ok());
  CHECK(silent->rolled_back);
  CHECK(silent->reason == "the new node was not healthy within 100 ms");
  CHECK(silent->new_node.bytes_in == 0);

  CHECK(rig.events("kairo.node.cutover.rolled-back").size() == 4);
  CHECK(rig.status().connections[0].held == false);
  CHECK(rig.node("middle").process_id == "t.middle.1");
  rig.await_more("sink", 1024 * 1024);
  // What was rolled back has gone.
  CHECK(wait(rig.client(), *silent->new_node.process_id).status == api::Status::killed);
  const auto result = rig.down();
  for (const auto& each : result.nodes) {
    CAPTURE(each.id);
    CAPTURE(each.bytes_in);
    CAPTURE(each.bytes_out);
    CHECK(each.remaining == 0);
    CHECK(each.drained);
  }
  rig.end();
  CHECK(rig.verdict() == "ok " + std::to_string(result.nodes[0].bytes_out) + "\n");
}

TEST_CASE("a module or a node that there is not is refused, and nothing is started") {
  Daemon daemon;
  Rig rig(daemon, row({numbered(endless), worker("middle", "passthrough"), verifier()}));
  rig.await_bytes("sink", 1024 * 1024);
  auto unknown = rig.try_cutover(rig.cutover_of("middle", by_module("passthru")));
  REQUIRE(!unknown.ok());
  CHECK(unknown.error().code == Code::invalid_params);
  auto nobody = rig.try_cutover(rig.cutover_of("midle", by_module("passthrough")));
  CHECK(nobody.error().code == Code::not_found);
  CHECK(nobody.error().message.find("did you mean \"middle\"?") != std::string::npos);
  const auto down = rig.down();
  CHECK(down.drained);
  rig.end();
  CHECK(rig.verdict() == "ok " + std::to_string(down.nodes[0].bytes_out) + "\n");
}

TEST_CASE("an old node that does not read is killed when its time is up; the new one gets what it left") {
  Daemon daemon;
  constexpr std::uint64_t bytes = 8 * 1024 * 1024;
  for (const bool to_worker : {false, true}) {
    Rig rig(daemon,
            row({numbered(bytes), program("middle", {"copy", "1000", "sleep", "100000"}), verifier()}));
    rig.await_bytes("sink", 1000);
    auto params = rig.cutover_of("middle", to_worker ? by_module("passthrough") : by_program({"cat"}));
    params.drain_timeout_ms = 100;
    const auto result = rig.try_cutover(params);
    REQUIRE(result.ok());
    CHECK_FALSE(result->rolled_back);
    CHECK_FALSE(result->old_node.drained);
    CHECK(result->reason == "the old node had not drained within 100 ms");
    CHECK(result->old_node.bytes_out == 1000);
    CHECK(result->old_node.remaining == result->old_node.bytes_in - 1000);
    CHECK(rig.end().exit_code == 0);
    CHECK(rig.verdict() == "ok " + std::to_string(bytes) + "\n");
  }
}

TEST_CASE("a border that does not come rolls back in the end") {
  Daemon daemon;
  // Half a line, and then nothing.
  auto topology = row({plain("source", {"sh", "-c", "printf 'half a'; exec sleep 100000"}),
                       program("middle", {"cat"}), plain("sink", {"cat"})});
  topology.name = "half";
  Rig half(daemon, topology);
  half.await_bytes("sink", 6);
  auto params = half.cutover_of("middle", by_module("passthrough"));
  params.boundary = api::Boundary::line;
  params.drain_timeout_ms = 200;
  const auto result = half.try_cutover(params);
  REQUIRE_MESSAGE(result.ok(), (result.ok() ? std::string() : result.error().message));
  CHECK(result->rolled_back);
  CHECK(result->reason->find("200 ms") != std::string::npos);
  CHECK(half.status().connections[0].held == false);
  CHECK_FALSE(half.cutover("middle", by_module("passthrough")).rolled_back);  // at a byte
  CHECK(half.down().drained);
  half.end();
  CHECK(half.log_of("half.sink.1") == "half a");
}

TEST_CASE("a second cutover of a node waits for nobody: it is refused") {
  Daemon daemon;
  auto middle = program("middle", {"cat"});
  middle.health_ms = 3'600'000;
  Rig rig(daemon, row({numbered(endless), middle, verifier()}));
  auto params = rig.cutover_of("middle", by_program({"cat"}));
  params.health_timeout_ms = 600'000;
  const std::uint64_t first = rig.client().send("topology.cutover", params);
  eventually([&] { return rig.node("middle").generation == 2; }, "the first is under way");
  auto second = rig.try_cutover(params);
  REQUIRE(!second.ok());
  CHECK(second.error().code == Code::already_exists);
  CHECK(rig.down().drained);
  auto result = rig.client().await<api::CutoverResult>(first, SteadyClock::now() + patience);
  REQUIRE(result.ok());
  CHECK(result->rolled_back);
}

TEST_SUITE_END();
