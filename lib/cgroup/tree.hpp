// The control groups of one daemon's sessions: made before the launch, joined by the child, killed and
// removed at the end.
//
// A group's directory says whose it is (cgroup/name.hpp): so a keeper that follows one which was killed knows
// what is to be ended. What programs make inside of their group is theirs, and goes with it.
//
// Order of calls: make(), open_to_join(), the launch, and at the end kill() until populated() is false,
// read_use(), remove(). Every function may be called from any thread; none waits for processes. What a group
// of a key is lies in files alone, so that another program, or kairod, reads the same.
//
// A group without limits, whose use nobody is to be told, is one that can be used again, where the v2 tree
// keeps attributes (Linux 5.7) and its groups have no controllers that count: instead of remove(), vacate()
// takes its session's name off it, and use_again() gives it to another one. Whoever still asks by the former
// session's Group finds nobody. A group with limits is its session's alone: what it has counted, and what
// memory is charged to it, would stay. So is one that was killed as one: whom a launch puts into it
// Linux 6.14 and later kill at once, for good. (So they do where a program has written its own group's
// cgroup.kill: Launcher finds out and takes another one.)
//
// Costs on the machine of docs/benchmarks.md: mkdir and rmdir 20 to 65 us each, joining a new v2 group at the
// clone 55 us and one that was used before 6 us, naming it 4 us; joining a v1 group 37 us by the child's own
// "0" into `tasks`. The same into cgroup.procs takes a lock that waits for all processors, 16 ms. (The cpu
// hierarchy of v1 takes 3.5 ms either way.)
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
#include "cgroup/name.hpp"

namespace kairo::cgroup {

inline constexpr std::uint32_t unified_bit = 1;
/// Where the number of a group that can be used again begins.
inline constexpr unsigned number_shift = 8;
static_assert(largest_number == UINT32_MAX >> number_shift);

struct Group {
  std::uint64_t key = 0;
  bool detach = false;  ///< Its descendants may outlive its main process.
  /// Hierarchies: unified_bit, 2 << Controller in v1; 0: it has no group. Of one that can be used again also
  /// its number, by number_shift.
  std::uint32_t in = 0;
  bool needs_unified = false;  ///< A limit was set in v2. Only from make() to the launch.
  explicit operator bool() const { return in != 0; }
  [[nodiscard]] std::uint32_t number() const { return in >> number_shift; }
  /// What of it is in v2, and what is not.
  [[nodiscard]] Group only_unified() const {
    return {key, detach, in & (unified_bit | largest_number << number_shift), needs_unified};
  }
  [[nodiscard]] Group without_unified() const {
    return {key, detach, in & ((1u << number_shift) - 1) & ~unified_bit, false};
  }
};

/// What a group is limited to, of all its processes together.
struct GroupLimits {
  std::optional<double> cpu;            ///< Cores.
  std::optional<std::uint64_t> memory;  ///< Bytes.
  std::optional<std::uint64_t> pids;
  bool cpu_time = false;  ///< What they use is to be counted.
  bool told = false;      ///< What they used is to be told where that is known anyway.
  [[nodiscard]] bool any() const { return cpu || memory || pids || cpu_time; }
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
  bool kills_at_birth = false;  ///< CLONE_INTO_CGROUP does so here, whatever was tried: `unified` is none.
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

  /// Moves this process to the leaf below kairo-TAG, out of a cgroup that was killed as one while it was not
  /// in it (one that a service manager keeps); 0 or the errno. Waits for all processors.
  int move_to_leaf() const;
  /// It is not to be used again.
  void mark_killed(const Group& group) const;
  /// Takes the session's name off a group with a number in which nobody is. False where somebody is, or it
  /// has no number or was killed: it is remove()'s then.
  [[nodiscard]] bool vacate(const Group& group) const;
  /// Whether it is as it was made: nothing below it, and no setting changed.
  [[nodiscard]] bool is_as_new(std::uint32_t number) const;
  /// Gives a vacated group to a session; none where that cannot be done.
  Group use_again(std::uint32_t number, std::uint64_t key, bool detach);
  /// Removes a vacated group.
  void discard(std::uint32_t number) const;

  /// Groups that stand there, in whichever hierarchy. What was vacated is removed on the way.
  [[nodiscard]] std::vector<Group> found() const;
  /// Removes kairo-TAG itself where it is empty.
  void remove_base() const;

 private:
  [[nodiscard]] std::string directory(const Group& group, std::uint32_t bit) const;
  [[nodiscard]] std::string numbered(std::uint32_t number) const;
  std::string make_in(const std::string& base, const Group& group, int& error_number) const;
  void make_numbered(Group& group);
  std::string enable(Controller controller);
  bool set_unified(const std::string& at, const GroupLimits& limits, Controller controller, Refusal& refusal);
  bool set_v1(const std::string& at, const GroupLimits& limits, Controller controller, Refusal& refusal);

  Layout layout_;
  Host host_;
  std::mutex enabling_;
  std::uint32_t enabled_ = 0;  ///< v2 controllers handed on to the groups, by bit.
  std::atomic<std::uint32_t> last_number_ = 0;
  std::atomic<bool> can_use_again_ = true;
};

}  // namespace kairo::cgroup
