// What a spawn gets of what it asks for: within the policy's ceilings, and within what the session that it
// comes from has itself (SPEC 8.1, 8.2: a process inside Kairo cannot grant what it lacks).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "access/policy.hpp"
#include "api/confinement.hpp"
#include "base/result.hpp"

namespace kairo::kernel {

class Kernel;

struct Wanted {
  std::string cwd;
  std::optional<api::ResourceLimits> limits;
  std::optional<api::Permissions> permissions;
  std::optional<std::string> profile;
};

struct Granted {
  api::ResourceLimits limits;
  /// Those of them that a rule or the session that it comes from demands: the host must be able to set them.
  api::ResourceLimits imposed;
  std::optional<api::Permissions> permissions;  ///< In normal form; none: it is not confined.
  /// Somebody bounds what it may be permitted: paths must not lead through symbolic links, which whoever is
  /// bounded may have laid to where it may not go.
  bool bounded = false;
};

/// E_PERMISSION_DENIED, with details.rule and details.path where there are such; E_INVALID_PARAMS for a
/// profile that does not exist.
Result<Granted> grant(const Kernel& kernel, const access::Principal& principal,
                      const std::vector<access::Policy::Binding>& rules, const Wanted& wanted);

}  // namespace kairo::kernel
