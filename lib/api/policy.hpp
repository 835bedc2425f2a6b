// policy.test: what the policy says, and why (SPEC 8.2).
#pragma once

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "api/confinement.hpp"
#include "reflect/fields.hpp"

namespace kairo::api {

struct PolicyTestParams {
  std::string principal;
  std::string method;
  std::optional<std::string> cwd;
  std::optional<ResourceLimits> limits;
  std::optional<Permissions> permissions;
  std::optional<std::string> profile;
  static constexpr auto fields() {
    using S = PolicyTestParams;
    using reflect::field;
    return std::tuple(
        field("principal", &S::principal, "user:UID, user:UID/NAME, or process:ID of a session that is known"),
        field("method", &S::method, "Method that it would call"),
        field("cwd", &S::cwd, "Of the process, where `permissions` has relative paths (/)"),
        field("limits", &S::limits, "What a process.spawn would declare"),
        field("permissions", &S::permissions, "What a process.spawn would declare"),
        field("profile", &S::profile, "What a process.spawn would name"));
  }
};

struct PolicyTestResult {
  bool allowed = false;
  std::vector<std::string> rules;
  std::optional<std::string> reason;
  std::optional<std::string> rule;
  std::optional<ResourceLimits> limits;
  std::optional<Permissions> permissions;
  static constexpr auto fields() {
    using S = PolicyTestResult;
    using reflect::field;
    return std::tuple(
        field("allowed", &S::allowed, "Whether the call would be let through"),
        field("rules", &S::rules, "The rules that bind the principal; none: it is bound by none"),
        field("reason", &S::reason, "Why not"), field("rule", &S::rule, "The rule that refuses"),
        field("limits", &S::limits, "The limits that a process.spawn would get"),
        field("permissions", &S::permissions,
              "The permissions that a process.spawn would get; absent: it would not be confined"));
  }
};

}  // namespace kairo::api
