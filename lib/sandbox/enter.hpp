// The last steps of a child before its program: it gives up what the plan does not leave it. Called between
// clone and exec in a process that runs on its parent's memory: system calls alone, no allocation, no libc
// state.
#pragma once

#include <cstdint>

namespace kairo::sandbox {

struct Confinement {
  bool private_network = false;     ///< The caller's part, before it gives up its identity.
  int ruleset = -1;                 ///< Of Landlock, borrowed; closes on exec.
  const void* filter = nullptr;     ///< struct sock_filter
  std::uint16_t filter_length = 0;  ///< Instructions.
};

/// All but the private network, after everything else that the child does.
/// The name of the step that failed, and in `result` its -errno; nullptr when all hold. Irrevocable.
const char* enter(const Confinement& confinement, long& result);

/// A network namespace of one's own with its loopback up; where that is not allowed, in a user namespace in
/// which user and group keep their numbers. 0 or -errno.
long enter_private_network();

}  // namespace kairo::sandbox
