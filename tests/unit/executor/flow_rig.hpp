// Nodes for tests of flows, without processes: the test holds the nodes' own ends of real sockets and pipes,
// and turns the loop itself. What a node writes and reads goes through plain system calls.
#pragma once

#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include "executor/flow.hpp"
#include "executor/pipe_ends.hpp"
#include "executor/unix_pipe_adapter.hpp"

namespace kairo::executor::test {

/// A descriptor of the node's own. Reading and writing never wait: the test turns the loop between.
class NodeEnd {
 public:
  NodeEnd() = default;
  explicit NodeEnd(UniqueFd fd) : fd_(std::move(fd)) {
    REQUIRE(::fcntl(fd_.get(), F_SETFL, ::fcntl(fd_.get(), F_GETFL) | O_NONBLOCK) == 0);
  }
  /// How much was taken.
  std::size_t write(std::string_view bytes) {
    const ssize_t put = ::write(fd_.get(), bytes.data(), bytes.size());
    if (put < 0 && errno != EAGAIN) error_ = errno;
    return put > 0 ? static_cast<std::size_t>(put) : 0;
  }
  std::string read(std::size_t size = 1u << 20) {
    std::string out(size, '\0');
    const ssize_t got = ::read(fd_.get(), out.data(), size);
    if (got == 0) ended_ = true;
    if (got < 0 && errno != EAGAIN) error_ = errno;
    out.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return out;
  }
  void close() { fd_.reset(); }
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] int error() const { return error_; }
  [[nodiscard]] int get() const { return fd_.get(); }

 private:
  UniqueFd fd_;
  bool ended_ = false;
  int error_ = 0;
};

class Loop {
 public:
  Loop() { std::signal(SIGPIPE, SIG_IGN); }
  boost::asio::io_context io{1};
  bool turn() {
    io.restart();
    return io.poll() > 0;
  }
  void settle() {
    while (turn()) {
    }
  }
  /// Turns the loop, with `step` between, until `condition`.
  void until(const std::function<bool()>& condition, const std::function<void()>& step = {}) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      REQUIRE(std::chrono::steady_clock::now() < give_up);
      turn();
      if (step) step();
    }
  }
};

/// A node that gives: the node's stdout, and the Outlet that reads it.
struct Source {
  Loop& loop;
  api::NodeIo io;
  NodeEnd out;
  unsigned ends = 0;
  unsigned unwanted = 0;
  bool last = false;  ///< The flow is finished with this life.
  std::optional<Error> why;
  Outlet outlet;

  explicit Source(Loop& on, api::NodeIo kind = api::NodeIo::sockets)
      : loop(on), io(kind), outlet(on.io, [this](const Error* error) {
          ++ends;
          if (error) why = *error;
          if (last) outlet.finish();
        }) {
    outlet.on_unwanted = [this] { ++unwanted; };
  }
  void open() {
    auto ends_made = make_pipe_ends(io, Direction::from_node);
    REQUIRE(ends_made);
    out = NodeEnd(std::move(ends_made->theirs));
    auto made = UnixPipeAdapter::make(loop.io, std::move(ends_made->ours), UniqueFd());
    REQUIRE(made);
    outlet.open(std::make_shared<Life>(*made));
  }
};

/// A node that takes: the Intake that feeds it, and the node's stdin.
struct Sink {
  Loop& loop;
  api::NodeIo io;
  NodeEnd in;
  unsigned ends = 0;
  unsigned refusals = 0;
  std::optional<Error> why;
  Intake intake;

  explicit Sink(Loop& on, api::NodeIo kind = api::NodeIo::sockets)
      : loop(on),
        io(kind),
        intake(on.io, {[this] { ++ends; },
                       [this](const Error& error) {
                         ++refusals;
                         why = error;
                       }}) {}
  void open(std::string first = {}) {
    auto ends_made = make_pipe_ends(io, Direction::to_node);
    REQUIRE(ends_made);
    in = NodeEnd(std::move(ends_made->theirs));
    auto made = UnixPipeAdapter::make(loop.io, UniqueFd(), std::move(ends_made->ours));
    REQUIRE(made);
    intake.open(std::make_shared<Life>(*made), std::move(first));
  }
};

/// Descriptors that this process has open.
inline std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

/// The line with this number: of various lengths, some of them long.
inline std::string line_of(std::uint64_t number) {
  std::string out = std::to_string(number) + ":";
  const std::size_t length = number % 97 == 0 ? 9000 : number % 7 == 0 ? 0 : number * 31 % 120;
  out.append(length, static_cast<char>('a' + number % 26));
  return out + "\n";
}

}  // namespace kairo::executor::test
