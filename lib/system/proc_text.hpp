// The formats of proc(5), as pure functions from text to values. Nothing for text that is not in its format.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/system.hpp"

namespace kairo::system {

/// Without white space at either end.
std::string_view trimmed(std::string_view text);

/// The next word, cut off the front of `rest`; empty at the end.
std::string_view take_word(std::string_view& rest);

/// The next line without its newline, cut off the front of `rest`. False at the end.
bool take_line(std::string_view& rest, std::string_view& line);

/// The whole text as a number; the point is the decimal sign in every locale.
template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Ticks since the boot of one core, or of all.
struct CpuTicks {
  std::uint64_t busy = 0;
  std::uint64_t total = 0;
};

struct CoreTicks {
  std::uint32_t core = 0;
  CpuTicks ticks;
};

/// The cpu lines of /proc/stat. Idle is idle and iowait; guest time stands in user time already.
struct CpuStat {
  CpuTicks all;
  std::vector<CoreTicks> cores;
};
std::optional<CpuStat> parse_stat(std::string_view text);

/// Percent of the time between two readings; nothing when no tick has passed between them.
std::optional<double> usage_percent(const CpuTicks& before, const CpuTicks& now);

/// /proc/loadavg.
std::optional<api::LoadMetrics> parse_loadavg(std::string_view text);

/// /proc/meminfo; `swap` stays empty where the host has none.
std::optional<api::MemoryMetrics> parse_memory(std::string_view text, std::optional<api::SwapMetrics>& swap);

/// One file of /proc/pressure.
std::optional<api::ResourcePressure> parse_pressure(std::string_view text);

/// /proc/net/dev.
std::vector<api::NetworkMetrics> parse_net_dev(std::string_view text);

/// /proc/uptime, seconds.
std::optional<double> parse_uptime(std::string_view text);

/// User and system time of /proc/PID/stat, in clock ticks.
std::optional<std::uint64_t> parse_process_ticks(std::string_view text);

/// /proc/PID/stat: what Kairo asks for.
struct ProcessStat {
  bool ended = false;  ///< A zombie.
  std::int32_t parent = 0;
  std::uint64_t user_ticks = 0;
  std::uint64_t system_ticks = 0;
  std::uint64_t waited_user_ticks = 0;  ///< Of children that have ended and were waited for, and of theirs.
  std::uint64_t waited_system_ticks = 0;
  std::uint64_t threads = 0;
  std::uint64_t resident_pages = 0;
};
std::optional<ProcessStat> parse_process_stat(std::string_view text);

/// A "Name:   123 kB" line of /proc/PID/status, smaps_rollup or meminfo, in bytes.
std::optional<std::uint64_t> find_kilobytes(std::string_view text, std::string_view name);

/// A "Name:   123" line of /proc/PID/status.
std::optional<std::uint64_t> find_count(std::string_view text, std::string_view name);

}  // namespace kairo::system
