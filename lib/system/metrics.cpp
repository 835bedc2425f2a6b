#include "system/metrics.hpp"

#include <algorithm>
#include <unistd.h>

#include "system/disks.hpp"
#include "system/sensors.hpp"

namespace kairo::system {
namespace {

const CpuTicks* find_core(const CpuStat& stat, std::uint32_t core) {
  const auto found = std::find_if(stat.cores.begin(), stat.cores.end(),
                                  [core](const CoreTicks& each) { return each.core == core; });
  return found == stat.cores.end() ? nullptr : &found->ticks;
}

}  // namespace

std::optional<api::CpuMetrics> MetricsSampler::sample_cpu() {
  const auto text = host_.text("proc/stat");
  auto stat = text ? parse_stat(*text) : std::nullopt;
  if (!stat) return std::nullopt;
  const SteadyTime now = SteadyClock::now();
  api::CpuMetrics cpu;
  cpu.cores = static_cast<std::uint32_t>(stat->cores.size());
  const auto* before = readings_.before(now);
  if (before) cpu.usage_percent = usage_percent(before->value.all, stat->all);
  if (cpu.usage_percent) {
    cpu.interval_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(now - before->time).count());
    cpu.per_core.emplace();
    for (const CoreTicks& each : stat->cores) {
      const CpuTicks* earlier = find_core(before->value, each.core);
      const auto usage = earlier ? usage_percent(*earlier, each.ticks) : std::nullopt;
      if (usage) cpu.per_core->push_back({each.core, *usage});
    }
  }
  readings_.add(*std::move(stat), now);
  return cpu;
}

std::optional<api::PressureMetrics> MetricsSampler::sample_pressure() const {
  const auto read = [this](std::string_view path) {
    const auto text = host_.text(path);
    return text ? parse_pressure(*text) : std::nullopt;
  };
  api::PressureMetrics pressure{read("proc/pressure/cpu"), read("proc/pressure/memory"),
                                read("proc/pressure/io")};
  if (!pressure.cpu && !pressure.memory && !pressure.io) return std::nullopt;
  return pressure;
}

api::DaemonMetrics MetricsSampler::sample_daemon() const {
  api::DaemonMetrics daemon;
  daemon.pid = ::getpid();
  daemon.open_descriptors = own_.count_descriptors("proc/self/fd");
  if (const auto status = own_.text("proc/self/status")) {
    daemon.resident_bytes = find_kilobytes(*status, "VmRSS");
    if (const auto threads = find_count(*status, "Threads"))
      daemon.threads = static_cast<std::uint32_t>(*threads);
  }
  if (const auto stat = own_.text("proc/self/stat"))
    if (const auto ticks = parse_process_ticks(*stat))
      daemon.cpu_seconds = static_cast<double>(*ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  if (const auto rollup = own_.text("proc/self/smaps_rollup")) {
    const auto clean = find_kilobytes(*rollup, "Private_Clean"),
               dirty = find_kilobytes(*rollup, "Private_Dirty");
    if (clean && dirty) daemon.private_bytes = *clean + *dirty;
  }
  return daemon;
}

void MetricsSampler::read_vitals(api::SystemMetrics& metrics) {
  metrics.time = to_iso8601(system_now());
  metrics.cpu = sample_cpu();
  if (const auto text = host_.text("proc/loadavg")) metrics.load = parse_loadavg(*text);
  if (const auto text = host_.text("proc/meminfo")) metrics.memory = parse_memory(*text, metrics.swap);
  metrics.pressure = sample_pressure();
  metrics.battery = sample_batteries(host_);
}

api::SystemMetrics MetricsSampler::look() {
  api::SystemMetrics metrics;
  read_vitals(metrics);
  return metrics;
}

Result<api::SystemMetrics> MetricsSampler::sample() {
  api::SystemMetrics metrics;
  read_vitals(metrics);
  if (const auto text = host_.text("proc/uptime")) metrics.uptime_seconds = parse_uptime(*text);
  if (const auto text = host_.text("proc/self/net/dev")) metrics.network = parse_net_dev(*text);
  metrics.disks = sample_disks(host_);
  metrics.temperature = sample_temperatures(host_);
  metrics.daemon = sample_daemon();
  if (!metrics.cpu && !metrics.load && !metrics.memory && !metrics.daemon.resident_bytes)
    return Error(Code::internal, "cannot sample the host: nothing in " + host_.path("proc") +
                                     " can be read; is /proc mounted?");
  return metrics;
}

}  // namespace kairo::system
