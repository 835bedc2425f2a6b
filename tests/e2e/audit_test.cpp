// The audit as its users have it: what every request leaves behind, who may read it, and that nothing can be
// changed in it without being found.
#include "api/audit.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>

#include <doctest/doctest.h>

#include "api/methods.hpp"
#include "client/client.hpp"
#include "e2e/support.hpp"

using namespace kairo;
using namespace kairo::test;
namespace fs = std::filesystem;

namespace {

client::Client connect(const Daemon& daemon) {
  auto made = client::Client::connect({.socket = daemon.socket()});
  REQUIRE_MESSAGE(made.ok(), (made.ok() ? std::string() : made.error().message));
  return std::move(*made);
}

SteadyTime soon() {
  return SteadyClock::now() + patience;
}

std::vector<std::string> files_of(const Daemon& daemon) {
  std::vector<std::string> out;
  for (const auto& each : fs::directory_iterator(daemon.state_dir() + "/audit"))
    if (each.path().extension() == ".jsonl") out.push_back(each.path().string());
  std::sort(out.begin(), out.end());
  return out;
}

/// Every record on disk.
std::vector<std::string> records(const Daemon& daemon) {
  std::string text;
  for (const std::string& each : files_of(daemon)) text += read_file(each);
  // A record that is being written may be seen in part.
  text.resize(text.rfind('\n') + 1);
  return lines_of(text);
}

/// Those whose member has this value.
std::vector<std::string> with(const std::vector<std::string>& all, const std::string& pointer,
                              const std::string& value) {
  std::vector<std::string> out;
  std::copy_if(all.begin(), all.end(), std::back_inserter(out),
               [&](const std::string& each) { return json_at(each, pointer) == value; });
  return out;
}

void put(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::trunc | std::ios::binary) << bytes;
}

Ran verify(const Daemon& daemon) {
  return run({kairoctl_path(), "--no-autostart", "--socket", daemon.socket(), "--state-dir",
              daemon.state_dir(), "audit", "verify"});
}

void kill_daemon(const Daemon& place) {
  const pid_t pid = place.pids().daemon;
  REQUIRE(kill(pid, SIGKILL) == 0);
  eventually([&] { return !client::Client::connect({.socket = place.socket()}).ok(); }, "the daemon's end");
}

api::SpawnParams command(std::vector<std::string> argv) {
  api::SpawnParams params;
  params.command = std::move(argv);
  params.options.emplace();
  params.options->subscribe = false;
  return params;
}

}  // namespace

TEST_SUITE_BEGIN("audit");

TEST_CASE("every method leaves a record with who asked, for what, and what became of it") {
  Daemon daemon;
  client::Client client = connect(daemon);
  const auto table = client.call<api::IntrospectResult>("kernel.introspect", api::NoParams{}, soon());
  REQUIRE(table.ok());
  std::set<std::string> asked;
  for (const auto& each : table->methods) {
    if (each.name == "kernel.stop" || each.name == "kernel.upgrade") continue;
    static_cast<void>(client.call_raw(each.name, api::NoParams{}, soon()));
    asked.insert(each.name);
  }
  static_cast<void>(client.call_raw("kernel.pong", api::NoParams{}, soon()));
  // Answered, so on disk.
  const auto all = records(daemon);
  const std::string pid = std::to_string(::getpid()), uid = std::to_string(::getuid());
  for (const std::string& each : asked) {
    const auto own = with(all, "/method", each);
    CAPTURE(each);
    REQUIRE(own.size() >= 1);
    CHECK(json_at(own.back(), "/pid") == pid);
    CHECK(json_at(own.back(), "/uid") == uid);
    CHECK(json_at(own.back(), "/gid") == std::to_string(::getgid()));
    CHECK(json_at(own.back(), "/principal") == "user:" + uid);
    CHECK(json_at(own.back(), "/durationUs") != "");
  }
  CHECK(json_at(with(all, "/method", "kernel.ping").back(), "/outcome") == "ok");
  CHECK(json_at(with(all, "/method", "process.spawn").back(), "/outcome") == "E_INVALID_PARAMS");
  CHECK(json_at(with(all, "/method", "kernel.pong").back(), "/outcome") == "E_UNKNOWN_METHOD");
  REQUIRE(daemon.ctl({"kernel", "stop"}).code == 0);
  CHECK(with(records(daemon), "/method", "kernel.stop").size() == 1);
  CHECK(with(records(daemon), "/event", "kairo.kernel.stopping").size() == 1);
  CHECK(verify(daemon).code == 0);
}

