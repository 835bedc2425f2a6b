// What a session wrote, and what it reads: logs, attach, write, close-stdin.
#include <csignal>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

using namespace kairo::test;

TEST_SUITE_BEGIN("output");

TEST_CASE("logs give back blank lines, CRLF and an unterminated last line as they were") {
  Daemon daemon;
  const std::string text = "\n\nfirst\r\n\n  \nlast without newline";
  const std::string id = spawned(daemon, {"--", "printf", "\\n\\nfirst\\r\\n\\n  \\nlast without newline"});
  daemon.ctl({"wait", id});
  CHECK(daemon.ctl({"logs", id}).out == text);
  CHECK(daemon.ctl({"logs", "-f", id}).out == text);
  CHECK(daemon.ctl({"attach", id}).out == text);
  CHECK(daemon.ctl({"attach", "--line", id}).out == text);
  CHECK(daemon.ctl({"attach", "--lossless", id}).out == text);
  const auto chunks = lines_of(daemon.ctl({"attach", "--line", "--json", "--stream", "stdout", id}).out);
  REQUIRE(chunks.size() >= 6);
  CHECK(json_at(chunks[0], "/chunk") == "\n");
  CHECK(json_at(chunks[2], "/chunk") == "first\r\n");
  CHECK(json_at(chunks[5], "/chunk") == "last without newline");
  CHECK(json_at(chunks.back(), "/eof") == "true");
}

TEST_CASE("both streams come back apart, and --stream takes one") {
  Daemon daemon;
  const std::string id = spawned(daemon, {"--", "sh", "-c", "echo out; echo err >&2"});
  daemon.ctl({"wait", id});
  for (const std::string command : {"logs", "attach"}) {
    CAPTURE(command);
    CHECK(daemon.ctl({command, id}).out == "out\n");
    CHECK(daemon.ctl({command, id}).err == "err\n");
    CHECK(daemon.ctl({command, "--stream", "stdout", id}).err.empty());
    CHECK(daemon.ctl({command, "--stream", "stderr", id}).out.empty());
    CHECK(daemon.ctl({command, "--stream", "stderr", id}).err == "err\n");
  }
}

TEST_CASE("lines of two streams come in the order in which they were written") {
  Daemon daemon;
  const std::string id = spawned(
      daemon,
      {"--", "sh", "-c", "for i in 1 2 3 4; do echo out $i; sleep 0.05; echo err $i >&2; sleep 0.05; done"});
  daemon.ctl({"wait", id});
  const Ran both =
      run({"sh", "-c", "\"$0\" --socket \"$1\" logs \"$2\" 2>&1", kairoctl_path(), daemon.socket(), id});
  CHECK(both.out == "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\nout 4\nerr 4\n");
  const Ran tail = run(
      {"sh", "-c", "\"$0\" --socket \"$1\" logs --tail 3 \"$2\" 2>&1", kairoctl_path(), daemon.socket(), id});
  CHECK(tail.out == "err 3\nout 4\nerr 4\n");
}

TEST_CASE("logs --tail, --timestamps and --since choose and mark lines") {
  Daemon daemon;
  const std::string id = spawned(daemon, child({}, {"lines", "1000"}));
  daemon.ctl({"wait", id});
  CHECK(daemon.ctl({"logs", "--tail", "2", id}).out == "line 998\nline 999\n");
  CHECK(daemon.ctl({"logs", "--tail", "0", id}).out.empty());
  CHECK(lines_of(daemon.ctl({"logs", "--tail", "5000", id}).out).size() == 1000);
  const auto stamped = lines_of(daemon.ctl({"logs", "--timestamps", id}).out);
  REQUIRE(stamped.size() == 1000);
  CHECK(stamped[0].substr(4, 1) == "-");
  CHECK(stamped[0].substr(stamped[0].find(' ') + 1) == "line 0");
  CHECK(lines_of(daemon.ctl({"logs", "--since", "1h", id}).out).size() == 1000);
  CHECK(daemon.ctl({"logs", "--since", "2999-01-01T00:00:00Z", id}).out.empty());
  CHECK(daemon.ctl({"logs", "--since", "yesterday", id}).code == 64);
}

TEST_CASE("logs -f goes on with what comes, and ends with the session") {
  Daemon daemon;
  const std::string id = spawned(daemon, child({}, {"lines", "3", "await-line", "bytes", "6c6173740a"}));
  Program logs(daemon.ctl_argv({"logs", "-f", id}));
  logs.await_out("line 2\n");
  CHECK(daemon.ctl({"write", id, "\n"}).code == 0);
  const Ran& ran = logs.wait();
  CHECK(ran.code == 0);
  CHECK(ran.out == "line 0\nline 1\nline 2\nlast\n");
}

TEST_CASE("attach begins where it is told") {
  Daemon daemon;
  const std::string id = spawned(daemon, child({}, {"bytes", "303132333435", "await-line", "bytes", "36"}));
  eventually(
      [&] {
        return json_at(daemon.ctl({"status", id}).out, "/streams/stdout/bytes") == "6";
      },
      "output");
  Program from_end(daemon.ctl_argv({"attach", "--json", "--from", "end", id}));
  Program from_offset(daemon.ctl_argv({"attach", "--from", "4", id}));
  Program from_start(daemon.ctl_argv({"attach", id}));
  from_offset.await_out("45");
  from_start.await_out("012345");
  daemon.ctl({"write", id, "\n"});
  CHECK(from_offset.wait().out == "456");
  CHECK(from_start.wait().out == "0123456");
  CHECK(from_end.wait().code == 0);
  CHECK(daemon.ctl({"attach", "--from", "0", "--stream", "stderr", id}).out.empty());
  CHECK(daemon.ctl({"attach", "--from", "the middle", id}).code == 64);
}

