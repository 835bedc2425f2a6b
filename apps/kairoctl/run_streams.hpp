// The two ends of `kairoctl run` that are not the daemon: its own standard input and its own outputs. Neither
// ever blocks, so that a signal is forwarded at once even while nobody reads what the program wrote.
#pragma once

#include <string_view>

#include "base/unique_fd.hpp"

namespace kairo::ctl {

/// stdout or stderr. The descriptor is shared with others (the shell, the next command), so its O_NONBLOCK is
/// never touched: a pipe or a terminal is opened anew, for which the flag is its own.
class OutputEnd {
 public:
  explicit OutputEnd(int fd) : fd_(fd) {}

  enum class State { written, blocked, broken };
  /// Writes from the front of `bytes` and takes off what was written. `broken`: nobody will ever read, or it
  /// cannot be written for another reason; error_number() says why.
  State write(std::string_view& bytes);
  /// What to wait for (POLLOUT) after `blocked`.
  [[nodiscard]] int fd() const { return own_ ? own_.get() : fd_; }
  [[nodiscard]] int error_number() const { return error_; }

 private:
  enum class Kind { unknown, plain, nonblocking, shared_pipe, socket };
  void look();
  long write_once(std::string_view bytes);

  int fd_;
  UniqueFd own_;
  Kind kind_ = Kind::unknown;
  int error_ = 0;
};

/// Standard input.
class InputEnd {
 public:
  /// Looks at descriptor 0.
  InputEnd();
  /// /dev/null, or not open at all: the program gets /dev/null itself and nothing is forwarded.
  [[nodiscard]] bool is_null() const { return null_; }
  /// Whether reading now would stop this process, because the terminal belongs to another process group.
  [[nodiscard]] bool is_background() const;
  /// Call when readable. Bytes read; 0 at the end; -1 with errno.
  long read(char* to, std::size_t size);
  /// Ends it for whoever writes to it.
  void close();

 private:
  bool null_ = false;
  bool terminal_ = false;
};

}  // namespace kairo::ctl
