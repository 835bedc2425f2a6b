// Sessions from the command line: start, find, wait, act, forget.
#include <csignal>
#include <unistd.h>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

using namespace kairo::test;

TEST_SUITE_BEGIN("sessions");

TEST_CASE("spawn prints the session on one line, and wait tells how it ended") {
  Daemon daemon;
  const Ran ran = daemon.ctl(child({"spawn", "--id", "one", "--label", "job=7"}, {"exit", "3"}));
  REQUIRE(ran.code == 0);
  CHECK(lines_of(ran.out).size() == 1);
  CHECK(json_at(ran.out, "/id") == "one");
  CHECK(json_at(ran.out, "/processId") == "one");
  CHECK(json_at(ran.out, "/argv/1") == "exit");
  CHECK(json_at(ran.out, "/labels/job") == "7");
  const Ran waited = daemon.ctl({"wait", "one"});
  CHECK(waited.code == 0);
  CHECK(json_at(waited.out, "/status") == "exited");
  CHECK(json_at(waited.out, "/exitCode") == "3");
  // Long after the end, too, and together with others.
  CHECK(json_at(daemon.ctl({"wait", "one"}).out, "/exitCode") == "3");
  const std::string other = spawned(daemon, child({}, {"die", "SIGKILL"}));
  const auto both = lines_of(daemon.ctl({"wait", "one", other}).out);
  REQUIRE(both.size() == 2);
  CHECK(json_at(both[1], "/signal") == "SIGKILL");
  CHECK(json_at(both[1], "/exitCode").empty());
}

TEST_CASE("a wait that takes too long exits with 124 and leaves the process alone") {
  Daemon daemon;
  const std::string id = spawned(daemon, {"--", "sleep", "600"});
  const Ran ran = daemon.ctl({"wait", "--timeout", "50ms", id});
  CHECK(ran.code == 124);
  CHECK(json_at(ran.err, "/error/code") == "E_TIMEOUT");
  CHECK(json_at(daemon.ctl({"status", id}).out, "/status") == "running");
}

TEST_CASE("a session that nobody knows is E_NOT_FOUND, whatever is asked of it") {
  Daemon daemon;
  for (const std::string command :
       {"status", "wait", "kill", "pause", "resume", "cancel", "forget", "attach", "logs", "close-stdin"}) {
    CAPTURE(command);
    const Ran ran = daemon.ctl({command, "nobody"});
    CHECK(ran.code == 1);
    CHECK(ran.out.empty());
    CHECK(json_at(ran.err, "/error/code") == "E_NOT_FOUND");
  }
  CHECK(json_at(daemon.ctl({"write", "nobody", "x"}).err, "/error/code") == "E_NOT_FOUND");
}

TEST_CASE("of several ids the good ones are served and the bad ones told") {
  Daemon daemon;
  const std::string id = spawned(daemon, {"--", "sleep", "600"});
  const Ran ran = daemon.ctl({"status", "nobody", id});
  CHECK(ran.code == 1);
  CHECK(json_at(ran.out, "/id") == id);
  CHECK(json_at(ran.err, "/error/code") == "E_NOT_FOUND");
}

TEST_CASE("an id used twice is refused with the session that has it, and --replace takes an ended one's") {
  Daemon daemon;
  spawned(daemon, {"--id", "twice", "--", "sleep", "600"});
  const Ran again = daemon.ctl({"spawn", "--id", "twice", "--", "true"});
  CHECK(again.code == 1);
  CHECK(json_at(again.err, "/error/code") == "E_ALREADY_EXISTS");
  CHECK(json_at(again.err, "/error/details/session/id") == "twice");
  CHECK(daemon.ctl({"spawn", "--replace", "--id", "twice", "--", "true"}).code == 1);
  daemon.ctl({"kill", "-s", "KILL", "twice"});
  daemon.ctl({"wait", "twice"});
  CHECK(daemon.ctl({"spawn", "--id", "twice", "--", "true"}).code == 1);
  CHECK(daemon.ctl({"spawn", "--replace", "--id", "twice", "--", "true"}).code == 0);
  CHECK(json_at(daemon.ctl({"wait", "twice"}).out, "/exitCode") == "0");
}

TEST_CASE("a name that is no id is refused") {
  Daemon daemon;
  const Ran ran = daemon.ctl({"spawn", "--id", "../etc", "--", "true"});
  CHECK(ran.code == 1);
  CHECK(json_at(ran.err, "/error/code") == "E_INVALID_PARAMS");
  CHECK(json_at(ran.err, "/error/details/path") == "params.id");
}