TEST_CASE("a life is told from spawn to exit, secrets and standard input are not") {
  Daemon daemon;
  const std::string id = spawned(
      daemon, {"--id", "s1", "--env", "API_TOKEN=hush-env", "--env", "PLAIN=seen", "--", "sh", "-c",
               "cat; true DB_PASSWORD=hush-script", "x", "--secret", "hush-word", "--token=hush-option"});
  REQUIRE(daemon.ctl({"--correlation-id", "c-7", "write", "s1", "--close"}, "hush-input\n").code == 0);
  REQUIRE(daemon.ctl({"wait", "s1"}).code == 0);
  const std::string killed = spawned(daemon, {"--id", "s2", "--", "sleep", "1000"});
  REQUIRE(daemon.ctl({"kill", "-s", "KILL", "s2"}).code == 0);
  static_cast<void>(daemon.ctl({"wait", "s2"}));
  // An event alone is written by the end of its turn; a later answer says that this is over.
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  const auto all = records(daemon);
  const auto spawns = with(with(all, "/method", "process.spawn"), "/target", "s1");
  REQUIRE(spawns.size() == 1);
  CHECK(json_at(spawns[0], "/env/API_TOKEN") == "[redacted]");
  CHECK(json_at(spawns[0], "/env/PLAIN") == "seen");
  CHECK(json_at(spawns[0], "/argv/5") == "[redacted]");
  CHECK(json_at(spawns[0], "/argv/6") == "--token=[redacted]");
  for (const char* event : {"kairo.process.spawned", "kairo.process.exited"}) {
    const auto own = with(with(all, "/event", event), "/target", "s1");
    REQUIRE(own.size() == 1);
    CHECK(json_at(own[0], "/principal") == "user:" + std::to_string(::getuid()));
  }
  CHECK(json_at(with(with(all, "/method", "process.kill"), "/target", "s2").at(0), "/signal") == "SIGKILL");
  CHECK(with(with(all, "/event", "kairo.process.signaled"), "/target", "s2").size() == 1);
  CHECK(json_at(with(with(all, "/method", "process.stdin.write"), "/target", "s1").at(0), "/correlationId") ==
        "c-7");
  for (const std::string& each : all) CHECK(each.find("hush") == std::string::npos);
}

TEST_CASE("a request whose client leaves before the answer has its record") {
  Daemon daemon;
  const std::string id = spawned(daemon, {"--", "sleep", "1000"});
  {
    client::Client leaving = connect(daemon);
    leaving.send("process.wait", api::WaitParams{id, {}});
    REQUIRE(leaving.call_raw("kernel.ping", api::NoParams{}, soon()).ok());
  }
  eventually(
      [&] {
        return !with(with(records(daemon), "/method", "process.wait"), "/outcome", "unanswered").empty();
      },
      "the record of the wait");
}

TEST_CASE("kill -9 takes no record of anything that was answered") {
  Daemon daemon({.keep = true});
  std::set<std::string> answered;
  for (int round = 0; round < 5; ++round) {
    client::Client client = connect(daemon);
    std::vector<std::uint64_t> spawns;
    for (int i = 0; i < 40; ++i) {
      api::SpawnParams params = command({"true"});
      params.id = "r" + std::to_string(round) + "-" + std::to_string(i);
      spawns.push_back(client.send("process.spawn", params));
      client.send("kernel.ping", api::NoParams{});
    }
    // Somewhere in the middle of it.
    const int answers = 3 + round * 8;
    for (int i = 0; i < answers; ++i) {
      auto session = client.await<api::SpawnResult>(spawns[static_cast<std::size_t>(i)], soon());
      REQUIRE(session.ok());
      answered.insert(session->id);
    }
    kill_daemon(daemon);
    // What had come to this side by then was answered, too.
    for (std::size_t i = static_cast<std::size_t>(answers); i < spawns.size(); ++i) {
      auto session = client.await<api::SpawnResult>(spawns[i], soon());
      if (!session) break;
      answered.insert(session->id);
    }
    const auto all = with(records(daemon), "/method", "process.spawn");
    std::set<std::string> told;
    for (const std::string& each : all)
      if (json_at(each, "/outcome") == "ok") told.insert(json_at(each, "/target"));
    for (const std::string& each : answered) {
      CAPTURE(each);
      CHECK(told.contains(each));
    }
    CHECK(verify(daemon).code == 0);
    daemon.start({.keep = true});
  }
  const Ran ran = verify(daemon);
  CHECK_MESSAGE(ran.code == 0, ran.out << ran.err);
}

