#include "keeper/descendants.hpp"

#include <algorithm>
#include <cerrno>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/signals.hpp"
#include "keeper/process_tree.hpp"

namespace kairo::keeper {
namespace {

std::string mark_of(pid_t pid) {
  return std::string(variable_in(environment_of(pid), "KAIRO_PROCESS_ID"));
}

void terminate(pid_t pid) {
  ::kill(pid, SIGTERM);
  ::kill(pid, SIGCONT);
}

void kill_tree(pid_t pid) {
  const auto below = tree(pid);
  ::kill(pid, SIGKILL);
  for (const pid_t each : below) ::kill(each, SIGKILL);
}

}  // namespace

void Descendants::ended(pid_t pid, const std::string& mark, const cgroup::Group& control_group,
                        std::chrono::milliseconds grace, bool group_left, bool soon, SteadyTime now) {
  watches_.push_back(Watch{pid, group_left, false, now + grace, mark, control_group});
  due(soon ? now : now + sweep_delay);
  if (group_left) due(now + grace);
}

bool Descendants::follows(std::uint64_t key) const {
  return std::any_of(watches_.begin(), watches_.end(),
                     [&](const Watch& each) { return each.control_group && each.control_group.key == key; });
}

void Descendants::reap() {
  // Looked at first: the group of a main process is to be signalled while its zombie keeps the number.
  for (;;) {
    siginfo_t ended{};
    if (::waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT | __WNOTHREAD) != 0 || ended.si_pid == 0)
      return;
    const pid_t pid = ended.si_pid;
    orphans_.erase(pid);
    if (is_main_(pid))
      main_ended_(pid);
    else
      ::waitpid(pid, nullptr, WNOHANG);
  }
}

bool Descendants::reap_siblings(const std::function<bool()>& launching) {
  for (;;) {
    siginfo_t ended{};
    if (::waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT | __WALL) != 0 || ended.si_pid == 0)
      return true;
    // In this order: what is a zombie by now was launched before, if it was launched.
    if (launching() || is_main_(ended.si_pid)) return false;
    orphans_.erase(ended.si_pid);
    ::waitpid(ended.si_pid, nullptr, WNOHANG | __WALL);
  }
}

std::vector<WatchLetter> Descendants::leave() const {
  std::vector<WatchLetter> out;
  for (const Watch& each : watches_)
    out.push_back({each.pid,
                   each.group_left,
                   each.killed,
                   std::chrono::nanoseconds(each.deadline.time_since_epoch()).count(),
                   {each.mark},
                   each.control_group.key,
                   each.control_group.in,
                   each.told});
  return out;
}

void Descendants::take_over(const std::vector<WatchLetter>& watches, SteadyTime now) {
  for (const WatchLetter& each : watches)
    watches_.push_back(Watch{each.pid, each.group_left, each.killed,
                             SteadyTime(std::chrono::nanoseconds(each.deadline_ns)), each.mark.data,
                             cgroup::Group{each.key, false, each.control_group, false}, each.told});
  due(now);  // orphans that ended meanwhile are to be reaped, too
}

void Descendants::find_orphans() {
  std::vector<pid_t> children;
  const pid_t self = ::getpid();
  if (has_children_files()) {
    children_of_thread(self, self, children);
  } else {
    for (const auto& [parent, child] : parents())
      if (parent == self) children.push_back(child);
  }
  for (const pid_t pid : children) {
    if (is_main_(pid)) continue;
    Orphan& orphan = orphans_[pid];
    orphan.session = ::getsid(pid);
    orphan.group = ::getpgid(pid);
    if (orphan.mark.empty() && orphan.reads++ < environment_reads) orphan.mark = mark_of(pid);
  }
  if (orphans_.size() > children.size())  // reaped by nobody but us, so this is for safety alone
    std::erase_if(orphans_, [&](const auto& each) {
      return std::find(children.begin(), children.end(), each.first) == children.end();
    });
}

