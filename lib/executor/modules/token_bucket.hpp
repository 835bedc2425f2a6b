// How many bytes may pass when, at a rate with a burst. Pure: the time comes in. Counted in whole bytes and
// in nanoseconds of credit, so that nothing is lost by rounding however long it runs.
#pragma once

#include <cstdint>

#include "base/clock.hpp"

namespace kairo::executor {

class TokenBucket {
 public:
  /// Starts full. Both at least 1.
  TokenBucket(std::uint64_t bytes_per_second, std::uint64_t burst_bytes, SteadyTime now)
      : rate_(bytes_per_second), burst_(burst_bytes), tokens_(burst_bytes), last_(now) {}

  /// Bytes that may pass now.
  std::uint64_t available(SteadyTime now);
  /// At most available().
  void spend(std::uint64_t bytes) { tokens_ -= bytes; }
  /// When at least `bytes`, at most the burst, will be available.
  [[nodiscard]] SteadyTime when(std::uint64_t bytes) const;

 private:
  std::uint64_t rate_;
  std::uint64_t burst_;
  std::uint64_t tokens_;
  std::uint64_t fraction_ = 0;  ///< Of a byte, in parts of a thousand million; also beside a full burst.
  SteadyTime last_;
};

}  // namespace kairo::executor
