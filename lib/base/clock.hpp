// Times: steady for pacing and deadlines, system for what people and the protocol see, even for how old a
// thing is.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace kairo {

using SteadyClock = std::chrono::steady_clock;
using SteadyTime = SteadyClock::time_point;
using SystemTime = std::chrono::sys_time<std::chrono::microseconds>;

inline SystemTime system_now() {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

/// What CLOCK_BOOTTIME has counted since the machine started, in microseconds: for points in time that
/// outlive the process, but not the machine's run.
std::uint64_t boot_clock_us();

/// Names this run of the machine: of its boot id. 0 where it is not told.
std::uint64_t boot_mark();

/// The system's time as it was when this program first asked, and what has passed since: a clock that is set
/// makes nothing older or younger.
SystemTime even_now();
/// The same for a moment of boot_clock_us().
SystemTime even_time(std::uint64_t boot_us);

/// Notices that the system's clock was set.
class ClockWatch {
 public:
  /// A clock that is only adjusted runs off by a little more than 500 ppm at most (adjtimex(2)): what is
  /// within `tolerance` and a thousandth of the time between two looks is no setting.
  explicit ClockWatch(std::chrono::microseconds tolerance) : tolerance_(tolerance) {}
  /// By how much the clock was set forward (or, negative, back) since the last look; 0 at the first look.
  std::chrono::microseconds look(SystemTime now, std::uint64_t boot_us);

 private:
  std::chrono::microseconds tolerance_;
  std::optional<std::int64_t> offset_;
  std::uint64_t looked_boot_us_ = 0;
};

/// ISO 8601 in UTC with microseconds: "2026-11-20T23:54:34.000123Z".
std::string to_iso8601(SystemTime time);

/// Parses what to_iso8601 writes; fractions of a second may be absent or have 1 to 9 digits, the zone is
/// "Z" or ±hh:mm. False, and `out` untouched, for anything else.
bool from_iso8601(std::string_view text, SystemTime& out);

}  // namespace kairo
