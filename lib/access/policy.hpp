// The policy (SPEC 8.2): who may call which methods, and what a spawn may at most have. Part of the
// configuration (kairod.json(5), "policy"); immutable once made.
//
// For each of the names along its path (principal.hpp), without and with the name that it was narrowed to, a
// principal is bound by the first rule whose pattern matches. All of these must allow. So what a user may not
// do, no program that it starts may, under no name and no id, and "process:*" can bind programs further than
// those who started them. A principal that no rule matches is bound by none.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "access/principal.hpp"
#include "api/confinement.hpp"
#include "base/result.hpp"
#include "reflect/fields.hpp"

namespace kairo::access {

/// One rule. What is absent limits nothing.
struct Rule {
  std::string principal;
  std::optional<std::vector<std::string>> methods;
  std::optional<api::Permissions> permissions;
  std::optional<api::ResourceLimits> limits;
  std::optional<std::string> undeclared;
  static constexpr auto fields() {
    using S = Rule;
    using reflect::field;
    return std::tuple(
        field("principal", &S::principal, "Pattern of the names that it binds; * stands for any characters"),
        field("methods", &S::methods, "Patterns of the methods that may be called (all)"),
        field("permissions", &S::permissions, "The most that a spawn may declare (anything)"),
        field("limits", &S::limits, "The most that a spawn may have; what it does not name, it gets (none)"),
        field("undeclared", &S::undeclared,
              "What a spawn without permissions gets: allow, deny, or a profile (that of the policy)"));
  }
};

struct PolicyDocument {
  std::optional<std::vector<Rule>> rules;
  std::optional<std::map<std::string, api::Permissions>> profiles;
  std::optional<std::string> undeclared;
  static constexpr auto fields() {
    using S = PolicyDocument;
    using reflect::field;
    return std::tuple(field("rules", &S::rules, "Of the rules that match, the first counts"),
                      field("profiles", &S::profiles, "Permissions that a spawn may name"),
                      field("undeclared", &S::undeclared,
                            "What a spawn without permissions gets: allow (default), deny, or a profile"));
  }
};

class Policy {
 public:
  /// One that allows everything.
  Policy() = default;
  /// Of the member "policy" as MsgPack. Errors carry the path (policy.rules[1].limits.memory) and, for a
  /// misspelled name, the one that was meant.
  static Result<Policy> read(std::string_view msgpack);

  /// The rules that bind a principal, with the words by which a refusal names them. They live as long as the
  /// policy.
  struct Binding {
    const Rule* rule;
    std::string name;  ///< policy.rules[1] ("user:1000")
  };
  [[nodiscard]] std::vector<Binding> binding(const Principal& principal) const;

  /// E_PERMISSION_DENIED, with the rule in details.rule, where one of them does not allow the method.
  static Result<void> check_method(const std::vector<Binding>& rules, const Principal& principal,
                                   std::string_view method);

  /// The limits that a spawn gets which declares `declared`: what it names, and the ceilings for the rest.
  /// E_PERMISSION_DENIED with details.rule and details.path where it declares more than one of the rules
  /// allows.
  static Result<api::ResourceLimits> check_limits(const std::vector<Binding>& rules,
                                                  const Principal& principal,
                                                  const api::ResourceLimits& declared);

  /// "allow", "deny" or a profile's name, for a spawn that declares no permissions.
  [[nodiscard]] const std::string& undeclared(const std::vector<Binding>& rules) const;

  [[nodiscard]] const api::Permissions* profile(std::string_view name) const;
  [[nodiscard]] const PolicyDocument& document() const { return document_; }

 private:
  PolicyDocument document_;
};

/// Each limit of `ceiling` that `declared` does not name is taken over; the first that it passes is given
/// back by its name, or nothing.
std::optional<std::string_view> merge_limits(const api::ResourceLimits& ceiling,
                                             api::ResourceLimits& declared);

/// Each limit that `ceiling` sets and `limits` does not, or sets higher, becomes that of `ceiling`.
void lower_limits(const api::ResourceLimits& ceiling, api::ResourceLimits& limits);

/// Whether `text` is as `pattern` says; * stands for any characters, none too.
bool matches_glob(std::string_view pattern, std::string_view text);

}  // namespace kairo::access
