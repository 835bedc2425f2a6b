#include "kernel/timers.hpp"

namespace kairo::kernel {

Timers::Id Timers::at(SteadyTime when, std::function<void()> what) {
  const Id id = next_++;
  queue_.emplace(std::pair(when, id), std::move(what));
  by_id_.emplace(id, when);
  arm();
  return id;
}

void Timers::cancel(Id& id) {
  const auto it = by_id_.find(id);
  id = 0;
  if (it == by_id_.end()) return;
  queue_.erase({it->second, it->first});
  by_id_.erase(it);
}

void Timers::stop() {
  stopped_ = true;
  queue_.clear();
  by_id_.clear();
  timer_.cancel();
}

void Timers::arm() {
  if (stopped_ || queue_.empty()) return;
  const SteadyTime first = queue_.begin()->first.first;
  if (first >= armed_for_) return;
  armed_for_ = first;
  timer_.expires_at(first);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error || stopped_) return;
    armed_for_ = SteadyTime::max();
    fire();
  });
}

void Timers::fire() {
  const SteadyTime now = SteadyClock::now();
  while (!queue_.empty() && queue_.begin()->first.first <= now) {
    auto node = queue_.extract(queue_.begin());
    by_id_.erase(node.key().second);
    node.mapped()();
  }
  arm();
}

}  // namespace kairo::kernel
