// When the host is in trouble: load and memory pressure that are high and stay so, and a battery that runs
// out. Pure: samples and the time in, what has just been reached out.
//
// Hysteresis. A level is reached once a value has been at or above `high` for `hold`, without a sample below;
// it is told in that moment and not again before the value was below `low`. In between nothing changes, so
// that a value that wavers about a bound tells nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "api/metrics.hpp"
#include "base/clock.hpp"

namespace kairo::system {

class Level {
 public:
  struct Bounds {
    double high = 0;
    double low = 0;
    std::chrono::milliseconds hold{0};
  };
  /// For how long the value has been high, in the moment in which that is to be told; else nothing.
  std::optional<std::chrono::milliseconds> observe(double value, SteadyTime now, const Bounds& bounds);
  /// Nothing was observed for a while: what was high before need not have stayed so.
  void interrupt() { high_since_.reset(); }

 private:
  std::optional<SteadyTime> high_since_;
  bool reached_ = false;
};

class Thresholds {
 public:
  /// In percent; `high` 0, or `battery_critical` 0, means never.
  struct Bounds {
    std::uint64_t load_high = 0;
    std::uint64_t load_low = 0;
    std::uint64_t memory_pressure_high = 0;
    std::uint64_t memory_pressure_low = 0;
    std::uint64_t battery_critical = 0;
    std::uint64_t battery_recovered = 0;
    std::chrono::milliseconds hold{0};  ///< Of load and pressure. A battery that is low is low at once.
  };
  struct Reached {
    std::optional<api::LoadHighData> load;
    std::optional<api::LoadHighData> memory;
    std::optional<api::PowerCriticalData> power;
  };
  /// What the sample lacks leaves its level as it was.
  Reached observe(const api::SystemMetrics& sample, SteadyTime now, const Bounds& bounds);
  void interrupt();

 private:
  Level load_;
  Level memory_;
  Level battery_;
};

}  // namespace kairo::system
