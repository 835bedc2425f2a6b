#include "sandbox/plan.hpp"

#include <algorithm>

#include "sandbox/filter.hpp"
#include "sandbox/landlock.hpp"
#include "sandbox/profile.hpp"

namespace kairo::sandbox {
namespace {

constexpr std::uint64_t reading = landlock::execute | landlock::read_file | landlock::read_dir;
/// With ioctl, which isatty() is: these devices have none that needs no capability.
constexpr std::uint64_t of_device =
    landlock::read_file | landlock::write_file | landlock::truncate | landlock::ioctl_dev;

Error unsupported(const std::string& what) {
  return Error(Code::unsupported, "this host cannot enforce the declared permissions: it lacks " + what +
                                      "; nothing was started")
      .with("missing", what);
}

void add_files(Plan& plan, const api::FileAccess& files) {
  plan.handled_files = landlock::all_files;
  const auto system = system_paths();
  for (const std::string& path : files.read.value_or(std::vector<std::string>{}))
    // What a profile lists is passed over where it is not there; so it is for who names it himself.
    plan.paths.push_back({path, reading, std::find(system.begin(), system.end(), path) != system.end()});
  for (const std::string& path : files.write.value_or(std::vector<std::string>{}))
    plan.paths.push_back({path, landlock::all_files});
  for (const std::string_view path : basic_devices())
    plan.paths.push_back({std::string(path), of_device, true});
  for (const std::string_view path : basic_files())
    plan.paths.push_back({std::string(path), landlock::read_file, true});
}

void add_ports(Plan& plan, const api::NetPorts& ports) {
  plan.handled_ports = landlock::bind_tcp | landlock::connect_tcp;
  for (const std::uint16_t port : ports.connect_tcp.value_or(std::vector<std::uint16_t>{}))
    plan.ports.push_back({port, landlock::connect_tcp});
  for (const std::uint16_t port : ports.bind_tcp.value_or(std::vector<std::uint16_t>{}))
    plan.ports.push_back({port, landlock::bind_tcp});
}

}  // namespace

Result<Plan> make_plan(const api::Permissions& permissions, const Host& host) {
  using Network = FilterShape::Network;
  const auto lacking = missing(host);
  if (!lacking.empty()) return unsupported(lacking.front());
  Plan plan;
  FilterShape shape;
  const api::FileAccess files = permissions.fs.value_or(api::FileAccess{});
  add_files(plan, files);
  shape.write = files.write && !files.write->empty();

  plan.scoped = landlock::scope_signals;
  shape.ipc = permissions.ipc == api::IpcAccess::all;
  if (!shape.ipc) plan.scoped |= landlock::scope_abstract_sockets;

  const std::variant<api::NetAccess, api::NetPorts> net = permissions.net.value_or(api::NetAccess::none);
  if (const auto* ports = std::get_if<api::NetPorts>(&net)) {
    add_ports(plan, *ports);
    const bool binds = ports->bind_tcp && !ports->bind_tcp->empty();
    // A socket that was never bound listens on a port of the system's choice, and Landlock does not look.
    if (!binds && shape.ipc)
      return unsupported(
          "a way to tell listening on TCP, for which net.bindTcp names no port, from listening on Unix "
          "sockets, "
          "which ipc \"all\" allows");
    shape.network = binds ? Network::ports : Network::connecting_ports;
  } else {
    const auto access = std::get<api::NetAccess>(net);
    plan.private_network = access == api::NetAccess::private_;
    shape.network = access == api::NetAccess::none ? Network::none
                    : plan.private_network         ? Network::apart
                                                   : Network::open;
  }
  if (plan.private_network && !host.private_network) return unsupported(host.private_network_missing);

  auto filter = compiled_filter(shape);
  if (!filter) return std::move(filter).error();
  plan.filter.data = (*filter)->program;
  if (host.tells) plan.tellable = (*filter)->tellable;
  return plan;
}

}  // namespace kairo::sandbox
