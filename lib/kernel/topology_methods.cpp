// topology.* (SPEC 9.6): the kernel checks, starts the executor as a session, and passes on what it is asked;
// the executor answers (lib/executor/executor.hpp).
#include <climits>
#include <unistd.h>

#include "kernel/executors.hpp"
#include "kernel/handlers.hpp"
#include "kernel/spawn.hpp"
#include "topology/check.hpp"

namespace kairo::kernel {
namespace {

/// SIGTERM has the executor bring its topology down: time to drain, and to end what does not.
constexpr std::uint64_t executor_grace_ms = 20'000;

/// The program of this daemon, by the path that it has now.
std::string own_program() {
  char path[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  std::string program(path, length > 0 ? static_cast<std::size_t>(length) : 0);
  // It was replaced since: the new one stands at its place.
  constexpr std::string_view deleted = " (deleted)";
  if (program.ends_with(deleted)) program.resize(program.size() - deleted.size());
  return program;
}

Error unknown_topology(const std::string& name) {
  return Error(Code::not_found, "there is no topology \"" + reflect::quotable(name) + "\"")
      .with("name", name.substr(0, 128));
}

/// The executor of that topology, if the caller may act on it.
Result<session::Session*> executor_of(const Kernel& kernel, const Call& call, const std::string& name) {
  const session::Session* const known = kernel.sessions().find(topology::executor_session(name));
  if (!known || known->record().topology != name) return unknown_topology(name);
  return kernel.reach(*call.client, topology::executor_session(name));
}

/// The sessions that executors of that topology have started.
std::vector<session::Session*> nodes_of(Kernel& kernel, const std::string& topology) {
  const std::string owner = "process:" + topology::executor_session(topology);
  std::vector<session::Session*> out;
  kernel.sessions().for_each(0, [&](session::Session& each) {
    if (each.record().owner == owner) out.push_back(&each);
    return true;
  });
  return out;
}

/// Ended, and let go of by the keeper.
bool is_over(const session::Session& session) {
  return session.ended() && !session.slot();
}

api::TopologyState state_of(const session::Session& executor) {
  if (!executor.ended()) return api::TopologyState::running;
  const auto view = executor.view();
  return view.exit_code == 0 ? api::TopologyState::finished : api::TopologyState::failed;
}

/// An executor that no more answers has ended, or is about to: that is heard of a moment later.
constexpr std::chrono::milliseconds executor_end_patience{5000};
constexpr std::chrono::milliseconds executor_end_interval{10};

api::TopologyStatus status_at_end(const session::Session& executor) {
  const api::ProcessSession view = executor.view();
  api::TopologyStatus out;
  out.name = executor.record().topology;
  out.state = state_of(executor);
  out.process_id = view.id;
  out.started_at = view.started_at;
  if (out.state == api::TopologyState::failed)
    out.reason = "its executor " +
                 (view.exit_code ? "exited with " + std::to_string(*view.exit_code)
                                 : "was ended by " + view.signal.value_or("a signal")) +
                 "; its log (stderr of session " + view.id + ") and the event kairo.topology.failed tell why";
  return out;
}

/// Calls `then` once the executor of that topology and all that it started have ended, or patience has.
void when_gone(Kernel& kernel, const std::string& topology, long patience, std::function<void()> then) {
  const session::Session* const executor = kernel.sessions().find(topology::executor_session(topology));
  bool gone = !executor || is_over(*executor);
  for (const session::Session* const node : nodes_of(kernel, topology)) gone = gone && is_over(*node);
  if (gone || patience <= 0) return then();
  kernel.timers().after(executor_end_interval, [&kernel, topology, patience, then = std::move(then)] {
    when_gone(kernel, topology, patience - 1, then);
  });
}

void tell_status(Kernel& kernel, const api::TopologyParams& params, std::uint64_t key,
                 const Reply<api::TopologyStatus>& reply, long patience) {
  session::Session* const executor = kernel.sessions().find_key(key);
  if (!executor) return reply(unknown_topology(params.name));
  if (executor->ended())
    return when_gone(kernel, params.name, patience, [&kernel, params, key, reply] {
      const session::Session* const gone = kernel.sessions().find_key(key);
      gone ? reply(status_at_end(*gone)) : reply(unknown_topology(params.name));
    });
  kernel.executors().ask(*executor, "topology.status", reflect::to_msgpack(params),
                         [&kernel, params, key, reply, patience](Result<std::string> answer) {
                           if (answer) return reply.packed(reflect::Any{*std::move(answer)});
                           if (answer.error().code != Code::not_running || patience <= 0 || reply.abandoned())
                             return reply(answer.error());
                           kernel.timers().after(executor_end_interval,
                                                 [&kernel, params, key, reply, patience] {
                                                   tell_status(kernel, params, key, reply, patience - 1);
                                                 });
                         });
}

/// The executor of that topology, while it runs, if the caller may act on it; otherwise answers the error.
template <class R>
session::Session* running_executor(Kernel& kernel, const Call& call, const std::string& name,
                                   const Reply<R>& reply) {
  auto executor = executor_of(kernel, call, name);
  if (!executor) {
    reply(std::move(executor).error());
    return nullptr;
  }
  reply.audited([&](AuditedRequest& request) { request.about(topology::executor_session(name)); });
  if (!(*executor)->ended()) return *executor;
  reply(Error(Code::not_running, "topology \"" + name + "\" has ended").with("name", name));
  return nullptr;
}

}  // namespace

void topology_up(Kernel& kernel, Call& call, api::TopologyUpParams params, Reply<api::TopologyStatus> reply) {
  if (auto good = topology::check(params.topology, "params.topology"); !good)
    return reply(std::move(good).error());
  if (params.cwd && (params.cwd->empty() || (*params.cwd)[0] != '/'))
    return reply(Error(Code::invalid_params, "params.cwd must be an absolute path")
                     .with("path", std::string("params.cwd")));
  const std::string name = params.topology.name;
  const session::Session* const former = kernel.sessions().find(topology::executor_session(name));
  if (former && former->record().topology.empty())
    return reply(
        Error(Code::already_exists, "session \"" + topology::executor_session(name) +
                                        "\" exists already, and is no topology's; nothing was started")
            .with("name", name));
  if (former && !is_over(*former))
    return reply(Error(Code::already_exists, "topology \"" + name + "\" is up already; nothing was started")
                     .with("name", name));
  if (kernel.starting.contains(topology::executor_session(name)))
    return reply(
        Error(Code::already_exists, "topology \"" + name + "\" is being started already; nothing was started")
            .with("name", name));
  for (const session::Session* const node : nodes_of(kernel, name))
    if (!is_over(*node))
      return reply(Error(Code::already_exists, "topology \"" + name + "\" has not ended yet: session \"" +
                                                   node->id() + "\" is still ending; nothing was started")
                       .with("name", name));
  const ipc::Peer& peer = call.client->connection().peer();
  const bool foreign = kernel.options().serves_users;
  auto place =
      kernel.executors().make_place(name, foreign ? peer.uid : ::geteuid(), foreign ? peer.gid : ::getegid());
  if (!place) {
    place.error().message += "; nothing was started";
    return reply(std::move(place).error());
  }

  api::SpawnParams spawn;
  spawn.id = topology::executor_session(name);
  spawn.command = {own_program(), "executor"};
  api::SpawnOptions options;
  options.standard_input = api::StdinKind::fd;
  options.env = std::map<std::string, std::string>{{"KAIRO_TOPOLOGY_DIR", place->directory}};
  options.labels = std::map<std::string, std::string>{{"kairo.topology", name}};
  options.kill_grace_ms = executor_grace_ms;
  options.replace = true;
  options.subscribe = false;
  spawn.options = std::move(options);
  std::vector<UniqueFd> descriptors;
  descriptors.push_back(std::move(place->listening));
  Call as{call.client, call.correlation_id, call.causation_id, descriptors};
  reply.audited([&](AuditedRequest& request) { request.about(topology::executor_session(name)); });
  spawn_session(
      kernel, as, std::move(spawn), name,
      [&kernel, client = call.client, name, params = reflect::to_msgpack(params),
       reply](Result<api::SpawnResult> started) {
        if (!started) {
          kernel.executors().remove_place(name);
          return reply(std::move(started).error());
        }
        const session::Session* const executor = kernel.sessions().find(topology::executor_session(name));
        if (!executor) return reply(unknown_topology(name));
        // The executor's session took the place of the former one. It cannot replace that one's
        // nodes itself: they are owned by the former, not by it.
        for (session::Session* const node : nodes_of(kernel, name))
          if (kernel.may_act(client->principal(), node->record().owned_by())) kernel.forget(*node);
        kernel.executors().ask(*executor, "topology.up", params, [reply](Result<std::string> answer) {
          if (!answer) return reply(std::move(answer).error());
          reply.packed(reflect::Any{*std::move(answer)});
        });
      });
}

void topology_status(Kernel& kernel, Call& call, api::TopologyParams params,
                     Reply<api::TopologyStatus> reply) {
  auto executor = executor_of(kernel, call, params.name);
  if (!executor) return reply(std::move(executor).error());
  reply.audited([&](AuditedRequest& request) { request.about(topology::executor_session(params.name)); });
  tell_status(kernel, params, (*executor)->key(), reply, executor_end_patience / executor_end_interval);
}

void topology_list(Kernel& kernel, Call& call, api::NoParams, Reply<api::TopologyListResult> reply) {
  api::TopologyListResult out;
  kernel.sessions().for_each(0, [&](session::Session& each) {
    const std::string& name = each.record().topology;
    if (name.empty() || !kernel.may_act(call.client->principal(), each.record().owned_by())) return true;
    const api::ProcessSession view = each.view();
    out.topologies.push_back({name, state_of(each), view.id, view.owner, view.started_at});
    return true;
  });
  reply(out);
}

void topology_cutover(Kernel& kernel, Call& call, api::CutoverParams params,
                      Reply<api::CutoverResult> reply) {
  session::Session* const executor = running_executor(kernel, call, params.name, reply);
  if (!executor) return;
  kernel.executors().ask(*executor, "topology.cutover", reflect::to_msgpack(params),
                         [reply](Result<std::string> answer) {
                           if (!answer) return reply(std::move(answer).error());
                           reply.packed(reflect::Any{*std::move(answer)});
                         });
}

void topology_down(Kernel& kernel, Call& call, api::TopologyDownParams params,
                   Reply<api::TopologyDownResult> reply) {
  auto executor = running_executor(kernel, call, params.name, reply);
  if (!executor) return;
  kernel.executors().ask(*executor, "topology.down", reflect::to_msgpack(params),
                         [&kernel, name = params.name, reply](Result<std::string> answer) {
                           if (!answer) return reply(std::move(answer).error());
                           // The name is free when this is answered, so that an up may follow at once.
                           when_gone(
                               kernel, name, executor_end_patience / executor_end_interval,
                               [reply, result = reflect::Any{*std::move(answer)}] { reply.packed(result); });
                         });
}

}  // namespace kairo::kernel
