#include "kernel/methods.hpp"

#include "base/signals.hpp"
#include "kernel/handlers.hpp"
#include "reflect/decode.hpp"

namespace kairo::kernel {
namespace {

/// The session that a request names, if it names one; for params that may.
template <class P>
requires requires(const P& params) {
  params.id.size();
}
const std::string* session_of(const P& params, Needs needs) {
  return needs == Needs::reach ? &params.id : nullptr;
}
const std::string* session_of(const api::SpawnParams&, Needs) = delete;
const std::string* session_of(const api::DeviceClaimParams& params, Needs) {
  return params.process_id ? &*params.process_id : nullptr;
}

/// What the audit tells of a request beside its outcome. Never what is written to a standard input.
template <class P>
void tell(AuditedRequest& out, Kernel& kernel, Client& client, const P& params) {
  if constexpr (std::is_same_v<P, api::SpawnParams>) {
    if (params.id) out.about(*params.id);
    kernel.audit().redactor().append_argv(out.members, params.command);
    const auto& env = params.options && params.options->env ? params.options->env : params.env;
    if (env && !env->empty()) kernel.audit().redactor().append_env(out.members, *env);
  } else if constexpr (std::is_same_v<P, api::PublishParams>) {
    audit::append_member(out.members, "type", params.type);
  } else if constexpr (std::is_same_v<P, api::IdentifyParams>) {
    out.about(params.name);
  } else if constexpr (requires { out.about(params.subscription_id); }) {
    const OutputSubscription* const output = client.find_output(params.subscription_id);
    out.about(output ? output->session().id() : params.subscription_id);
  } else if constexpr (requires { out.about(params.id); }) {
    out.about(params.id);
  }
  if constexpr (std::is_same_v<P, api::KillParams>)
    if (params.signal) {
      const auto* const name = std::get_if<std::string>(&*params.signal);
      audit::append_member(out.members, "signal",
                           name ? *name : signal_name(std::get<std::int32_t>(*params.signal)));
    }
}

template <class P, class R>
Method row(std::string_view name, Needs needs, void (*handler)(Kernel&, Call&, P, Reply<R>),
           std::string_view text) {
  Method method{name, text, needs, &reflect::type_info<P>(), &reflect::type_info<R>(), {}};
  method.call = [handler, needs](Kernel& kernel, Call& call, const msgpack::object* params,
                                 Answerer answerer) {
    P decoded{};
    static const msgpack::object none = [] {
      msgpack::object map;
      map.type = msgpack::type::MAP;
      map.via.map.size = 0;
      map.via.map.ptr = nullptr;
      return map;
    }();
    reflect::Context context("params", reflect::Unknown::refuse);
    if (!reflect::decode(context, params ? *params : none, decoded))
      return answerer.fail(std::move(context).take_error());
    answerer.audited([&](AuditedRequest& request) { tell(request, kernel, *call.client, decoded); });
    Reply<R> reply(std::move(answerer));
    if constexpr (requires { session_of(decoded, needs); }) {
      const std::string* id = session_of(decoded, needs);
      const auto starting = id ? kernel.starting.find(*id) : kernel.starting.end();
      if (starting != kernel.starting.end()) {
        if (starting->second.size() >= limits::requests_behind_launch)
          return reply(Error(Code::limit_exceeded,
                             "too many requests wait for the launch of session \"" + *id + "\""));
        starting->second.push_back([handler, &kernel, client = call.client, decoded = std::move(decoded),
                                    reply, correlation = std::string(call.correlation_id),
                                    causation = std::string(call.causation_id)]() mutable {
          if (!client->open()) return;
          std::vector<UniqueFd> no_descriptors;
          Call later{client, correlation, causation, no_descriptors};
          handler(kernel, later, std::move(decoded), reply);
        });
        return;
      }
    }
    handler(kernel, call, std::move(decoded), std::move(reply));
  };
  return method;
}

}  // namespace

MethodTable::MethodTable() {
  methods_ = {
      row("kernel.ping", Needs::nothing, ping, "Answers at once"),
      row("kernel.info", Needs::rights, info, "Version, instance, limits, and what works on this host"),
      row("kernel.metrics", Needs::rights, kernel_metrics, "What the daemon has counted since its start"),
      row("kernel.introspect", Needs::nothing, introspect, "Every method with its parameters and result"),
      row("kernel.stop", Needs::rule, stop, "Stops the daemon, as SIGTERM does"),
      row("kernel.upgrade", Needs::rule, upgrade,
          "Replaces the daemon by the program that is now at its path, in place"),
      row("identify", Needs::rights, identify, "Narrows this connection to a name of its user"),
      row("policy.test", Needs::rights, policy_test, "What the policy would say to a call, and which rule"),
      row("process.spawn", Needs::spawn, spawn, "Starts a program"),
      row("process.status", Needs::reach, status, "One session"),
      row("process.list", Needs::rights, list, "The sessions that the caller may act on, in pages"),
      row("process.wait", Needs::reach, wait,
          "Answers when the process has ended, or at once when it has already"),
      row("process.kill", Needs::reach, kill, "Sends a signal"),
      row("process.pause", Needs::reach, pause, "Stops the process group (SIGSTOP)"),
      row("process.resume", Needs::reach, resume, "Continues the process group (SIGCONT)"),
      row("process.cancel", Needs::reach, cancel, "SIGTERM, then SIGKILL after the grace"),
      row("process.forget", Needs::reach, forget, "Drops an ended session and its logs"),
      row("process.resize", Needs::reach, resize, "Sets the size of a session's terminal"),
      row("process.explain", Needs::reach, explain,
          "Which line of a session's permissions covers something, or what the session was denied"),
      row("process.stdin.write", Needs::reach, stdin_write, "Writes to the standard input"),
      row("process.stdin.close", Needs::reach, stdin_close, "End of file after what was written"),
      row("process.attach", Needs::reach, attach, "Subscribes this connection to output"),
      row("process.detach", Needs::rights, detach, "Ends a subscription of this connection"),
      row("process.credit", Needs::rights, credit, "Gives credit to a subscription that counts it"),
      row("process.read", Needs::reach, read, "Reads a log by offset, without a subscription"),
      row("event.subscribe", Needs::rights, event_subscribe, "Pushes events of a topic to this connection"),
      row("event.unsubscribe", Needs::rights, event_unsubscribe, "Ends an event subscription"),
      row("event.query", Needs::rights, event_query, "Stored events that the caller may see, in pages"),
      row("event.publish", Needs::rights, event_publish, "Publishes an event"),
      row("audit.query", Needs::rights, audit_query,
          "Records of the audit that the caller may see, in pages"),
      row("topology.up", Needs::spawn, topology_up, "Starts a topology, all of it or nothing"),
      row("topology.status", Needs::rights, topology_status, "One topology with its nodes and connections"),
      row("topology.list", Needs::rights, topology_list, "The topologies that the caller may act on"),
      row("topology.cutover", Needs::rights, topology_cutover,
          "Replaces a node while data flows, losing nothing"),
      row("topology.down", Needs::rights, topology_down, "Lets a topology drain, sources first, and ends it"),
      row("system.get_metrics", Needs::rights, get_metrics, "Load of the host and of the daemon"),
      row("device.list", Needs::rights, device_list, "Devices as udev knows them, and who has claimed them"),
      row("device.claim", Needs::rights, device_claim, "Claims a device for a session or this connection"),
      row("device.release", Needs::rights, device_release, "Ends the claim of a device"),
  };
  for (const Method& method : methods_) by_name_.emplace(method.name, &method);
}

const Method* MethodTable::find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second;
}

std::string_view MethodTable::nearest(std::string_view name) const {
  std::vector<std::string_view> names;
  for (const Method& method : methods_) names.push_back(method.name);
  return reflect::nearest_name(name, names.data(), names.size());
}

}  // namespace kairo::kernel