/// Of a session with a control group; whether anybody is left.
bool Descendants::look_at_members(Watch& watch, bool late) {
  const cgroup::Tree& tree = groups_.tree();
  if (!tree.populated(watch.control_group)) return false;
  if (late) {
    tree.kill(watch.control_group);
  } else if (!watch.told) {
    watch.told = true;
    for (const pid_t each : tree.members(watch.control_group))
      if (watch.pid == 0 || ::getpgid(each) != watch.pid) terminate(each);  // the group has had it
  }
  return true;
}

/// Of one without.
bool Descendants::look_at_orphans(const Watch& watch, bool late) {
  bool found = false;
  for (auto& [pid, orphan] : orphans_) {
    if (!belongs(orphan, watch.pid, watch.mark)) continue;
    found = true;
    if (late) {
      kill_tree(pid);
    } else if (!orphan.told) {
      orphan.told = true;
      const auto below = tree(pid);
      if (orphan.group != watch.pid) terminate(pid);  // the group has had it
      for (const pid_t each : below)
        if (::getpgid(each) != watch.pid) terminate(each);
    }
  }
  return found;
}

void Descendants::run(SteadyTime now) {
  next_.reset();
  reap();
  if (watches_.empty()) return;
  if (std::any_of(watches_.begin(), watches_.end(), [](const Watch& each) { return !each.control_group; }))
    find_orphans();
  for (Watch& watch : watches_) {
    const bool late = now >= watch.deadline;
    if (watch.group_left) {
      if (late && !watch.killed) ::kill(-watch.pid, SIGKILL);
      watch.group_left = ::kill(-watch.pid, 0) == 0 || errno == EPERM;
    }
    const bool found = watch.control_group ? look_at_members(watch, late) : look_at_orphans(watch, late);
    if (late) watch.killed = true;
    watch.over = (!found && !watch.group_left) || (late && now >= watch.deadline + give_up_delay);
    if (watch.over) {
      groups_.remove(watch.control_group);
      continue;
    }
    due(!late                 ? watch.deadline
        : watch.control_group ? now + sweep_delay
                              : std::max(now + sweep_delay, watch.deadline + give_up_delay));
  }
  std::erase_if(watches_, [](const Watch& each) { return each.over; });
}

/// Every member of a control group, as one.
int Descendants::kill_all(const cgroup::Group& group) {
  if (!groups_.tree().populated(group)) return ESRCH;
  groups_.tree().kill(group);
  return 0;
}

int Descendants::signal(pid_t main, pid_t group, const std::string& mark, const cgroup::Group& control_group,
                        int number, bool only_group) {
  if (control_group && number == SIGKILL && !only_group) return kill_all(control_group);
  std::vector<pid_t> targets;
  const auto add_tree = [&](pid_t root) {
    for (const pid_t each : tree(root)) targets.push_back(each);
  };
  if (main != 0 && !control_group) add_tree(main);
  reap();
  // Its zombie, which kept the group's number, may have been among them.
  if (main != 0 && !is_main_(main)) main = 0;
  if (control_group) {
    targets = groups_.tree().members(control_group);
    std::erase(targets, main);
  } else {
    find_orphans();
    for (const auto& [pid, orphan] : orphans_)
      if (belongs(orphan, group, mark)) {
        targets.push_back(pid);
        add_tree(pid);
      }
  }
  // The living group gets it as one, so that nobody in it escapes by forking; the others one by one.
  int result = ESRCH;
  const bool goes_on = signal_terminates(number) && number != SIGKILL;
  const auto send = [&](pid_t to) {
    if (::kill(to, number) == 0)
      result = 0;
    else if (result != 0 && errno != ESRCH)
      result = errno;
    if (goes_on) ::kill(to, SIGCONT);
  };
  if (main != 0) send(-group);
  for (const pid_t each : targets) {
    const bool in_group = ::getpgid(each) == group;
    if (in_group ? main == 0 : !only_group) send(each);
  }
  return result;
}

}  // namespace kairo::keeper
