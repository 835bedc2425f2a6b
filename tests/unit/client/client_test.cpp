// The blocking client: answers in any order, pushes between them, deadlines.
#include "client/client.hpp"

#include <doctest/doctest.h>

#include "client_server.hpp"

using namespace kairo;
using namespace kairo::client;
using namespace kairo::test;

namespace {

Client connected(Server& server) {
  auto client = Client::connect({.socket = server.path()});
  REQUIRE(client.ok());
  server.accept();
  return *std::move(client);
}

std::string ping_answer(std::uint64_t id, const std::string& time) {
  std::string out;
  api::append_response(out, api::RequestId(id), api::PingResult{.pong = true, .time = time});
  return out;
}

std::string chunk(const std::string& bytes) {
  std::string out;
  const api::ChunkWriter writer("p", api::StreamName::standard_output, "s", "");
  writer.append_head(out, {}, bytes.size());
  return out + bytes;
}

std::string event(const std::string& type) {
  std::string out;
  api::Event made;
  made.type = type;
  api::append_event(out, made);
  return out;
}

std::optional<SteadyTime> in(int ms) {
  return SteadyClock::now() + std::chrono::milliseconds(ms);
}

}  // namespace

TEST_CASE("pipelined answers are matched by id, in whatever order they come") {
  Server server;
  Client client = connected(server);
  const auto first = client.send("kernel.ping", api::NoParams{});
  const auto second = client.send("kernel.ping", api::NoParams{});
  server.send(ping_answer(second, "two") + ping_answer(first, "one"));
  CHECK(client.await<api::PingResult>(first)->time == "one");
  CHECK(client.await<api::PingResult>(second)->time == "two");
}

TEST_CASE("a server's error keeps its code, message and details") {
  Server server;
  Client client = connected(server);
  std::string bytes;
  api::append_error(bytes, api::RequestId(std::uint64_t{1}),
                    Error(Code::not_found, "no session \"x\"").with("id", std::string("x")));
  server.send(bytes);
  auto answer = client.call<api::PingResult>("kernel.ping", api::NoParams{});
  REQUIRE_FALSE(answer.ok());
  CHECK(answer.error().code == Code::not_found);
  CHECK(answer.error().message == "no session \"x\"");
  REQUIRE(answer.error().details.size() == 1);
  CHECK(answer.error().details[0].first == "id");
}

TEST_CASE("pushes that come while an answer is awaited are kept in order") {
  Server server;
  Client client = connected(server);
  server.send(event("a.b") + chunk("xyz") + ping_answer(1, "") + event("c.d"));
  REQUIRE(client.call<api::PingResult>("kernel.ping", api::NoParams{}).ok());
  auto push = client.poll_push(in(5000));
  REQUIRE(*push);
  CHECK((*push)->type == wire::FrameType::event);
  push = client.poll_push(in(5000));
  REQUIRE(*push);
  CHECK(api::read_chunk((*push)->payload)->chunk == "xyz");
  REQUIRE(*client.poll_push(in(5000)));
  auto none = client.poll_push(in(10));
  REQUIRE(none.ok());
  CHECK_FALSE(none->has_value());
}

TEST_CASE("functions take the pushes when they are set") {
  Server server;
  Client client = connected(server);
  std::string seen;
  client.on_event([&](const api::Event& each) { seen += "<" + each.type + ">"; });
  client.on_chunk([&](const api::ChunkView& each) { seen += each.chunk; });
  server.send(event("a.b") + chunk("xyz") + ping_answer(1, ""));
  REQUIRE(client.call<api::PingResult>("kernel.ping", api::NoParams{}).ok());
  CHECK(seen == "<a.b>xyz");
}

TEST_CASE("a deadline that passes is E_TIMEOUT, and the answer can still be had") {
  Server server;
  Client client = connected(server);
  const auto id = client.send("kernel.ping", api::NoParams{});
  auto late = client.await_raw(id, in(10));
  REQUIRE_FALSE(late.ok());
  CHECK(late.error().code == Code::timeout);
  server.send(ping_answer(id, "late"));
  CHECK(client.await<api::PingResult>(id)->time == "late");
}

TEST_CASE("pump and take never wait") {
  Server server;
  Client client = connected(server);
  const auto id = client.send("kernel.ping", api::NoParams{});
  REQUIRE(client.pump().ok());
  CHECK_FALSE(client.take(id).has_value());
  CHECK(server.take_request().method == "kernel.ping");
  server.send(ping_answer(id, "now"));
  REQUIRE(client.pump().ok());
  auto answer = client.take(id);
  REQUIRE(answer.has_value());
  CHECK(Client::decoded<api::PingResult>(**answer)->time == "now");
}

TEST_CASE("a lost connection ends every call, after what came before") {
  Server server;
  Client client = connected(server);
  const auto first = client.send("kernel.ping", api::NoParams{});
  const auto second = client.send("kernel.ping", api::NoParams{});
  server.send(ping_answer(first, "last words"));
  server.hang_up();
  CHECK(client.await<api::PingResult>(first)->time == "last words");
  auto lost = client.await_raw(second);
  REQUIRE_FALSE(lost.ok());
  CHECK(is_unreachable(lost.error()));
}

TEST_CASE("an answer that is none is the server's fault, not a crash") {
  Server server;
  Client client = connected(server);
  server.send(std::string("KA\x01\x02\0\0\0\x01\x80", 9));
  auto answer = client.call_raw("kernel.ping", api::NoParams{});
  REQUIRE_FALSE(answer.ok());
  CHECK(answer.error().code == Code::invalid_request);
}

TEST_CASE("members that this client does not know are ignored") {
  const std::string bytes =
      "\x83\xa4pong\xc3\xa4time\xa1x\xa6"
      "future\x01";
  auto decoded = Client::decoded<api::PingResult>(bytes);
  REQUIRE(decoded.ok());
  CHECK(decoded->time == "x");
}
