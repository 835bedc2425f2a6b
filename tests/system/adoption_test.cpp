// What a new daemon, and what a new keeper, makes of the time before.
#include <csignal>

#include "rig.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

void kill_daemon(const Daemon& daemon) {
  const pid_t pid = daemon.pids().daemon;
  REQUIRE(::kill(pid, SIGKILL) == 0);
  eventually([&] { return ::kill(pid, 0) != 0; }, "the daemon is gone");
}

api::ProcessSession status(client::Client& client, const std::string& id) {
  return must<api::ProcessSession>(client, "process.status", api::IdParams{id});
}

std::string read_all(client::Client& client, const std::string& id) {
  api::ReadParams params;
  params.id = id;
  return std::get<std::string>(must<api::ReadResult>(client, "process.read", params).chunk);
}

}  // namespace

TEST_SUITE_BEGIN("adoption");

TEST_CASE("why a process was ended, what is still to come, and a pause outlive the daemon") {
  Daemon daemon(Daemon::Options{.start = false});
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  std::string canceled, stubborn, paused;
  {
    client::Client client = connect(daemon);
    stubborn = spawn(client, child({"ignore-term"})).id;
    eventually([&] { return status(client, stubborn).streams.standard_output.bytes > 0; },
               "it ignores SIGTERM");
    api::CancelParams cancel;
    cancel.id = stubborn;
    cancel.grace_ms = 1500;
    must<api::ProcessSession>(client, "process.cancel", cancel);
    paused = spawn(client, child({"cat"})).id;
    must<api::ProcessSession>(client, "process.pause", api::IdParams{paused});
  }
  kill_daemon(daemon);
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  client::Client client = connect(daemon);
  CHECK(status(client, paused).paused);
  const auto ended = wait(client, stubborn);
  CHECK(ended.signal == "SIGKILL");  // the new daemon's, after what was left of the grace
  CHECK(ended.outcome->reason == api::EndReason::canceled);
  CHECK(ended.outcome->by == "user:" + std::to_string(::geteuid()));
  CHECK_FALSE(must<api::ProcessSession>(client, "process.resume", api::IdParams{paused}).paused);
}

TEST_CASE("an owner that attaches again owns again: its end ends the process") {
  Daemon daemon(Daemon::Options{.start = false});
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  client::Client owner = connect(daemon);
  api::SpawnParams params = child({"cat"});
  params.id = "bound";
  params.options->on_owner_exit = api::OwnerExit::kill;
  spawn(owner, params);
  kill_daemon(daemon);
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  client::Client client = connect(daemon);
  CHECK(status(client, "bound").status == api::Status::running);
  {
    client::Client again = connect(daemon);
    must<api::SubscriptionResult>(again, "process.attach", attach_to("bound", api::Flow::follow));
  }
  CHECK(wait(client, "bound").outcome->reason == api::EndReason::owner_gone);
}

TEST_CASE("a keeper that is killed is replaced; what it followed is lost, readable, and left by nobody") {
  Daemon daemon;
  client::Client client = connect(daemon);
  const std::string id = spawn(client, child({"double-fork", "1000", "close", "sleep", "1000"})).id;
  pid_t grandchild = 0;
  eventually(
      [&] {
        const std::string text = read_all(client, id);
        if (text.find('\n') == std::string::npos) return false;
        grandchild = std::atoi(text.c_str());
        return true;
      },
      "it has said who its grandchild is");
  const std::string said = read_all(client, id);
  const auto waiting = client.send("process.wait", api::WaitParams{id, {}});
  REQUIRE(::kill(daemon.pids().keeper, SIGKILL) == 0);
  auto lost = client.await<api::ProcessSession>(waiting, SteadyClock::now() + patience);
  REQUIRE(lost.ok());
  CHECK(lost->outcome->reason == api::EndReason::lost);
  CHECK(lost->streams.standard_output.eof);
  CHECK(read_all(client, id) == said);
  eventually([&] { return ::kill(lost->pid, 0) != 0; }, "the main process is gone");
  eventually([&] { return ::kill(grandchild, 0) != 0; }, "its descendant is gone");
  const auto next = wait(client, spawn(client, command({"true"})).id);
  CHECK(next.exit_code == 0);
}

TEST_SUITE_END();
