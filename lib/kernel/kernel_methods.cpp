// kernel.* and identify.
#include <unistd.h>

#include "kernel/handlers.hpp"

namespace kairo::kernel {

void ping(Kernel&, Call&, api::NoParams, Reply<api::PingResult> reply) {
  reply(api::PingResult{true, to_iso8601(system_now())});
}

void info(Kernel& kernel, Call&, api::NoParams, Reply<api::InfoResult> reply) {
  api::InfoResult out;
  out.version = KAIRO_VERSION;
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
  out.sessions = kernel.sessions().size();
  out.running = kernel.sessions().live();
  out.limits = {
      {"framePayloadBytes", limits::frame_payload_bytes},
      {"nestingDepth", limits::nesting_depth},
      {"payloadValues", limits::payload_values},
      {"connections", limits::connections},
      {"pendingRequests", limits::pending_requests},
      {"outputSubscriptions", limits::subscriptions},
      {"eventSubscriptions", limits::event_subscriptions},
      {"liveSessions", limits::live_sessions},
      {"endedSessions", kernel.options().ended_sessions},
      {"totalLogBytes", kernel.options().total_log_bytes},
      {"stdinBytes", limits::stdin_bytes},
      {"stdinWaitingWrites", limits::stdin_waiting_writes},
      {"retainBytes", limits::retain_bytes},
      {"retainBytesMax", limits::retain_bytes_max},
      {"chunkBytesMax", limits::chunk_bytes_max},
      {"readBytesMax", limits::read_bytes_max},
      {"throttleBytesPerSecond", limits::throttle_bytes_per_second},
      {"killGraceMs", static_cast<std::uint64_t>(limits::kill_grace.count())},
  };
  out.features = {{"pty", false},      {"limits", false}, {"permissions", false}, {"eventStore", false},
                  {"topology", false}, {"audit", false},  {"descriptors", true}};
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

void identify(Kernel&, Call& call, api::IdentifyParams params, Reply<api::IdentifyResult> reply) {
  auto narrowed = call.client->principal().narrowed(params.name);
  if (!narrowed) return reply(narrowed.error());
  call.client->set_principal(*narrowed);
  reply(api::IdentifyResult{narrowed->name()});
}

}  // namespace kairo::kernel
