#include "executor/modules/tally.hpp"

#include <algorithm>

namespace kairo::executor {
namespace {
constexpr std::chrono::seconds window{1};
}

void Tally::add(std::string_view bytes, SteadyTime now) {
  const auto line_feeds = static_cast<std::uint64_t>(std::count(bytes.begin(), bytes.end(), '\n'));
  const std::lock_guard lock(mutex_);
  counted_.bytes += bytes.size();
  counted_.lines += line_feeds;
  ++counted_.chunks;
  in_line_ = !bytes.ends_with('\n');
  roll(before_, present_, now);
  present_.bytes += bytes.size();
}

Counted Tally::counted() const {
  const std::lock_guard lock(mutex_);
  Counted out = counted_;
  if (in_line_) ++out.lines;
  return out;
}

std::uint64_t Tally::bytes_per_second(SteadyTime now) const {
  const std::lock_guard lock(mutex_);
  if (present_.since == SteadyTime{}) return 0;
  Window before = before_, present = present_;
  roll(before, present, now);
  const SteadyTime since = before.since == SteadyTime{} ? present.since : before.since;
  // Less than one window of life says little: it counts as one.
  const double seconds = std::max(std::chrono::duration<double>(now - since).count(), 1.0);
  return static_cast<std::uint64_t>(static_cast<double>(before.bytes + present.bytes) / seconds);
}

void Tally::roll(Window& before, Window& present, SteadyTime now) {
  if (present.since == SteadyTime{}) present.since = now;
  if (now - present.since < window) return;
  before = now - present.since < 2 * window ? present : Window{now - window, 0};
  present = {before.since + window, 0};
  if (now - present.since >= window) present.since = now;
}

}  // namespace kairo::executor
