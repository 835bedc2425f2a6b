// What the kernel counts about itself since its start (kernel.metrics). Plain integers: all of it is written
// and read on the kernel's thread. Labels are bounded: methods of the table and one for what is none, error
// codes, flows, reasons of ends.
//
// A request is counted when it comes, its error and its time when it is answered. Answers of the batch that
// is just being handled leave together, so they share one look at the clock (Client::parsed).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/error.hpp"
#include "ipc/traffic.hpp"
#include "metrics/histogram.hpp"

namespace kairo::kernel {

inline constexpr std::size_t error_codes = static_cast<std::size_t>(Code::internal) + 1;

struct Counters {
  struct OfMethod {
    std::uint64_t requests = 0;
    std::array<std::uint64_t, error_codes> errors{};
    metrics::Histogram duration;
  };
  std::vector<OfMethod> methods;  ///< In the table's order; the last one is for what is no method.

  ipc::Traffic traffic;
  std::uint64_t request_frames = 0;
  std::uint64_t client_event_frames = 0;
  std::uint64_t response_frames = 0;
  std::uint64_t event_frames = 0;
  std::uint64_t chunk_frames = 0;
  std::uint64_t connections = 0;          ///< Accepted.
  std::uint64_t refused_connections = 0;  ///< Another user's, or too many.

  std::array<std::uint64_t, 3> dropped_bytes{};  ///< Of output, by api::Flow.

  std::uint64_t spawns = 0;
  std::uint64_t failed_spawns = 0;
  metrics::Histogram spawn_duration;     ///< From the request until the program runs.
  std::array<std::uint64_t, 9> ended{};  ///< By api::EndReason.

  std::uint64_t kernel_events = 0;
  std::uint64_t client_events = 0;
  std::uint64_t unrecorded_events = 0;  ///< The journal refused them.
  std::uint64_t missed_events = 0;      ///< Not sent to a subscriber that does not read.
};

}  // namespace kairo::kernel
