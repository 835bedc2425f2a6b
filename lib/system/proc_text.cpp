#include "system/proc_text.hpp"

#include <algorithm>
#include <array>

namespace kairo::system {
namespace {

constexpr std::string_view white_space = " \t\n\r";

bool starts_with_word(std::string_view line, std::string_view word, std::string_view& rest) {
  if (!line.starts_with(word)) return false;
  rest = line.substr(word.size());
  return true;
}

/// The numbers that follow the name in a cpu line: user nice system idle iowait irq softirq steal guest
/// guest_nice.
std::optional<CpuTicks> parse_ticks(std::string_view rest) {
  std::array<std::uint64_t, 8> value{};
  std::size_t count = 0;
  for (; count < value.size(); ++count) {
    const std::string_view word = take_word(rest);
    if (word.empty()) break;
    const auto number = parse_number<std::uint64_t>(word);
    if (!number) return std::nullopt;
    value[count] = *number;
  }
  if (count < 4) return std::nullopt;
  CpuTicks ticks;
  for (const std::uint64_t each : value) ticks.total += each;
  ticks.busy = ticks.total - value[3] - value[4];
  return ticks;
}

std::optional<api::PressureShare> parse_share(std::string_view rest) {
  api::PressureShare share;
  std::size_t found = 0;
  for (std::string_view word = take_word(rest); !word.empty(); word = take_word(rest)) {
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string_view name = word.substr(0, equals), text = word.substr(equals + 1);
    double* average = name == "avg10"    ? &share.avg10
                      : name == "avg60"  ? &share.avg60
                      : name == "avg300" ? &share.avg300
                                         : nullptr;
    if (average) {
      const auto value = parse_number<double>(text);
      if (!value) return std::nullopt;
      *average = *value;
      ++found;
    } else if (name == "total") {
      const auto value = parse_number<std::uint64_t>(text);
      if (!value) return std::nullopt;
      share.total_us = *value;
      ++found;
    }
  }
  return found == 4 ? std::optional(share) : std::nullopt;
}

std::optional<std::string_view> find_value(std::string_view text, std::string_view name) {
  std::string_view line, rest;
  while (take_line(text, line))
    if (starts_with_word(line, name, rest) && rest.starts_with(':')) return trimmed(rest.substr(1));
  return std::nullopt;
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(white_space);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(white_space) - first + 1);
}

std::string_view take_word(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(white_space), rest.size()));
  const std::string_view word = rest.substr(0, rest.find_first_of(white_space));
  rest.remove_prefix(word.size());
  return word;
}

bool take_line(std::string_view& rest, std::string_view& line) {
  if (rest.empty()) return false;
  line = rest.substr(0, rest.find('\n'));
  rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  return true;
}

std::optional<CpuStat> parse_stat(std::string_view text) {
  CpuStat stat;
  bool has_all = false;
  std::string_view line;
  while (take_line(text, line) && line.starts_with("cpu")) {
    const std::string_view name = take_word(line).substr(3);
    const auto ticks = parse_ticks(line);
    if (!ticks) return std::nullopt;
    if (name.empty()) {
      stat.all = *ticks;
      has_all = true;
      continue;
    }
    const auto core = parse_number<std::uint32_t>(name);
    if (!core) return std::nullopt;
    stat.cores.push_back({*core, *ticks});
  }
  return has_all ? std::optional(std::move(stat)) : std::nullopt;
}

std::optional<double> usage_percent(const CpuTicks& before, const CpuTicks& now) {
  if (now.total <= before.total) return std::nullopt;
  // iowait, and so what is not busy, can step back (proc(5)).
  const double busy = now.busy > before.busy ? static_cast<double>(now.busy - before.busy) : 0;
  return std::min(100.0, 100.0 * busy / static_cast<double>(now.total - before.total));
}

std::optional<api::LoadMetrics> parse_loadavg(std::string_view text) {
  const auto one = parse_number<double>(take_word(text));
  const auto five = parse_number<double>(take_word(text));
  const auto fifteen = parse_number<double>(take_word(text));
  if (!one || !five || !fifteen) return std::nullopt;
  return api::LoadMetrics{*one, *five, *fifteen};
}

