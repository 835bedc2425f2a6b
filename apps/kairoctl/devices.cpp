// kairoctl devices list, claim, release: the machine's devices and who has them.
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "api/device.hpp"
#include "context.hpp"
#include "option_set.hpp"
#include "table.hpp"
#include "wire/payload.hpp"

namespace kairo::ctl {
namespace {

struct DevicesCommand {
  std::string action = "list";
  std::string id;
  std::string process;
  std::string subsystem;
  std::string type;
};

std::optional<std::string> if_given(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

int list(Context& context, const DevicesCommand& command) {
  auto client = context.connect();
  if (!client) return report(client.error());
  auto raw = client->call_raw("device.list",
                              api::DeviceListParams{if_given(command.subsystem), if_given(command.type)});
  if (!raw) return report(raw.error());
  wire::PayloadDecoder decoder;
  auto value = decoder.decode(*raw, wire::Shape::any);
  if (!value) return report(value.error());
  const msgpack::object* devices = wire::find_member(*value, "devices");
  if (!devices || devices->type != msgpack::type::ARRAY) {
    print_json(*value);
    return exit_code::success;
  }
  const std::span<const msgpack::object> all(devices->via.array.ptr, devices->via.array.size);
  if (context.globals().table)
    write_out(listed(all).text());
  else
    for (const msgpack::object& each : all) print_json(each);
  return exit_code::success;
}

/// A claim for a session is the session's; any other one is this process's, which keeps it until it is ended.
/// The next daemon hears of it in time.
int claim(Context& context, const DevicesCommand& command) {
  auto client = context.connect();
  if (!client) return report(client.error());
  const api::DeviceClaimParams params{command.id, if_given(command.process)};
  bool printed = false;
  for (;;) {
    auto claimed = client->call_raw("device.claim", params);
    if (!claimed) return report(claimed.error());
    if (!std::exchange(printed, true)) print_json_line(*claimed);
    if (params.process_id) return exit_code::success;
    auto push = client->poll_push({});
    while (push) push = client->poll_push({});
    if (!client::is_unreachable(push.error())) return report(push.error());
  }
}

}  // namespace

Action declare_devices(OptionSet& set) {
  auto command = std::make_shared<DevicesCommand>();
  set.optional_argument("ACTION", command->action, "list (default), claim or release");
  set.optional_argument("DEVICE", command->id, "Id of the device to claim or to release");
  set.value("--process", command->process, "SESSION", "Claim it for this session, until that ends");
  set.value("--subsystem", command->subsystem, "NAME", "List only these: block, net, tty, usb, ...");
  set.value("--type", command->type, "NAME", "List only these: disk, partition, usb_device, ...");
  return [command](Context& context) {
    const bool lists = command->action == "list";
    if (!lists && command->action != "claim" && command->action != "release")
      throw UsageError{"the action is list, claim or release, not \"" + command->action + "\""};
    if (!command->process.empty() && command->action != "claim")
      throw UsageError{"--process goes with claim alone"};
    if (!lists && (!command->subsystem.empty() || !command->type.empty()))
      throw UsageError{"--subsystem and --type go with list alone"};
    if (lists != command->id.empty())
      throw UsageError{lists ? "list takes no device" : command->action + " needs the id of a device"};
    if (lists) return list(context, *command);
    if (command->action == "claim") return claim(context, *command);
    return call_and_print(context, "device.release", api::DeviceParams{command->id});
  };
}

}  // namespace kairo::ctl
