// What the host and the daemon tell about themselves: system.get_metrics (SPEC 10).
//
// What the host does not tell is absent, never zero.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "reflect/fields.hpp"

namespace kairo::api {

using reflect::defaulted;
using reflect::field;

struct CoreUsage {
  std::uint32_t core = 0;
  double usage_percent = 0;
  static constexpr auto fields() {
    return std::tuple(field("core", &CoreUsage::core, "Number of the core"),
                      field("usagePercent", &CoreUsage::usage_percent, "0 to 100"));
  }
};

struct CpuMetrics {
  std::uint32_t cores = 0;
  std::optional<double> usage_percent;
  std::optional<std::uint64_t> interval_ms;
  std::optional<std::vector<CoreUsage>> per_core;
  static constexpr auto fields() {
    using S = CpuMetrics;
    return std::tuple(
        field("cores", &S::cores, "Cores online"),
        field("usagePercent", &S::usage_percent, "Of all cores together, 0 to 100, during intervalMs"),
        field("intervalMs", &S::interval_ms,
              "Milliseconds since an earlier sample: at least a second but in the daemon's first moments"),
        field("perCore", &S::per_core, "Of each core, during intervalMs"));
  }
};

struct LoadMetrics {
  double one = 0;
  double five = 0;
  double fifteen = 0;
  static constexpr auto fields() {
    using S = LoadMetrics;
    return std::tuple(field("one", &S::one, "Load average of one minute"),
                      field("five", &S::five, "Of five minutes"),
                      field("fifteen", &S::fifteen, "Of fifteen minutes"));
  }
};

struct MemoryMetrics {
  std::uint64_t total_bytes = 0;
  std::uint64_t available_bytes = 0;
  std::uint64_t used_bytes = 0;
  std::uint64_t free_bytes = 0;
  std::optional<std::uint64_t> buffers_bytes;
  std::optional<std::uint64_t> cached_bytes;
  static constexpr auto fields() {
    using S = MemoryMetrics;
    return std::tuple(
        field("totalBytes", &S::total_bytes, "What the kernel manages"),
        field("availableBytes", &S::available_bytes, "What programs can still get without swapping"),
        field("usedBytes", &S::used_bytes, "Total less available"),
        field("freeBytes", &S::free_bytes, "What holds nothing at all, not even a cache"),
        field("buffersBytes", &S::buffers_bytes, "Buffers of block devices"),
        field("cachedBytes", &S::cached_bytes, "Page cache"));
  }
};

struct SwapMetrics {
  std::uint64_t total_bytes = 0;
  std::uint64_t used_bytes = 0;
  std::uint64_t free_bytes = 0;
  static constexpr auto fields() {
    using S = SwapMetrics;
    return std::tuple(field("totalBytes", &S::total_bytes, "Size"),
                      field("usedBytes", &S::used_bytes, "In use"),
                      field("freeBytes", &S::free_bytes, "Free"));
  }
};

struct PressureShare {
  double avg10 = 0;
  double avg60 = 0;
  double avg300 = 0;
  std::uint64_t total_us = 0;
  static constexpr auto fields() {
    using S = PressureShare;
    return std::tuple(field("avg10", &S::avg10, "Percent of the last 10 s"),
                      field("avg60", &S::avg60, "Percent of the last 60 s"),
                      field("avg300", &S::avg300, "Percent of the last 300 s"),
                      field("totalUs", &S::total_us, "Microseconds since the boot"));
  }
};

struct ResourcePressure {
  std::optional<PressureShare> some;
  std::optional<PressureShare> full;
  static constexpr auto fields() {
    using S = ResourcePressure;
    return std::tuple(field("some", &S::some, "Time in which at least one task waited for it"),
                      field("full", &S::full, "Time in which all tasks waited for it"));
  }
};

struct PressureMetrics {
  std::optional<ResourcePressure> cpu;
  std::optional<ResourcePressure> memory;
  std::optional<ResourcePressure> io;
  static constexpr auto fields() {
    using S = PressureMetrics;
    return std::tuple(field("cpu", &S::cpu, "Processor"), field("memory", &S::memory, "Memory"),
                      field("io", &S::io, "Input and output"));
  }
};

struct DiskMetrics {
  std::string mount_point;
  std::string device;
  std::string file_system;
  std::uint64_t total_bytes = 0;
  std::uint64_t used_bytes = 0;
  std::uint64_t free_bytes = 0;
  std::uint64_t available_bytes = 0;
  static constexpr auto fields() {
    using S = DiskMetrics;
    return std::tuple(field("mountPoint", &S::mount_point, "Where it is mounted; the first place of several"),
                      field("device", &S::device, "What is mounted there"),
                      field("fileSystem", &S::file_system, "ext4 and the like"),
                      field("totalBytes", &S::total_bytes, "Size"),
                      field("usedBytes", &S::used_bytes, "In use"),
                      field("freeBytes", &S::free_bytes, "Free, what is reserved for root included"),
                      field("availableBytes", &S::available_bytes, "Free for any user"));
  }
};

struct NetworkMetrics {
  std::string name;
  std::uint64_t rx_bytes = 0;
  std::uint64_t rx_packets = 0;
  std::uint64_t rx_errors = 0;
  std::uint64_t rx_dropped = 0;
  std::uint64_t tx_bytes = 0;
  std::uint64_t tx_packets = 0;
  std::uint64_t tx_errors = 0;
  std::uint64_t tx_dropped = 0;
  static constexpr auto fields() {
    using S = NetworkMetrics;
    return std::tuple(field("name", &S::name, "Interface"), field("rxBytes", &S::rx_bytes, "Received"),
                      field("rxPackets", &S::rx_packets, "Received"),
                      field("rxErrors", &S::rx_errors, "Received with an error"),
                      field("rxDropped", &S::rx_dropped, "Received and thrown away"),
                      field("txBytes", &S::tx_bytes, "Sent"), field("txPackets", &S::tx_packets, "Sent"),
                      field("txErrors", &S::tx_errors, "Not sent for an error"),
                      field("txDropped", &S::tx_dropped, "Thrown away instead of sent"));
  }
};

struct Temperature {
  std::string name;
  double celsius = 0;
  static constexpr auto fields() {
    return std::tuple(field("name", &Temperature::name, "Sensor, as the kernel calls it"),
                      field("celsius", &Temperature::celsius, "Degrees"));
  }
};

struct Battery {
  std::string name;
  std::optional<double> percent;
  std::optional<std::string> status;
  static constexpr auto fields() {
    using S = Battery;
    return std::tuple(field("name", &S::name, "As the kernel calls it"),
                      field("percent", &S::percent, "Charge, 0 to 100"),
                      field("status", &S::status, "charging, discharging, full or not-charging"));
  }
};

struct DaemonMetrics {
  std::int32_t pid = 0;
  std::optional<std::uint64_t> resident_bytes;
  std::optional<std::uint64_t> private_bytes;
  std::optional<double> cpu_seconds;
  std::optional<std::uint32_t> open_descriptors;
  std::optional<std::uint32_t> threads;
  static constexpr auto fields() {
    using S = DaemonMetrics;
    return std::tuple(
        field("pid", &S::pid, "Process id"),
        field("residentBytes", &S::resident_bytes, "Memory that it has mapped and that is there"),
        field("privateBytes", &S::private_bytes, "Of this, what it shares with nobody"),
        field("cpuSeconds", &S::cpu_seconds, "Processor time, user and system"),
        field("openDescriptors", &S::open_descriptors, "File descriptors"),
        field("threads", &S::threads, "Threads"));
  }
};

struct SystemMetrics {
  std::string time;
  std::optional<CpuMetrics> cpu;
  std::optional<LoadMetrics> load;
  std::optional<MemoryMetrics> memory;
  std::optional<SwapMetrics> swap;
  std::optional<PressureMetrics> pressure;
  std::optional<std::vector<DiskMetrics>> disks;
  std::optional<std::vector<NetworkMetrics>> network;
  std::optional<std::vector<Temperature>> temperature;
  std::optional<std::vector<Battery>> battery;
  std::optional<double> uptime_seconds;
  DaemonMetrics daemon;
  static constexpr auto fields() {
    using S = SystemMetrics;
    return std::tuple(field("time", &S::time, "When it was sampled, ISO 8601, UTC"),
                      field("cpu", &S::cpu, "Processor"), field("load", &S::load, "Load averages"),
                      field("memory", &S::memory, "Memory"),
                      field("swap", &S::swap, "Absent where there is none"),
                      field("pressure", &S::pressure, "Pressure stall information, where the kernel has it"),
                      field("disks", &S::disks, "Local file systems that hold data, one entry each"),
                      field("network", &S::network, "Interfaces, counted since the boot"),
                      field("temperature", &S::temperature, "Sensors; absent where there are none"),
                      field("battery", &S::battery, "Batteries of the host; absent where there are none"),
                      field("uptimeSeconds", &S::uptime_seconds, "Since the boot of the host"),
                      field("daemon", &S::daemon, "The daemon itself"));
  }
};

}  // namespace kairo::api
