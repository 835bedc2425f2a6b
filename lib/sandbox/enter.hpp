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
  const void* told_filter =
      nullptr;           ///< The same with a listener (filter.hpp: told()); nullptr: none wanted.
  int teller = -1;       ///< Unix socket over which the listener's descriptor is sent.
  bool audited = false;  ///< Landlock's denials go to the host's audit (ABI 7).
};

/// All but the private network, after everything else that the child does. A task has one listener at most:
/// where it has one already (a kairod inside of a confinement), or the system gives none, the filter refuses
/// by itself and nothing is sent.
/// The name of the step that failed, and in `result` its -errno; nullptr when all hold. Irrevocable.
const char* enter(const Confinement& confinement, long& result);

/// A network namespace of one's own with its loopback up; where that is not allowed, in a user namespace in
/// which user and group keep their numbers. 0 or -errno.
long enter_private_network();

}  // namespace kairo::sandbox
