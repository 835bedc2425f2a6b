// kairod's side of the keeper: finds or starts it, gives orders, hears what happened. Lives on the kernel's
// thread (one Asio io_context) and calls its listener there.
//
// Order of calls: connect() once, which blocks for the handshake and returns what the keeper holds; then
// start(); then orders at any time; stop() before destruction.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "keeper/protocol.hpp"
#include "keeper/table.hpp"

namespace kairo::keeper {

/// Hears what the keeper says. Called on the kernel's thread, never from within an order.
class Listener {
 public:
  virtual void on_changed(std::uint32_t slot) = 0;
  virtual void on_exited(const Exited& exited) = 0;
  /// The keeper is gone; nothing else will be called.
  virtual void on_lost(const Error& why) = 0;

 protected:
  ~Listener() = default;
};

struct LinkOptions {
  std::string state_dir;
  std::string instance_id;
  std::vector<std::string>
      start_command;  ///< argv of the keeper: {"/proc/self/exe", "keeper", ...}; the listening
                      ///< socket is its descriptor 3, the state directory's descriptor 4.
  /// A program that a keeper which runs already is to become (descriptor, borrowed); -1: none.
  int next_program = -1;
};

class Link {
 public:
  struct Held {
    HeldSession session;
    UniqueFd stdin_ring;
  };

  /// Connects to the running keeper of this state directory, or starts one. Blocks up to 10 s.
  static Result<std::unique_ptr<Link>> connect(boost::asio::io_context& io, const LinkOptions& options);
  ~Link();

  [[nodiscard]] Table& table();
  [[nodiscard]] const std::string& keeper_id() const;
  [[nodiscard]] std::int32_t keeper_pid() const;
  /// Why the keeper has not become LinkOptions::next_program, if it has not.
  [[nodiscard]] const std::optional<std::string>& not_upgraded() const;
  /// Of its protocol.
  [[nodiscard]] std::uint32_t keeper_version() const;
  /// Where the sessions' control groups are, and so which limits can be had; empty of a keeper that is too
  /// old.
  [[nodiscard]] const cgroup::Layout& groups() const;
  /// Sessions of the time before; to be taken once.
  std::vector<Held> take_held();

  void start(Listener& listener);
  void stop();

  using LaunchDone = std::function<void(Result<Launched>)>;
  /// `descriptors`: for each Stdio::fd, in the order stdin, stdout, stderr. A failure is E_SPAWN_FAILED with
  /// details errno, errnoName, step (E_LIMIT_EXCEEDED for EMFILE, ENFILE, EAGAIN, ENOMEM).
  void launch(Launch order, std::vector<UniqueFd> descriptors, LaunchDone done);

  using SignalDone = std::function<void(int error_number)>;
  void signal(std::uint64_t key, int number, SignalScope scope, SignalDone done);

  /// What a session was denied so far; nothing where nobody can tell (a keeper before version 4, a host
  /// without listeners, a session that the keeper has forgotten).
  [[nodiscard]] bool tells_denials() const;  ///< By its version.
  using DenialsDone = std::function<void(std::optional<DenialReport>)>;
  void denials(std::uint64_t key, DenialsDone done);

  /// `sent` is called, perhaps at once, when the ring is on its way to the keeper and outlives this process:
  /// only from then on is what stands in it accepted.
  /// E_LIMIT_EXCEEDED: no descriptor was left to pass it with; nothing was sent.
  Result<void> stdin_ring(std::uint64_t key, int memfd, std::function<void()> sent);
  void stdin_ready(std::uint64_t key);
  void resume_pump(std::uint64_t key);
  /// Has the keeper keep `note` for the next kairod (Held::session.note), before any order that follows.
  void note(std::uint64_t key, std::string note);
  /// The keeper may forget the session; its slot is free once the table says so. Orders are collected for
  /// a few milliseconds: each would wake the keeper.
  void release(std::uint64_t key);
  void stop_keeper();

 private:
  struct Impl;
  explicit Link(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace kairo::keeper
