// kairoctl policy test: what the policy would say to a call, and which rule.
#include "api/policy.hpp"

#include <memory>
#include <string>

#include "context.hpp"
#include "option_set.hpp"
#include "program_options.hpp"
#include "wire/payload.hpp"

namespace kairo::ctl {
namespace {

struct PolicyCommand {
  std::string action;
  std::string principal;
  std::string method;
  ProgramOptions spawn;
};

}  // namespace

Action declare_policy(OptionSet& set) {
  auto command = std::make_shared<PolicyCommand>();
  set.argument("ACTION", command->action, "test");
  set.argument("PRINCIPAL", command->principal, "user:UID, user:UID/NAME or process:ID");
  set.argument("METHOD", command->method, "The method that it would call, for instance process.spawn");
  declare_bounds(set, command->spawn);
  return [command](Context& context) {
    if (command->action != "test") throw UsageError{"the action is test, not \"" + command->action + "\""};
    api::PolicyTestParams params;
    params.principal = command->principal;
    params.method = command->method;
    const std::string cwd = callers_cwd();
    const Bounds bounds = bounds_of(command->spawn, cwd);
    params.limits = bounds.limits;
    params.permissions = bounds.permissions;
    params.profile = bounds.profile;
    if (params.permissions || params.profile) params.cwd = cwd;
    auto client = context.connect();
    if (!client) return report(client.error());
    auto raw = client->call_raw("policy.test", params);
    if (!raw) return report(raw.error());
    print_json_line(*raw);
    wire::PayloadDecoder decoder;
    auto value = decoder.decode(*raw, wire::Shape::any);
    const msgpack::object* allowed = value ? wire::find_member(*value, "allowed") : nullptr;
    const bool yes = allowed && allowed->type == msgpack::type::BOOLEAN && allowed->via.boolean;
    return yes ? exit_code::success : exit_code::permission;
  };
}

}  // namespace kairo::ctl
