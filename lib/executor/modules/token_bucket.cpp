#include "executor/modules/token_bucket.hpp"

namespace kairo::executor {
namespace {
__extension__ using Wide = unsigned __int128;
constexpr std::uint64_t second_ns = 1'000'000'000;
}  // namespace

std::uint64_t TokenBucket::available(SteadyTime now) {
  if (now <= last_) return tokens_;
  const auto passed = static_cast<std::uint64_t>((now - last_).count());
  last_ = now;
  const Wide grown = static_cast<Wide>(passed) * rate_ + fraction_;
  const Wide tokens = grown / second_ns + tokens_;
  if (tokens > burst_) {
    tokens_ = burst_;
    fraction_ = 0;
  } else {
    tokens_ = static_cast<std::uint64_t>(tokens);
    fraction_ = static_cast<std::uint64_t>(grown % second_ns);
  }
  return tokens_;
}

SteadyTime TokenBucket::when(std::uint64_t bytes) const {
  if (bytes <= tokens_) return last_;
  const Wide missing = static_cast<Wide>(bytes - tokens_) * second_ns - fraction_;
  return last_ + std::chrono::nanoseconds(static_cast<std::int64_t>((missing + rate_ - 1) / rate_));
}

}  // namespace kairo::executor
