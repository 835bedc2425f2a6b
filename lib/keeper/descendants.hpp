// What a session leaves behind: processes that outlive its main process.
//
// Where the session has a control group, they are whoever is in it, and the kernel kills them as one. All
// that follows is for hosts without.
//
// Those in its process group are found by the group. One that left the group (setsid, double fork) is
// reparented to the keeper, their subreaper, once its own parent has ended; such an orphan is attributed by
// its session or group id or by KAIRO_PROCESS_ID in its environment, and what lives below it goes with it.
// Children that were launched hang on the launcher's thread, orphans on the main thread: a sweep reads the
// main thread's list alone, so its price does not grow with the number of sessions. (Those that were launched
// before an upgrade hang on the main thread, too, until they end.)
//
// Order of calls, all on the main thread: ended() for each session whose descendants are to go,
// child_signal() when SIGCHLD came; run() when next() is due. What is found gets SIGTERM and SIGCONT at once
// and SIGKILL after the grace.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <sys/types.h>
#include <unordered_map>
#include <vector>

#include "base/clock.hpp"
#include "keeper/groups.hpp"
#include "keeper/succession.hpp"

namespace kairo::keeper {

class Descendants {
 public:
  /// `is_main`: whether a child is some session's main process; `main_ended`: one was found ended on the way
  /// and is to be reaped now.
  Descendants(Groups& groups, std::function<bool(pid_t)> is_main, std::function<void(pid_t)> main_ended)
      : groups_(groups), is_main_(std::move(is_main)), main_ended_(std::move(main_ended)) {}

  /// The main process `pid` was reaped and its group has had SIGTERM; `group_left`: somebody is still in it.
  /// `soon`: somebody holds its output open, do not wait for other sessions' ends. A control group is removed
  /// once nobody is in it. `pid` is 0 where only the control group is known.
  void ended(pid_t pid, const std::string& mark, const cgroup::Group& control_group,
             std::chrono::milliseconds grace, bool group_left, bool soon, SteadyTime now);
  /// Whether it is at the control group of session `key`.
  [[nodiscard]] bool follows(std::uint64_t key) const;
  void child_signal(SteadyTime now) { due(now + sweep_delay); }
  /// Reaps what hangs on a launching thread and is no session's: a program's child by CLONE_PARENT.
  /// `launching`: whether a launch is under way, whose child is nobody's yet; when it says no, is_main knows
  /// all that were launched before. False when another look is needed.
  bool reap_siblings(const std::function<bool()>& launching);

  /// What is still to be done, for a keeper that re-executes itself; take_over() is the other half.
  [[nodiscard]] std::vector<WatchLetter> leave() const;
  void take_over(const std::vector<WatchLetter>& watches, SteadyTime now);

  [[nodiscard]] std::optional<SteadyTime> next() const { return next_; }
  void run(SteadyTime now);

  /// Sends a signal to every process of a session, wherever it went. `main`: its pid while it runs, else 0;
  /// `group`: its group's id, and `only_group`: nobody outside of it. ESRCH when there was nobody.
  int signal(pid_t main, pid_t group, const std::string& mark, const cgroup::Group& control_group, int number,
             bool only_group);

 private:
  /// Sweeps that come due together are one.
  static constexpr std::chrono::milliseconds sweep_delay{50};
  /// What survives SIGKILL for so long cannot be killed (it hangs in the kernel).
  static constexpr std::chrono::seconds give_up_delay{10};

  struct Watch {
    pid_t pid;
    bool group_left;
    bool killed;
    SteadyTime deadline;
    std::string mark;
    cgroup::Group control_group;
    bool told = false;  ///< The control group's members have had SIGTERM.
    bool over = false;  ///< Nothing is left to do.
  };
  struct Orphan {
    std::string mark;
    pid_t session = 0;
    pid_t group = 0;
    unsigned reads = 0;  ///< Of its environment, which is empty for a moment while it executes.
    bool told = false;   ///< Has had SIGTERM.
  };
  static constexpr unsigned environment_reads = 3;

  void due(SteadyTime at) {
    if (!next_ || at < *next_) next_ = at;
  }
  void reap();
  void find_orphans();
  bool look_at_members(Watch& watch, bool late);
  bool look_at_orphans(const Watch& watch, bool late);
  int kill_all(const cgroup::Group& group);
  static bool belongs(const Orphan& orphan, pid_t session, const std::string& mark) {
    return (!mark.empty() && orphan.mark == mark) || orphan.session == session || orphan.group == session;
  }

  Groups& groups_;
  std::function<bool(pid_t)> is_main_;
  std::function<void(pid_t)> main_ended_;
  std::vector<Watch> watches_;
  std::unordered_map<pid_t, Orphan> orphans_;
  std::optional<SteadyTime> next_;
};

}  // namespace kairo::keeper
