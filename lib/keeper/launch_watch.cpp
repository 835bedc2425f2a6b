#include "keeper/launch_watch.hpp"

#include <cstdio>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace kairo::keeper {
namespace {
/// How often a child is looked at whose descriptor was not there, or that does not end.
constexpr std::chrono::seconds again{1};
}  // namespace

LaunchWatch::LaunchWatch() : timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {}

void LaunchWatch::arm(std::chrono::nanoseconds in) const {
  itimerspec at{};
  at.it_value.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(in).count();
  at.it_value.tv_nsec = (in % std::chrono::seconds(1)).count();
  if (timer_) ::timerfd_settime(timer_.get(), 0, &at, nullptr);
}

void LaunchWatch::begin() {
  const std::lock_guard lock(mutex_);
  process_ = -1;
  killed_ = false;
  under_way_ = true;
  began_ = SteadyClock::now();
  arm(patience);
}

bool LaunchWatch::end() {
  const std::lock_guard lock(mutex_);
  process_ = -1;
  under_way_ = false;
  arm({});
  return killed_;
}

void LaunchWatch::look() {
  const std::lock_guard lock(mutex_);
  std::uint64_t times = 0;
  if (::read(timer_.get(), &times, sizeof times) < 0 || !under_way_) return;
  const auto spent = SteadyClock::now() - began_;
  if (spent < patience) return arm(patience - spent);  // it was another launch that took so long
  const int process = process_;
  if (process >= 0 && ::syscall(SYS_pidfd_send_signal, process, SIGKILL, nullptr, 0) == 0 && !killed_) {
    killed_ = true;
    std::fprintf(stderr, "kairo-keeper: ended a launch that took longer than %d s\n",
                 static_cast<int>(patience.count()));
  }
  arm(again);
}

}  // namespace kairo::keeper
