// A seccomp program out of rules, made for a short way into force: the kernel compiles it anew for every
// process that loads it (some 0.15 us for each instruction), and runs it once for each number of a system
// call to learn which are always allowed (some 2 ns for each instruction on the way, for some 470 numbers).
// What libseccomp makes of the same rules is twice as long, with longer ways.
//
// The program first tells the numbers apart, by a tree with the least price of both kinds; arguments are
// looked at only by calls whose rules have conditions. The rules of a call hold in their order: the first
// whose conditions all hold refuses it; where none does, and for numbers without rules, the call is allowed.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.hpp"
#include "sandbox/filter.hpp"

namespace kairo::sandbox {

/// What must hold of an argument.
struct Condition {
  enum class Kind {
    any_of,   ///< One of the bits `first`, at least.
    none_of,  ///< None of the bits `first`.
    masked,   ///< The bits `first` are as in `second`.
    equal,    ///< The low 32 bits are `first`.
    differs,  ///< All 64 bits together are not `first`.
    above,    ///< All 64 bits together are more than `first`.
    within,   ///< The low 16 bits are `first` to `second`.
  };
  Kind kind;
  unsigned argument;
  std::uint32_t first;
  std::uint32_t second = 0;
};

struct Rule {
  unsigned number;  ///< Of the system call.
  int error;        ///< It fails with this.
  bool tellable;    ///< As in Filter.
  std::vector<Condition> where;
};

/// `newest`: larger numbers fail with ENOSYS. Another architecture than `architecture` (AUDIT_ARCH_*) ends
/// the process.
Result<Filter> assemble(std::uint32_t architecture, unsigned newest, const std::vector<Rule>& rules);

}  // namespace kairo::sandbox
