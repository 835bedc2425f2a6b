// The control groups of one daemon's sessions: made before the launch, joined by the child, killed and
// removed at the end.
//
// A group's directory is named after the session's key, `s` and 16 hexadecimal digits, or `d` where its
// descendants may outlive it: so a keeper that follows one which was killed knows what is to be ended. What
// programs make inside of their group is theirs, and goes with it.
//
// Order of calls: make(), open_to_join(), the launch, and at the end kill() until populated() is false,
// read_use(), remove(). Every function may be called from any thread; none waits for processes. What a group
// of a key is lies in files alone, so that another program, or kairod, reads the same.
//
// Costs on the machine of docs/benchmarks.md: mkdir and rmdir 25 to 65 us each, joining a v2 group at the
// clone 55 us, a v1 group 37 us by the child's own "0" into `tasks`. The same into cgroup.procs takes a lock
// that waits for all processors, 16 ms. (The cpu hierarchy of v1 takes 3.5 ms either way.)
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "cgroup/layout.hpp"

namespace kairo::cgroup {

inline constexpr std::uint32_t unified_bit = 1;

struct Group {
  std::uint64_t key = 0;
  bool detach = false;         ///< Its descendants may outlive its main process.
  std::uint32_t in = 0;        ///< Hierarchies: unified_bit, 2 << Controller in v1; 0: it has no group.
  bool needs_unified = false;  ///< A limit was set in v2. Only from make() to the launch.
  explicit operator bool() const { return in != 0; }
};

/// What a group is limited to, of all its processes together.
struct GroupLimits {
  std::optional<double> cpu;            ///< Cores.
  std::optional<std::uint64_t> memory;  ///< Bytes.
  std::optional<std::uint64_t> pids;
  bool cpu_time = false;  ///< What they use is to be counted.
};

/// What a group used and what became of it.
struct GroupUse {
  std::optional<std::uint64_t> cpu_us;
  std::uint64_t oom_kills = 0;
  std::uint64_t pids_refused = 0;
};

/// For the launch: a v2 directory for CLONE_INTO_CGROUP, or, where the kernel has no such thing, a file into
/// which the child writes "0" as it does into those of v1. Without that file (no limit needs v2) the child is
/// left outside then.
struct Joining {
  UniqueFd unified;
  UniqueFd unified_procs;
  std::vector<UniqueFd> tasks;
};

/// Why a limit could not be set.
struct Refusal {
  Controller controller;
  int error_number;
  std::string why;
};

class Tree {
 public:
  explicit Tree(Layout layout) : Tree(std::move(layout), this_host()) {}
  Tree(Layout layout, Host host);

  [[nodiscard]] const Layout& layout() const { return layout_; }

  /// The group of a session, with what of `limits` could be set; the rest is in `refusals`. Without limits a
  /// v2 group where there is a tree, or none. A group that cannot be made is none.
  Group make(std::uint64_t key, bool detach, const GroupLimits& limits, std::vector<Refusal>& refusals);
  Result<Joining> open_to_join(const Group& group) const;

  /// Whether a process is in it or below.
  [[nodiscard]] bool populated(const Group& group) const;
  /// Every process in it and below; those that fork meanwhile may be missing.
  [[nodiscard]] std::vector<pid_t> members(const Group& group) const;
  /// SIGKILL for all of them, and for those that they fork meanwhile. They may not be gone yet when it
  /// returns.
  void kill(const Group& group) const;
  [[nodiscard]] GroupUse read_use(const Group& group) const;
  /// CPU time of all that were ever in it, microseconds.
  [[nodiscard]] std::optional<std::uint64_t> cpu_us(const Group& group) const;
  /// Removes it and what programs made below it; false while somebody is in it.
  bool remove(const Group& group) const;

  /// Groups that stand there, in whichever hierarchy.
  [[nodiscard]] std::vector<Group> found() const;
  /// Removes kairo-TAG itself where it is empty.
  void remove_base() const;

 private:
  [[nodiscard]] std::string directory(const Group& group, std::uint32_t bit) const;
  std::string make_in(const std::string& base, const Group& group, int& error_number) const;
  std::string enable(Controller controller);
  bool set_unified(const std::string& at, const GroupLimits& limits, Controller controller, Refusal& refusal);
  bool set_v1(const std::string& at, const GroupLimits& limits, Controller controller, Refusal& refusal);

  Layout layout_;
  Host host_;
  std::mutex enabling_;
  std::uint32_t enabled_ = 0;  ///< v2 controllers handed on to the groups, by bit.
};

}  // namespace kairo::cgroup
