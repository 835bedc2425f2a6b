// A Connection against the other end of a socket pair; the loop is run until it has nothing left to do at
// once.
#include "ipc/connection.hpp"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

using namespace kairo;

namespace {

/// Records frames; gives chunks from a string when asked to.
struct Recorder final : ipc::Handler {
  std::vector<std::string> frames;
  std::size_t descriptors = 0;
  std::string takes_descriptors_of;
  std::vector<UniqueFd> taken;
  std::string to_give;
  std::size_t largest_fill = 0;
  bool closed = false;
  bool owing = false;
  std::string why;
  std::function<void(std::string_view)> on_payload;

  Result<void> on_frame(const wire::Frame& frame, std::vector<UniqueFd>& fds) override {
    frames.emplace_back(frame.payload);
    descriptors += fds.size();
    if (frame.payload == takes_descriptors_of) taken = std::exchange(fds, {});
    if (on_payload) on_payload(frame.payload);
    return {};
  }
  [[nodiscard]] bool has_output() const override { return !to_give.empty(); }
  void fill(stream::Batch& batch, std::size_t bytes) override {
    largest_fill = std::max(largest_fill, bytes);
    const std::size_t n = std::min(bytes, to_give.size());
    batch.append(to_give.data(), n);
    to_give.erase(0, n);
  }
  void filled() override {}
  void on_drained() override {}
  [[nodiscard]] bool owes() const override { return owing; }
  void on_closed(const Error* error) override {
    closed = true;
    if (error) why = error->message;
  }
};

struct Rig {
  boost::asio::io_context io{1};
  stream::Batch batch{1u << 20};
  UniqueFd peer;
  std::shared_ptr<Recorder> recorder = std::make_shared<Recorder>();
  std::shared_ptr<ipc::Connection> connection;

