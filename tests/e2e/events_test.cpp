// kairoctl events: what is stored, what comes, and the two together across the death of the daemon.
#include <csignal>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

using namespace kairo::test;

namespace {

std::vector<std::string> types(const std::string& out) {
  std::vector<std::string> made;
  for (const std::string& line : lines_of(out)) made.push_back(json_at(line, "/type"));
  return made;
}

/// kairoctl that starts a daemon where none answers.
std::vector<std::string> starting(const Daemon& place, const std::vector<std::string>& arguments) {
  return place.ctl_argv(arguments);
}

void kill_daemon(const Daemon& place) {
  const pid_t pid = place.pids().daemon;
  REQUIRE(kill(pid, SIGKILL) == 0);
  eventually([&] { return kill(pid, 0) != 0; }, "the daemon's end");
}

}  // namespace

TEST_SUITE_BEGIN("events");

TEST_CASE("without -f the stored events are printed, by every filter") {
  Daemon daemon;
  REQUIRE(daemon.ctl({"--correlation-id", "c-1", "run", "--id", "a", "--", "true"}).code == 0);
  REQUIRE(daemon.ctl({"--correlation-id", "c-2", "run", "--id", "b", "--", "true"}).code == 0);
  const Ran all = daemon.ctl({"events"});
  REQUIRE(all.code == 0);
  REQUIRE(types(all.out).front() == "kairo.kernel.started");
  const std::vector<std::string> life{"kairo.process.spawned", "kairo.process.exited"};
  CHECK(types(daemon.ctl({"events", "--correlation", "c-1"}).out) == life);
  CHECK(types(daemon.ctl({"events", "--topic", "kairo.process.*"}).out).size() == 4);
  CHECK(types(daemon.ctl({"events", "--topic", "kairo.process.spawned", "--topic", "kairo.kernel.*"}).out) ==
        std::vector<std::string>{"kairo.kernel.started", "kairo.process.spawned", "kairo.process.spawned"});
  CHECK(types(daemon.ctl({"events", "-n", "2"}).out).size() == 2);
  const std::string third = json_at(lines_of(all.out)[2], "/seq");
  CHECK(lines_of(daemon.ctl({"events", "--since", third}).out).size() == lines_of(all.out).size() - 3);
  CHECK(daemon.ctl({"events", "--since", "1h"}).out == all.out);
  CHECK(daemon.ctl({"events", "--since", json_at(lines_of(all.out)[3], "/time")}).out.find(third) != 0);
  CHECK(daemon.ctl({"events", "--since", "2100-01-01T00:00:00Z"}).out.empty());
  CHECK(daemon.ctl({"events", "--since", "soon"}).code == 64);
  CHECK(daemon.ctl({"events", "-f", "--since", "999999999"}).code == 1);
}

TEST_CASE("-f with --since prints what is stored and goes on with what comes, once each") {
  Daemon daemon;
  REQUIRE(daemon.ctl({"run", "--id", "before", "--", "true"}).code == 0);
  for (const char* since : {"0", "1h"}) {
    Program events(daemon.ctl_argv({"events", "-f", "--since", since, "--topic", "kairo.process.*"}));
    events.await_out("kairo.process.exited");
    const std::string id = std::string("after-") + since;
    REQUIRE(daemon.ctl({"run", "--rm", "--id", id, "--", "true"}).code == 0);
    events.await(
        [&] { return types(events.out()).size() >= 4 && events.out().find(id) != std::string::npos; },
        "the events that came");
    events.await([&] { return types(events.out()).back() == "kairo.process.exited"; }, "the last");
    events.signal(SIGTERM);
    unsigned long long last = 0;
    for (const std::string& line : lines_of(events.wait().out)) {
      const unsigned long long seq = std::stoull(json_at(line, "/seq"));
      CHECK(seq > last);
      last = seq;
    }
  }
}

