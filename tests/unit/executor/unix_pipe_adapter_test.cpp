#include "executor/unix_pipe_adapter.hpp"

#include <csignal>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "contract.hpp"

using namespace kairo;
using namespace kairo::executor;
using contract::Side;

namespace {

/// Both loops are turned by the test itself.
class Loops {
 public:
  std::shared_ptr<Duplex> duplex(Side side) { return sides_[side == Side::far]; }
  void on(Side, const std::function<void()>& call) { call(); }
  bool turn() {
    std::size_t done = 0;
    for (auto& io : io_) {
      io.restart();
      done += io.poll();
    }
    return done > 0;
  }
  void settle() {
    while (turn()) {
    }
  }

 protected:
  Loops() { std::signal(SIGPIPE, SIG_IGN); }
  void keep(Side side, Result<std::shared_ptr<UnixPipeAdapter>> made) {
    REQUIRE(made);
    sides_[side == Side::far] = *made;
  }

  boost::asio::io_context io_[2];
  std::shared_ptr<Duplex> sides_[2];
};

struct OverOneSocket : Loops {
  explicit OverOneSocket(std::size_t high_water) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    keep(Side::near, UnixPipeAdapter::make(io_[0], UniqueFd(ends[0]), high_water));
    keep(Side::far, UnixPipeAdapter::make(io_[1], UniqueFd(ends[1]), high_water));
  }
};

struct OverTwoSockets : Loops {
  explicit OverTwoSockets(std::size_t high_water) {
    int there[2], back[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, there) == 0);
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, back) == 0);
    keep(Side::near, UnixPipeAdapter::make(io_[0], UniqueFd(back[0]), UniqueFd(there[0]), high_water));
    keep(Side::far, UnixPipeAdapter::make(io_[1], UniqueFd(there[1]), UniqueFd(back[1]), high_water));
  }
};

struct OverPipes : Loops {
  explicit OverPipes(std::size_t high_water) {
    int there[2], back[2];
    REQUIRE(::pipe2(there, O_CLOEXEC) == 0);
    REQUIRE(::pipe2(back, O_CLOEXEC) == 0);
    keep(Side::near, UnixPipeAdapter::make(io_[0], UniqueFd(back[0]), UniqueFd(there[1]), high_water));
    keep(Side::far, UnixPipeAdapter::make(io_[1], UniqueFd(there[0]), UniqueFd(back[1]), high_water));
  }
};

}  // namespace

TEST_CASE("a UnixPipeAdapter over one socket keeps the contract") {
  contract::duplex_contract<OverOneSocket>();
}

TEST_CASE("a UnixPipeAdapter over two sockets keeps the contract") {
  contract::duplex_contract<OverTwoSockets>();
}

TEST_CASE("a UnixPipeAdapter over pipes keeps the contract") {
  contract::duplex_contract<OverPipes>();
}

TEST_CASE("a direction that is not there has ended from the start") {
  boost::asio::io_context io;
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  auto reader = UnixPipeAdapter::make(io, UniqueFd(ends[0]), UniqueFd());
  auto writer = UnixPipeAdapter::make(io, UniqueFd(), UniqueFd(ends[1]));
  REQUIRE(reader);
  REQUIRE(writer);
  contract::Recorder read, written;
  (*reader)->start(read);
  (*writer)->start(written);
  CHECK((*reader)->write("no").error().code == Code::stdin_closed);
  CHECK((*writer)->source() == nullptr);
  CHECK((*reader)->sink() == nullptr);
  (*reader)->resume();
  REQUIRE((*writer)->write("word"));
  (*writer)->end();
  io.run();
  CHECK(read.calls == std::vector<std::string>{"data", "end", "close"});
  CHECK(written.calls == std::vector<std::string>{"close"});
  CHECK(read.data == "word");
}

TEST_CASE("only the adapter's own end is made non-blocking") {
  boost::asio::io_context io;
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const UniqueFd theirs(ends[1]);
  auto made = UnixPipeAdapter::make(io, UniqueFd(ends[0]));
  REQUIRE(made);
  CHECK((::fcntl((*made)->source()->native_handle(), F_GETFL) & O_NONBLOCK) != 0);
  CHECK((::fcntl(theirs.get(), F_GETFL) & O_NONBLOCK) == 0);
}
