// One launch: pipes, a child that shares nothing but its three descriptors, and the step and errno when it
// fails. Used from one thread only, whose children they are; when that thread ends they are the main
// thread's.
//
// The child is made by clone3(CLONE_VM | CLONE_VFORK): nothing is copied, and the launcher stands still until
// the program runs, so that a failure comes back through shared memory. CLONE_FILES keeps the price
// independent of how many descriptors the keeper holds: the child's ends are put on low descriptors
// reserved for this, the child shares the table at first and unshares only what lies below and at them.
// Copying 40,000 descriptors, as fork and vfork do, costs more than the launch.
#pragma once

#include <atomic>
#include <functional>
#include <span>
#include <string>
#include <sys/types.h>
#include <variant>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "cgroup/tree.hpp"
#include "keeper/launch_watch.hpp"
#include "keeper/protocol.hpp"
#include "sandbox/ruleset.hpp"

namespace kairo::keeper {

/// Below stand the low descriptors that the launching threads reserve; everything else stays out of their
/// way.
inline constexpr int low_descriptors_end = 16;

/// Counts what sessions may come to hold, so that a launch is refused before anything fails half-way
/// (SPEC 4.8).
class DescriptorBudget {
 public:
  explicit DescriptorBudget(int limit) : left_(limit) {}
  bool take(int count) {
    if (left_.fetch_sub(count) >= count) return true;
    left_.fetch_add(count);
    return false;
  }
  void give_back(int count) { left_.fetch_add(count); }

 private:
  std::atomic<int> left_;
};

/// A running child and the keeper's ends of its pipes (none where Stdio is no pipe).
struct Child {
  pid_t pid = 0;
  std::uint64_t started_us = 0;
  std::uint64_t started_boot_us = 0;
  UniqueFd process;    ///< pidfd: readable once it has ended.
  UniqueFd listener;   ///< Of its filter, if it has one (sandbox/denial.hpp).
  bool ended = false;  ///< By the LaunchWatch.
  UniqueFd standard_input;
  UniqueFd output[2];
  bool in_unified = false;       ///< It is in the v2 group.
  bool born_in_unified = false;  ///< And was from its birth.
};

/// As in LaunchFailed.
struct LaunchError {
  const char* step;
  int error_number;
  std::string object;
};

class Launcher {
 public:
  struct FileLimit {
    std::uint64_t soft;
    std::uint64_t hard;
  };
  /// Reserves the low descriptors. `files` is given to the children.
  static Result<Launcher> make(FileLimit files);
  Launcher(Launcher&& other) noexcept;
  Launcher& operator=(Launcher&&) = delete;
  ~Launcher();

  /// `descriptors`: for each Stdio::fd, in the order stdin, stdout, stderr; then that of Launch::ipc.
  /// `joining`: the control groups that the child is to be in; `elsewhere` gives others where it was
  /// killed at its birth into one, at last one with Joining::kills_at_birth; nullptr where none is to be had.
  /// `cpu_is_counted`: by one of them, so that kairod is to end the session, which says why, and RLIMIT_CPU
  /// what kairod does not.
  using Elsewhere = std::function<const cgroup::Joining*()>;
  std::variant<Child, LaunchError> launch(const Launch& order, std::span<UniqueFd> descriptors,
                                          const cgroup::Joining& joining, const Elsewhere& elsewhere,
                                          bool cpu_is_counted, LaunchWatch& watch);

  /// What is kept for the next launches; its owner asks now and then that what nobody used goes.
  [[nodiscard]] sandbox::Rulesets& rulesets() { return rulesets_; }

 private:
  static constexpr int low_descriptors = 6;
  explicit Launcher(FileLimit files) : files_(files) {}
  pid_t clone_child(struct ChildTask& task, const cgroup::Joining& joining, Child& child, LaunchWatch& watch);
  static long try_clone3(struct ChildTask& task, char* stack, int group, Child& child, LaunchWatch& watch);

  FileLimit files_;
  UniqueFd null_;
  /// The three, that of Launch::ipc, Landlock's ruleset, and for good the child's end of `listeners_`.
  UniqueFd low_[low_descriptors];
  sandbox::Rulesets rulesets_;
  UniqueFd listeners_;  ///< Where children send the listeners of their filters.
  char* stack_ = nullptr;
  bool has_clone3_ = true;
  bool has_into_cgroup_ = true;
};

}  // namespace kairo::keeper
