// What an operator may change (kairod.json(5)). The kernel reads each where it is used, never at its start,
// so that Kernel::configure can change it while sessions run. Whole numbers all, with their unit in the name,
// so that one table gives their names and ranges to the configuration's reader, to kairod --check-config and
// to kernel.info. Bounds that are not here are fixed: limits.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.hpp"

namespace kairo::kernel {

/// Whether requests are audited; "required": and refused while they cannot be.
enum class AuditMode { off, on, required };
constexpr auto enum_names(AuditMode) {
  return std::array<std::string_view, 3>{"off", "on", "required"};
}

struct Settings {
  // connections
  std::uint64_t frame_bytes = limits::frame_payload_bytes;  ///< Of what clients send, from the next one on.
  std::uint64_t connections = limits::connections;
  std::uint64_t pending_requests = limits::pending_requests;
  std::uint64_t subscriptions = limits::subscriptions;
  // sessions
  std::uint64_t live_sessions = limits::live_sessions;
  std::uint64_t ended_sessions = limits::ended_sessions;
  std::uint64_t ended_session_hours = static_cast<std::uint64_t>(limits::ended_session_age.count());
  std::uint64_t kill_grace_ms = static_cast<std::uint64_t>(limits::kill_grace.count());
  std::uint64_t list_page = limits::list_page;
  std::uint64_t stdin_waiting_writes = limits::stdin_waiting_writes;
  // output
  std::uint64_t retain_bytes = limits::retain_bytes;  ///< Of a log whose spawn names none.
  std::uint64_t retain_bytes_max =
      limits::retain_bytes_max;  ///< That a spawn may name; not below the former.
  std::uint64_t total_log_bytes = limits::total_log_bytes;
  std::uint64_t throttle_chunk_bytes = limits::throttle_chunk_bytes;
  std::uint64_t throttle_bytes_per_second = limits::throttle_bytes_per_second;
  // thresholds
  std::uint64_t sample_seconds = limits::sample_seconds;
  std::uint64_t high_seconds = limits::high_seconds;
  std::uint64_t load_high_percent = limits::load_high_percent;
  std::uint64_t load_low_percent = limits::load_low_percent;
  std::uint64_t memory_pressure_high_percent = limits::memory_pressure_high_percent;
  std::uint64_t memory_pressure_low_percent = limits::memory_pressure_low_percent;
  std::uint64_t battery_critical_percent = limits::battery_critical_percent;
  std::uint64_t battery_recovered_percent = limits::battery_recovered_percent;

  // events
  std::uint64_t event_store_bytes = limits::event_store_bytes;
  std::uint64_t event_store_hours = static_cast<std::uint64_t>(limits::event_store_age.count());

  // audit
  AuditMode audit = AuditMode::on;
  std::vector<std::string> audit_redact = {"*TOKEN*", "*SECRET*", "*PASSWORD*"};  ///< audit/redactor.hpp
  std::uint64_t audit_bytes = limits::audit_bytes;                                ///< Of one file.
  std::uint64_t audit_files = limits::audit_files;
  std::uint64_t audit_hours = static_cast<std::uint64_t>(limits::audit_age.count());

  bool root_reaches_all = true;  ///< Root may act on every user's processes.
};

/// A whole number among the settings, with both ends of its range.
struct NumberSetting {
  std::string_view name;
  std::uint64_t Settings::*member;
  std::uint64_t least;
  std::uint64_t most;
  std::string_view unit;
};

inline constexpr NumberSetting number_settings[] = {
    {"frameBytes", &Settings::frame_bytes, 64u << 10, 256u << 20, "bytes"},
    {"connections", &Settings::connections, 1, 65'536, "connections"},
    // As many as a kairoctl with all that it pipelines may need, and more.
    {"pendingRequests", &Settings::pending_requests, 16, 1u << 20, "requests"},
    {"subscriptions", &Settings::subscriptions, 1, 1u << 20, "subscriptions"},
    {"liveSessions", &Settings::live_sessions, 1, limits::live_sessions, "sessions"},
    {"endedSessions", &Settings::ended_sessions, 0, 1'000'000, "sessions"},
    {"endedSessionHours", &Settings::ended_session_hours, 0, 87'600, "hours"},
    {"killGraceMs", &Settings::kill_grace_ms, 0, static_cast<std::uint64_t>(limits::longest_grace.count()),
     "milliseconds"},
    {"listPage", &Settings::list_page, 1, 1000, "sessions"},
    // kairoctl keeps four under way.
    {"stdinWaitingWrites", &Settings::stdin_waiting_writes, 4, 4096, "writes"},
    {"retainBytes", &Settings::retain_bytes, limits::retain_bytes_min, 1ull << 40, "bytes"},
    {"retainBytesMax", &Settings::retain_bytes_max, limits::retain_bytes_min, 1ull << 40, "bytes"},
    {"totalLogBytes", &Settings::total_log_bytes, 1u << 20, 1ull << 50, "bytes"},
    {"throttleChunkBytes", &Settings::throttle_chunk_bytes, limits::chunk_bytes_min, limits::chunk_bytes_max,
     "bytes"},
    {"throttleBytesPerSecond", &Settings::throttle_bytes_per_second, 1, 1ull << 40, "bytes per second"},
    {"sampleSeconds", &Settings::sample_seconds, 1, 3600, "seconds"},
    {"highSeconds", &Settings::high_seconds, 0, 86'400, "seconds"},
    {"loadHighPercent", &Settings::load_high_percent, 0, 100'000, "percent"},
    {"loadLowPercent", &Settings::load_low_percent, 0, 100'000, "percent"},
    {"memoryPressureHighPercent", &Settings::memory_pressure_high_percent, 0, 100, "percent"},
    {"memoryPressureLowPercent", &Settings::memory_pressure_low_percent, 0, 100, "percent"},
    {"batteryCriticalPercent", &Settings::battery_critical_percent, 0, 100, "percent"},
    {"batteryRecoveredPercent", &Settings::battery_recovered_percent, 0, 100, "percent"},
    {"eventStoreBytes", &Settings::event_store_bytes, 1u << 20, 1ull << 40, "bytes"},
    {"eventStoreHours", &Settings::event_store_hours, 1, 87'600, "hours"},
    {"auditBytes", &Settings::audit_bytes, 4u << 10, 1ull << 40, "bytes"},
    {"auditFiles", &Settings::audit_files, 2, 10'000, "files"},
    {"auditHours", &Settings::audit_hours, 1, 876'000, "hours"},
};

}  // namespace kairo::kernel
