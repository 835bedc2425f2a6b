#include <algorithm>
#include <utility>

#include "base/limits.hpp"
#include "topology/check.hpp"
#include "topology/fault.hpp"
#include "topology/modules.hpp"

namespace kairo::topology {
namespace {

using api::RunMode;

std::uint64_t count(std::chrono::milliseconds time) {
  return static_cast<std::uint64_t>(time.count());
}

Result<void> check_range(const std::string& path, std::uint64_t value, std::uint64_t low,
                         std::uint64_t high) {
  if (value >= low && value <= high) return {};
  return wrong(path, "must be " + std::to_string(low) + " to " + std::to_string(high) + ", not " +
                         std::to_string(value));
}

Result<void> check_restart(const api::RestartOptions& restart, const std::string& path) {
  const std::uint64_t most = count(longest_restart_delay);
  auto good = check_range(path + ".maxDelayMs", restart.max_delay_ms, 1, most);
  if (good) good = check_range(path + ".delayMs", restart.delay_ms, 1, most);
  if (good)
    good = check_range(path + ".stableAfterMs", restart.stable_after_ms, 0, count(limits::longest_wait));
  if (good && restart.delay_ms > restart.max_delay_ms)
    return wrong(path + ".delayMs",
                 "must not be more than maxDelayMs, " + std::to_string(restart.max_delay_ms));
  return good;
}

Result<void> check_heartbeat(const api::HeartbeatOptions& heartbeat, const std::string& path) {
  const std::uint64_t most = count(limits::longest_grace);
  auto good = check_range(path + ".intervalMs", heartbeat.interval_ms, count(shortest_heartbeat), most);
  if (good) good = check_range(path + ".timeoutMs", heartbeat.timeout_ms, count(shortest_heartbeat), most);
  if (good && heartbeat.timeout_ms < heartbeat.interval_ms)
    return wrong(path + ".timeoutMs",
                 "must not be less than intervalMs, " + std::to_string(heartbeat.interval_ms));
  return good;
}

Result<void> check_labels(const std::map<std::string, std::string>& labels, const std::string& path) {
  if (labels.size() > limits::labels - own_labels)
    return wrong(path, "must be at most " + std::to_string(limits::labels - own_labels));
  for (const auto& [key, value] : labels) {
    const std::string own = path + "." + reflect::quotable(key);
    if (key.empty() || key.size() + value.size() > limits::label_bytes || key.find('=') != std::string::npos)
      return wrong(own, "must have a name without \"=\", and at most " + std::to_string(limits::label_bytes) +
                            " bytes with its value");
    if (key.starts_with("kairo.")) return wrong(own, "begins with \"kairo.\", which is Kairo's own");
  }
  return {};
}

Result<void> check_env(const std::map<std::string, std::string>& env, const std::string& path) {
  for (const auto& [name, value] : env)
    if (name.empty() || name.find('=') != std::string::npos || has_nul(name) || has_nul(value))
      return wrong(path + "." + reflect::quotable(name),
                   "cannot be an environment variable: no \"=\" in the name, no NUL byte");
  return {};
}

Result<void> check_command(const api::TopologyNode& node, const std::string& path) {
  const std::string own = path + ".command";
  if (!node.command) return wrong(own, "is missing: a process needs one");
  if (node.command->empty()) return wrong(own, "must name a program");
  for (std::size_t i = 0; i < node.command->size(); ++i)
    if (has_nul((*node.command)[i])) return wrong(in_path(own, i), "holds a NUL byte");
  if (node.command->front().empty()) return wrong(in_path(own, 0), "must name a program");
  return {};
}

Result<void> check_module(const api::TopologyNode& node, const std::string& path) {
  const std::string own = path + ".module";
  if (!node.module) return wrong(own, "is missing: a worker needs one");
  const ModuleInfo* module = find_module(*node.module);
  if (!module) {
    std::vector<std::string_view> names;
    for (const ModuleInfo& each : modules()) names.push_back(each.name);
    return wrong(own, in_quotes(*node.module) + " is unknown" + did_you_mean(*node.module, names));
  }
  return module->check(node.params.value_or(reflect::Any{}), path + ".params");
}

/// What one of the two kinds of nodes has no use for: ignored, it would be missed later.
Result<void> check_belongs(const api::TopologyNode& node, const std::string& path) {
  const bool process = node.run_mode == RunMode::process;
  const std::pair<const char*, bool> foreign[] = {
      {"module", process && node.module},
      {"params", process && node.params},
      {"command", !process && node.command},
      {"env", !process && node.env},
      {"io", !process && node.io},
      {"heartbeat", !process && node.heartbeat},
      {"killGraceMs", !process && node.kill_grace_ms},
      {"limits", !process && node.limits},
      {"permissions", !process && node.permissions},
      {"profile", !process && node.profile},
      {"labels", !process && node.labels},
  };
  for (const auto& [name, stands] : foreign)
    if (stands)
      return wrong(path + "." + name, std::string("has no meaning for a ") +
                                          (process ? "process" : "worker; runMode is \"worker\""));
  return {};
}

}  // namespace

Result<void> check_node(const api::TopologyNode& node, const std::string& path) {
  auto good = check_belongs(node, path);
  if (good) good = node.run_mode == RunMode::process ? check_command(node, path) : check_module(node, path);
  if (good && node.cwd && (!node.cwd->starts_with('/') || has_nul(*node.cwd)))
    return wrong(path + ".cwd", "must be an absolute path");
  if (good && node.env) good = check_env(*node.env, path + ".env");
  if (good && node.restart) good = check_restart(*node.restart, path + ".restart");
  if (good && node.heartbeat) good = check_heartbeat(*node.heartbeat, path + ".heartbeat");
  if (good && node.health_ms)
    good = check_range(path + ".healthMs", *node.health_ms, 0, count(limits::longest_grace));
  if (good && node.kill_grace_ms)
    good = check_range(path + ".killGraceMs", *node.kill_grace_ms, 0, count(limits::longest_grace));
  if (good && node.labels) good = check_labels(*node.labels, path + ".labels");
  return good;
}

}  // namespace kairo::topology
