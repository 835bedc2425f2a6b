// Times: steady for pacing and deadlines, system for what people and the protocol see.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace kairo {

using SteadyClock = std::chrono::steady_clock;
using SteadyTime = SteadyClock::time_point;
using SystemTime = std::chrono::sys_time<std::chrono::microseconds>;

inline SystemTime system_now() {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

/// ISO 8601 in UTC with microseconds: "2026-11-20T23:54:34.000123Z".
std::string to_iso8601(SystemTime time);

/// Parses what to_iso8601 writes; fractions of a second may be absent or have 1 to 9 digits, the zone is
/// "Z" or ±hh:mm. False, and `out` untouched, for anything else.
bool from_iso8601(std::string_view text, SystemTime& out);

}  // namespace kairo
