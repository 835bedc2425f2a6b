// What the processes of one session use, as /proc tells: main process, everything below it, and what left it
// by a double fork and hangs on the keeper now.
//
// Nothing here stands still while it is read. A process that ends meanwhile is left out (its time is its
// parent's by then, if that has waited); what the system refuses to tell of any one process (another user's,
// a program that may not be traced) is absent of the whole, since a part of a sum is no sum.
//
// Times and I/O of children that ended stand in their parent's figures once it has waited for them, so that
// adding both of every living process counts each once. What a process used that nobody waited for, or that
// the keeper reaped, is lost.
//
// ProcessSampler blocks on the kernel's files, smaps_rollup above all (it walks the memory of each process):
// call it from the worker thread, one call at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <unordered_map>
#include <vector>

#include "api/process_metrics.hpp"
#include "base/clock.hpp"
#include "system/readings.hpp"

namespace kairo::system {

/// A session's processes now. `main` and `keeper` are process ids, `mark` is what KAIRO_PROCESS_ID says in
/// the session's environment. Empty when `main` is not the keeper's child any more and nothing is left of it.
std::vector<pid_t> session_processes(pid_t main, pid_t keeper, std::string_view mark);

/// CPU time of these processes and of the children that they have waited for, microseconds; nothing when none
/// of them is there.
std::optional<std::uint64_t> cpu_us(const std::vector<pid_t>& processes);

class ProcessSampler {
 public:
  /// `root` stands before every path that is read; tests give a tree of their own.
  explicit ProcessSampler(std::string root = "/");

  /// The sum over `processes`; nothing when none of them is there any more. `session` is what remembers the
  /// look before, `started_at` what the first is compared with.
  std::optional<api::ProcessMetrics> sample(std::uint64_t session, SystemTime started_at,
                                            const std::vector<pid_t>& processes);

 private:
  std::string root_;
  std::unordered_map<std::uint64_t, Readings<double>> looks_;  ///< CPU seconds, by session.
};

}  // namespace kairo::system
