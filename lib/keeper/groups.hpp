// The keeper's control groups (lib/cgroup), and the thread that removes them: a rmdir may wait for a lock
// that another one's move of a process holds for milliseconds, and the main thread must not.
//
// They are removed some at a time, a moment later, so that the next launch does not wait for the lock that
// each takes. Those that can be used again are looked at then and kept instead, a few, until nothing has been
// launched for some seconds: making one, being born into a new one and removing it is most of what a group
// costs a launch.
//
// A group in which somebody still is stays in the list until poke(), which the owner calls when children have
// ended. The thread is started with the first removal; while the system gives none, removals are done at
// once.
//
// Any thread may call anything. The destructor removes what it can.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "cgroup/tree.hpp"
#include "keeper/protocol.hpp"

namespace kairo::keeper {

class Groups {
 public:
  explicit Groups(cgroup::Layout layout) : tree_(std::move(layout)) {}
  ~Groups();

  [[nodiscard]] cgroup::Tree& tree() { return tree_; }
  /// As Tree::make.
  cgroup::Group make(std::uint64_t key, bool detach, const cgroup::GroupLimits& limits,
                     std::vector<cgroup::Refusal>& refusals);
  /// As soon as nobody is in it; until then the Group is good, after that it finds nobody.
  void remove(const cgroup::Group& group);
  /// The same where nobody is in it; false, and it stays, where somebody is.
  bool remove_if_empty(const cgroup::Group& group);
  /// Tries again what could not be removed.
  void poke();

 private:
  void run();
  void take(const cgroup::Group& group, bool vacated);
  void start();
  void sleep(std::unique_lock<std::mutex>& lock);
  std::optional<std::uint32_t> take_free();

  cgroup::Tree tree_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<cgroup::Group> waiting_;
  std::vector<std::uint32_t> vacated_;  ///< Nobody has looked at them yet.
  std::vector<std::uint32_t> free_;     ///< To be used again, the last one first.
  SteadyTime used_{};                   ///< When one was made or vacated last.
  bool poked_ = false;
  bool asleep_ = false;
  bool looking_ = false;  ///< The thread holds what waits.
  bool stop_ = false;
  std::thread thread_;
};

/// What came of a session's group, for Exited. `killed_by_us`: the keeper was told to send SIGKILL.
LimitReport report_of(const cgroup::Tree& tree, const cgroup::Group& group, int wait_status,
                      bool killed_by_us);

}  // namespace kairo::keeper
