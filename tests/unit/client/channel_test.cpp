// The channel against a socket pair's other end: what goes over the wire, and what comes of it.
#include "client/channel.hpp"

#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include <doctest/doctest.h>

#include "client_server.hpp"

using namespace kairo;
using namespace kairo::client;
using namespace kairo::test;

TEST_CASE("no socket and a socket that nobody listens on are E_NOT_RUNNING and unreachable") {
  Server server;
  auto missing = Channel::connect({.socket = server.path() + ".none"});
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().code == Code::not_running);
  CHECK(is_unreachable(missing.error()));
  server.close_listener();
  auto stale = Channel::connect({.socket = server.path()});
  REQUIRE_FALSE(stale.ok());
  CHECK(is_unreachable(stale.error()));
}

TEST_CASE("a daemon's own E_NOT_RUNNING is not taken for its absence") {
  CHECK_FALSE(is_unreachable(Error(Code::not_running, "session has ended")));
  CHECK_FALSE(is_unreachable(Error(Code::not_running, "session has ended").with("id", std::string("x"))));
  CHECK_FALSE(is_unreachable(Error(Code::not_found, "no").with("socket", std::string("x"))));
}

TEST_CASE("a path that is too long for a socket is named as such") {
  auto channel = Channel::connect({.socket = "/" + std::string(200, 'x')});
  REQUIRE_FALSE(channel.ok());
  CHECK(channel.error().code == Code::invalid_params);
}

TEST_CASE("requests carry ids that count, and the trace") {
  Server server;
  auto channel = Channel::connect({.socket = server.path()});
  REQUIRE(channel.ok());
  channel->set_trace({.correlation_id = "c", .causation_id = "d"});
  CHECK(channel->request("kernel.ping", {}) == 1);
  CHECK(channel->request("kernel.info", {}) == 2);
  CHECK(channel->wants_to_send());
  REQUIRE(channel->send_some().ok());
  CHECK_FALSE(channel->wants_to_send());
  server.accept();
  const SentRequest first = server.take_request(), second = server.take_request();
  CHECK(first.id == 1);
  CHECK(first.method == "kernel.ping");
  CHECK(first.correlation_id == "c");
  CHECK(first.causation_id == "d");
  CHECK(second.method == "kernel.info");
}

TEST_CASE("descriptors arrive with the first byte of their own frame") {
  Server server;
  auto channel = Channel::connect({.socket = server.path()});
  REQUIRE(channel.ok());
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  UniqueFd read_end(ends[0]), write_end(ends[1]);
  const int both[] = {read_end.get(), write_end.get()};
  channel->request("one", {});
  channel->request("two", {}, both);
  channel->request("three", {});
  channel->request("four", {}, std::span(both).first(1));
  REQUIRE(channel->send_some().ok());
  server.accept();
  CHECK(server.take_request().descriptors == 0);
  CHECK(server.take_request().descriptors == 2);
  CHECK(server.take_request().descriptors == 0);
  CHECK(server.take_request().descriptors == 1);
}

TEST_CASE("frames that come in pieces of every size come out whole") {
  Server server;
  auto channel = Channel::connect({.socket = server.path()});
  REQUIRE(channel.ok());
  server.accept();
  std::string bytes;
  for (std::uint64_t i = 0; i < 5; ++i) api::append_response(bytes, api::RequestId(i), api::PingResult{});
  for (const std::size_t piece : {1u, 3u, 7u, 64u, 1000u}) {
    std::size_t frames = 0;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      server.send(bytes.substr(at, piece));
      REQUIRE(*channel->wait(SteadyClock::now() + std::chrono::seconds(10)));
      REQUIRE(channel->receive_some().ok());
      for (;;) {
        auto frame = channel->next();
        REQUIRE(frame.ok());
        if (!*frame) break;
        ++frames;
      }
    }
    CHECK(frames == 5);
  }
}

TEST_CASE("what is no frame is an error, the end of the connection is E_NOT_RUNNING") {
  Server server;
  auto channel = Channel::connect({.socket = server.path()});
  REQUIRE(channel.ok());
  server.accept();
  server.send("HTTP/1.1 400 Bad Request");
  REQUIRE(*channel->wait({}));
  REQUIRE(channel->receive_some().ok());
  auto frame = channel->next();
  REQUIRE_FALSE(frame.ok());
  CHECK(frame.error().code == Code::invalid_request);
  server.hang_up();
  REQUIRE(*channel->wait({}));
  auto received = channel->receive_some();
  REQUIRE_FALSE(received.ok());
  CHECK(is_unreachable(received.error()));
}

TEST_CASE("a server that does not read blocks nobody: the rest waits") {
  Server server;
  auto channel = Channel::connect({.socket = server.path()});
  REQUIRE(channel.ok());
  server.accept();
  api::StdinWriteParams params{.id = "x", .data = {std::string(1 << 20, 'x')}, .encoding = {}, .offset = {}};
  for (int i = 0; i < 8; ++i) channel->request("process.stdin.write", params);
  REQUIRE(channel->send_some().ok());
  CHECK(channel->unsent_bytes() > 0);
  CHECK_FALSE(*channel->wait(SteadyClock::now() + std::chrono::milliseconds(10)));
  std::thread sender([&] {
    while (channel->wants_to_send()) {
      if (!channel->wait(SteadyClock::now() + std::chrono::milliseconds(50)).ok()) return;
    }
  });
  for (int i = 0; i < 8; ++i) CHECK(server.take_request().payload_bytes > (1u << 20));
  sender.join();
}
