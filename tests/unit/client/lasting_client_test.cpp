// Requests across a lost connection: what is repeated, what is not, and what the answers mean then.
#include "client/lasting_client.hpp"

#include <functional>
#include <thread>

#include <doctest/doctest.h>

#include "client_server.hpp"

using namespace kairo;
using namespace kairo::client;
using namespace kairo::test;

namespace {

ReconnectOptions at(const Server& server, int patience_ms = 5000) {
  ReconnectOptions options;
  options.start.connect.socket = server.path();
  options.autostart = false;
  options.patience = std::chrono::milliseconds(patience_ms);
  return options;
}

template <class R>
std::string answer(std::uint64_t id, const R& result) {
  std::string out;
  api::append_response(out, api::RequestId(id), result);
  return out;
}

std::string refusal(std::uint64_t id, const Error& error) {
  std::string out;
  api::append_error(out, api::RequestId(id), error);
  return out;
}

/// Takes one request, hangs up, takes what comes over the next connection and answers it.
struct OneLoss {
  std::string second_method, second_params;
  std::thread thread;
  OneLoss(Server& server, std::function<std::string(std::uint64_t)> reply) {
    thread = std::thread([this, &server, reply = std::move(reply)] {
      server.take_request();
      server.hang_up();
      server.accept();
      const SentRequest again = server.take_request();
      second_method = again.method;
      second_params = again.params;
      server.send(reply(again.id));
    });
  }
};

LastingClient connected(Server& server, int patience_ms = 5000) {
  auto client = LastingClient::connect(at(server, patience_ms));
  REQUIRE(client.ok());
  server.accept();
  return *std::move(client);
}

}  // namespace

