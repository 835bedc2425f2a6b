#include "system/thresholds.hpp"

#include <algorithm>

namespace kairo::system {
namespace {

double percent(std::uint64_t whole) {
  return static_cast<double>(whole);
}

}  // namespace

std::optional<std::chrono::milliseconds> Level::observe(double value, SteadyTime now, const Bounds& bounds) {
  if (value < bounds.low) reached_ = false;
  if (value < bounds.high) {
    high_since_.reset();
    return std::nullopt;
  }
  if (!high_since_) high_since_ = now;
  const auto lasted = std::chrono::duration_cast<std::chrono::milliseconds>(now - *high_since_);
  if (reached_ || lasted < bounds.hold) return std::nullopt;
  reached_ = true;
  return lasted;
}

Thresholds::Reached Thresholds::observe(const api::SystemMetrics& sample, SteadyTime now,
                                        const Bounds& bounds) {
  Reached out;
  if (bounds.load_high > 0 && sample.load && sample.cpu && sample.cpu->cores > 0) {
    const double value = 100 * sample.load->one / sample.cpu->cores;
    const auto lasted =
        load_.observe(value, now, {percent(bounds.load_high), percent(bounds.load_low), bounds.hold});
    if (lasted)
      out.load = api::LoadHighData{api::LoadResource::cpu,
                                   value,
                                   bounds.load_high,
                                   static_cast<std::uint64_t>(lasted->count()),
                                   sample.cpu,
                                   sample.load,
                                   sample.memory,
                                   sample.pressure ? sample.pressure->cpu : std::nullopt};
  }
  if (bounds.memory_pressure_high > 0 && sample.pressure && sample.pressure->memory &&
      sample.pressure->memory->some) {
    const double value = sample.pressure->memory->some->avg10;
    const auto lasted = memory_.observe(
        value, now, {percent(bounds.memory_pressure_high), percent(bounds.memory_pressure_low), bounds.hold});
    if (lasted)
      out.memory = api::LoadHighData{api::LoadResource::memory,
                                     value,
                                     bounds.memory_pressure_high,
                                     static_cast<std::uint64_t>(lasted->count()),
                                     sample.cpu,
                                     sample.load,
                                     sample.memory,
                                     sample.pressure->memory};
  }
  if (bounds.battery_critical > 0 && sample.battery) {
    double sum = 0;
    int known = 0;
    bool discharging = false;
    for (const api::Battery& each : *sample.battery) {
      discharging = discharging || each.status == "discharging";
      if (!each.percent) continue;
      sum += *each.percent;
      ++known;
    }
    if (known > 0) {
      const double charge = sum / known;
      const double critical = percent(bounds.battery_critical);
      const double recovered = percent(std::max(bounds.battery_recovered, bounds.battery_critical));
      // One that is being charged is not critical, whatever it holds, but has not recovered either. The
      // charge falls to its bound: turned round, it rises to it.
      if ((discharging || charge > recovered) && battery_.observe(-charge, now, {-critical, -recovered, {}}))
        out.power = api::PowerCriticalData{charge, bounds.battery_critical, *sample.battery};
    }
  }
  return out;
}

void Thresholds::interrupt() {
  for (Level* each : {&load_, &memory_, &battery_}) each->interrupt();
}

}  // namespace kairo::system
