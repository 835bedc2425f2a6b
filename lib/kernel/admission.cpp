#include "kernel/admission.hpp"

#include "kernel/kernel.hpp"
#include "sandbox/declaration.hpp"
#include "sandbox/profile.hpp"

namespace kairo::kernel {
namespace {

using Rules = std::vector<access::Policy::Binding>;

constexpr const char* declared_at = "params.options.permissions";
constexpr const char* nothing_started = "; nothing was started";

/// What a name stands for: nothing inside is "unconfined".
Result<std::optional<api::Permissions>> profile(const Kernel& kernel, const std::string& name) {
  if (const api::Permissions* own = kernel.policy().profile(name)) return std::optional(*own);
  const sandbox::Profile shipped = sandbox::shipped_profile(name);
  if (shipped.known) return shipped.permissions;
  std::string names;
  for (const std::string_view each : sandbox::shipped_profiles())
    names.append(names.empty() ? "" : ", ").append(each);
  if (const auto& more = kernel.policy().document().profiles)
    for (const auto& [each, permissions] : *more) names += ", " + each;
  return Error(Code::invalid_params,
               "params.options.profile \"" + name.substr(0, 64) + "\" is no profile; there are " + names)
      .with("path", std::string("params.options.profile"));
}

/// What the spawn would have if nobody limited it, in normal form.
Result<std::optional<api::Permissions>> asked_permissions(const Kernel& kernel, const access::Principal& who,
                                                          const Rules& rules, const Wanted& wanted,
                                                          const session::Session* from) {
  if (wanted.profile && wanted.permissions)
    return Error(Code::invalid_params,
                 "params.options.profile stands beside params.options.permissions; one of them")
        .with("path", std::string("params.options.profile"));
  std::optional<api::Permissions> out = wanted.permissions;
  if (wanted.profile) {
    auto named = profile(kernel, *wanted.profile);
    if (!named) return std::move(named).error();
    out = *std::move(named);
    if (const std::string& undeclared = kernel.policy().undeclared(rules); !out && undeclared != "allow")
      return Error(Code::permission_denied,
                   who.name() + " may not start a process that is not confined (undeclared: " + undeclared +
                       ")" + nothing_started)
          .with("rule", std::string("undeclared"));
  } else if (!out && from && from->record().permissions) {
    return from->record().permissions;
  } else if (!out) {
    const std::string& undeclared = kernel.policy().undeclared(rules);
    if (undeclared == "deny")
      return Error(Code::permission_denied,
                   who.name() +
                       " may not start a process without a declaration of permissions (undeclared: deny)" +
                       nothing_started)
          .with("rule", std::string("undeclared"));
    if (undeclared == "allow") return std::optional<api::Permissions>();
    auto named = profile(kernel, undeclared);
    if (!named) return std::move(named).error();
    out = *std::move(named);
  }
  if (!out) return out;
  auto normal = sandbox::normalised(*out, wanted.cwd, declared_at);
  if (!normal) return std::move(normal).error();
  return std::optional(*std::move(normal));
}

/// At most what the session has that the spawn comes from.
Result<void> check_held_permissions(const session::Session* from,
                                    const std::optional<api::Permissions>& asked) {
  if (!from || !from->record().permissions) return {};
  if (!asked)
    return Error(Code::permission_denied, std::string("an unconfined process is more than its starter's "
                                                      "permissions: a process cannot grant what it lacks") +
                                              nothing_started);
  return sandbox::covers(*from->record().permissions, *asked);
}

Result<void> check_ruled_permissions(const access::Principal& who, const Rules& rules,
                                     const std::optional<api::Permissions>& asked, const std::string& cwd) {
  for (const auto& each : rules) {
    if (!each.rule->permissions) continue;
    const auto refuse = [&](const std::string& what) {
      return Error(Code::permission_denied,
                   who.name() + " " + what + ": refused by " + each.name + nothing_started)
          .with("rule", each.name);
    };
    if (!asked) return refuse("may not start a process that is not confined; declare permissions");
    auto ceiling = sandbox::normalised(*each.rule->permissions, cwd, "policy");
    if (!ceiling) return std::move(ceiling).error();
    if (auto covered = sandbox::covers(*ceiling, *asked); !covered)
      return refuse("may not grant so much (" + covered.error().message + ")");
  }
  return {};
}

/// The limits of the session that the spawn comes from go for what it starts as well. (Not its longest life:
/// that is a moment of its own.)
Result<void> check_held_limits(const session::Session* from, const api::ResourceLimits& declared,
                               Granted& out) {
  if (!from || !from->record().limits) return {};
  api::ResourceLimits held = *from->record().limits;
  held.wall_ms.reset();
  api::ResourceLimits asked = declared;
  if (const auto passed = access::merge_limits(held, asked))
    return Error(Code::permission_denied, "limits." + std::string(*passed) +
                                              " is more than the starter itself has: a process cannot grant "
                                              "what it lacks" +
                                              nothing_started)
        .with("path", "params.options.limits." + std::string(*passed));
  access::lower_limits(held, out.limits);
  access::lower_limits(held, out.imposed);
  return {};
}

}  // namespace

Result<Granted> grant(const Kernel& kernel, const access::Principal& principal, const Rules& rules,
                      const Wanted& wanted) {
  Granted out;
  const session::Session* from =
      principal.session_key() == 0 ? nullptr : kernel.sessions().find_key(principal.session_key());
  // What made it is not known any more, so nobody can say what it lacks.
  if (principal.session_key() != 0 && !from)
    return Error(
        Code::permission_denied,
        principal.name() + " was forgotten, and so was what it might grant" + std::string(nothing_started));
  const api::ResourceLimits declared = wanted.limits.value_or(api::ResourceLimits{});
  auto ruled = access::Policy::check_limits(rules, principal, declared);
  if (!ruled) return std::move(ruled).error();
  out.limits = std::move(*ruled);
  for (const auto& each : rules)
    if (each.rule->limits) access::lower_limits(*each.rule->limits, out.imposed);
  if (auto held = check_held_limits(from, declared, out); !held) return std::move(held).error();

  auto asked = asked_permissions(kernel, principal, rules, wanted, from);
  if (!asked) return std::move(asked).error();
  if (auto held = check_held_permissions(from, *asked); !held) return std::move(held).error();
  if (auto may = check_ruled_permissions(principal, rules, *asked, wanted.cwd); !may)
    return std::move(may).error();
  out.permissions = *std::move(asked);
  out.bounded = from && from->record().permissions;
  for (const auto& each : rules) out.bounded = out.bounded || each.rule->permissions;
  return out;
}

}  // namespace kairo::kernel