  Rig() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    peer.reset(ends[1]);
    connection = std::make_shared<ipc::Connection>(io, UniqueFd(ends[0]), ipc::Peer{}, batch);
    connection->start(recorder);
  }
  void turn() {
    io.restart();
    while (io.poll() > 0) {
    }
  }
  void send(std::string_view bytes) {
    REQUIRE(::send(peer.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
  }
  std::string receive() {
    std::string out;
    char buffer[65536];
    for (;;) {
      const ssize_t got = ::recv(peer.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (got <= 0) return out;
      out.append(buffer, static_cast<std::size_t>(got));
    }
  }
};

std::string frame(std::string_view payload) {
  std::string out;
  wire::append_frame(out, wire::FrameType::request, [&](std::string& to) { to.append(payload); });
  return out;
}

}  // namespace

TEST_CASE("frames are taken however the bytes are cut") {
  Rig rig;
  const std::string bytes = frame("one") + frame("") + frame("three");
  for (const char byte : bytes) {
    rig.send({&byte, 1});
    rig.turn();
  }
  CHECK(rig.recorder->frames == std::vector<std::string>{"one", "", "three"});
}

TEST_CASE("what is appended to the outbox leaves whole, also past what the socket holds") {
  Rig rig;
  std::string sent;
  for (int i = 0; i < 300; ++i) sent += std::string(10'000, static_cast<char>('a' + i % 26));
  rig.connection->outbox() += sent;
  rig.connection->wrote();
  std::string got;
  while (got.size() < sent.size()) {
    rig.turn();
    const std::string piece = rig.receive();
    REQUIRE_FALSE(piece.empty());
    got += piece;
  }
  CHECK(got == sent);
}

TEST_CASE("chunks are only asked for while the socket has room, and arrive in order") {
  Rig rig;
  std::string sent;
  for (int i = 0; i < 2'000'000; ++i) sent += static_cast<char>(i * 7 % 251);
  rig.recorder->to_give = sent;
  rig.connection->wrote();
  rig.turn();
  CHECK(rig.recorder->to_give.size() > 1'000'000);  // a peer that does not read costs a batch, not the stream
  CHECK(rig.connection->outbox_bytes() <= 256u << 10);
  std::string got;
  while (got.size() < sent.size()) {
    const std::string piece = rig.receive();
    REQUIRE_FALSE(piece.empty());
    got += piece;
    rig.turn();
  }
  CHECK(got == sent);
}

TEST_CASE("an answer passes the chunks that wait") {
  Rig rig;
  rig.recorder->to_give = std::string(4u << 20, 'c');
  rig.connection->wrote();
  rig.turn();
  rig.connection->outbox() += "ANSWER";
  rig.connection->wrote();
  std::string got;
  for (int i = 0; i < 64 && got.find("ANSWER") == std::string::npos; ++i) {
    got += rig.receive();
    rig.turn();
  }
  got += rig.receive();
  REQUIRE(got.find("ANSWER") != std::string::npos);
  CHECK(got.find("ANSWER") < 1u << 20);
  CHECK_FALSE(rig.recorder->to_give.empty());
}

TEST_CASE("a peer that floods and never reads is not read any further") {
  Rig rig;
  rig.recorder->on_payload = [&](std::string_view) { rig.connection->outbox().append(64'000, 'x'); };
  const std::string request = frame("r");
  std::size_t sent = 0;
  for (int i = 0; i < 100'000; ++i) {
    if (::send(rig.peer.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request.size()))
      break;
    ++sent;
    rig.turn();
  }
  CHECK(rig.recorder->frames.size() < sent);
  CHECK(rig.connection->outbox_bytes() < 8u << 20);
  // Once it reads it is served again.
  for (int i = 0; i < 10'000 && rig.recorder->frames.size() < sent; ++i) {
    rig.receive();
    rig.turn();
  }
  CHECK(rig.recorder->frames.size() == sent);
}

TEST_CASE("a bad frame closes the connection and says why") {
  Rig rig;
  rig.send("GET / HTTP/1.1\r\n\r\n");
  rig.turn();
  CHECK(rig.recorder->closed);
  CHECK(rig.recorder->why.find("magic") != std::string::npos);
}

TEST_CASE("the peer's orderly end is no error, its end within a frame is one") {
  Rig orderly, cut;
  orderly.peer.reset();
  orderly.turn();
  CHECK(orderly.recorder->closed);
  CHECK(orderly.recorder->why.empty());
  cut.send(frame("abc").substr(0, 9));
  cut.turn();
  cut.peer.reset();
  cut.turn();
  CHECK(cut.recorder->closed);
  CHECK_FALSE(cut.recorder->why.empty());
}

/// Sends the bytes with one descriptor, in one message.
void send_with(int socket, const std::string& bytes, int descriptor) {
  iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
  REQUIRE(::sendmsg(socket, &message, 0) == static_cast<ssize_t>(bytes.size()));
}

TEST_CASE("descriptors go with the frame that they were sent with, unwanted ones are closed") {
  Rig rig;
  int pipe_ends[2];
  REQUIRE(::pipe2(pipe_ends, O_CLOEXEC) == 0);
  const UniqueFd read_end(pipe_ends[0]);
  UniqueFd write_end(pipe_ends[1]);
  send_with(rig.peer.get(), frame("with"), write_end.get());
  write_end.reset();
  rig.send(frame("without"));
  rig.turn();
  CHECK(rig.recorder->frames == std::vector<std::string>{"with", "without"});
  CHECK(rig.recorder->descriptors == 1);
  char byte = 0;
  CHECK(::read(read_end.get(), &byte, 1) == 0);  // nobody holds the write end any more
}

TEST_CASE(
    "a frame that was sent before the descriptors, and is read with them, leaves them to the one that asks") {
  Rig rig;
  int pipe_ends[2];
  REQUIRE(::pipe2(pipe_ends, O_CLOEXEC) == 0);
  const UniqueFd read_end(pipe_ends[0]);
  UniqueFd write_end(pipe_ends[1]);
  rig.recorder->takes_descriptors_of = "with";
  rig.send(frame("before"));
  send_with(rig.peer.get(), frame("with") + frame("behind"), write_end.get());
  rig.send(frame("later"));
  write_end.reset();
  rig.turn();
  CHECK(rig.recorder->frames == std::vector<std::string>{"before", "with", "behind", "later"});
  REQUIRE(rig.recorder->taken.size() == 1);
  rig.recorder->taken.clear();
  char byte = 0;
  CHECK(::read(read_end.get(), &byte, 1) == 0);
}

TEST_CASE("a peer that ends its own direction still gets what is owed, and is then let go") {
  Rig rig;
  rig.recorder->owing = true;
  rig.send(frame("question"));
  ::shutdown(rig.peer.get(), SHUT_WR);
  rig.turn();
  REQUIRE(rig.recorder->frames.size() == 1);
  CHECK_FALSE(rig.connection->closed());
  rig.recorder->owing = false;
  rig.connection->outbox() += "ANSWER";
  rig.connection->wrote();
  rig.turn();
  CHECK(rig.receive() == "ANSWER");
  CHECK(rig.connection->closed());
}

TEST_CASE("a peer that has gone altogether is let go at once, whatever is owed") {
  Rig rig;
  rig.recorder->owing = true;
  SUBCASE("at once") {
    rig.send(frame("question"));
  }
  SUBCASE("after it had ended its own direction") {
    ::shutdown(rig.peer.get(), SHUT_WR);
    rig.turn();
    CHECK_FALSE(rig.connection->closed());
  }
  rig.peer.reset();
  rig.turn();
  CHECK(rig.connection->closed());
}

TEST_CASE("a side that ends its direction sends all of it first, and hears the other until that ends") {
  Rig rig;
  const std::string sent(1'000'000, 's');
  rig.connection->outbox() += sent;
  rig.connection->end_when_sent();
  std::string got;
  while (got.size() < sent.size()) {
    rig.turn();
    got += rig.receive();
  }
  CHECK(got == sent);
  rig.turn();
  char byte = 0;
  CHECK(::recv(rig.peer.get(), &byte, 1, MSG_DONTWAIT) == 0);
  rig.send(frame("late"));
  rig.turn();
  CHECK(rig.recorder->frames == std::vector<std::string>{"late"});
  CHECK_FALSE(rig.recorder->closed);
  rig.peer.reset();
  rig.turn();
  CHECK(rig.recorder->closed);
  CHECK(rig.recorder->why.empty());
}