TEST_CASE("verify names the record of any byte that was edited, with a daemon and without") {
  Daemon daemon;
  for (int i = 0; i < 3; ++i) REQUIRE(daemon.ctl({"ping"}).code == 0);
  const Ran whole = verify(daemon);
  REQUIRE_MESSAGE(whole.code == 0, whole.out << whole.err);
  CHECK(json_at(whole.out, "/whole") == "true");
  const std::string file = files_of(daemon)[0], text = read_file(file);
  const std::size_t at = lines_of(text)[0].size() + 1 + 40;
  std::fstream edit(file, std::ios::in | std::ios::out | std::ios::binary);
  edit.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(text[at] ^ 1)).flush();
  for (const bool runs : {true, false}) {
    if (!runs) REQUIRE(daemon.ctl({"kernel", "stop"}).code == 0);
    const Ran broken = verify(daemon);
    CHECK(broken.code == 1);
    CHECK(json_at(broken.out, "/whole") == "false");
    CHECK(json_at(broken.out, "/broken/file") == fs::path(file).filename().string());
    CHECK(json_at(broken.out, "/broken/line") == "2");
    CHECK(json_at(broken.out, "/broken/seq") == "2");
    CHECK(json_at(broken.out, "/broken/problem").find("changed") != std::string::npos);
  }
  edit.seekp(static_cast<std::streamoff>(at)).put(text[at]).flush();
  CHECK(verify(daemon).code == 0);
}

TEST_CASE("records that were cut off are missed by verify and by the next daemon") {
  Daemon daemon;
  for (int i = 0; i < 3; ++i) REQUIRE(daemon.ctl({"ping"}).code == 0);
  REQUIRE(daemon.ctl({"kernel", "stop"}).code == 0);
  const std::string file = files_of(daemon)[0], text = read_file(file);
  const auto lines = lines_of(text);
  put(file, text.substr(0, text.size() - lines.back().size() - 1));
  const Ran cut = verify(daemon);
  CHECK(cut.code == 1);
  CHECK(json_at(cut.out, "/broken/problem").find("are missing") != std::string::npos);
  CHECK(json_at(cut.out, "/broken/seq") == json_at(lines.back(), "/seq"));
  daemon.start({});
  eventually([&] { return daemon.said().find("of the audit are missing") != std::string::npos; },
             "the daemon's word");
  const auto gaps = with(records(daemon), "/event", "kairo.audit.gap");
  REQUIRE(gaps.size() == 1);
  CHECK(json_at(gaps[0], "/toSeq") == json_at(lines.back(), "/seq"));
  CHECK(json_at(daemon.ctl({"events", "--topic", "kairo.kernel.degraded"}).out, "/data/what") == "audit");
  // It stays broken: the daemon does not paper over it.
  CHECK(verify(daemon).code == 1);
}

TEST_CASE("a line that a crash tore is set aside and told") {
  Daemon daemon;
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  kill_daemon(daemon);
  const std::string file = files_of(daemon)[0];
  std::ofstream(file, std::ios::app) << "{\"seq\":99,\"ti";
  const Ran torn = verify(daemon);
  CHECK(torn.code == 0);
  CHECK(json_at(torn.out, "/tornBytes") == "13");
  daemon.start({});
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  CHECK(with(records(daemon), "/event", "kairo.audit.recovered").size() == 1);
  CHECK(read_file(file + ".damaged-1") == "{\"seq\":99,\"ti");
  CHECK(verify(daemon).code == 0);
}

