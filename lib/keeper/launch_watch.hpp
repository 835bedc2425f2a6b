// Ends a launch that hangs. Between its birth and its exec a child may already be its user's, who can stop
// it, or have its exec wait (a file under a lease, a dead mount), and the launching thread waits with it
// (CLONE_VFORK): two such children would keep everybody from launching.
//
// The launching thread calls begin() and end() around each clone, and gives the system the place for the
// pidfd, which is filled in before the child runs. The main thread calls look() when timer() is readable. The
// descriptor is taken back by end() before it is closed, so that no other process is ever signalled by its
// number.
#pragma once

#include <chrono>
#include <mutex>

#include "base/clock.hpp"
#include "base/unique_fd.hpp"

namespace kairo::keeper {

class LaunchWatch {
 public:
  /// A launch takes a millisecond; an exec from a slow disk or a network's file system may take a few seconds
  /// and is not to be ended.
  static constexpr std::chrono::seconds patience{5};

  /// Without a timer (no descriptor left) nothing is watched.
  LaunchWatch();
  [[nodiscard]] int timer() const { return timer_.get(); }

  void begin();
  /// Where the system puts the pidfd (CLONE_PIDFD).
  int* process() { return const_cast<int*>(&process_); }
  /// Right after the clone; whether the child has been ended.
  bool end();

  void look();

 private:
  void arm(std::chrono::nanoseconds in) const;

  UniqueFd timer_;
  std::mutex mutex_;
  volatile int process_ = -1;  ///< Filled in by the system, beside the lock.
  bool under_way_ = false;
  bool killed_ = false;
  SteadyTime began_;
};

}  // namespace kairo::keeper
