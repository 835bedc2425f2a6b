// Clients, processes and daemons that die at the wrong moment.
#include <csignal>
#include <sys/socket.h>

#include "rig.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

/// A connection that sends raw bytes and is then gone.
void send_and_die(const Daemon& daemon, std::string_view bytes) {
  auto channel = client::Channel::connect({.socket = daemon.socket()});
  REQUIRE(channel.ok());
  REQUIRE(::send(channel->fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(bytes.size()));
}

std::string request(std::string_view method, const std::string& params) {
  std::string out;
  api::append_request(out, 1, method, params);
  return out;
}

}  // namespace

TEST_SUITE_BEGIN("death");

TEST_CASE("a client that dies within a frame, at every byte, touches nothing else") {
  Daemon daemon;
  client::Client client = connect(daemon);
  const std::string id = spawn(client, child({"cat"})).id;
  const std::string frame = request("process.status", reflect::to_msgpack(api::IdParams{id}));
  for (std::size_t cut = 0; cut <= frame.size(); ++cut)
    send_and_die(daemon, std::string_view(frame).substr(0, cut));
  CHECK(must<api::ProcessSession>(client, "process.status", api::IdParams{id}).status ==
        api::Status::running);
}

TEST_CASE("a client that dies behind its spawn leaves the process running") {
  Daemon daemon;
  client::Client client = connect(daemon);
  for (int i = 0; i < 50; ++i) {
    api::SpawnParams params = child({"cat"});
    params.id = "orphan" + std::to_string(i);
    send_and_die(daemon, request("process.spawn", reflect::to_msgpack(params)));
  }
  for (int i = 0; i < 50; ++i) {
    const std::string id = "orphan" + std::to_string(i);
    eventually([&] { return client.call<api::ProcessSession>("process.status", api::IdParams{id}).ok(); },
               "it was spawned");
  }
}

TEST_CASE("a client that dies within a large stdin write loses nothing that was accepted") {
  Daemon daemon;
  client::Client client = connect(daemon);
  const std::string id = spawn(client, child({"read-slowly", "4096", "1"})).id;
  api::StdinWriteParams write;
  write.id = id;
  write.data.data = std::string(3u << 20, 'x');
  send_and_die(daemon, request("process.stdin.write", reflect::to_msgpack(write)));
  eventually(
      [&] {
        return must<api::ProcessSession>(client, "process.status", api::IdParams{id}).standard_input.offset >
               0;
      },
      "bytes were accepted");
  CHECK(must<api::ProcessSession>(client, "process.status", api::IdParams{id}).status ==
        api::Status::running);
}

TEST_CASE("a client that dies with a subscription under full flow leaves the stream to the others") {
  Daemon daemon;
  client::Client client = connect(daemon);
  api::SpawnParams params = child({"spew", std::to_string(64u << 20)});
  const std::string id = spawn(client, params).id;
  for (int i = 0; i < 10; ++i) {
    client::Client doomed = connect(daemon);
    REQUIRE(doomed.call<api::SubscriptionResult>("process.attach", attach_to(id, api::Flow::lossless)).ok());
  }
  CHECK(wait(client, id).exit_code == 0);
}

TEST_CASE("a process that is killed with stdin pending ends its writers, and nobody else") {
  Daemon daemon;
  client::Client client = connect(daemon);
  for (int i = 0; i < 20; ++i) {
    const std::string id = spawn(client, child({"ignore-term"})).id;
    api::StdinWriteParams write;
    write.id = id;
    write.data.data = std::string(2u << 20, 'x');
    const auto pending = client.send("process.stdin.write", write);
    api::KillParams kill;
    kill.id = id;
    kill.signal = std::string("KILL");
    must<api::ProcessSession>(client, "process.kill", kill);
    auto cut = client.await<api::StdinWriteResult>(pending, SteadyClock::now() + patience);
    REQUIRE_FALSE(cut.ok());
    const bool named = cut.error().code == Code::stdin_closed || cut.error().code == Code::not_running;
    CHECK(named);
    CHECK(wait(client, id).signal == "SIGKILL");
  }
}

TEST_CASE("with onOwnerExit kill the end of the connection is the end of the process") {
  Daemon daemon;
  client::Client client = connect(daemon);
  {
    client::Client owner = connect(daemon);
    api::SpawnParams params = child({"cat"});
    params.id = "bound";
    params.options->on_owner_exit = api::OwnerExit::kill;
    spawn(owner, params);
  }
  const auto ended = wait(client, "bound");
  CHECK(ended.outcome->reason == api::EndReason::owner_gone);
}

TEST_CASE(
    "a daemon that is killed loses no process, no output and no exit status: the next one takes them over") {
  Daemon daemon(Daemon::Options{.start = false});
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  std::string live, ending;
  {
    client::Client client = connect(daemon);
    api::SpawnParams params = child({"spew", std::to_string(8u << 20)});
    params.id = "ending";
    ending = spawn(client, params).id;
    live = spawn(client, child({"cat"})).id;
    api::StdinWriteParams write;
    write.id = live;
    write.data.data = "before\n";
    must<api::StdinWriteResult>(client, "process.stdin.write", write);
  }
  const Daemon::Pids before = daemon.pids();
  REQUIRE(::kill(before.daemon, SIGKILL) == 0);
  eventually([&] { return ::kill(before.daemon, 0) != 0; }, "the daemon is gone");
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  const Daemon::Pids after = daemon.pids();
  CHECK(after.daemon != before.daemon);
  CHECK(after.keeper == before.keeper);

  client::Client client = connect(daemon);
  CHECK(wait(client, ending).exit_code == 0);
  auto subscription =
      must<api::SubscriptionResult>(client, "process.attach", attach_to(ending, api::Flow::lossless));
  PatternCheck check;
  while (!check.eof()) {
    auto push = client.poll_push(SteadyClock::now() + patience);
    REQUIRE(push.ok());
    REQUIRE(push->has_value());
    if ((*push)->type != wire::FrameType::stream_chunk) continue;
    auto chunk = api::read_chunk((*push)->payload);
    REQUIRE(chunk.ok());
    check.take(*chunk);
  }
  CHECK(check.problem() == "");
  CHECK(check.offset() == 8u << 20);
  api::StdinWriteParams write;
  write.id = live;
  write.data.data = "before\nafter\n";
  write.offset = 0;
  CHECK(must<api::StdinWriteResult>(client, "process.stdin.write", write).written == 6);
  must<api::Done>(client, "process.stdin.close", api::IdParams{live});
  CHECK(wait(client, live).exit_code == 0);
  api::ReadParams read;
  read.id = live;
  CHECK(std::get<std::string>(must<api::ReadResult>(client, "process.read", read).chunk) ==
        "before\nafter\n");
}

TEST_SUITE_END();
