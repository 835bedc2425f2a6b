// What a keeper leaves behind when it is killed: processes that nobody follows any more. kairod ends them.
//
// They are no children of kairod, and their numbers may belong to others by now. So a process counts as one
// of them only when it began before the keeper was lost, and its environment names session and socket, or it
// is in the kernel's session of the main process; or when it is the main process itself, begun at the time
// that the keeper told.
#pragma once

#include <cstdint>
#include <string>
#include <sys/types.h>
#include <vector>

namespace kairo::keeper {

struct Leftover {
  pid_t main = 0;                     ///< 0: not known, the launch was not answered.
  std::uint64_t started_boot_us = 0;  ///< boot_clock_us() at its start; 0: not known.
  std::string id;                     ///< KAIRO_PROCESS_ID of what belongs to it.
  bool detach = false;                ///< Only the main process goes; its descendants were allowed to stay.
};

/// Signals every process that belongs to one of `sessions` of the daemon at `socket` (its KAIRO_IPC_SOCKET)
/// and began before `lost_at` (boot_clock_us()); SIGTERM is followed by SIGCONT. The number of processes
/// found. Reads all of /proc: milliseconds.
std::size_t signal_leftovers(const std::vector<Leftover>& sessions, const std::string& socket,
                             std::uint64_t lost_at, int number);

}  // namespace kairo::keeper