TEST_CASE("what cannot be audited is told; under \"required\" nothing is done but to look, until it can") {
  const TempDir dir;
  for (const std::string mode : {"required", "on"}) {
    const std::string file = dir.put("kairod.json", "{\"audit\": \"" + mode + "\"}");
    Daemon daemon({.arguments = {"--config", file}});
    REQUIRE(daemon.ctl({"run", "--", "true"}).code == 0);
    const std::string folder = daemon.state_dir() + "/audit";
    fs::remove_all(folder);
    put(folder, "in the way");
    eventually([&] { return daemon.said().find("requests are not audited") != std::string::npos; },
               "the daemon's word");
    CHECK(daemon.ctl({"ping"}).code == 0);
    CHECK(json_at(daemon.ctl({"info"}).out, "/features/audit") == "false");
    const Ran spawn = daemon.ctl({"spawn", "--id", "x", "--", "true"});
    if (mode == "required") {
      CHECK(spawn.code == 70);
      CHECK(json_at(spawn.err, "/error/code") == "E_INTERNAL");
      CHECK(json_at(spawn.err, "/error/message").find("\"required\"") != std::string::npos);
      CHECK(json_at(daemon.ctl({"events"}).err, "/error/code") == "E_INTERNAL");
    } else {
      CHECK(spawn.code == 0);
      CHECK(daemon.ctl({"events", "--topic", "kairo.kernel.degraded"}).out.find("requests are not audited") !=
            std::string::npos);
    }
    fs::remove(folder);
    eventually([&] { return json_at(daemon.ctl({"info"}).out, "/features/audit") == "true"; },
               "the audit's recovery");
    CHECK(daemon.ctl({"run", "--", "true"}).code == 0);
    CHECK(with(records(daemon), "/method", "process.spawn").size() >= 1);
    // What was removed stays missed.
    CHECK(verify(daemon).code == 1);
  }
}

TEST_CASE("audit prints records by time, principal and method, the newest, and what comes") {
  Daemon daemon;
  for (int i = 0; i < 3; ++i)
    REQUIRE(daemon.ctl({"run", "--id", "r" + std::to_string(i), "--", "true"}).code == 0);
  const auto spawns = lines_of(daemon.ctl({"audit", "--method", "process.spawn"}).out);
  REQUIRE(spawns.size() == 3);
  CHECK(json_at(spawns[2], "/target") == "r2");
  CHECK(with(records(daemon), "/seq", json_at(spawns[0], "/seq")) == std::vector<std::string>{spawns[0]});
  CHECK(lines_of(daemon.ctl({"audit", "--method", "kairo.process.*"}).out).size() == 6);
  CHECK(lines_of(daemon.ctl({"audit", "-n", "4"}).out).size() == 4);
  CHECK(daemon.ctl({"audit", "--principal", "user:4294967"}).out.empty());
  CHECK(daemon.ctl({"audit", "--since", "2100-01-01T00:00:00Z"}).out.empty());
  CHECK(
      lines_of(daemon.ctl({"audit", "--until", json_at(spawns[0], "/time"), "--method", "process.spawn"}).out)
          .size() == 1);
  CHECK(daemon.ctl({"--table", "audit", "--method", "process.spawn"}).out.find("r1") != std::string::npos);
  for (const std::vector<std::string>& bad : {std::vector<std::string>{"audit", "prove"},
                                              {"audit", "verify", "-n", "3"},
                                              {"audit", "-n", "0"},
                                              {"audit", "--since", "soon"}})
    CHECK(daemon.ctl(bad).code == 64);

  Program follow(daemon.ctl_argv({"audit", "-f", "-n", "1", "--method", "process.*"}));
  follow.await_out("\n");
  REQUIRE(daemon.ctl({"run", "--id", "later", "--", "true"}).code == 0);
  follow.await_out("\"later\"");
  CHECK(follow.out().find("audit.query") == std::string::npos);
  follow.signal(SIGTERM);
  follow.wait();
}

TEST_CASE("what follows the audit has every record, those of looking at it included") {
  Daemon daemon;
  Program follow(daemon.ctl_argv({"audit", "-f"}));
  eventually([&] { return !with(records(daemon), "/method", "audit.query").empty(); }, "the first look");
  for (int i = 0; i < 3; ++i) {
    const std::string id = "run-" + std::to_string(i);
    REQUIRE(daemon.ctl({"audit", "-n", "1"}).code == 0);
    REQUIRE(daemon.ctl({"run", "--id", id, "--", "true"}).code == 0);
    follow.await_out("\"" + id + "\"");
  }
  follow.signal(SIGTERM);
  follow.wait();
  std::string out = follow.out();
  out.resize(out.rfind('\n') + 1);
  const auto lines = lines_of(out);
  for (std::size_t i = 1; i < lines.size(); ++i) {
    CAPTURE(lines[i]);
    CHECK(json_at(lines[i], "/prev") == json_at(lines[i - 1], "/hash"));
    CHECK(std::stoull(json_at(lines[i], "/seq")) == std::stoull(json_at(lines[i - 1], "/seq")) + 1);
  }
  // Its own first look, those of others, and each answer to what waited.
  CHECK(with(lines, "/method", "audit.query").size() >= 5);
}

