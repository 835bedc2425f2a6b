// Topologies that are refused: as a whole, with the place of what is wrong, and with nothing left behind.
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include "e2e/support.hpp"
#include "rig.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

Error refused(client::Client& client, const api::Topology& topology, const std::string& cwd = "/") {
  api::TopologyUpParams params;
  params.topology = topology;
  params.cwd = cwd;
  auto up = client.call<api::TopologyStatus>("topology.up", params, SteadyClock::now() + patience);
  REQUIRE(!up.ok());
  return std::move(up).error();
}

std::string path_of(const Error& error) {
  for (const auto& [name, value] : error.details)
    if (name == "path" && std::holds_alternative<std::string>(value)) return std::get<std::string>(value);
  return {};
}

void check_nothing_runs(const Daemon& daemon, client::Client& client) {
  eventually(
      [&] {
        for (const auto& each : must<api::ListResult>(client, "process.list", api::ListParams{}).sessions)
          if (each.status == api::Status::running) return false;
        return !std::filesystem::exists(daemon.socket() + ".d");
      },
      "nothing runs, and nothing lies there");
}

}  // namespace

TEST_SUITE_BEGIN("processUnix" * doctest::skip(gated()));

TEST_CASE("one node that cannot be started: none stays, and the error names it") {
  Daemon daemon;
  client::Client client = connect(daemon);
  auto topology = row({numbered(endless), plain("missing", {"/nonexistent/program"}), verifier()});
  topology.nodes.push_back(plain("beside", {"sh", "-c", "exec sleep 100000"}));
  const Error error = refused(client, topology);
  CAPTURE(error.message);
  CHECK(error.code == Code::spawn_failed);
  CHECK(path_of(error).find("params.topology.nodes[1]") == 0);
  CHECK(error.message.find("; the topology was not brought up") != std::string::npos);
  check_nothing_runs(daemon, client);
  // Nothing has flowed.
  const std::string flowed = read_log(client, "t.sink.1");
  CHECK((flowed.empty() || flowed == "ok 0\n"));
  // A directory that is not there, and a module whose file cannot be opened.
  topology.nodes[1] = program("missing", {"cat"});
  topology.nodes[1].cwd = "/nonexistent";
  CHECK(path_of(refused(client, topology)).find("params.topology.nodes[1]") == 0);
  check_nothing_runs(daemon, client);
  for (const char* module : {"file-sink", "tee"}) {
    auto bad = row({numbered(endless), worker("file", module, {{"path", "/nonexistent/file"}})});
    if (std::string_view(module) == "tee") {
      bad.nodes.push_back(verifier());
      join(bad, "file", "sink");
    }
    const Error unopened = refused(client, bad);
    CAPTURE(unopened.message);
    CHECK(path_of(unopened).find("params.topology.nodes[1]") == 0);
    CHECK(unopened.message.find("cannot open \"/nonexistent/file\" for writing") != std::string::npos);
    check_nothing_runs(daemon, client);
  }
  for (const char* path : {"/nonexistent/file", "/"}) {
    const Error unopened =
        refused(client, row({worker("source", "file-source", {{"path", path}}), verifier()}));
    CAPTURE(unopened.message);
    CHECK(path_of(unopened).find("params.topology.nodes[0]") == 0);
    CHECK(unopened.message.find("\"" + std::string(path) + "\"") != std::string::npos);
    check_nothing_runs(daemon, client);
  }
  // The same name, mended.
  topology.nodes[1].cwd.reset();
  Rig rig(daemon, topology);
  rig.await_bytes("sink", 100'000);
  CHECK(rig.down().drained);
}

TEST_CASE("what the checks find is refused before anything is started") {
  Daemon daemon;
  client::Client client = connect(daemon);
  auto circle = row({program("a", {"cat"}), program("b", {"cat"})});
  join(circle, "b", "a");
  CHECK(refused(client, circle).code == Code::invalid_params);
  auto relative = row({numbered(1), verifier()});
  CHECK(path_of(refused(client, relative, "here")) == "params.cwd");
  CHECK(must<api::ListResult>(client, "process.list", api::ListParams{}).sessions.empty());
  CHECK(must<api::TopologyListResult>(client, "topology.list", api::NoParams{}).topologies.empty());
  auto unknown = client.call<api::TopologyStatus>("topology.status", api::TopologyParams{"t"},
                                                  SteadyClock::now() + patience);
  CHECK(unknown.error().code == Code::not_found);
}

TEST_CASE("a path of the socket that is too long for an executor's is refused by name") {
  Daemon daemon;
  client::Client client = connect(daemon);
  auto topology = row({numbered(1), verifier()});
  topology.name = std::string(63, 'n');
  auto up = client.call<api::TopologyStatus>("topology.up", api::TopologyUpParams{topology, "/"},
                                             SteadyClock::now() + patience);
  if (up.ok()) {
    CHECK(wait(client, topology.name + ".executor").exit_code == 0);
  } else {
    CHECK(up.error().code == Code::invalid_params);
    CAPTURE(up.error().message);
    CHECK(up.error().message.find("too long") != std::string::npos);
  }
}

TEST_CASE("a policy that lets no session start anything lets no node start, and says which rule it is") {
  TempDir files;
  const std::string file = files.put("kairod.json", R"({"policy": {"rules": [
    {"principal": "process:*", "methods": ["process.list", "event.publish", "process.wait", "process.cancel"]}]}})");
  Daemon daemon({.arguments = {"--config", file}});
  client::Client client = connect(daemon);
  const Error error = refused(client, row({numbered(endless), verifier()}));
  CHECK(error.code == Code::permission_denied);
  CHECK(error.message.find("params.topology.nodes[0]") == 0);
  check_nothing_runs(daemon, client);
}