std::optional<api::MemoryMetrics> parse_memory(std::string_view text, std::optional<api::SwapMetrics>& swap) {
  const auto total = find_kilobytes(text, "MemTotal"), free = find_kilobytes(text, "MemFree"),
             available = find_kilobytes(text, "MemAvailable");
  const auto swap_total = find_kilobytes(text, "SwapTotal"), swap_free = find_kilobytes(text, "SwapFree");
  if (swap_total && swap_free && *swap_total > 0)
    swap = api::SwapMetrics{*swap_total, *swap_total - std::min(*swap_free, *swap_total), *swap_free};
  if (!total || !free || !available) return std::nullopt;
  api::MemoryMetrics memory;
  memory.total_bytes = *total;
  memory.available_bytes = *available;
  memory.used_bytes = *total - std::min(*available, *total);
  memory.free_bytes = *free;
  memory.buffers_bytes = find_kilobytes(text, "Buffers");
  memory.cached_bytes = find_kilobytes(text, "Cached");
  return memory;
}

std::optional<api::ResourcePressure> parse_pressure(std::string_view text) {
  api::ResourcePressure pressure;
  std::string_view line, rest;
  while (take_line(text, line)) {
    if (starts_with_word(line, "some ", rest)) pressure.some = parse_share(rest);
    if (starts_with_word(line, "full ", rest)) pressure.full = parse_share(rest);
  }
  return pressure.some || pressure.full ? std::optional(pressure) : std::nullopt;
}

std::vector<api::NetworkMetrics> parse_net_dev(std::string_view text) {
  std::vector<api::NetworkMetrics> out;
  std::string_view line;
  while (take_line(text, line)) {
    const std::size_t colon = line.rfind(':');  // a name may hold one: an alias, eth0:1
    if (colon == std::string_view::npos) continue;
    std::string_view rest = line.substr(colon + 1);
    std::array<std::uint64_t, 12> value{};
    bool good = true;
    for (std::uint64_t& each : value) {
      const auto number = parse_number<std::uint64_t>(take_word(rest));
      good = good && number;
      each = number.value_or(0);
    }
    if (!good) continue;
    // rx: bytes packets errs drop fifo frame compressed multicast, tx: bytes packets errs drop ...
    out.push_back({std::string(trimmed(line.substr(0, colon))), value[0], value[1], value[2], value[3],
                   value[8], value[9], value[10], value[11]});
  }
  return out;
}

std::optional<double> parse_uptime(std::string_view text) {
  return parse_number<double>(take_word(text));
}

std::optional<std::uint64_t> parse_process_ticks(std::string_view text) {
  // The name in parentheses may hold anything, so that fields are counted from the last ')': state is the
  // first, utime and stime are the 12th and the 13th.
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  text.remove_prefix(name_end + 1);
  for (int i = 0; i < 11; ++i) take_word(text);
  const auto user = parse_number<std::uint64_t>(take_word(text));
  const auto system = parse_number<std::uint64_t>(take_word(text));
  if (!user || !system) return std::nullopt;
  return *user + *system;
}

std::optional<ProcessStat> parse_process_stat(std::string_view text) {
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  text.remove_prefix(name_end + 1);
  ProcessStat out;
  const std::string_view state = take_word(text);
  out.ended = state == "Z" || state == "X";
  const auto parent = parse_number<std::int32_t>(take_word(text));
  if (!parent) return std::nullopt;
  out.parent = *parent;
  // Counted from the state, which is the first field: utime is the 12th, num_threads the 18th, rss the 22nd.
  std::uint64_t* const wanted[] = {
      &out.user_ticks, &out.system_ticks, &out.waited_user_ticks, &out.waited_system_ticks,
      nullptr,         nullptr,           &out.threads,           nullptr,
      nullptr,         nullptr,           &out.resident_pages};
  for (int i = 0; i < 9; ++i) take_word(text);
  for (std::uint64_t* const each : wanted) {
    const std::string_view word = take_word(text);
    if (!each) continue;
    const auto number = parse_number<std::uint64_t>(word);
    if (!number) return std::nullopt;
    *each = *number;
  }
  return out;
}

std::optional<std::uint64_t> find_kilobytes(std::string_view text, std::string_view name) {
  auto value = find_value(text, name);
  if (!value || !value->ends_with(" kB")) return std::nullopt;
  const auto number = parse_number<std::uint64_t>(trimmed(value->substr(0, value->size() - 3)));
  if (!number) return std::nullopt;
  return *number * 1024;
}

std::optional<std::uint64_t> find_count(std::string_view text, std::string_view name) {
  const auto value = find_value(text, name);
  return value ? parse_number<std::uint64_t>(*value) : std::nullopt;
}

}  // namespace kairo::system
