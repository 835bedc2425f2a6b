#include "event/window.hpp"

#include <algorithm>

#include "base/limits.hpp"

namespace kairo::event {
namespace {

/// What stays of events that are stored. A page of the store takes milliseconds: a replay finds what came
/// meanwhile here.
constexpr std::size_t stored_events = 512;
constexpr std::size_t stored_bytes = 512u << 10;

}  // namespace

void Window::drop_first() {
  since_ = *entries_.front()->event.seq;
  bytes_ -= entries_.front()->bytes();
  entries_.pop_front();
}

void Window::stored(std::uint64_t seq) {
  const std::lock_guard lock(mutex_);
  stored_ = seq;
  while (!entries_.empty() && *entries_.front()->event.seq <= stored_ &&
         (entries_.size() > stored_events || bytes_ > stored_bytes))
    drop_first();
}

void Window::put(Entry entry) {
  if (!entry->event.seq) return;
  const std::lock_guard lock(mutex_);
  newest_ = *entry->event.seq;
  bytes_ += entry->bytes();
  entries_.push_back(std::move(entry));
  while (entries_.size() > limits::event_window ||
         (bytes_ > limits::event_window_bytes && entries_.size() > 1))
    drop_first();
}

std::optional<std::vector<Window::Entry>> Window::behind(std::uint64_t since, std::size_t most) const {
  const std::lock_guard lock(mutex_);
  if (since < since_) return std::nullopt;
  const auto first =
      std::upper_bound(entries_.begin(), entries_.end(), since,
                       [](std::uint64_t seq, const Entry& each) { return seq < *each->event.seq; });
  const auto count = std::min(most, static_cast<std::size_t>(entries_.end() - first));
  return std::vector<Entry>(first, first + static_cast<std::ptrdiff_t>(count));
}

std::uint64_t Window::since() const {
  const std::lock_guard lock(mutex_);
  return since_;
}

std::uint64_t Window::newest() const {
  const std::lock_guard lock(mutex_);
  return newest_;
}

}  // namespace kairo::event
