// kairod --verify-audit, which `kairoctl audit verify` runs: the audit of a state directory, proved on its
// files alone, whether a daemon runs or not.
#pragma once

#include <string>

namespace kairo::daemon {

/// Exit codes beside 0, which says that the audit is whole.
inline constexpr int exit_audit_broken = 1;
inline constexpr int exit_no_audit = 66;  // EX_NOINPUT: there is none, or it cannot be read

/// Prints the verdict as JSON and gives the exit code.
int verify_audit(const std::string& state_dir);

}  // namespace kairo::daemon
