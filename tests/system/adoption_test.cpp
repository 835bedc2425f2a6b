// What a new daemon, and what a new keeper, makes of the time before.
#include <csignal>
#include <filesystem>

#include "rig.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

void kill_daemon(const Daemon& daemon) {
  const pid_t pid = daemon.pids().daemon;
  REQUIRE(::kill(pid, SIGKILL) == 0);
  eventually([&] { return ::kill(pid, 0) != 0; }, "the daemon is gone");
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
        const std::string text = read_log(client, id);
        if (text.find('\n') == std::string::npos) return false;
        grandchild = std::atoi(text.c_str());
        return true;
      },
      "it has said who its grandchild is");
  const std::string said = read_log(client, id);
  const auto waiting = client.send("process.wait", api::WaitParams{id, {}});
  REQUIRE(::kill(daemon.pids().keeper, SIGKILL) == 0);
  auto lost = client.await<api::ProcessSession>(waiting, SteadyClock::now() + patience);
  REQUIRE(lost.ok());
  CHECK(lost->outcome->reason == api::EndReason::lost);
  CHECK(lost->streams.standard_output.eof);
  CHECK(read_log(client, id) == said);
  eventually([&] { return ::kill(lost->pid, 0) != 0; }, "the main process is gone");
  eventually([&] { return ::kill(grandchild, 0) != 0; }, "its descendant is gone");
  const auto next = wait(client, spawn(client, command({"true"})).id);
  CHECK(next.exit_code == 0);
}

TEST_CASE("ended sessions, what they wrote and how they ended come back; numbers of events go on") {
  Daemon daemon(Daemon::Options{.start = false});
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  std::string said, killed, forgotten;
  std::uint64_t seq = 0;
  {
    client::Client client = connect(daemon);
    said = spawn(client, command({"sh", "-c", "echo out; echo err >&2; exit 3"})).id;
    killed = spawn(client, command({"sh", "-c", "kill -9 $$"})).id;
    forgotten = spawn(client, command({"true"})).id;
    wait(client, said);
    wait(client, killed);
    wait(client, forgotten);
    must<api::Done>(client, "process.forget", api::IdParams{forgotten});
    seq = must<api::EventSubscribeResult>(client, "event.subscribe", api::EventSubscribeParams{">", {}}).seq;
    CHECK(seq >= 7);  // started, three times spawned and exited
  }
  const auto check = [&] {
    client::Client client = connect(daemon);
    const auto session = status(client, said);
    CHECK(session.exit_code == 3);
    CHECK(session.argv.size() == 3);
    CHECK(session.streams.standard_output.bytes == 4);
    CHECK(read_log(client, said) == "out\n");
    CHECK(wait(client, killed).signal == "SIGKILL");
    CHECK_FALSE(client.call<api::ProcessSession>("process.status", api::IdParams{forgotten}).ok());
    const auto now =
        must<api::EventSubscribeResult>(client, "event.subscribe", api::EventSubscribeParams{">", {}}).seq;
    CHECK(now > seq);  // kairo.kernel.started, and nothing twice
    CHECK(now <= seq + 2);
    seq = now;
  };
  kill_daemon(daemon);
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  check();
  // Without its keeper, too: what has ended is on disk.
  const Daemon::Pids pids = daemon.pids();
  REQUIRE(::kill(pids.daemon, SIGSTOP) == 0);
  REQUIRE(::kill(pids.keeper, SIGKILL) == 0);
  REQUIRE(::kill(pids.daemon, SIGKILL) == 0);
  eventually([&] { return ::kill(pids.daemon, 0) != 0; }, "the daemon is gone");
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  check();
}

TEST_CASE("what ran when daemon and keeper were killed is lost: told so, readable, and not left running") {
  Daemon daemon(Daemon::Options{.start = false});
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  std::string id;
  pid_t pid = 0;
  {
    client::Client client = connect(daemon);
    const auto session = spawn(client, command({"sh", "-c", "echo begun; exec sleep 1000"}));
    id = session.id;
    pid = session.pid;
    eventually([&] { return read_log(client, id) == "begun\n"; }, "it has begun");
  }
  const Daemon::Pids pids = daemon.pids();
  REQUIRE(::kill(pids.daemon, SIGKILL) == 0);
  REQUIRE(::kill(pids.keeper, SIGKILL) == 0);
  eventually([&] { return ::kill(pids.daemon, 0) != 0 && ::kill(pids.keeper, 0) != 0; }, "both are gone");
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  client::Client client = connect(daemon);
  const auto lost = status(client, id);
  CHECK(lost.outcome->reason == api::EndReason::lost);
  CHECK(lost.streams.standard_output.eof);
  CHECK(read_log(client, id) == "begun\n");
  eventually([&] { return ::kill(pid, 0) != 0; }, "its process is gone");
}

TEST_CASE("a log that is cut short from outside is told, ends its readers, and harms nobody else") {
  Daemon daemon;
  client::Client client = connect(daemon);
  const std::string id = spawn(client, child({"spew", std::to_string(1u << 20)})).id;
  CHECK(wait(client, id).exit_code == 0);
  for (const auto& each : std::filesystem::directory_iterator(daemon.state_dir() + "/logs"))
    std::filesystem::resize_file(each.path(), 100'000);
  for (const api::Encoding encoding : {api::Encoding::binary, api::Encoding::utf8}) {
    api::AttachParams attach = attach_to(id, api::Flow::lossless);
    attach.encoding = encoding;
    must<api::SubscriptionResult>(client, "process.attach", attach);
    std::uint64_t had = 0, dropped = 0;
    for (bool eof = false; !eof;) {
      auto push = client.poll_push(SteadyClock::now() + patience);
      REQUIRE(push.ok());
      REQUIRE(push->has_value());
      if ((*push)->type != wire::FrameType::stream_chunk) continue;
      auto chunk = api::read_chunk((*push)->payload);
      REQUIRE(chunk.ok());
      had += chunk->chunk.size();
      dropped += chunk->dropped;
      eof = chunk->eof;
    }
    CHECK(dropped > 0);
    CHECK(had + dropped == 1u << 20);
  }
  CHECK(wait(client, spawn(client, command({"true"})).id).exit_code == 0);
}

TEST_SUITE_END();
