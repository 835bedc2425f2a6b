// Token bucket of a throttled subscription: bytes per second with a burst of one second. Pure: the time comes
// in.
#pragma once

#include <cstdint>

#include "base/clock.hpp"

namespace kairo::stream {

class Pacing {
 public:
  /// Starts full.
  Pacing(std::uint64_t bytes_per_second, SteadyTime now);

  /// Bytes that may be sent now.
  std::uint64_t available(SteadyTime now);
  void spend(std::uint64_t bytes);
  /// When `bytes` (at most one second's worth) will be available.
  SteadyTime when(std::uint64_t bytes, SteadyTime now);

 private:
  std::uint64_t rate_;
  double tokens_;
  SteadyTime last_;
};

}  // namespace kairo::stream
