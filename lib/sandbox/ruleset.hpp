// The launching thread's part of a confinement: opens the paths of a plan and makes Landlock's ruleset of
// them. May hang where a path lies on a dead mount, as an exec may.
#pragma once

#include <string>
#include <variant>

#include "base/unique_fd.hpp"
#include "sandbox/plan.hpp"

namespace kairo::sandbox {

struct RulesetFailure {
  const char* step;  ///< "permissions": a path of the declaration; "landlock": anything else.
  int error_number;
  std::string object;
};

/// The ruleset, which closes on exec.
std::variant<UniqueFd, RulesetFailure> make_ruleset(const Plan& plan);

}  // namespace kairo::sandbox
