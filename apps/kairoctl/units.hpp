// Durations, sizes and times as users write them on a command line. What cannot be read throws UsageError.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace kairo::ctl {

/// "500ms", "1.5s", "2m", "1h30m", "1d"; a bare number is seconds.
std::chrono::milliseconds parse_duration(std::string_view option, std::string_view text);

/// "65536", "64K", "64KiB", "2GiB", "1.5M"; the units are powers of 1024.
std::uint64_t parse_size(std::string_view option, std::string_view text);

/// ISO 8601 ("2026-11-20T23:54:34Z"), "@SECONDS" since 1970, or a duration before now. Answers ISO 8601.
std::string parse_time(std::string_view option, std::string_view text);

/// "key=value"; the key is not empty.
std::pair<std::string, std::string> parse_pair(std::string_view option, std::string_view text);

}  // namespace kairo::ctl
