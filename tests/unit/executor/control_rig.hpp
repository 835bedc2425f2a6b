// A hub in a directory of its own, and peers that speak to it byte by byte.
#pragma once

#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include "base/clock.hpp"
#include "executor/control_hub.hpp"
#include "executor/control_messages.hpp"
#include "executor/unix_control_adapter.hpp"
#include "support/temp_dir.hpp"

namespace kairo::test {

/// No test waits longer for a condition than this; a test that does has failed.
inline constexpr std::chrono::seconds patience{60};

inline void run_until(boost::asio::io_context& io, const std::function<bool()>& condition) {
  const SteadyTime end = SteadyClock::now() + patience;
  while (!condition()) {
    REQUIRE(SteadyClock::now() < end);
    io.restart();
    io.run_one_for(std::chrono::milliseconds(10));
  }
}

/// Runs what is ready until nothing is.
inline void settle(boost::asio::io_context& io) {
  io.restart();
  while (io.poll() > 0) io.restart();
}

/// What the hub has told, as texts in their order: "hello a 1", "message a topic".
struct ControlRig {
  TempDir dir;
  boost::asio::io_context io{1};
  std::vector<std::string> told;
  std::unique_ptr<executor::ControlHub> hub;

  ControlRig() { open(); }
  ~ControlRig() {
    hub.reset();
    settle(io);
  }
  void open() {
    executor::ControlHub::Hooks hooks;
    const auto life = [](const std::string& node, std::uint64_t generation) {
      return node + " " + std::to_string(generation);
    };
    hooks.on_hello = [this, life](const std::string& node, std::uint64_t generation) {
      told.push_back("hello " + life(node, generation));
    };
    hooks.on_heartbeat = [this, life](const std::string& node, std::uint64_t generation,
                                      const reflect::Any&) {
      told.push_back("heartbeat " + life(node, generation));
    };
    hooks.on_message = [this](const std::string& node, std::string_view topic, const reflect::Any&) {
      told.push_back("message " + node + " " + std::string(topic));
    };
    hooks.on_gone = [this, life](const std::string& node, std::uint64_t generation) {
      told.push_back("gone " + life(node, generation));
    };
    auto made = executor::ControlHub::listen(io, socket(), "line", std::move(hooks));
    REQUIRE(made.ok());
    hub = *std::move(made);
  }
  [[nodiscard]] std::string socket() const { return dir.path() + "/control"; }
  void add(const std::string& node, std::uint64_t generation = 1, const std::string& token = "secret") {
    hub->register_node(node, generation, token, std::chrono::milliseconds(1000));
  }
  [[nodiscard]] std::size_t count(const std::string& what) const {
    return static_cast<std::size_t>(std::count(told.begin(), told.end(), what));
  }
  void until(const std::function<bool()>& condition) { run_until(io, condition); }
  executor::ControlOptions options(const std::string& node, const std::string& token = "secret") const {
    executor::ControlOptions out;
    out.socket = socket();
    out.node = node;
    out.token = token;
    out.first_pause = std::chrono::milliseconds(1);
    return out;
  }
};

/// A node that is nothing but a socket.
class RawPeer {
 public:
  explicit RawPeer(ControlRig& rig) : rig_(rig) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = rig.socket();
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    socket_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    REQUIRE(::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  /// One that has said hello and was welcomed.
  RawPeer(ControlRig& rig, const std::string& node, const std::string& token = "secret", bool guest = false)
      : RawPeer(rig) {
    hello(node, token, guest);
    REQUIRE(receive().type == api::control::welcome);
  }

  void hello(const std::string& node, const std::string& token, bool guest = false) {
    send(api::control::hello, api::control::Hello{node, api::control::protocol_version, token, guest});
  }
  template <reflect::Described T>
  void send(std::string_view type, const T& data) {
    send(type, reflect::to_msgpack(data));
  }
  void send(std::string_view type, const std::string& data = {}) {
    std::string bytes;
    api::append_event(bytes, executor::make_control_event(type, data, ""));
    send_bytes(bytes);
  }
  void send_bytes(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t put = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (put < 0) {
        REQUIRE(errno == EAGAIN);
        settle(rig_.io);
        continue;
      }
      bytes.remove_prefix(static_cast<std::size_t>(put));
    }
  }
  void end() { ::shutdown(socket_.get(), SHUT_WR); }
  void hang_up() { socket_.reset(); }

  /// Takes what has come; true when the hub has closed.
  bool take() {
    for (;;) {
      const auto room = reader_.writable();
      const ssize_t got = ::recv(socket_.get(), room.data(), room.size(), 0);
      if (got <= 0) return got == 0 || errno != EAGAIN;
      reader_.commit(static_cast<std::size_t>(got));
    }
  }
  /// The next message.
  api::Event receive() {
    std::optional<api::Event> event;
    rig_.until([&] {
      (void)take();
      auto frame = reader_.next();
      REQUIRE(frame.ok());
      if (!*frame) return false;
      auto read = executor::read_control_message(**frame, decoder_);
      REQUIRE(read.ok());
      event = *std::move(read);
      return true;
    });
    return *std::move(event);
  }
  /// Waits until the hub has closed the connection, and gives what it had said before.
  std::vector<api::Event> rest() {
    rig_.until([&] { return take(); });
    std::vector<api::Event> out;
    for (;;) {
      auto frame = reader_.next();
      REQUIRE(frame.ok());
      if (!*frame) return out;
      auto read = executor::read_control_message(**frame, decoder_);
      REQUIRE(read.ok());
      out.push_back(*std::move(read));
    }
  }

 private:
  ControlRig& rig_;
  UniqueFd socket_;
  wire::FrameReader reader_;
  wire::PayloadDecoder decoder_;
};

}  // namespace kairo::test
