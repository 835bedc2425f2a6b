// kairoctl kernel info, stop, upgrade: the daemon itself. stop and upgrade never start one.
#include <cerrno>
#include <memory>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/reconnector.hpp"
#include "context.hpp"
#include "option_set.hpp"
#include "reflect/encode.hpp"

namespace kairo::ctl {
namespace {

struct KernelCommand {
  std::string action;
  std::string processes;
};

/// Which daemon it was, and which it is.
struct Identity {
  std::string version;
  std::string instance_id;
  static constexpr auto fields() {
    using reflect::field;
    return std::tuple(field("version", &Identity::version, ""),
                      field("instanceId", &Identity::instance_id, ""));
  }
};
struct Upgraded {
  Identity from;
  Identity to;
  std::string program;
  std::int32_t pid = 0;
  static constexpr auto fields() {
    using reflect::field;
    using S = Upgraded;
    return std::tuple(field("old", &S::from, ""), field("new", &S::to, ""), field("program", &S::program, ""),
                      field("pid", &S::pid, ""));
  }
};

/// The server's process, to see its end; nothing where it is in another namespace, or where a supervisor
/// listens for it, which then starts the next one when it is time.
UniqueFd process_of(client::Client& client) {
  const auto info = client.call<api::InfoResult>("kernel.info", api::NoParams{});
  ucred peer{};
  socklen_t size = sizeof peer;
  if (!info || ::getsockopt(client.fd(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid != info->pid)
    return {};
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, peer.pid, 0)));
}

/// Takes what still comes until the server closes the connection.
Error await_end(client::Client& client) {
  for (;;) {
    auto push = client.poll_push({});
    if (!push) return std::move(push).error();
  }
}

int stop(Context& context, const std::string& processes) {
  auto client = client::Client::connect(context.reconnect_options().start.connect);
  if (!client) return report(client.error());
  const UniqueFd process = process_of(*client);
  api::StopParams params;
  if (!processes.empty())
    params.processes = processes == "keep" ? api::Processes::keep : api::Processes::stop;
  auto result = client->call_raw("kernel.stop", params);
  if (!result) return report(result.error());
  static_cast<void>(await_end(*client));
  // Its locks are free, and the next daemon may start, once the process is gone.
  pollfd ended{process.get(), POLLIN, 0};
  while (process && ::poll(&ended, 1, -1) < 0 && errno == EINTR) {
  }
  print_json(*result);
  return exit_code::success;
}

int upgrade(Context& context) {
  client::ReconnectOptions options = context.reconnect_options();
  options.autostart = false;
  auto client = client::Client::connect(options.start.connect);
  if (!client) return report(client.error());
  auto begun = client->call<api::UpgradeResult>("kernel.upgrade", api::NoParams{});
  if (!begun) return report(begun.error());
  client::Reconnector reconnector(options);
  reconnector.lost(await_end(*client));
  for (;;) {
    auto channel = reconnector.reconnect();
    if (!channel) return report(channel.error());
    client::Client next(*std::move(channel));
    auto info = next.call<api::InfoResult>("kernel.info", api::NoParams{});
    if (!info && !client::is_unreachable(info.error())) return report(info.error());
    if (info && info->instance_id != begun->instance_id) {
      const Upgraded done{{begun->version, begun->instance_id},
                          {info->version, info->instance_id},
                          begun->program,
                          info->pid};
      print_json(reflect::to_msgpack(done));
      return exit_code::success;
    }
    reconnector.lost(info ? Error(Code::not_running, "the former daemon still answers") : info.error());
  }
}

}  // namespace

int print_info(Context& context);  // system.cpp

Action declare_kernel(OptionSet& set) {
  auto command = std::make_shared<KernelCommand>();
  set.argument_choice("ACTION", command->action, {"info", "stop", "upgrade"}, "info, stop or upgrade");
  set.choice("--processes", command->processes, "WHAT", {"keep", "stop"},
             "What stop does to the programs: keep or stop (as the daemon is configured)");
  return [command](Context& context) {
    if (!command->processes.empty() && command->action != "stop")
      throw UsageError{"--processes goes with stop alone"};
    if (command->action == "stop") return stop(context, command->processes);
    return command->action == "info" ? print_info(context) : upgrade(context);
  };
}

}  // namespace kairo::ctl
