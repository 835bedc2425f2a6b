// The keeper's control groups (lib/cgroup), and the thread that removes them: a rmdir may wait for a lock
// that another one's move of a process holds for milliseconds, and the main thread must not.
//
// They are removed some at a time, a moment later, so that the next launch does not wait for the lock that
// each takes.
//
// A group in which somebody still is stays in the list until poke(), which the owner calls when children have
// ended. The thread is started with the first removal; while the system gives none, removals are done at
// once.
//
// Any thread may call anything. The destructor removes what it can.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "cgroup/tree.hpp"
#include "keeper/protocol.hpp"

namespace kairo::keeper {

class Groups {
 public:
  explicit Groups(cgroup::Layout layout) : tree_(std::move(layout)) {}
  ~Groups();

  [[nodiscard]] cgroup::Tree& tree() { return tree_; }
  void remove(const cgroup::Group& group);
  /// Tries again what could not be removed.
  void poke();

 private:
  void run();

  cgroup::Tree tree_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<cgroup::Group> waiting_;
  bool poked_ = false;
  bool stop_ = false;
  std::thread thread_;
};

/// What came of a session's group, for Exited. `killed_by_us`: the keeper was told to send SIGKILL.
LimitReport report_of(const cgroup::Tree& tree, const cgroup::Group& group, int wait_status,
                      bool killed_by_us);

}  // namespace kairo::keeper
