// kairoctl policy test: what the policy would say to a call, and which rule.
#include <memory>
#include <string>

#include "api/policy.hpp"
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
};

}  // namespace

Action declare_policy(OptionSet& set) {
  auto command = std::make_shared<PolicyCommand>();
  set.argument("ACTION", command->action, "test");
  set.argument("PRINCIPAL", command->principal, "user:UID, user:UID/NAME or process:ID");
  set.argument("METHOD", command->method, "The method that it would call, for instance process.spawn");
  return [command](Context& context) {
    if (command->action != "test")
      throw UsageError{"the action is test, not \"" + command->action + "\""};
    auto client = context.connect();
    if (!client) return report(client.error());
    api::PolicyTestParams params;
    params.principal = command->principal;
    params.method = command->method;
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