TEST_CASE("-f goes on across the death of the daemon without gap or repeat") {
  Daemon place({.start = false});
  REQUIRE(Program(starting(place, {"ping"})).wait().code == 0);
  Program events(starting(place, {"events", "-f", "--since", "0"}));
  for (int turn = 0; turn < 4; ++turn) {
    for (int each = 0; each < 5; ++each)
      REQUIRE(Program(starting(place, {"run", "--rm", "--", "true"})).wait().code == 0);
    kill_daemon(place);
  }
  REQUIRE(Program(starting(place, {"run", "--rm", "--id", "last", "--", "true"})).wait().code == 0);
  events.await(
      [&] {
        return events.out().find("\"last\"") != std::string::npos &&
               types(events.out()).back() == "kairo.process.exited";
      },
      "the events of the last daemon");
  events.signal(SIGTERM);
  const Ran& ran = events.wait();
  CHECK(ran.err.empty());
  // What was printed is what is stored, and the store is sound.
  std::vector<std::string> printed, stored;
  for (const std::string& line : lines_of(ran.out)) printed.push_back(json_at(line, "/seq"));
  for (const std::string& line : lines_of(place.ctl({"events"}).out)) stored.push_back(json_at(line, "/seq"));
  // Of each program its start and its end; what a daemon tells of itself may have been cut short by its
  // death.
  REQUIRE(printed.size() >= 2 * 21);
  stored.resize(printed.size());
  CHECK(printed == stored);
}

TEST_CASE("one intent's story: what a process of a session starts belongs to it, and a cancel reaches it") {
  Daemon daemon;
  // The session starts another one by itself, and names no correlation id.
  REQUIRE(daemon
              .ctl({"--correlation-id", "intent-7", "spawn", "--id", "outer", "--", "sh", "-c",
                    "env -u KAIRO_CORRELATION_ID " + kairoctl_path() +
                        " spawn --id inner -- sleep 1000 >&2; exec sleep 1000"})
              .code == 0);
  eventually([&] { return daemon.ctl({"status", "inner"}).code == 0; }, "the inner session");
  CHECK(json_at(daemon.ctl({"status", "inner"}).out, "/correlationId") == "intent-7");
  // With another environment it is known by its ancestors.
  const Ran plain =
      daemon.ctl({"--correlation-id", "intent-8", "run", "--id", "bare", "--", "env", "-i", kairoctl_path(),
                  "--socket", daemon.socket(), "run", "--id", "in-bare", "--", "/bin/true"});
  CHECK_MESSAGE(plain.code == 0, plain.err);
  CHECK(json_at(daemon.ctl({"status", "in-bare"}).out, "/correlationId") == "intent-8");
  // And one that comes from no session inherits nothing.
  REQUIRE(daemon.ctl({"run", "--id", "free", "--", "true"}).code == 0);
  CHECK(json_at(daemon.ctl({"status", "free"}).out, "/correlationId").empty());

  REQUIRE(daemon.ctl({"cancel", "--reason", "enough", "outer"}).code == 0);
  REQUIRE(daemon.ctl({"cancel", "--reason", "enough", "inner"}).code == 0);
  REQUIRE(daemon.ctl({"wait", "outer"}).code == 0);
  REQUIRE(daemon.ctl({"wait", "inner"}).code == 0);
  const Ran story = daemon.ctl({"events", "--correlation", "intent-7"});
  std::size_t spawned = 0, canceled = 0, exited = 0;
  for (const std::string& line : lines_of(story.out)) {
    const std::string type = json_at(line, "/type");
    spawned += type == "kairo.process.spawned" ? 1 : 0;
    exited += type == "kairo.process.exited" ? 1 : 0;
    if (type != "kairo.process.canceled") continue;
    ++canceled;
    CHECK(json_at(line, "/data/reason") == "enough");
    CHECK(json_at(line, "/data/by").starts_with("user:"));
  }
  CHECK(spawned == 2);
  CHECK(canceled == 2);
  CHECK(exited == 2);
}

TEST_SUITE_END();
