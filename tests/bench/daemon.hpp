// A kairod of the benchmark's own: its socket and state in a temporary directory on a real disk (logs live
// there; tmpfs would flatter), both gone at the end, with daemon and keeper. Should the benchmark itself be
// killed, the daemon gets SIGTERM and ends its sessions and its keeper.
#pragma once

#include <string>
#include <sys/types.h>

#include "base/unique_fd.hpp"
#include "bench/bench.hpp"

namespace kairo::bench {

class Daemon {
 public:
  /// Returns when it answers.
  explicit Daemon(const Settings& settings);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// On a real disk; gone with the daemon.
  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] std::string socket() const { return directory_ + "/socket"; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] pid_t keeper_pid() const { return keeper_pid_; }
  /// SIGKILL for kairod alone. The next call can only be start() or the destructor.
  void kill();
  /// Another kairod in the place of the one that was killed; returns when it answers.
  void start();

 private:
  void stop();
  [[nodiscard]] bool await_end(std::chrono::seconds limit);
  [[nodiscard]] bool await_keeper(std::chrono::seconds limit) const;
  [[nodiscard]] std::string log() const;

  std::string program_;
  std::string directory_;
  pid_t pid_ = -1;
  pid_t keeper_pid_ = -1;
  UniqueFd keeper_;  ///< pidfd: its pid may be another's by the time it is to be ended.
};

}  // namespace kairo::bench
