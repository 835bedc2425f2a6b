// How a thread that blocks is asked to end: an eventfd that every wait of it looks at.
#pragma once

#include <chrono>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace kairo::executor {

class Stop {
 public:
  static Result<Stop> make();
  /// From any thread.
  void ask() const;
  [[nodiscard]] bool asked() const;
  /// Until `fd` has one of `events` (poll(2)), or an error; false when asked to stop, or when the reader of
  /// the pipe `watched` has left.
  [[nodiscard]] bool wait(int fd, short events, int watched = -1) const;
  /// False when asked to stop.
  [[nodiscard]] bool sleep(std::chrono::milliseconds time) const;

 private:
  UniqueFd fd_;
};

}  // namespace kairo::executor