TEST_CASE("a principal that may not call topology.up, or not start processes, brings nothing up") {
  TempDir files;
  const std::string uid = std::to_string(::geteuid());
  for (const char* methods :
       {R"(["process.*", "kernel.*", "topology.status"])", R"(["topology.*", "kernel.*", "process.list"])"}) {
    const std::string file = files.put("kairod.json", R"({"policy": {"rules": [{"principal": "user:)" + uid +
                                                          R"(/agent", "methods": )" + methods + "}]}}");
    Daemon daemon({.arguments = {"--config", file}});
    client::Client agent = connect(daemon);
    must<api::IdentifyResult>(agent, "identify", api::IdentifyParams{"agent"});
    CHECK(refused(agent, row({numbered(endless), verifier()})).code == Code::permission_denied);
    client::Client client = connect(daemon);
    check_nothing_runs(daemon, client);
  }
}

TEST_CASE("another user's topology is closed, and its nodes run as that user") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: only root can serve, and become, several users");
    return;
  }
  Daemon daemon({.arguments = {"--socket-mode", "0666"}});
  ::chmod(daemon.dir().path().c_str(), 0755);
  // kairoctl where every user can execute it.
  const std::string ctl = daemon.dir().file("kairoctl");
  std::filesystem::copy_file(kairoctl_path(), ctl);
  ::chmod(ctl.c_str(), 0755);
  const auto as = [&](int uid, const std::vector<std::string>& arguments, const std::string& input = {}) {
    const std::string id = std::to_string(uid);
    std::vector<std::string> argv{"setpriv", "--reuid=" + id, "--regid=" + id, "--clear-groups"};
    auto own = daemon.ctl_argv(arguments);
    own[0] = ctl;
    argv.insert(argv.end(), own.begin(), own.end());
    StartOptions options;
    options.env = {{"HOME", "/"}, {"XDG_RUNTIME_DIR", std::nullopt}};
    options.cwd = "/";
    return run(argv, input, options);
  };
  const std::string text = R"({"name": "hers", "nodes": [
    {"id": "source", "runMode": "process", "command": ["sh", "-c", "id -u; exec sleep 100000"]},
    {"id": "middle", "runMode": "process", "command": ["cat"], "healthMs": 0},
    {"id": "sink", "runMode": "process", "command": ["cat"]}],
    "connections": [{"from": "source.output", "to": "middle.input"}, {"from": "middle.output", "to": "sink.input"}]})";
  constexpr int alice = 12345, bob = 12355;
  const Ran up = as(alice, {"topology", "up", "-f", "-"}, text);
  CAPTURE(up.err);
  REQUIRE(up.code == 0);
  eventually(
      [&] {
        return as(alice, {"logs", "hers.sink.1", "--stream", "stdout"}).out == "12345\n";
      },
      "the nodes run as her");
  const std::string places = daemon.socket() + ".d";
  struct stat status {};
  REQUIRE(::stat((places + "/hers").c_str(), &status) == 0);
  CHECK(status.st_uid == alice);
  CHECK((status.st_mode & 077) == 0);
  REQUIRE(::stat((places + "/hers.sock").c_str(), &status) == 0);
  CHECK(status.st_uid == 0);
  CHECK((status.st_mode & 077) == 0);
  for (const std::vector<std::string>& each : {std::vector<std::string>{"topology", "status", "hers"},
                                               {"topology", "down", "hers"},
                                               {"topology", "cutover", "hers", "middle", "--", "cat"},
                                               {"kill", "hers.executor"}}) {
    const Ran closed = as(bob, each);
    CHECK(closed.code == 77);
    CHECK(json_at(closed.err, "/error/code") == "E_PERMISSION_DENIED");
  }
  CHECK(as(bob, {"topology", "list"}).out.find("hers") == std::string::npos);
  CHECK(as(bob, {"topology", "up", "-f", "-"}, text).code != 0);
  CHECK(as(bob, {"events"}).out.find("kairo.topology.") == std::string::npos);
  CHECK(as(alice, {"events"}).out.find("kairo.topology.started") != std::string::npos);
  CHECK(as(alice, {"topology", "cutover", "hers", "middle", "--", "cat"}).code == 0);
  CHECK(json_at(as(alice, {"topology", "list"}).out, "/name") == "hers");
  CHECK(as(alice, {"topology", "down", "hers"}).code == 0);
  client::Client client = connect(daemon);
  check_nothing_runs(daemon, client);
}

TEST_SUITE_END();
