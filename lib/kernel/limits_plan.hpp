// What becomes of options.limits (SPEC 8.3): checked, compared with what the keeper found on this host, and
// turned into its orders.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "api/confinement.hpp"
#include "base/result.hpp"
#include "keeper/protocol.hpp"

namespace kairo::kernel {

struct LimitsPlan {
  std::optional<api::ResourceLimits> in_force;  ///< What of them can be set.
  std::map<std::string, std::string> degraded;  ///< What cannot (best-effort), and why.
  std::optional<keeper::LaunchLimits> order;
};

/// What the keeper can do: its version, and where it makes control groups.
struct LimitMeans {
  std::uint32_t keeper_version;
  const cgroup::Layout& groups;
};

/// `path` is where the limits stand in the request, for errors. E_INVALID_PARAMS for a value out of range;
/// E_UNSUPPORTED for a limit that cannot be set, unless `mode` is best_effort.
Result<LimitsPlan> plan_limits(const api::ResourceLimits& limits, api::LimitsMode mode,
                               const std::string& path, const LimitMeans& means);

/// "limits.NAME" of each limit: whether this host can set it.
std::map<std::string, bool> limit_features(const LimitMeans& means);

}  // namespace kairo::kernel
