// What the daemon counts about itself (kernel.metrics), in the terms of Prometheus, and what the events of
// the host's thresholds say (SPEC 10, 6.1).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "api/system.hpp"
#include "reflect/fields.hpp"

namespace kairo::api {

// --- kernel.metrics --------------------------------------------------------------------------------

enum class MetricKind { counter, gauge, histogram };
constexpr auto enum_names(MetricKind) {
  return std::array<std::string_view, 3>{"counter", "gauge", "histogram"};
}

struct MetricBucket {
  double at_most = 0;
  std::uint64_t count = 0;
  static constexpr auto fields() {
    return std::tuple(field("atMost", &MetricBucket::at_most, "Upper bound, in the unit of the name"),
                      field("count", &MetricBucket::count, "Values at or below the bound"));
  }
};

struct MetricSample {
  std::map<std::string, std::string> labels;
  std::optional<double> value;
  std::optional<std::vector<MetricBucket>> buckets;
  std::optional<double> sum;
  std::optional<std::uint64_t> count;
  static constexpr auto fields() {
    using S = MetricSample;
    return std::tuple(
        field("labels", &S::labels, "What tells it from the others of its name"),
        field("value", &S::value, "Of a counter or a gauge"),
        field("buckets", &S::buckets, "Of a histogram, cumulative; all values stand in `count`"),
        field("sum", &S::sum, "Of a histogram: all values together"),
        field("count", &S::count, "Of a histogram: how many values there were"));
  }
};

struct MetricFamily {
  std::string name;
  MetricKind kind = MetricKind::counter;
  std::string help;
  std::vector<MetricSample> samples;
  static constexpr auto fields() {
    using S = MetricFamily;
    return std::tuple(
        field("name", &S::name, "As Prometheus knows it, with its unit"),
        field("kind", &S::kind, "counter, gauge or histogram"), field("help", &S::help, "What it is"),
        field("samples", &S::samples, "One for each set of labels; none yet where it is empty"));
  }
};

struct KernelMetricsResult {
  std::vector<MetricFamily> metrics;
  static constexpr auto fields() {
    return std::tuple(field("metrics", &KernelMetricsResult::metrics, "Counted since this daemon's start"));
  }
};

// --- thresholds ------------------------------------------------------------------------------------

enum class LoadResource { cpu, memory };
constexpr auto enum_names(LoadResource) {
  return std::array<std::string_view, 2>{"cpu", "memory"};
}

/// `data` of kairo.system.load.high.
struct LoadHighData {
  LoadResource resource = LoadResource::cpu;
  double percent = 0;
  std::uint64_t threshold_percent = 0;
  std::uint64_t lasted_ms = 0;
  std::optional<CpuMetrics> cpu;
  std::optional<LoadMetrics> load;
  std::optional<MemoryMetrics> memory;
  std::optional<ResourcePressure> pressure;
  static constexpr auto fields() {
    using S = LoadHighData;
    return std::tuple(
        field("resource", &S::resource, "What is short: cpu or memory"),
        field("percent", &S::percent,
              "cpu: load of one minute in percent of the cores; memory: pressure, percent of the last 10 s"),
        field("thresholdPercent", &S::threshold_percent, "What it has reached"),
        field("lastedMs", &S::lasted_ms, "For how long it has been there"),
        field("cpu", &S::cpu, "Processor, where the host tells"),
        field("load", &S::load, "Load averages, where the host tells"),
        field("memory", &S::memory, "Memory, where the host tells"),
        field("pressure", &S::pressure, "Of the resource, where the host tells"));
  }
};

/// `data` of kairo.system.power.critical.
struct PowerCriticalData {
  double percent = 0;
  std::uint64_t threshold_percent = 0;
  std::vector<Battery> battery;
  static constexpr auto fields() {
    using S = PowerCriticalData;
    return std::tuple(field("percent", &S::percent, "Charge of all batteries, their mean"),
                      field("thresholdPercent", &S::threshold_percent, "What it has fallen to"),
                      field("battery", &S::battery, "Each battery of the host"));
  }
};

}  // namespace kairo::api
