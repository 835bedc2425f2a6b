// Ends sessions whose processes together have used their limits.cpuSeconds. (One process alone gets SIGXCPU
// from the kernel; a tree of short-lived ones never would.)
//
// What was used is what the session's control group counted; without one it is the sum over the processes
// that live and those that they have waited for, which the worker reads from /proc. A session is looked at
// when it can have used up what is left, with every core that it may have: seldom, and never one without the
// limit.
//
// Owned by the Kernel, on its thread. The watch begins anew with each daemon that adopts the session.
#pragma once

#include <cstdint>
#include <optional>

#include "session/session.hpp"

namespace kairo::kernel {

class Kernel;

class CpuWatch {
 public:
  explicit CpuWatch(Kernel& kernel) : kernel_(kernel) {}
  /// Does nothing for a session without the limit.
  void begin(const session::Session& session);

 private:
  void look(std::uint64_t key);
  void judge(std::uint64_t key, std::optional<std::uint64_t> used_us);

  Kernel& kernel_;
};

}  // namespace kairo::kernel
