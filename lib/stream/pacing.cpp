#include "stream/pacing.hpp"

#include <algorithm>
#include <cmath>

namespace kairo::stream {

Pacing::Pacing(std::uint64_t bytes_per_second, SteadyTime now)
    : rate_(std::max<std::uint64_t>(bytes_per_second, 1)), tokens_(static_cast<double>(rate_)), last_(now) {}

std::uint64_t Pacing::available(SteadyTime now) {
  if (now > last_) {
    const double seconds = std::chrono::duration<double>(now - last_).count();
    tokens_ = std::min(tokens_ + seconds * static_cast<double>(rate_), static_cast<double>(rate_));
    last_ = now;
  }
  if (tokens_ <= 0) return 0;
  return tokens_ >= static_cast<double>(rate_) ? rate_ : static_cast<std::uint64_t>(tokens_);
}

void Pacing::spend(std::uint64_t bytes) {
  tokens_ -= static_cast<double>(bytes);
}

SteadyTime Pacing::when(std::uint64_t bytes, SteadyTime now) {
  if (available(now) >= bytes) return now;
  const double missing = static_cast<double>(std::min(bytes, rate_)) - tokens_;
  // One nanosecond more than computed, so that rounding never makes available() a byte short at that time.
  const double nanoseconds = std::ceil(missing / static_cast<double>(rate_) * 1e9) + 1;
  return now + std::chrono::nanoseconds(static_cast<std::int64_t>(nanoseconds));
}

}  // namespace kairo::stream