TEST_CASE("a program that cannot start is E_SPAWN_FAILED with its reason, and no session") {
  Daemon daemon;
  const auto reason = [&](std::vector<std::string> words) {
    words.insert(words.begin(), "spawn");
    const Ran ran = daemon.ctl(words);
    CHECK(ran.code == 1);
    CHECK(json_at(ran.err, "/error/code") == "E_SPAWN_FAILED");
    return json_at(ran.err, "/error/details/step") + " " + json_at(ran.err, "/error/details/errnoName");
  };
  CHECK(reason({"--", "/no/such/program"}) == "exec ENOENT");
  CHECK(reason({"--", "/tmp"}) == "exec EACCES");
  CHECK(reason({"--cwd", "/no/such", "--", "true"}) == "chdir ENOENT");
  CHECK(reason({"--", daemon.dir().put("script", "echo hello\n", 0755)}) == "exec ENOEXEC");
  CHECK(daemon.ctl({"ps", "-a", "-q"}).out.empty());
  // A program whose name is empty is a wrong one, not a missing one.
  CHECK(daemon.ctl({"spawn", "--", ""}).code == 1);
}

TEST_CASE("ps lists what runs, with -a what ended, and filters") {
  Daemon daemon;
  CHECK(daemon.ctl({"ps"}).out.empty());
  spawned(daemon, {"--id", "runs", "-l", "kind=a", "--", "sleep", "600"});
  spawned(daemon, {"--id", "ends", "-l", "kind=b", "--", "true"});
  spawned(daemon, child({"--id", "dies"}, {"die", "SIGTERM"}));
  daemon.ctl({"wait", "ends", "dies"});
  CHECK(daemon.ctl({"ps", "-q"}).out == "runs\n");
  CHECK(daemon.ctl({"ps", "-a", "-q"}).out == "runs\nends\ndies\n");
  CHECK(daemon.ctl({"ps", "--status", "exited", "-q"}).out == "ends\n");
  CHECK(daemon.ctl({"ps", "--status", "killed", "-q"}).out == "dies\n");
  CHECK(daemon.ctl({"ps", "-a", "-q", "--label", "kind"}).out == "runs\nends\n");
  CHECK(daemon.ctl({"ps", "-a", "-q", "--label", "kind=b"}).out == "ends\n");
  CHECK(daemon.ctl({"ps", "-a", "-q", "--owner", "user:4242424"}).out.empty());
  CHECK(json_at(lines_of(daemon.ctl({"ps"}).out).at(0), "/id") == "runs");
  const Ran table = daemon.ctl({"ps", "-a", "--table"});
  CHECK(lines_of(table.out).size() == 4);
  CHECK(lines_of(table.out)[0].substr(0, 2) == "ID");
  CHECK(table.out.find("SIGTERM") != std::string::npos);
}

TEST_CASE("ps shows every session, of how many pages it may be") {
  Daemon daemon;
  // More than one page of process.list (500); one client spawns them all.
  const std::string script =
      "i=0; while [ $i -lt 520 ]; do $CTL spawn --stdin null -- true >/dev/null || exit 1; i=$((i+1)); done";
  StartOptions options;
  options.env = {{"CTL", kairoctl_path()}, {"KAIRO_IPC_SOCKET", daemon.socket()}};
  REQUIRE(run({"sh", "-c", script}, {}, options).code == 0);
  CHECK(lines_of(daemon.ctl({"ps", "-a", "-q"}).out).size() == 520);
}

TEST_CASE("kill, pause, resume and cancel do what they say") {
  Daemon daemon;
  const std::string killed = spawned(daemon, {"--", "sleep", "600"});
  CHECK(daemon.ctl({"kill", "-s", "usr1", killed}).code == 0);
  CHECK(json_at(daemon.ctl({"wait", killed}).out, "/signal") == "SIGUSR1");

  const std::string paused = spawned(daemon, {"--", "sleep", "600"});
  CHECK(daemon.ctl({"pause", paused}).code == 0);
  CHECK(json_at(daemon.ctl({"status", paused}).out, "/paused") == "true");
  CHECK(daemon.ctl({"resume", paused}).code == 0);
  CHECK(json_at(daemon.ctl({"status", paused}).out, "/paused") == "false");
  daemon.ctl({"pause", paused});
  CHECK(daemon.ctl({"kill", paused}).code == 0);  // SIGTERM is followed by SIGCONT
  CHECK(json_at(daemon.ctl({"wait", paused}).out, "/signal") == "SIGTERM");

  // Only once it has said so it ignores SIGTERM.
  const auto deaf = [&] {
    const std::string id = spawned(daemon, child({}, {"ignore-term"}));
    eventually([&] { return daemon.ctl({"logs", id}).out == "ready\n"; }, "it ignores SIGTERM");
    return id;
  };
  const std::string canceled = deaf();
  CHECK(daemon.ctl({"cancel", "--reason", "test", "--grace", "50ms", canceled}).code == 0);
  const Ran waited = daemon.ctl({"wait", canceled});
  CHECK(json_at(waited.out, "/signal") == "SIGKILL");
  CHECK(json_at(waited.out, "/outcome/reason") == "canceled");

  const Ran late = daemon.ctl({"kill", canceled});
  CHECK(late.code == 1);
  CHECK(json_at(late.err, "/error/code") == "E_NOT_RUNNING");

  const std::string stubborn = deaf();
  CHECK(daemon.ctl({"kill", "--escalate-after", "50ms", stubborn}).code == 0);
  CHECK(json_at(daemon.ctl({"wait", stubborn}).out, "/signal") == "SIGKILL");
}

