// policy.test: what the policy would say to a call, without making it.
#include <charconv>

#include "kernel/admission.hpp"
#include "kernel/handlers.hpp"

namespace kairo::kernel {
namespace {

/// The principal that a text names, as it would be if it connected now.
Result<access::Principal> named_principal(const Kernel& kernel, const std::string& text) {
  const auto bad = [&] {
    return Error(Code::invalid_params,
                 "params.principal must be user:UID, user:UID/NAME or process:ID of a known session, not \"" +
                     text.substr(0, 128) + "\"")
        .with("path", std::string("params.principal"));
  };
  const std::size_t slash = text.find('/');
  const std::string whole = text.substr(0, slash);
  std::optional<access::Principal> out;
  if (whole.starts_with("user:")) {
    uid_t uid = 0;
    const auto [end, error] = std::from_chars(whole.data() + 5, whole.data() + whole.size(), uid);
    if (error == std::errc{} && end == whole.data() + whole.size()) out = access::Principal::user(uid);
  } else if (whole.starts_with("process:")) {
    if (const session::Session* session = kernel.sessions().find(whole.substr(8)))
      out = access::Principal::process(::geteuid(), session->record().owned_by(), session->id(),
                                       session->key());
  }
  if (!out) return bad();
  if (slash == std::string::npos) return *out;
  auto narrowed = out->narrowed(text.substr(slash + 1));
  if (!narrowed) return bad();
  return narrowed;
}

}  // namespace

void policy_test(Kernel& kernel, Call& call, api::PolicyTestParams params,
                 Reply<api::PolicyTestResult> reply) {
  auto who = named_principal(kernel, params.principal);
  if (!who) return reply(who.error());
  const access::Principal& caller = call.client->principal();
  if (!Kernel::may_rule(caller) && !kernel.may_act(caller, who->path()))
    return reply(
        Error(Code::permission_denied,
              caller.name() + " may ask about itself and what it has started, not about " + who->name()));
  const Method* method = kernel.methods().find(params.method);
  if (!method) {
    Error error(Code::invalid_params,
                "params.method: there is no method \"" + params.method.substr(0, 64) + "\"");
    if (const std::string_view near = kernel.methods().nearest(params.method); !near.empty())
      error.message += "; did you mean \"" + std::string(near) + "\"?";
    return reply(std::move(error).with("path", std::string("params.method")));
  }
  const bool spawns = method->needs == Needs::spawn;
  if (!spawns && (params.limits || params.permissions || params.profile || params.cwd))
    return reply(
        Error(Code::invalid_params,
              "params: limits, permissions, profile and cwd are asked about with process.spawn alone")
            .with("path", std::string("params.method")));
  api::PolicyTestResult out;
  const auto rules = kernel.policy().binding(*who);
  for (const auto& each : rules) out.rules.push_back(each.name);
  const auto refuse = [&](const Error& error) {
    out.reason = error.message;
    for (const auto& [name, value] : error.details)
      if (const auto* text = std::get_if<std::string>(&value); text && name == "rule") out.rule = *text;
    reply(out);
  };
  if (auto may = kernel.admit(*who, rules, *method); !may) return refuse(may.error());
  if (spawns) {
    auto granted = grant(kernel, *who, rules,
                         {params.cwd.value_or("/"), params.limits, params.permissions, params.profile});
    if (!granted && granted.error().code != Code::permission_denied) return reply(granted.error());
    if (!granted) return refuse(granted.error());
    if (granted->limits != api::ResourceLimits{}) out.limits = std::move(granted->limits);
    out.permissions = std::move(granted->permissions);
  }
  out.allowed = true;
  reply(out);
}

}  // namespace kairo::kernel
