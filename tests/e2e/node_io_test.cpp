// What a node's input and output are made of: sockets, pipes, and sockets that it connects to itself.
#include <filesystem>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

using namespace kairo::test;

namespace {

/// A process node of a topology's file that runs kairo-test-child.
std::string node(const std::string& id, const std::string& io, const std::string& words,
                 const std::string& rest = {}) {
  return "- {id: " + id + ", runMode: process, io: " + io + ", healthMs: 1" + rest + ", command: [" +
         test_child_path() + ", " + words + "]}\n";
}

std::string worker(const std::string& id, const std::string& module, const std::string& path) {
  return "- {id: " + id + ", runMode: worker, module: " + module + ", params: {path: " + path + "}}\n";
}

std::string chain(const std::vector<std::string>& ids) {
  std::string out = "connections:\n";
  for (std::size_t i = 1; i < ids.size(); ++i)
    out += "- {from: " + ids[i - 1] + ".output, to: " + ids[i] + ".input}\n";
  return out;
}

Ran up(const Daemon& daemon, const std::string& text) {
  return daemon.ctl({"topology", "up", "-f", "-"}, "name: t\nnodes:\n" + text);
}

/// The sockets of nodes that are still there.
std::vector<std::string> sockets(const Daemon& daemon) {
  std::vector<std::string> out;
  for (const auto& each : std::filesystem::directory_iterator(daemon.socket() + ".d/t"))
    if (each.path().extension() == ".in" || each.path().extension() == ".out") out.push_back(each.path());
  return out;
}

}  // namespace

TEST_SUITE_BEGIN("topology");

TEST_CASE("bytes pass unchanged through nodes of every kind of io") {
  Daemon daemon;
  const std::string text = pattern(5'000'000);
  const std::string from = daemon.dir().put("from", text), to = daemon.dir().file("to");
  REQUIRE(up(daemon, worker("source", "file-source", from) + node("one", "sockets", "cat") +
                         node("two", "named", "connect, cat") +
                         "- {id: three, runMode: process, io: pipes, command: [sh, -c, cat /dev/stdin > "
                         "/dev/stdout]}\n" +
                         node("four", "named", "connect, cat") + node("five", "named", "connect, cat") +
                         worker("sink", "file-sink", to) +
                         chain({"source", "one", "two", "three", "four", "five", "sink"}))
              .code == 0);
  CHECK(daemon.ctl({"topology", "status", "t", "--wait"}).code == 0);
  CHECK(read_file(to) == text);
}

TEST_CASE("a topology that has ended can be brought up again under its name") {
  Daemon daemon;
  for (int i = 0; i < 3; ++i) {
    REQUIRE(up(daemon, node("source", "sockets", "spew, 1000") + node("sink", "sockets", "verify-stdin") +
                           chain({"source", "sink"}))
                .code == 0);
    CHECK(daemon.ctl({"topology", "status", "t", "--wait"}).code == 0);
    CHECK(daemon.ctl({"logs", "t.sink.1"}).out == "ok 1000\n");
  }
}

TEST_CASE("a source and a sink may connect themselves; stdout is the log's then, and the paths are gone") {
  Daemon daemon;
  REQUIRE(up(daemon, node("source", "named", "connect, spew, 300000, sleep, 1000") +
                         node("sink", "named", "bytes, 6869, connect, verify-stdin") +
                         chain({"source", "sink"}))
              .code == 0);
  CHECK(sockets(daemon).empty());
  eventually(
      [&] {
        return json_at(daemon.ctl({"topology", "status", "t"}).out, "/nodes/1/bytesIn") == "300000";
      },
      "all has come to the sink");
  CHECK(daemon.ctl({"topology", "down", "t"}).code == 0);
  CHECK(daemon.ctl({"logs", "t.sink.1"}).out == "hiok 300000\n");
  CHECK(daemon.ctl({"logs", "t.source.1"}).out.empty());
}

TEST_CASE("a node that ends before it has connected cannot be started, and none of the topology stays") {
  Daemon daemon;
  const Ran ran = up(daemon, node("source", "sockets", "sleep, 1000") + node("sink", "named", "exit, 0") +
                                 chain({"source", "sink"}));
  CHECK(ran.code == 1);
  CHECK(json_at(ran.err, "/error/message")
            .find("it exited with 0 before it had connected to KAIRO_NODE_INPUT") != std::string::npos);
  eventually(
      [&] {
        return !json_at(daemon.ctl({"status", "t.source.1"}).out, "/exitedAt").empty();
      },
      "the other node has ended");
}

TEST_CASE("a new node that never connects is rolled back; the old one goes on") {
  Daemon daemon;
  const std::string text = pattern(100'000);
  const std::string from = daemon.dir().file("from"), to = daemon.dir().file("to");
  Program mkfifo({"mkfifo", from});
  REQUIRE(mkfifo.wait().code == 0);
  REQUIRE(up(daemon, worker("source", "file-source", from) + node("middle", "named", "connect, cat") +
                         worker("sink", "file-sink", to) + chain({"source", "middle", "sink"}))
              .code == 0);
  const Ran ran = daemon.ctl({"topology", "cutover", "t", "middle", "--health-timeout", "200ms", "--",
                              test_child_path(), "sleep", "1000"});
  CHECK(json_at(ran.out, "/rolledBack") == "true");
  CHECK(json_at(ran.out, "/reason") == "the new node was not healthy within 200 ms");
  eventually(
      [&] {
        return !json_at(daemon.ctl({"status", "t.middle.2"}).out, "/exitedAt").empty();
      },
      "the new node has ended");
  CHECK(sockets(daemon).empty());
  // One that connects is taken.
  CHECK(json_at(daemon.ctl({"topology", "cutover", "t", "middle"}).out, "/rolledBack") == "false");
  CHECK(run({"sh", "-c", "cat > \"$1\"", "sh", from}, text).code == 0);
  CHECK(daemon.ctl({"topology", "status", "t", "--wait"}).code == 0);
  CHECK(read_file(to) == text);
}

TEST_CASE("what a node had not read of a socket of its own is gone with it, and that is said") {
  Daemon daemon;
  const std::string from = daemon.dir().put("from", "one\ntwo\nthree\n"), to = daemon.dir().file("to");
  REQUIRE(up(daemon, worker("source", "file-source", from) +
                         node("middle", "named", "connect, await-line, die, KILL",
                              ", restart: {policy: on-failure, maxRestarts: 1, delayMs: 1}") +
                         worker("sink", "file-sink", to) + chain({"source", "middle", "sink"}))
              .code == 0);
  CHECK(daemon.ctl({"topology", "status", "t", "--wait"}).code == 1);
  const std::string log = daemon.ctl({"topology", "logs", "t"}).out;
  CHECK(log.find("what it had not read of its input is gone with it") != std::string::npos);
}

TEST_SUITE_END();
