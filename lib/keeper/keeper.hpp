// The keeper process: parent and subreaper of every child, owner of their stdio. See docs/architecture.md.
#pragma once

#include <cstdint>
#include <string>

#include "base/unique_fd.hpp"

namespace kairo::keeper {

struct KeeperOptions {
  UniqueFd listener;   ///< Listening Unix socket STATE_DIR/keeper.sock.
  UniqueFd state_dir;  ///< Directory; logs/ is made below it.
  /// The limit of open files that children get back (SPEC 4.8), as kairod found it.
  std::uint64_t child_files_soft = 1024;
  std::uint64_t child_files_hard = 1024;
  /// Descriptors that the keeper itself may have; 0: as many as the system gives it.
  std::uint64_t own_files_max = 0;
  unsigned idle_exit_seconds = 10;  ///< Ends by itself after so long without children and without kairod.
};

/// Whether this process was a keeper before it became this program (succession.hpp). Then resume_keeper() is
/// the only thing to do.
bool is_succession();
int resume_keeper();

/// Runs until it is told to stop or has nothing left to do. Returns the exit code; messages go to stderr.
int run_keeper(KeeperOptions options);

}  // namespace kairo::keeper