TEST_CASE("a time limit ends the program and says so") {
  Daemon daemon;
  const std::string id = spawned(daemon, {"--timeout", "50ms", "--", "sleep", "600"});
  const Ran waited = daemon.ctl({"wait", id});
  CHECK(json_at(waited.out, "/outcome/reason") == "timeout");
}

TEST_CASE("forget removes an ended session and refuses a running one") {
  Daemon daemon;
  spawned(daemon, {"--id", "runs", "--", "sleep", "600"});
  spawned(daemon, {"--id", "ended", "--", "echo", "hello"});
  daemon.ctl({"wait", "ended"});
  CHECK(daemon.ctl({"forget", "runs"}).code == 1);
  CHECK(daemon.ctl({"forget", "ended"}).code == 0);
  CHECK(daemon.ctl({"status", "ended"}).code == 1);
  CHECK(daemon.ctl({"logs", "ended"}).code == 1);
}

TEST_CASE("events come while they happen") {
  Daemon daemon;
  Program events(
      daemon.ctl_argv({"--correlation-id", "ignored", "events", "-f", "--topic", "kairo.process.>"}));
  // The subscription shows by its first event; until then programs are started.
  eventually(
      [&] {
        daemon.ctl({"--correlation-id", "c-1", "run", "--", "true"});
        events.look();
        return events.out().find("kairo.process.exited") != std::string::npos;
      },
      "an event");
  bool exited = false;
  for (const std::string& line : lines_of(events.out())) {
    if (json_at(line, "/type") != "kairo.process.exited") continue;
    exited = true;
    CHECK(json_at(line, "/correlationId") == "c-1");
    CHECK(json_at(line, "/data/exitCode") == "0");
  }
  CHECK(exited);
}

TEST_CASE("ping, info, metrics, devices and introspect answer") {
  Daemon daemon;
  CHECK(json_at(daemon.ctl({"ping"}).out, "/pong") == "true");
  CHECK(json_at(daemon.ctl({"info"}).out, "/socket") == daemon.socket());
  CHECK(json_at(daemon.ctl({"introspect"}).out, "/methods/0/name") != "");
  CHECK(daemon.ctl({"metrics"}).code == 0);
  CHECK(daemon.ctl({"devices"}).code == 0);
  for (const std::string command : {"info", "metrics", "devices"})
    CHECK(lines_of(daemon.ctl({command, "--table"}).out).size() > 1);
}

TEST_CASE("devices are listed by what they are, and claimed by a command that stays or for a session") {
  Daemon daemon;
  const std::string null = "mem:/devices/virtual/mem/null";
  const auto holder = [&] {
    for (const std::string& line : lines_of(daemon.ctl({"devices", "list", "--subsystem", "mem"}).out)) {
      CHECK(json_at(line, "/subsystem") == "mem");
      if (json_at(line, "/id") == null)
        return json_at(line, "/claimedBy/owner") + " " + json_at(line, "/claimedBy/processId");
    }
    return std::string("no such device");
  };
  CHECK(holder() == " ");
  CHECK(daemon.ctl({"devices", "--type", "no-such-type"}).out == "");
  const std::string user = "user:" + std::to_string(getuid());

  Program claim(daemon.ctl_argv({"devices", "claim", null}));
  claim.await_out("\n");
  CHECK(json_at(claim.out(), "/claimedBy/owner") == user);
  CHECK(holder() == user + " ");
  const Ran refused = daemon.ctl({"devices", "claim", null});
  CHECK(refused.code == 1);
  CHECK(json_at(refused.err, "/error/code") == "E_ALREADY_EXISTS");
  CHECK(json_at(refused.err, "/error/details/owner") == user);
  claim.signal(SIGINT);
  claim.wait();
  eventually([&] { return holder() == " "; }, "the end of the claim");

  const std::string id = spawned(daemon, child({}, {"cat"}));
  CHECK(json_at(daemon.ctl({"devices", "claim", null, "--process", id}).out, "/claimedBy/processId") == id);
  CHECK(holder() == user + " " + id);
  CHECK(daemon.ctl({"devices", "release", null}).code == 0);
  CHECK(holder() == " ");
  CHECK(daemon.ctl({"devices", "claim"}).code == 64);
  CHECK(daemon.ctl({"devices", "seize", null}).code == 64);
  CHECK(daemon.ctl({"devices", "release", null, "--process", id}).code == 64);
}

TEST_SUITE_END();
