// Whether and when a node that has ended is started again (SPEC 9.4). Pure: how its life ended goes in, the
// decision comes out. One per node, for all of its lives.
//
// The wait doubles with every restart in a row, from delayMs up to maxDelayMs and never over 30 s. A life of
// stableAfterMs ends the row: what follows it waits delayMs again, and maxRestarts counts anew.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "api/topology.hpp"

namespace kairo::executor {

/// The longest wait before a restart, whatever a file says.
inline constexpr std::chrono::milliseconds longest_restart_delay{30'000};

/// How a life has ended: by exit 0, or by anything else (another code, a signal, a timeout of its
/// heartbeats).
enum class NodeEnd { finished, failed };

struct RestartDecision {
  bool restart = false;
  std::chrono::milliseconds delay{0};  ///< Before the restart.
  std::uint64_t attempt = 0;           ///< Number of this restart in its row, from 1.
  std::string reason;                  ///< Why there is none.
};

class RestartBackoff {
 public:
  explicit RestartBackoff(const api::RestartOptions& options) : options_(options) {}

  /// A life that lasted so long has ended. Call once for every end.
  RestartDecision ended(NodeEnd end, std::chrono::milliseconds lived);
  /// What replaces the node by a cutover begins without a past.
  void reset() { in_a_row_ = 0; }

  /// Restarts in the present row.
  [[nodiscard]] std::uint64_t in_a_row() const { return in_a_row_; }

 private:
  [[nodiscard]] std::chrono::milliseconds delay() const;

  api::RestartOptions options_;
  std::uint64_t in_a_row_ = 0;
};

}  // namespace kairo::executor
