// What flows through a topology arrives, whatever its nodes are joined by.
#include <filesystem>
#include <fstream>
#include <set>
#include <sys/stat.h>

#include "e2e/support.hpp"
#include "rig.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

constexpr std::uint64_t gigabyte = std::uint64_t{1} << 30;

/// Source, cat, verifying sink; all of it, and nothing left behind.
void pass(std::uint64_t bytes, std::optional<api::NodeIo> io = {}) {
  Daemon daemon;
  auto topology = row({numbered(bytes), program("middle", {"cat"}), verifier()});
  for (auto& each : topology.nodes) each.io = io;
  Rig rig(daemon, topology);
  const auto ended = [&] {
    for (;;) {
      // Eight gigabytes take longer than one call may.
      auto session =
          rig.client().call<api::ProcessSession>("process.wait", api::WaitParams{"t.executor", 20'000});
      if (session || session.error().code != Code::timeout) return session;
    }
  }();
  REQUIRE(ended.ok());
  CHECK(ended->exit_code == 0);
  CHECK(rig.verdict() == "ok " + std::to_string(bytes) + "\n");
  CHECK(rig.status().state == api::TopologyState::finished);
  rig.check_nothing_left();
}

std::vector<std::string> lines_in(const std::string& path) {
  return lines_of(read_file(path));
}

}  // namespace

TEST_SUITE_BEGIN("processUnix" * doctest::skip(gated()));

TEST_CASE("a gigabyte flows from a process by a process to one that checks every byte") {
  pass(gigabyte / scale);
}

TEST_CASE("the same over pipes") {
  pass(gigabyte / 4 / scale, api::NodeIo::pipes);
}

TEST_CASE(
    "every kind of neighbour: processes over sockets and pipes, modules that copy and modules that splice") {
  Daemon daemon;
  auto piped = program("piped", {"cat"});
  piped.io = api::NodeIo::pipes;
  auto verifying = verifier();
  verifying.io = api::NodeIo::pipes;
  const std::uint64_t bytes = 64 * 1024 * 1024 / scale + 5;
  const std::string copy = daemon.dir().file("copy");
  Rig rig(daemon, row({numbered(bytes), worker("pass", "passthrough"), program("cat", {"cat"}), piped,
                       worker("copy", "tee", {{"path", copy}}), worker("meter", "meter"), verifying}));
  CHECK(rig.end().exit_code == 0);
  CHECK(rig.verdict() == "ok " + std::to_string(bytes) + "\n");
  CHECK(std::filesystem::file_size(copy) == bytes);
}

TEST_CASE("split gives every node all of it, merge takes whole lines of all") {
  Daemon daemon;
  const std::uint64_t lines = 400'000 / scale;
  auto topology = row({program("source", {"lines", std::to_string(lines)})});
  const std::string out = daemon.dir().file("out");
  for (const char* id : {"left", "middle", "right"}) {
    topology.nodes.push_back(plain(id, {"sed", std::string("s/^/") + id + " /"}));
    join(topology, "source", id, api::ConnectionType::split);
    join(topology, id, "merged", api::ConnectionType::merge);
  }
  topology.nodes.push_back(worker("merged", "passthrough"));
  topology.nodes.push_back(worker("file", "file-sink", {{"path", out}}));
  join(topology, "merged", "file");
  Rig rig(daemon, topology);
  CHECK(rig.end().exit_code == 0);
  // Each branch in its own order, every line whole.
  std::map<std::string, std::uint64_t> next;
  std::size_t wrong = 0;
  for (const std::string& line : lines_in(out)) {
    const std::string branch = line.substr(0, line.find(' '));
    wrong += line != branch + " line " + std::to_string(next[branch]++);
  }
  CHECK(wrong == 0);
  CHECK(next == std::map<std::string, std::uint64_t>{{"left", lines}, {"middle", lines}, {"right", lines}});
}

TEST_CASE("a sink that stands still stops the source; nothing is buffered without bound") {
  Daemon daemon;
  Rig rig(daemon, row({numbered(endless), program("middle", {"cat"}), verifier()}));
  auto& client = rig.client();
  rig.await_bytes("sink", 1000);
  must<api::ProcessSession>(client, "process.pause", api::IdParams{"t.sink.1"});
  // What fits into three sockets, a pipe and the executor, and then no byte more.
  std::uint64_t before = 0, now = 1;
  eventually(
      [&] {
        before = std::exchange(now, rig.node("source").bytes_out);
        for (int i = 0; i < 50 && rig.node("source").bytes_out == now; ++i) {
        }
        return before == now && rig.node("source").bytes_out == now;
      },
      "the source stands still");
  CHECK(now - rig.node("sink").bytes_in < 4 * 1024 * 1024);
  must<api::ProcessSession>(client, "process.resume", api::IdParams{"t.sink.1"});
  rig.await_more("sink", 1024 * 1024);
  CHECK(rig.down().drained);
}

TEST_CASE("the example of split and merge gives what it says") {
  Daemon daemon;
  const std::string file = std::string(KAIRO_TEST_SOURCE) + "/docs/examples/topology/split-merge.yaml";
  REQUIRE(daemon.ctl({"topology", "up", "-f", file, "--cwd", daemon.dir().path()}).code == 0);
  CHECK(json_at(daemon.ctl({"wait", "split-merge.executor"}).out, "/exitCode") == "0");
  const auto lines = lines_in(daemon.dir().file("split-merge.out"));
  std::set<std::string> wanted;
  for (int i = 1; i <= 1000; ++i)
    if (i % 10 == 0 || i % 10 == 7) wanted.insert("event " + std::to_string(i));
  CHECK(std::set<std::string>(lines.begin(), lines.end()) == wanted);
  CHECK(lines.size() == wanted.size());
}

TEST_CASE("the example of words gives what it says, and its cutover too") {
  Daemon daemon;
  const std::string file = std::string(KAIRO_TEST_SOURCE) + "/docs/examples/topology/words.yaml";
  // A named pipe, so that the source waits for us.
  const std::string in = daemon.dir().file("words.in"), out = daemon.dir().file("words.out");
  REQUIRE(::mkfifo(in.c_str(), 0600) == 0);
  REQUIRE(daemon.ctl({"topology", "up", "-f", file, "--cwd", daemon.dir().path()}).code == 0);
  std::ofstream words(in);
  words << "One\n\nTWO\n" << std::flush;
  // tr keeps what it has until its input ends.
  eventually(
      [&] {
        return json_at(daemon.ctl({"topology", "status", "words"}).out, "/nodes/1/bytesIn") == "9";
      },
      "tr was given the words");
  const Ran ran = daemon.ctl({"topology", "cutover", "words", "small", "--", "tr", "[:lower:]", "[:upper:]"});
  CHECK(ran.code == 0);
  CHECK(json_at(ran.out, "/rolledBack") == "false");
  CHECK(json_at(ran.out, "/old/drained") == "true");
  CHECK(json_at(ran.out, "/old/bytesIn") == "9");
  words << "three\n" << std::flush;
  words.close();
  CHECK(json_at(daemon.ctl({"wait", "words.executor"}).out, "/exitCode") == "0");
  CHECK(read_file(out) == "one\ntwo\nTHREE\n");
}

TEST_CASE("the example of a steady stream runs at its pace, where the host can confine its node") {
  Daemon daemon;
  const std::string file = std::string(KAIRO_TEST_SOURCE) + "/docs/examples/topology/steady.json";
  const Ran up = daemon.ctl({"topology", "up", "-f", file});
  if (up.code != 0) {
    CHECK(json_at(up.err, "/error/code") == "E_UNSUPPORTED");
    MESSAGE("skipped: this host cannot confine a process, or count its processes: " << up.err);
    return;
  }
  eventually(
      [&] {
        return std::stoull(json_at(daemon.ctl({"topology", "status", "steady"}).out, "/nodes/3/bytesIn")) >
               8192;
      },
      "zeros flow");
  // More is under way than flows out at that pace.
  const Ran down = daemon.ctl({"topology", "down", "steady", "--drain-timeout", "100ms"});
  CHECK(json_at(down.out, "/drained") == (down.code == 0 ? "true" : "false"));
  CHECK(json_at(down.out, "/nodes/0/id") == "source");
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("processUnixLarge" * doctest::skip(gated()));

TEST_CASE("eight gigabytes flow from a process by a process to one that checks every byte") {
  pass(8 * gigabyte);
}

TEST_SUITE_END();
