// Who is whose child, as /proc tells. What is read may be out of date by the time it is used.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace kairo::keeper {

/// Parent and child of every process; for kernels without the `children` files.
std::vector<std::pair<pid_t, pid_t>> parents();

/// Whether the kernel has /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN).
bool has_children_files();

/// Appends the children of one thread; false where the kernel has no such file.
bool children_of_thread(pid_t pid, pid_t thread, std::vector<pid_t>& out);

/// What /proc/PID/stat says of whence a process comes.
struct Lineage {
  pid_t parent = 0;                   ///< 0 where it lies outside of this pid namespace.
  pid_t session = 0;                  ///< As setsid(2) made it.
  std::uint64_t started_boot_us = 0;  ///< By boot_clock_us(), rounded down to a clock tick.
  bool operator==(const Lineage&) const = default;
};
std::optional<Lineage> lineage_of(pid_t pid);

/// What a pidfd says of its process (PIDFD_GET_INFO, Linux 6.13): a tenth of the price of a look into /proc,
/// and of no other process. Nothing where the process is gone or the kernel is older.
struct ProcessInfo {
  pid_t pid = 0;
  pid_t parent = 0;          ///< 0 where it lies outside of this pid namespace.
  std::uint64_t cgroup = 0;  ///< Number of its v2 control group, never used again; 0: not told.
};
std::optional<ProcessInfo> info_of(int process);

/// The parent of a process; 0 where there is no such process.
pid_t parent_of(pid_t pid);

/// Everything below `root`, without it.
std::vector<pid_t> tree(pid_t root);

std::vector<pid_t> all_processes();

/// The environment that the process was executed with, entries ended by NUL; empty when it cannot be read
/// (another user's, a zombie, one that is just executing).
std::string environment_of(pid_t pid);

/// The value of a variable, or empty.
std::string_view variable_in(std::string_view environment, std::string_view name);

}  // namespace kairo::keeper