TEST_CASE("an attached reader that leaves changes nothing") {
  Daemon daemon;
  const std::string id = spawned(daemon, {"--", "sh", "-c", "while :; do echo tick; sleep 0.01; done"});
  Program reader(daemon.ctl_argv({"attach", id}));
  reader.await_out("tick");
  reader.signal(SIGINT);
  CHECK(reader.wait().code == 130);
  CHECK(json_at(daemon.ctl({"status", id}).out, "/status") == "running");
}

TEST_CASE("write feeds stdin, close-stdin ends it") {
  Daemon daemon;
  const std::string id = spawned(daemon, {"--", "cat"});
  const Ran first = daemon.ctl({"write", id, "hello "});
  REQUIRE_MESSAGE(first.code == 0, first.err << daemon.ctl({"status", id}).out
                                             << read_file(daemon.state_dir() + "/keeper.log"));
  CHECK(json_at(first.out, "/written") == "6");
  CHECK(json_at(first.out, "/offset") == "6");
  CHECK(json_at(daemon.ctl({"write", id}, "from a pipe\n").out, "/offset") == "18");
  // A repeated write at the same place writes nothing again.
  CHECK(json_at(daemon.ctl({"write", "--offset", "6", id, "from"}).out, "/written") == "0");
  CHECK(daemon.ctl({"write", "--offset", "4000", id, "gap"}).code == 1);
  CHECK(daemon.ctl({"close-stdin", id}).code == 0);
  CHECK(json_at(daemon.ctl({"wait", id}).out, "/exitCode") == "0");
  CHECK(daemon.ctl({"logs", id}).out == "hello from a pipe\n");
  const Ran late = daemon.ctl({"write", id, "late"});
  CHECK(late.code == 1);
}

TEST_CASE("a long write waits for a slow program and loses nothing") {
  Daemon daemon;
  const std::string data = pattern(8u << 20);
  const std::string id = spawned(daemon, child({}, {"verify-stdin"}));
  const Ran ran = daemon.ctl({"write", "--close", id, "-"}, data);
  CHECK(ran.code == 0);
  CHECK(json_at(ran.out, "/written") == std::to_string(data.size()));
  daemon.ctl({"wait", id});
  CHECK(daemon.ctl({"logs", id}).out == "ok " + std::to_string(data.size()) + "\n");
}

TEST_CASE("output that the log no longer holds is told, not hidden") {
  Daemon daemon;
  const std::string id = spawned(daemon, child({"--retain", "64K"}, {"spew", "1048576"}));
  daemon.ctl({"wait", id});
  const Ran attached = daemon.ctl({"attach", id});
  CHECK(attached.out.size() >= (64u << 10));
  CHECK(attached.out.size() < (512u << 10));
  CHECK(difference(attached.out, pattern(1u << 20).substr((1u << 20) - attached.out.size())) == "");
  CHECK(json_at(lines_of(attached.err).at(0), "/dropped/bytes") ==
        std::to_string((1u << 20) - attached.out.size()));
}

TEST_CASE(
    "over totalLogBytes ended sessions' logs go, then live ones grow no further, save those that block") {
  TempDir dir;
  const std::string file = dir.put("kairod.json", R"({"totalLogBytes": 2097152})");
  Daemon daemon({.arguments = {"--config", file}});
  constexpr std::size_t mib = 1u << 20;
  const std::string data = pattern(8 * mib);
  const auto write = [&](const char* id, std::size_t from, std::size_t bytes) {
    REQUIRE(daemon.ctl({"write", id, "-"}, data.substr(from, bytes)).code == 0);
    eventually(
        [&] {
          return json_at(daemon.ctl({"status", id}).out, "/streams/stdout/bytes") ==
                 std::to_string(from + bytes);
        },
        "what was written, in the log");
  };
  spawned(daemon, {"--id", "grows", "--", "cat"});
  spawned(daemon, {"--id", "blocks", "--when-full", "block", "--", "cat"});
  spawned(daemon, child({"--id", "ended"}, {"spew", std::to_string(mib)}));
  daemon.ctl({"wait", "ended"});
  write("grows", 0, 3 * mib);
  write("blocks", 0, mib);
  eventually(
      [&] { return daemon.said().find(": 2 logs of live sessions grow no further") != std::string::npos; },
      "the daemon's look at the logs");
  CHECK(json_at(daemon.ctl({"status", "ended"}).out, "/streams/stdout/firstOffset") == std::to_string(mib));

  write("grows", 3 * mib, 5 * mib);
  const Ran status = daemon.ctl({"status", "grows"});
  const std::size_t first = std::stoul(json_at(status.out, "/streams/stdout/firstOffset"));
  CHECK(first >= 5 * mib);
  CHECK(first <= 6 * mib);
  CHECK(json_at(status.out, "/degraded").empty());
  CHECK(difference(daemon.ctl({"logs", "grows"}).out, data.substr(first)) == "");

  write("blocks", mib, 2 * mib);
  CHECK(difference(daemon.ctl({"logs", "blocks"}).out, data.substr(0, 3 * mib)) == "");
}

TEST_SUITE_END();
