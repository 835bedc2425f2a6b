// kernel.* and identify.
#include <memory>
#include <optional>
#include <unistd.h>

#include <boost/asio/post.hpp>

#include "base/version.hpp"
#include "kernel/handlers.hpp"
#include "kernel/limits_plan.hpp"
#include "sandbox/host.hpp"

namespace kairo::kernel {

void ping(Kernel&, Call&, api::NoParams, Reply<api::PingResult> reply) {
  reply(api::PingResult{true, to_iso8601(system_now())});
}

void info(Kernel& kernel, Call&, api::NoParams, Reply<api::InfoResult> reply) {
  api::InfoResult out;
  out.version = version();
  out.protocol_version = wire::protocol_version;
  out.instance_id = kernel.instance_id();
  out.keeper_id = kernel.link().keeper_id();
  out.pid = ::getpid();
  out.keeper_pid = kernel.link().keeper_pid();
  out.started_at = to_iso8601(kernel.started_at());
  out.uptime_ms = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(system_now() - kernel.started_at()).count());
  out.socket = kernel.options().socket_path;
  out.state_dir = kernel.options().state_dir;
  if (kernel.options().host) out.metrics_listen = kernel.options().host->metrics_address();
  out.sessions = kernel.sessions().size();
  out.running = kernel.sessions().live();
  // The settings under their names in kairod.json(5), and what is fixed.
  for (const NumberSetting& each : number_settings)
    out.limits.emplace(each.name, kernel.settings().*each.member);
  out.limits.insert({
      {"nestingDepth", limits::nesting_depth},
      {"payloadValues", limits::payload_values},
      {"eventSubscriptions", limits::event_subscriptions},
      {"eventDataBytes", limits::event_data_bytes},
      {"argvEnvBytes", limits::argv_env_bytes},
      {"stdinBytes", limits::stdin_bytes},
      {"chunkBytesMax", limits::chunk_bytes_max},
      {"readBytesMax", limits::read_bytes_max},
  });
  const sandbox::Host& host = sandbox::host();
  out.confinement = {host.landlock_abi, host.seccomp, host.private_network, sandbox::missing(host), {}, {}};
  const bool heard = host.tells && kernel.link().tells_denials();
  if (heard)
    out.confinement.sources.emplace_back("seccomp");
  else
    out.confinement.untold.emplace_back(
        "sockets, System V IPC, modes, owners, times: " +
        std::string(host.tells ? "the keeper is of an earlier version" : "filters have no listeners here"));
  if (kernel.landlock_watch().on())
    out.confinement.sources.emplace_back("landlock");
  else
    out.confinement.untold.push_back("files, ports, signals: " + kernel.landlock_watch().why_not());
  out.features = {
      {"pty", false},       {"limits", true},   {"permissions", out.confinement.missing.empty()},
      {"eventStore", true}, {"topology", true}, {"audit", kernel.audit().on() && !kernel.audit().failing()},
      {"descriptors", true}};
  out.features.merge(limit_features({kernel.link().keeper_version(), kernel.link().groups()}));
  reply(out);
}

void introspect(Kernel& kernel, Call&, api::NoParams, Reply<api::IntrospectResult> reply) {
  api::IntrospectResult out;
  for (const Method& method : kernel.methods().all())
    out.methods.push_back({std::string(method.name), std::string(method.text),
                           reflect::Any{reflect::to_msgpack_schema(*method.params, true)},
                           reflect::Any{reflect::to_msgpack_schema(*method.result, false)}});
  reply(out);
}

namespace {

/// Nothing when the daemon can be asked to stop or to replace itself.
std::optional<Error> cannot_end(const Kernel& kernel) {
  if (!kernel.options().host)
    return Error(Code::unsupported, "this kernel has no daemon around it that could be stopped");
  if (kernel.stopping()) return Error(Code::shutting_down, "the daemon is stopping already");
  return std::nullopt;
}

}  // namespace

void stop(Kernel& kernel, Call&, api::StopParams params, Reply<api::StopResult> reply) {
  if (auto error = cannot_end(kernel)) return reply(*error);
  Host& host = *kernel.options().host;
  const OnShutdown what = params.processes.value_or(host.on_shutdown());
  reply(api::StopResult{kernel.instance_id(), what});
  reply.flush();
  boost::asio::post(kernel.io(), [&host, what] { host.stop(what); });
}

void upgrade(Kernel& kernel, Call&, api::NoParams, Reply<api::UpgradeResult> reply) {
  if (auto error = cannot_end(kernel)) return reply(*error);
  boost::asio::post(kernel.worker(), [&kernel, reply] {
    auto next = std::make_shared<Result<Host::Next>>(kernel.options().host->find_next());
    boost::asio::post(kernel.io(), [&kernel, reply, next] {
      if (!*next) return reply(next->error());
      if (auto error = cannot_end(kernel)) return reply(*error);
      reply(api::UpgradeResult{kernel.instance_id(), version(), (*next)->version, (*next)->program});
      reply.flush();
      kernel.options().host->upgrade();
    });
  });
}

void identify(Kernel&, Call& call, api::IdentifyParams params, Reply<api::IdentifyResult> reply) {
  auto narrowed = call.client->principal().narrowed(params.name);
  if (!narrowed) return reply(narrowed.error());
  call.client->set_principal(*narrowed);
  reply(api::IdentifyResult{narrowed->name()});
}

}  // namespace kairo::kernel
