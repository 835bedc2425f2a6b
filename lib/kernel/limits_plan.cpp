#include "kernel/limits_plan.hpp"

#include <cmath>
#include <concepts>

#include "base/limits.hpp"

namespace kairo::kernel {
namespace {

/// Before this version a keeper starts programs without limits.
constexpr std::uint32_t first_version_with_limits = 3;

/// A limit with both ends of its range: below the least nothing could run, above the most it would mean
/// nothing.
struct Range {
  std::string_view name;
  std::uint64_t least;
  std::uint64_t most;
};
constexpr Range ranges[] = {
    {"memory", 1u << 20, 1ull << 50},
    {"pids", 1, 1u << 22},  // PID_MAX_LIMIT
    {"openFiles", 3, 1u << 30},
    {"cpuSeconds", 1, static_cast<std::uint64_t>(limits::longest_wait.count()) / 1000},
    {"fileSize", 1, 1ull << 62},
    {"wallMs", 1, static_cast<std::uint64_t>(limits::longest_wait.count())},
};
/// The kernel's quota counts in steps of a hundredth of a core, see cgroup/tree.cpp.
constexpr double least_cores = 0.01;
constexpr double most_cores = 65'536;

Error out_of_range(const std::string& path, const std::string& least, const std::string& most) {
  return Error(Code::invalid_params, path + " must be " + least + " to " + most).with("path", path);
}

/// Why the host cannot set the limit `name`; nothing when it can.
std::optional<std::string> obstacle(std::string_view name, const LimitMeans& means) {
  if (name == "wallMs") return std::nullopt;
  if (means.keeper_version < first_version_with_limits)
    return "the keeper that runs is older than limits; it is replaced when no process runs any more";
  for (const cgroup::Controller each : cgroup::all_controllers)
    if (name == cgroup::name_of(each) && !means.groups.can_limit(each))
      return "this host gives the daemon no " + std::string(name) +
             " controller (cgroup v2 with delegation, or v1 as root), and nothing else means the same";
  return std::nullopt;
}

}  // namespace

Result<LimitsPlan> plan_limits(const api::ResourceLimits& limits, api::LimitsMode mode,
                               const std::string& path, const LimitMeans& means) {
  LimitsPlan plan;
  std::optional<Error> problem;
  api::ResourceLimits in_force = limits;
  const auto consider = [&](const auto& each) {
    const auto& value = limits.*each.member;
    if (problem || !value) return;
    const std::string here = path + "." + std::string(each.name);
    if constexpr (std::same_as<std::decay_t<decltype(*value)>, double>) {
      if (!(*value >= least_cores && *value <= most_cores))
        problem = out_of_range(here, "0.01", std::to_string(std::lround(most_cores)));
    } else {
      for (const Range& range : ranges)
        if (range.name == each.name && (*value < range.least || *value > range.most))
          problem = out_of_range(here, std::to_string(range.least), std::to_string(range.most));
    }
    if (problem) return;
    const auto why = obstacle(each.name, means);
    if (!why) return;
    if (mode == api::LimitsMode::strict) {
      problem = Error(Code::unsupported, here + " cannot be set: " + *why + "; nothing was started")
                    .with("path", here);
      return;
    }
    plan.degraded[std::string(each.name)] = *why;
    (in_force.*each.member).reset();
  };
  std::apply([&](const auto&... each) { (consider(each), ...); }, api::ResourceLimits::fields());
  if (problem) return *std::move(problem);
  if (in_force == api::ResourceLimits{}) return plan;
  plan.in_force = in_force;
  keeper::LaunchLimits order;
  order.cpu = in_force.cpu;
  order.memory = in_force.memory;
  order.pids = in_force.pids;
  order.open_files = in_force.open_files;
  order.cpu_seconds = in_force.cpu_seconds;
  order.file_size = in_force.file_size;
  order.best_effort = mode == api::LimitsMode::best_effort;
  plan.order = order;
  return plan;
}

std::map<std::string, bool> limit_features(const LimitMeans& means) {
  std::map<std::string, bool> out;
  const auto add = [&](const auto& each) {
    out.emplace("limits." + std::string(each.name), !obstacle(each.name, means));
  };
  std::apply([&](const auto&... each) { (add(each), ...); }, api::ResourceLimits::fields());
  return out;
}

}  // namespace kairo::kernel
