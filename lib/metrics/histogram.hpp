// Durations, counted by size. Plain integers: whoever observes also reads, on one thread.
//
// The bounds are the same for all, from ten microseconds (a request that touches nothing) to ten seconds
// (somebody waits); what takes longer stands in the count alone.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "api/metrics.hpp"

namespace kairo::metrics {

class Histogram {
 public:
  /// Microseconds.
  static constexpr std::array<std::int64_t, 13> bounds{
      10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 25'000, 100'000, 1'000'000, 10'000'000};

  /// Counts `times` values at once; a negative one counts as 0.
  void observe(std::chrono::nanoseconds value, std::uint64_t times = 1) {
    std::size_t bucket = 0;
    while (bucket < bounds.size() && value > std::chrono::microseconds(bounds[bucket])) ++bucket;
    counts_[bucket] += times;
    if (value.count() > 0)
      sum_seconds_ += 1e-9 * static_cast<double>(value.count()) * static_cast<double>(times);
  }

  [[nodiscard]] std::uint64_t count() const;
  [[nodiscard]] double sum_seconds() const { return sum_seconds_; }
  [[nodiscard]] api::MetricSample sample(std::map<std::string, std::string> labels) const;

 private:
  std::array<std::uint64_t, bounds.size() + 1> counts_{};  ///< Each bucket's own; the last has no bound.
  double sum_seconds_ = 0;  ///< Not an integer: thousands of waits for days would overflow nanoseconds.
};

}  // namespace kairo::metrics
