#include "units.hpp"

#include <charconv>
#include <cmath>

#include "base/clock.hpp"
#include "context.hpp"

namespace kairo::ctl {
namespace {

[[noreturn]] void refuse(std::string_view option, std::string_view text, std::string_view wanted) {
  throw UsageError{std::string(option) + ": \"" + std::string(text) + "\" is not " + std::string(wanted)};
}

/// Takes a decimal number off the front; false when there is none.
bool take_number(std::string_view& rest, double& out) {
  const std::size_t length = std::min(rest.find_first_not_of("0123456789."), rest.size());
  if (length == 0) return false;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + length, out);
  if (error != std::errc{} || end != rest.data() + length) return false;
  rest.remove_prefix(length);
  return true;
}

double milliseconds_of(std::string_view unit) {
  if (unit == "ms") return 1;
  if (unit == "s") return 1000;
  if (unit == "m" || unit == "min") return 60'000;
  if (unit == "h") return 3'600'000;
  if (unit == "d") return 86'400'000;
  return 0;
}

bool read_duration(std::string_view text, std::chrono::milliseconds& out) {
  double total = 0, number = 0;
  std::string_view rest = text;
  if (rest.empty()) return false;
  while (!rest.empty()) {
    if (!take_number(rest, number)) return false;
    if (rest.empty()) {
      if (total > 0) return false;  // "1h30": thirty what?
      total = number * 1000;
      break;
    }
    const std::size_t length = std::min(rest.find_first_of("0123456789."), rest.size());
    const double unit = milliseconds_of(rest.substr(0, length));
    if (unit == 0) return false;
    total += number * unit;
    rest.remove_prefix(length);
  }
  if (!(total <= 9e15)) return false;
  out = std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(total)));
  return true;
}

}  // namespace

std::chrono::milliseconds parse_duration(std::string_view option, std::string_view text) {
  std::chrono::milliseconds out{};
  if (!read_duration(text, out))
    refuse(option, text, "a duration (500ms, 1.5s, 2m, 1h30m; a bare number is seconds)");
  return out;
}

std::uint64_t parse_size(std::string_view option, std::string_view text) {
  constexpr std::string_view wanted = "a size in bytes (65536, 64K, 64MiB, 2G)";
  std::string_view rest = text;
  double number = 0;
  if (!take_number(rest, number)) refuse(option, text, wanted);
  double unit = 1;
  if (!rest.empty()) {
    constexpr std::string_view letters = "KMGT";
    const std::size_t power = letters.find(static_cast<char>(rest[0] & ~0x20));
    if (power != std::string_view::npos) {
      unit = std::pow(1024.0, static_cast<double>(power + 1));
      rest.remove_prefix(1);
      if (!rest.empty() && rest[0] == 'i') rest.remove_prefix(1);
    }
    if (!rest.empty() && (rest[0] == 'B' || rest[0] == 'b')) rest.remove_prefix(1);
  }
  if (!rest.empty() || !(number * unit <= 9e15)) refuse(option, text, wanted);
  return static_cast<std::uint64_t>(number * unit);
}

std::string parse_time(std::string_view option, std::string_view text) {
  SystemTime time{};
  std::chrono::milliseconds ago{};
  double seconds = 0;
  std::string_view rest = text;
  if (rest.starts_with('@')) {
    rest.remove_prefix(1);
    if (take_number(rest, seconds) && rest.empty() && seconds < 1e12)
      return to_iso8601(SystemTime(std::chrono::microseconds(static_cast<std::int64_t>(seconds * 1e6))));
  } else if (from_iso8601(text, time)) {
    return to_iso8601(time);
  } else if (read_duration(text, ago)) {
    return to_iso8601(system_now() - ago);
  }
  refuse(option, text, "a time (2026-11-20T23:54:34Z, @SECONDS, or a duration before now such as 10m)");
}

std::pair<std::string, std::string> parse_pair(std::string_view option, std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) refuse(option, text, "KEY=VALUE");
  return {std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

}  // namespace kairo::ctl
