#include "keeper/groups.hpp"

#include <chrono>
#include <signal.h>
#include <sys/wait.h>
#include <system_error>

namespace kairo::keeper {
namespace {
/// What has ended is out of its group a moment later; then only a poke is a reason to look again.
constexpr std::chrono::milliseconds soon{20};
constexpr int soon_tries = 5;
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
    const auto wanted = [this] { return stop_ || poked_; };
    if (waiting_.empty() || tries >= soon_tries)
      changed_.wait(lock, wanted);
    else
      changed_.wait_for(lock, soon, wanted);
    if (std::exchange(poked_, false)) tries = 0;
    ++tries;
    std::vector<cgroup::Group> all = std::exchange(waiting_, {});
    lock.unlock();
    std::erase_if(all, [this](const cgroup::Group& each) { return tree_.remove(each); });
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
