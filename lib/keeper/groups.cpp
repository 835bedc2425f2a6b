#include "keeper/groups.hpp"

#include <chrono>
#include <signal.h>
#include <sys/wait.h>
#include <system_error>

namespace kairo::keeper {
namespace {
/// How long removals are collected.
constexpr std::chrono::milliseconds soon{50};
/// What has ended is out of its group a moment later; then only a poke is a reason to look again.
constexpr int soon_tries = 3;
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
  tree_.remove_base();
}

void Groups::remove(const cgroup::Group& group) {
  if (!group) return;
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(group);
    poked_ = true;
    if (!thread_.joinable()) {
      try {
        thread_ = std::thread([this] { run(); });
      } catch (const std::system_error&) {
        std::erase_if(waiting_, [this](const cgroup::Group& each) { return tree_.remove(each); });
      }
    }
  }
  changed_.notify_one();
}

void Groups::poke() {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty()) return;
    poked_ = true;
  }
  changed_.notify_one();
}

void Groups::run() {
  std::unique_lock lock(mutex_);
  int tries = 0;
  while (!stop_) {
    if (waiting_.empty() || tries >= soon_tries) {
      changed_.wait(lock, [this] { return stop_ || poked_; });
      tries = 0;
    }
    poked_ = false;
    changed_.wait_for(lock, soon, [this] { return stop_; });
    if (stop_) return;
    ++tries;
    std::vector<cgroup::Group> all = std::exchange(waiting_, {});
    lock.unlock();
    // The look takes no lock, which the many that detached descendants hold would.
    std::erase_if(all,
                  [this](const cgroup::Group& each) { return !tree_.populated(each) && tree_.remove(each); });
    lock.lock();
    waiting_.insert(waiting_.end(), all.begin(), all.end());
  }
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
