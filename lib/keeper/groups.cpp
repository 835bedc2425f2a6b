#include "keeper/groups.hpp"

#include <algorithm>
#include <chrono>
#include <signal.h>
#include <sys/wait.h>
#include <system_error>
#include <utility>

namespace kairo::keeper {
namespace {
/// How long removals are collected.
constexpr std::chrono::milliseconds soon{50};
/// What has ended is out of its group a moment later; then only a poke is a reason to look again.
constexpr int soon_tries = 3;
/// Groups that are kept: as many as are vacated within `soon` by what launches as fast as it can, about.
constexpr std::size_t most_free = 128;
/// After the last launch or end.
constexpr std::chrono::seconds kept_for{5};
}  // namespace

Groups::~Groups() {
  if (thread_.joinable()) {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }
  for (const cgroup::Group& each : waiting_) tree_.remove(each);
  for (const std::uint32_t each : vacated_) tree_.discard(each);
  for (const std::uint32_t each : free_) tree_.discard(each);
  tree_.remove_base();
}

std::optional<std::uint32_t> Groups::take_free() {
  const std::lock_guard lock(mutex_);
  used_ = SteadyClock::now();
  if (free_.empty()) return std::nullopt;
  const std::uint32_t out = free_.back();
  free_.pop_back();
  return out;
}

cgroup::Group Groups::make(std::uint64_t key, bool detach, const cgroup::GroupLimits& limits,
                           std::vector<cgroup::Refusal>& refusals) {
  if (!limits.any() && !limits.told)
    while (const auto number = take_free()) {
      if (const cgroup::Group group = tree_.use_again(*number, key, detach)) return group;
      tree_.discard(*number);
    }
  const cgroup::Group made = tree_.make(key, detach, limits, refusals);
  if ((made.in & cgroup::unified_bit) != 0 || tree_.layout().unified.empty()) return made;
  // There may be a bound on how many there are: what is only kept goes first.
  bool any = false;
  for (; const auto number = take_free(); any = true) tree_.discard(*number);
  if (!any) return made;
  tree_.remove(made);
  refusals.clear();
  return tree_.make(key, detach, limits, refusals);
}

// A group is vacated at once, not by the thread: whoever asks by this Group from now on finds nobody, and
// never another session's processes.

void Groups::remove(const cgroup::Group& group) {
  if (group) take(group, tree_.vacate(group));
}

bool Groups::remove_if_empty(const cgroup::Group& group) {
  const bool vacated = tree_.vacate(group);
  if (!vacated && tree_.populated(group)) return false;
  take(group, vacated);
  return true;
}

void Groups::take(const cgroup::Group& group, bool vacated) {
  const std::lock_guard lock(mutex_);
  used_ = SteadyClock::now();
  if (vacated)
    vacated_.push_back(group.number());
  else
    waiting_.push_back(group);
  start();
  poked_ = true;
  if (asleep_) changed_.notify_one();
}

/// With the lock.
void Groups::start() {
  if (thread_.joinable()) return;
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {
    std::erase_if(waiting_, [this](const cgroup::Group& each) { return tree_.remove(each); });
    for (const std::uint32_t each : std::exchange(vacated_, {})) tree_.discard(each);
  }
}

void Groups::poke() {
  const std::lock_guard lock(mutex_);
  if (waiting_.empty() && !looking_) return;
  poked_ = true;
  if (asleep_) changed_.notify_one();
}

void Groups::run() {
  std::unique_lock lock(mutex_);
  int tries = 0;
  while (!stop_) {
    if (vacated_.empty() && (waiting_.empty() || tries >= soon_tries)) {
      sleep(lock);
      if (!poked_) continue;
      tries = 0;
    }
    poked_ = false;
    changed_.wait_for(lock, soon, [this] { return stop_; });
    if (stop_) return;
    ++tries;
    std::vector<cgroup::Group> all = std::exchange(waiting_, {});
    std::vector<std::uint32_t> vacated = std::exchange(vacated_, {});
    std::size_t room = most_free - std::min(most_free, free_.size());
    looking_ = !all.empty();
    lock.unlock();
    // The look takes no lock, which the many that detached descendants hold would.
    std::erase_if(all,
                  [this](const cgroup::Group& each) { return !tree_.populated(each) && tree_.remove(each); });
    std::erase_if(vacated, [&](std::uint32_t each) {
      if (room > 0 && tree_.is_as_new(each)) {
        --room;
        return false;
      }
      tree_.discard(each);
      return true;
    });
    lock.lock();
    looking_ = false;
    waiting_.insert(waiting_.end(), all.begin(), all.end());
    free_.insert(free_.end(), vacated.begin(), vacated.end());
  }
}

/// Until there is something to do, or the free groups have not been used for long and were removed.
void Groups::sleep(std::unique_lock<std::mutex>& lock) {
  const auto woken = [this] { return stop_ || poked_; };
  asleep_ = true;
  if (free_.empty())
    changed_.wait(lock, woken);
  else
    changed_.wait_until(lock, used_ + kept_for, woken);
  asleep_ = false;
  if (woken() || SteadyClock::now() < used_ + kept_for) return;
  const std::vector<std::uint32_t> old = std::exchange(free_, {});
  lock.unlock();
  for (const std::uint32_t each : old) tree_.discard(each);
  lock.lock();
}

LimitReport report_of(const cgroup::Tree& tree, const cgroup::Group& group, int wait_status,
                      bool killed_by_us) {
  const cgroup::GroupUse use = tree.read_use(group);
  LimitReport out;
  out.cpu_us = use.cpu_us;
  out.oom_kills = use.oom_kills;
  out.pids_refused = use.pids_refused;
  out.out_of_memory =
      use.oom_kills > 0 && WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL && !killed_by_us;
  return out;
}

}  // namespace kairo::keeper