TEST_CASE("queries that wait hold up no other query of their connection, and come in no crowds") {
  Daemon daemon;
  client::Client client = connect(daemon);
  auto newest = api::AuditQueryParams{};
  newest.last = 1;
  const auto place = client.call<api::AuditQueryResult>("audit.query", newest, soon());
  REQUIRE(place.ok());
  api::AuditQueryParams params;
  params.after = place->next;
  params.method = "process.spawn";
  params.wait_ms = 60'000;
  std::vector<std::uint64_t> waiting;
  for (int i = 0; i < 16; ++i) waiting.push_back(client.send("audit.query", params));
  // Answered behind them, while they wait.
  REQUIRE(client.call_raw("event.query", api::EventQueryParams{}, soon()).ok());
  const auto one_more = client.call<api::AuditQueryResult>("audit.query", params, soon());
  REQUIRE(!one_more.ok());
  CHECK(one_more.error().code == Code::limit_exceeded);
  REQUIRE(client.call_raw("process.spawn", command({"true"}), soon()).ok());
  for (const std::uint64_t each : waiting) {
    auto page = client.await<api::AuditQueryResult>(each, soon());
    REQUIRE_MESSAGE(page.ok(), (page.ok() ? std::string() : page.error().message));
    REQUIRE(page->records.size() == 1);
    CHECK(json_at(page->records[0], "/method") == "process.spawn");
    params.after = page->next;
  }
  // Those that were answered count no longer.
  const auto again = client.send("audit.query", params);
  REQUIRE(client.call_raw("process.spawn", command({"true"}), soon()).ok());
  CHECK(client.await<api::AuditQueryResult>(again, soon()).ok());
}

TEST_CASE("a principal with a name sees its own records and nobody else's") {
  Daemon daemon;
  REQUIRE(daemon.ctl({"run", "--", "true"}).code == 0);
  client::Client named = connect(daemon), other = connect(daemon);
  REQUIRE(named.call_raw("identify", api::IdentifyParams{"a"}, soon()).ok());
  REQUIRE(other.call_raw("identify", api::IdentifyParams{"ab"}, soon()).ok());
  REQUIRE(named.call_raw("kernel.ping", api::NoParams{}, soon()).ok());
  const std::string own = "user:" + std::to_string(::getuid()) + "/a";
  auto page = named.call<api::AuditQueryResult>("audit.query", api::AuditQueryParams{}, soon());
  REQUIRE(page.ok());
  CHECK(page->records.size() >= 2);
  for (const std::string& each : page->records) CHECK(json_at(each, "/principal") == own);
  api::AuditQueryParams params;
  params.principal = own;
  page = other.call<api::AuditQueryResult>("audit.query", params, soon());
  REQUIRE(page.ok());
  CHECK(page->records.empty());
  CHECK(lines_of(daemon.ctl({"audit", "--principal", own}).out).size() >= 3);
}

TEST_CASE(
    "files are changed at auditBytes, kept as auditFiles says, and verify follows the chain over them") {
  const TempDir dir;
  const std::string file = dir.put("kairod.json", R"({"auditBytes": 4096, "auditFiles": 3})");
  Daemon daemon({.arguments = {"--config", file}});
  client::Client client = connect(daemon);
  for (int i = 0; i < 200; ++i) REQUIRE(client.call_raw("kernel.ping", api::NoParams{}, soon()).ok());
  eventually([&] { return files_of(daemon).size() == 3; }, "the removal of old files");
  const Ran ran = verify(daemon);
  CHECK_MESSAGE(ran.code == 0, ran.out << ran.err);
  CHECK(std::stoull(json_at(ran.out, "/firstSeq")) > 100);
  put(file, R"({"audit": "off"})");
  kill(daemon.pids().daemon, SIGHUP);
  eventually([&] { return json_at(daemon.ctl({"info"}).out, "/features/audit") == "false"; },
             "the new setting");
  const auto before = records(daemon).size();
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  CHECK(records(daemon).size() == before);
}

TEST_CASE("verify without an audit says so") {
  const TempDir dir;
  const Ran ran = run({kairoctl_path(), "--no-autostart", "--socket", dir.file("none"), "--state-dir",
                       dir.path(), "audit", "verify"});
  CHECK(ran.code == 66);
  CHECK(ran.err.find("has no audit") != std::string::npos);
}

TEST_SUITE_END();
