// Heavy writes through a UnixPipeAdapter to a process of the kernel's, as an executor gives a node its
// socket.
#include <csignal>
#include <fcntl.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>

#include "executor/unix_pipe_adapter.hpp"
#include "rig.hpp"

using namespace kairo;
using namespace kairo::test;

TEST_SUITE_BEGIN("processUnix" * doctest::skip(gated()));

namespace {

class Collector final : public executor::DuplexHandler {
 public:
  void on_data(std::string_view bytes) override { all += bytes; }
  void on_end() override { ended = true; }
  void on_drain() override { ++drains; }
  void on_close(const Error* why) override {
    closed = true;
    if (why) problem = why->message;
  }
  std::string all;
  std::size_t drains = 0;
  bool ended = false, closed = false;
  std::string problem;
};

/// cat, with both ends of one socket as its stdin and stdout; ours is given back.
UniqueFd spawn_cat(client::Client& client, int buffer_bytes) {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  UniqueFd ours(ends[0]), theirs(ends[1]);
  for (const int end : ends) ::setsockopt(end, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
  REQUIRE(::fcntl(ours.get(), F_SETFL, O_NONBLOCK) == 0);
  api::SpawnParams params = child({"cat"});
  params.id = "cat";
  params.options->standard_input = api::StdinKind::fd;
  params.options->standard_output = api::StdoutKind::fd;
  const std::vector<int> descriptors{theirs.get(), theirs.get()};
  const std::uint64_t id = client.send("process.spawn", params, descriptors);
  auto spawned = client.await<api::SpawnResult>(id, SteadyClock::now() + patience);
  REQUIRE_MESSAGE(spawned.ok(), (spawned.ok() ? std::string() : spawned.error().message));
  return ours;
}

}  // namespace

TEST_CASE("100 writes of 8 KiB at a high-water mark of 16 KiB come back byte for byte, after pauses") {
  Daemon daemon;
  client::Client client = connect(daemon);
  boost::asio::io_context io(1);
  Collector back;
  auto adapter = executor::UnixPipeAdapter::make(io, spawn_cat(client, 4096), 16 * 1024);
  REQUIRE(adapter.ok());
  executor::Duplex& duplex = **adapter;
  duplex.start(back);
  duplex.resume();
  std::string sent;
  std::size_t accepted = 0, full = 0;
  for (int i = 0; i < 100; ++i) {
    std::string piece(8 * 1024, '\0');
    pattern_fill(piece.data(), piece.size(), sent.size());
    sent += piece;
    auto written =
        duplex.write(std::move(piece), [&](const Result<void>& result) { accepted += result.ok(); });
    REQUIRE(written.ok());
    CHECK(duplex.unaccepted() < 16 * 1024 + 8 * 1024);
    if (*written) continue;
    ++full;
    // A writer that was told to stop goes on when it hears on_drain.
    CHECK(duplex.write("refused").error().code == Code::limit_exceeded);
    const std::size_t before = back.drains;
    while (back.drains == before) REQUIRE(io.run_one_for(patience) == 1);
  }
  CHECK(full >= 1);
  CHECK(back.drains == full);
  duplex.end();
  while (!back.closed) REQUIRE(io.run_one_for(patience) == 1);
  CHECK(accepted == 100);
  CHECK(back.ended);
  CHECK(back.problem == "");
  CHECK(back.all.size() == sent.size());
  CHECK(back.all == sent);
  CHECK(wait(client, "cat").exit_code == 0);
}

TEST_CASE("a process that dies while it is written to: the write says so, what it gave before arrives") {
  Daemon daemon;
  client::Client client = connect(daemon);
  boost::asio::io_context io(1);
  Collector back;
  auto adapter = executor::UnixPipeAdapter::make(io, spawn_cat(client, 4096), 16 * 1024);
  REQUIRE(adapter.ok());
  executor::Duplex& duplex = **adapter;
  duplex.start(back);
  duplex.resume();
  REQUIRE(duplex.write("some bytes").ok());
  while (back.all != "some bytes") REQUIRE(io.run_one_for(patience) == 1);
  send_signal(client, "cat", SIGKILL);
  CHECK(wait(client, "cat").signal == "SIGKILL");
  std::optional<Code> heard;
  REQUIRE(duplex
              .write(std::string(64 * 1024, 'x'),
                     [&](const Result<void>& result) {
                       heard = result.ok() ? Code::internal : result.error().code;
                     })
              .ok());
  while (!heard || !back.closed) REQUIRE(io.run_one_for(patience) == 1);
  CHECK(heard == Code::stdin_closed);
  CHECK(back.problem != "");
}

TEST_SUITE_END();