TEST_CASE("a safe request is asked again, a wait for what is left of its time") {
  Server server;
  LastingClient client = connected(server);
  OneLoss loss(server, [](std::uint64_t id) { return answer(id, api::Done{}); });
  const auto result = client.call_raw("process.wait", api::WaitParams{"x", 60'000});
  loss.thread.join();
  CHECK(result.ok());
  CHECK(client.reconnects() == 1);
  CHECK(loss.second_method == "process.wait");
  const auto again = Client::decoded<api::WaitParams>(loss.second_params);
  REQUIRE(again.ok());
  CHECK(again->id == "x");
  CHECK(*again->timeout_ms <= 60'000);
  CHECK(*again->timeout_ms > 30'000);
}

TEST_CASE("a kill that may have been done is not repeated") {
  Server server;
  LastingClient client = connected(server);
  std::thread thread([&] {
    server.take_request();
    server.hang_up();
  });
  api::KillParams params;
  params.id = "x";
  auto result = client.call_raw("process.kill", params);
  thread.join();
  REQUIRE_FALSE(result.ok());
  CHECK(is_unreachable(result.error()));
  CHECK(result.error().message.find("it is not known whether \"process.kill\" was done") == 0);
}

TEST_CASE("a kill that no daemon has seen is sent to the next one") {
  Server server;
  LastingClient client = connected(server);
  server.hang_up();
  std::thread thread([&] {
    server.accept();
    const SentRequest again = server.take_request();
    server.send(answer(again.id, api::Done{}));
  });
  api::KillParams params;
  params.id = "x";
  CHECK(client.call_raw("process.kill", params).ok());
  thread.join();
}

TEST_CASE("not found for a repeated forget, not running for a repeated close, say that it was done") {
  for (const std::string method : {"process.forget", "process.stdin.close"}) {
    Server server;
    LastingClient client = connected(server);
    const Code code = method == "process.forget" ? Code::not_found : Code::not_running;
    OneLoss loss(server, [&](std::uint64_t id) { return refusal(id, Error(code, "no")); });
    CHECK(client.call_raw(method, api::IdParams{"x"}).ok());
    loss.thread.join();
  }
}

TEST_CASE("not found by the next daemon is told plainly") {
  Server server;
  LastingClient client = connected(server);
  OneLoss loss(server, [](std::uint64_t id) { return refusal(id, Error(Code::not_found, "no \"x\"")); });
  auto result = client.call_raw("process.status", api::IdParams{"x"});
  loss.thread.join();
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().code == Code::not_found);
  CHECK(result.error().message.find("no \"x\"; the connection was lost meanwhile") == 0);
}

TEST_CASE("a repeated spawn that finds its own session is answered with it, another's is an error") {
  for (const bool own : {true, false}) {
    Server server;
    LastingClient client = connected(server);
    OneLoss loss(server, [&](std::uint64_t id) {
      api::ProcessSession session;
      session.id = "made";
      session.argv = {own ? "true" : "false"};
      session.started_at = to_iso8601(system_now());
      Error error(Code::already_exists, "it is there");
      error.details.emplace_back("session", Error::Raw{reflect::to_msgpack(session)});
      return refusal(id, error);
    });
    api::SpawnParams params;
    params.command = {"true"};
    auto result = client.call<api::SpawnResult>("process.spawn", params);
    loss.thread.join();
    const auto again = Client::decoded<api::SpawnParams>(loss.second_params);
    CHECK(again->id.has_value());
    CHECK(result.ok() == own);
    if (own) CHECK(result->process_id == "made");
    if (!own) CHECK(result.error().code == Code::already_exists);
  }
}

TEST_CASE("a write is repeated with an offset only") {
  Server server;
  LastingClient client = connected(server);
  OneLoss loss(server, [](std::uint64_t id) { return answer(id, api::StdinWriteResult{0, 8}); });
  api::StdinWriteParams params;
  params.id = "x";
  params.data.data = "abc";
  params.offset = 5;
  CHECK(client.call<api::StdinWriteResult>("process.stdin.write", params)->offset == 8);
  loss.thread.join();

  Server other;
  LastingClient second = connected(other);
  std::thread thread([&] {
    other.take_request();
    other.hang_up();
  });
  params.offset.reset();
  CHECK_FALSE(second.call_raw("process.stdin.write", params).ok());
  thread.join();
}

TEST_CASE("without a daemon the patience bounds the search, and zero is none") {
  for (const int patience_ms : {0, 100}) {
    Server server;
    LastingClient client = connected(server, patience_ms);
    server.close_listener();
    server.hang_up();
    const auto began = SteadyClock::now();
    auto result = client.call_raw("kernel.ping", api::NoParams{});
    REQUIRE_FALSE(result.ok());
    CHECK(is_unreachable(result.error()));
    CHECK(SteadyClock::now() - began >= std::chrono::milliseconds(patience_ms));
    CHECK_FALSE(client.connected());
  }
}

TEST_CASE("what had come is taken before the loss is told") {
  Server server;
  LastingClient client = connected(server);
  std::string bytes;
  api::Event event;
  event.type = "a.b";
  api::append_event(bytes, event);
  server.send(bytes);
  server.hang_up();
  auto push = client.poll_push(SteadyClock::now() + std::chrono::seconds(5));
  REQUIRE(push.ok());
  CHECK(push->has_value());
  push = client.poll_push(SteadyClock::now() + std::chrono::seconds(5));
  REQUIRE_FALSE(push.ok());
  CHECK(is_unreachable(push.error()));
}

TEST_CASE("a position counts the bytes of the stream, not of their encoding") {
  StreamPosition position;
  api::ChunkView chunk;
  chunk.offset = 10;
  chunk.chunk = "abcd";
  position.took(chunk);
  CHECK(position.offset == 14);
  chunk.offset = 14;
  chunk.encoding = api::Encoding::base64;
  chunk.chunk = "YWI=";
  position.took(chunk);
  CHECK(position.offset == 16);
  chunk.offset = 20;
  chunk.chunk = "";
  chunk.eof = true;
  position.took(chunk);
  CHECK(position.offset == 20);
  CHECK(position.eof);
}
