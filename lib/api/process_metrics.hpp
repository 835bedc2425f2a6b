// What the processes of a session use (process.status with `metrics`, SPEC 10).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "reflect/fields.hpp"

namespace kairo::api {

struct ProcessCpu {
  double user_seconds = 0;
  double system_seconds = 0;
  double usage_percent = 0;
  std::uint64_t interval_ms = 0;
  static constexpr auto fields() {
    using S = ProcessCpu;
    using reflect::field;
    return std::tuple(
        field("userSeconds", &S::user_seconds,
              "Since the start, of all that run and of those that ended and were waited for by one of them"),
        field("systemSeconds", &S::system_seconds, "The same, in the kernel"),
        field("usagePercent", &S::usage_percent, "During intervalMs; 100 is one core"),
        field("intervalMs", &S::interval_ms,
              "Milliseconds since an earlier look at the session, or since its start in the first"));
  }
};

struct ProcessIo {
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t disk_read_bytes = 0;
  std::uint64_t disk_written_bytes = 0;
  static constexpr auto fields() {
    using S = ProcessIo;
    using reflect::field;
    return std::tuple(field("readBytes", &S::read_bytes, "By read(2) and the like, pipes included"),
                      field("writtenBytes", &S::written_bytes, "By write(2) and the like, pipes included"),
                      field("diskReadBytes", &S::disk_read_bytes, "That storage had to be asked for"),
                      field("diskWrittenBytes", &S::disk_written_bytes, "That storage was or will be sent"));
  }
};

struct ProcessMetrics {
  std::string time;
  std::uint32_t processes = 0;
  std::uint64_t threads = 0;
  ProcessCpu cpu;
  std::uint64_t resident_bytes = 0;
  std::optional<std::uint64_t> private_bytes;
  std::optional<ProcessIo> io;
  std::optional<std::uint64_t> descriptors;
  std::optional<std::vector<std::string>> unreadable;
  static constexpr auto fields() {
    using S = ProcessMetrics;
    using reflect::field;
    return std::tuple(
        field("time", &S::time, "When it was sampled, ISO 8601, UTC"),
        field("processes", &S::processes, "Processes of the session, those that left its group included"),
        field("threads", &S::threads, "Their threads"), field("cpu", &S::cpu, "Processor time"),
        field("residentBytes", &S::resident_bytes, "Memory that is there, each process for itself"),
        field("privateBytes", &S::private_bytes, "Of this, what no process shares"),
        field("io", &S::io, "Counted like cpu"),
        field("descriptors", &S::descriptors, "Open file descriptors"),
        field("unreadable", &S::unreadable,
              "Members that are absent because the system refuses them of one process at least"));
  }
};

}  // namespace kairo::api
