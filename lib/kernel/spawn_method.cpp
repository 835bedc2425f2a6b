// process.spawn (SPEC 4.1): checks everything first, so that a refusal has no effect; then orders the launch.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ids.hpp"
#include "kernel/admission.hpp"
#include "kernel/handlers.hpp"
#include "kernel/limits_plan.hpp"
#include "kernel/spawn.hpp"
#include "sandbox/plan.hpp"

extern char** environ;

namespace kairo::kernel {
namespace {

/// A line of five sessions with the longest ids, or of thirty with common ones. The audit compares paths as
/// they stand in its records, so that none may be cut there: not that of a client inside the innermost
/// session, either, with a name of its own.
constexpr std::size_t owner_path_bytes = 800;
constexpr std::string_view longest_key = "18446744073709551615";
static_assert(owner_path_bytes + std::string_view(" process:#/").size() + session_id_bytes +
                  longest_key.size() + access::principal_name_bytes <=
              limits::audit_text_bytes);

Error bad(const std::string& path, const std::string& problem) {
  return Error(Code::invalid_params, path + " " + problem).with("path", path);
}

/// Where the program finds its connection to the daemon (keeper::Launch::ipc).
constexpr std::string_view ipc_descriptor = "3";

bool has_nul(std::string_view text) {
  return text.find('\0') != std::string_view::npos;
}

/// The seed's ProcessConfig has cwd, env and limits beside `command`; the same twice would be guessing.
template <class T>
Result<std::optional<T>> one_of(const char* name, const std::optional<T>& outer,
                                const std::optional<T>& inner) {
  if (outer && inner)
    return bad(std::string("params.") + name, std::string("stands in params.options.") + name + ", too");
  return outer ? outer : inner;
}

Result<void> check_environment(const std::map<std::string, std::string>& env) {
  for (const auto& [name, value] : env)
    if (name.empty() || name.find('=') != std::string::npos || has_nul(name) || has_nul(value))
      return bad("params.options.env." + name.substr(0, 64),
                 "cannot be an environment variable: no \"=\" in the name, no NUL byte");
  return {};
}

std::vector<std::string> minimal_environment(const passwd* user) {
  std::vector<std::string> made{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                "LANG=C.UTF-8"};
  if (user) {
    made.push_back(std::string("HOME=") + user->pw_dir);
    made.push_back(std::string("USER=") + user->pw_name);
    made.push_back(std::string("LOGNAME=") + user->pw_name);
    made.push_back(std::string("SHELL=") + user->pw_shell);
  }
  return made;
}

/// Of a user that is not the daemon's own. From the file alone: NSS may ask the network, and everybody would
/// wait. One that does not stand there has no HOME but what its client sends.
std::vector<std::string> environment_of_user(uid_t uid) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/etc/passwd", "re"), std::fclose);
  const passwd* user = nullptr;
  while (file && (user = ::fgetpwent(file.get())) && user->pw_uid != uid) {
  }
  return minimal_environment(user);
}

/// The base that a spawn of the daemon's own user adds to: "NAME=value", in no order. Neither changes while
/// the daemon runs.
const std::vector<std::string>& base_environment(api::EnvMode mode) {
  static const std::vector<std::string> inherited = [] {
    std::vector<std::string> made;
    for (char** each = environ; *each; ++each) made.emplace_back(*each);
    return made;
  }();
  // Looked up once, for the same reason.
  static const std::vector<std::string> minimal = minimal_environment(::getpwuid(::geteuid()));
  return mode == api::EnvMode::inherit ? inherited : minimal;
}

/// A child's environment as keeper::Launch takes it.
struct Environment {
  reflect::Bytes bytes;
  std::size_t variables = 0;
  void add(std::string_view name, std::string_view value) {
    bytes.data.append(name).append(1, '=').append(value).append(1, '\0');
    ++variables;
  }
};

/// Variables that every child is given, with their values.
using Told = std::vector<std::pair<std::string_view, std::string_view>>;

/// The base with `own` over it, and what every child is told (SPEC 3.2) over both.
Environment environment_of(const std::vector<std::string>& base,
                           const std::map<std::string, std::string>* own, const Told& told) {
  Environment out;
  const auto is_told = [&](std::string_view name) {
    // Of another daemon's session, when this daemon was started inside one: never passed on.
    if (name == "KAIRO_CORRELATION_ID" || name == "KAIRO_IPC_FD") return true;
    return std::any_of(told.begin(), told.end(), [&](const auto& each) { return each.first == name; });
  };
  for (const std::string_view entry : base) {
    const std::size_t equals = entry.find('=');
    if (equals == std::string_view::npos || equals == 0) continue;
    const std::string_view name = entry.substr(0, equals);
    if (!is_told(name) && !(own && own->contains(std::string(name)))) out.add(name, entry.substr(equals + 1));
  }
  if (own)
    for (const auto& [name, value] : *own)
      if (!is_told(name)) out.add(name, value);
  for (const auto& [name, value] : told) out.add(name, value);
  return out;
}

/// Everything that a launch needs, after all checks.
struct Plan {
  /// The daemon's end of the descriptor that the program is given (ipc "kernel").
  UniqueFd ipc;
  std::vector<UniqueFd> descriptors;  ///< Of the program, in the order that the keeper wants them in.
  session::Record record;
  keeper::Launch order;
  bool subscribe = true;
  bool replace = false;
};

Result<Plan> plan_spawn(Kernel& kernel, Call& call, const api::SpawnParams& params) {
  const api::SpawnOptions options = params.options.value_or(api::SpawnOptions{});
  Plan plan;

  if (!is_valid_session_id(*params.id))
    return bad("params.id", "must match [A-Za-z0-9][A-Za-z0-9._-]{0,127}");
  if (params.command.empty()) return bad("params.command", "must name a program");
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < params.command.size(); ++i) {
    if (has_nul(params.command[i]))
      return bad("params.command[" + std::to_string(i) + "]", "holds a NUL byte");
    bytes += params.command[i].size() + 1 + sizeof(char*);
  }
  if (params.command[0].empty()) return bad("params.command[0]", "must name a program");

  auto cwd = one_of("cwd", params.cwd, options.cwd);
  if (!cwd) return std::move(cwd).error();
  auto env = one_of("env", params.env, options.env);
  if (!env) return std::move(env).error();
  auto wanted_limits = one_of("limits", params.limits, options.limits);
  if (!wanted_limits) return std::move(wanted_limits).error();

  const auto unsupported = [](const char* path, const char* what) {
    return Error(Code::unsupported,
                 std::string(path) + ": " + what + " not supported by this version; nothing was started")
        .with("path", std::string(path));
  };
  if (options.pty) return unsupported("params.options.pty", "pseudo terminals are");

  const std::string directory = cwd->value_or("/");
  if (directory.empty() || directory[0] != '/' || has_nul(directory))
    return bad("params.options.cwd", "must be an absolute path");
  if (*env) {
    auto checked = check_environment(**env);
    if (!checked) return std::move(checked).error();
  }
  if (options.umask && *options.umask > 0777)
    return bad("params.options.umask", "must be at most 511 (octal 777)");

  auto granted = grant(kernel, call.client->principal(), call.client->rules(),
                       {directory, *wanted_limits, options.permissions, options.profile});
  if (!granted) return std::move(granted).error();
  plan.record.permissions = granted->permissions;

  const Settings& settings = kernel.settings();
  std::uint64_t retain = settings.retain_bytes;
  if (options.output && options.output->retain_bytes) retain = *options.output->retain_bytes;
  if (retain < limits::retain_bytes_min || retain > settings.retain_bytes_max)
    return bad("params.options.output.retainBytes", "must be " + std::to_string(limits::retain_bytes_min) +
                                                        " to " + std::to_string(settings.retain_bytes_max));
  if (options.labels) {
    if (options.labels->size() > limits::labels)
      return bad("params.options.labels", "must be at most " + std::to_string(limits::labels));
    for (const auto& [key, value] : *options.labels)
      if (key.empty() || key.size() + value.size() > limits::label_bytes ||
          key.find('=') != std::string::npos)
        return bad("params.options.labels." + key.substr(0, 64),
                   "must have a name without \"=\", and at most 1024 bytes with its value");
  }

  const auto kind_of = [](auto kind) {
    using K = decltype(kind);
    if (kind == K::null) return keeper::Stdio::null;
    if (kind == K::fd) return keeper::Stdio::fd;
    return keeper::Stdio::pipe;
  };
  keeper::Launch& order = plan.order;
  order.standard_input = kind_of(options.standard_input.value_or(api::StdinKind::pipe));
  order.standard_output = kind_of(options.standard_output.value_or(api::StdoutKind::pipe));
  const api::StderrKind error_kind = options.standard_error.value_or(api::StderrKind::pipe);
  order.standard_error =
      error_kind == api::StderrKind::stdout_ ? keeper::Stdio::to_stdout : kind_of(error_kind);
  const auto wanted = static_cast<std::size_t>((order.standard_input == keeper::Stdio::fd) +
                                               (order.standard_output == keeper::Stdio::fd) +
                                               (order.standard_error == keeper::Stdio::fd));
  // What came may be of a frame behind this one, as long as this one asks for none.
  if (wanted != 0 || call.client->connection().descriptors_are_its_own())
    plan.descriptors = std::exchange(call.descriptors, {});
  if (wanted != plan.descriptors.size())
    return bad("params.options", "name " + std::to_string(wanted) +
                                     " descriptors (stdin, stdout, stderr: \"fd\"), but " +
                                     std::to_string(plan.descriptors.size()) + " came with the frame");

  session::Record& record = plan.record;
  record.id = *params.id;
  record.argv = params.command;
  record.cwd = directory;
  record.owner = call.client->principal().name();
  record.owner_path = call.client->principal().path();
  // It goes with every record and event of the session.
  if (record.owner_path.size() > owner_path_bytes)
    return Error(Code::limit_exceeded, "sessions are nested too deeply here: the line of those that " +
                                           record.owner + " comes from is longer than " +
                                           std::to_string(owner_path_bytes) + " bytes; nothing was started");
  if (options.labels) record.labels = *options.labels;
  if (const session::Session* from = kernel.origin_of(*call.client)) record.parent = from->key();
  record.correlation_id = kernel.correlation_of(*call.client, call.correlation_id);
  record.causation_id = call.causation_id;
  record.kill_grace_ms = options.kill_grace_ms.value_or(settings.kill_grace_ms);
  if (record.kill_grace_ms > static_cast<std::uint64_t>(limits::longest_grace.count()))
    return bad("params.options.killGraceMs",
               "must be at most " + std::to_string(limits::longest_grace.count()));
  record.retain_bytes = retain;
  record.stdin_pipe = order.standard_input == keeper::Stdio::pipe;
  record.stdout_pipe = order.standard_output == keeper::Stdio::pipe;
  record.stderr_pipe = order.standard_error == keeper::Stdio::pipe;
  record.block_when_full = options.output && options.output->when_full == api::WhenFull::block;
  record.kill_on_owner_exit = options.on_owner_exit == api::OwnerExit::kill;
  if (options.timeout_ms && (*options.timeout_ms == 0 ||
                             *options.timeout_ms > static_cast<std::uint64_t>(limits::longest_wait.count())))
    return bad("params.options.timeoutMs", "must be 1 to " + std::to_string(limits::longest_wait.count()));
  record.timeout_ms = options.timeout_ms.value_or(0);
  if (granted->limits != api::ResourceLimits{}) {
    auto planned = plan_limits(granted->limits, options.limits_mode.value_or(api::LimitsMode::strict),
                               params.limits ? "params.limits" : "params.options.limits",
                               {kernel.link().keeper_version(), kernel.link().groups()});
    if (!planned) return std::move(planned).error();
    // What somebody else demands is not the caller's to give up.
    for (const auto& [name, why] : planned->degraded) {
      api::ResourceLimits without = granted->imposed;
      api::clear_limit(without, name);
      if (without != granted->imposed)
        return Error(Code::unsupported,
                     "limits." + name + " is demanded by the policy or by the starter's own limits, and " +
                         why + "; nothing was started");
    }
    order.limits = planned->order;
    // Nor is it when the host refuses it at the launch.
    if (order.limits && granted->imposed != api::ResourceLimits{}) order.limits->best_effort = false;
    record.limits = planned->in_force;
    record.degraded = std::move(planned->degraded);
    const std::uint64_t wall_ms = record.limits ? record.limits->wall_ms.value_or(0) : 0;
    if (wall_ms != 0 && (record.timeout_ms == 0 || wall_ms < record.timeout_ms)) record.timeout_ms = wall_ms;
  }
  if (record.timeout_ms != 0) {
    record.deadline_boot_us = boot_clock_us() + record.timeout_ms * 1000;
    record.deadline_us = session::on_unix_clock(record.deadline_boot_us);
  }

  order.argv = params.command;
  if (has_nul(record.correlation_id))
    return bad("correlationId", "holds a NUL byte, so no process can be told it");
  Told told{{"KAIRO_IPC_SOCKET", kernel.options().socket_path}, {"KAIRO_PROCESS_ID", record.id}};
  if (record.permissions) {
    auto confinement = sandbox::make_plan(*record.permissions, sandbox::host());
    if (!confinement) return std::move(confinement).error();
    confinement->follow_links = !granted->bounded;
    confinement->audited = record.audited = kernel.landlock_watch().on();
    if (record.audited) {
      record.uid = kernel.options().serves_users ? call.client->connection().peer().uid : ::geteuid();
      record.launcher = kernel.landlock_watch().launcher();
    }
    order.confinement = *std::move(confinement);
    order.ipc = record.permissions->ipc == api::IpcAccess::kernel;
    if (order.ipc) told.emplace_back("KAIRO_IPC_FD", ipc_descriptor);
  }
  if (!record.correlation_id.empty()) told.emplace_back("KAIRO_CORRELATION_ID", record.correlation_id);
  // What is in the environment of root's daemon is nobody else's.
  const ipc::Peer& peer = call.client->connection().peer();
  const bool foreign = kernel.options().serves_users && peer.uid != ::geteuid();
  const std::vector<std::string> users = foreign ? environment_of_user(peer.uid) : std::vector<std::string>();
  Environment environment =
      environment_of(foreign ? users : base_environment(options.env_mode.value_or(api::EnvMode::inherit)),
                     *env ? &**env : nullptr, told);
  if (kernel.options().serves_users) {
    keeper::Identity identity{peer.uid, peer.gid, {}};
    for (const gid_t group : call.client->groups()) identity.groups.push_back(group);
    order.identity = std::move(identity);
  }
  bytes += environment.bytes.data.size() + environment.variables * sizeof(char*);
  if (bytes > limits::argv_env_bytes)
    return Error(Code::limit_exceeded, "arguments and environment together take " + std::to_string(bytes) +
                                           " bytes, over the limit of " +
                                           std::to_string(limits::argv_env_bytes) + "; nothing was started");
  order.env = std::move(environment.bytes);
  order.cwd = directory;
  order.umask = options.umask.value_or(kernel.options().umask);
  order.retain_bytes = retain;
  order.kill_grace_ms = record.kill_grace_ms;
  record.detach_descendants = options.detach_descendants.value_or(false);
  order.detach_descendants = record.detach_descendants;
  order.mark = record.id;
  plan.subscribe = options.subscribe.value_or(true);
  plan.replace = options.replace.value_or(false);
  return plan;
}

/// What an earlier executor of the same topology started is its successor's to replace, if who started the
/// successor may act on it.
bool succeeds(const Kernel& kernel, const Client& client, const session::Session& existing) {
  const session::Session* const own = kernel.sessions().find_key(client.principal().session_key());
  if (!own || own->record().topology.empty()) return false;
  const std::string_view path = existing.record().owned_by();
  const std::size_t space = path.rfind(' ');
  if (space == path.npos || !path.substr(space + 1).starts_with("process:" + own->id() + "#")) return false;
  const std::string_view creator = path.substr(0, space), own_creator = own->record().owned_by();
  return creator.starts_with(own_creator) &&
         (creator.size() == own_creator.size() || creator[own_creator.size()] == '/' ||
          creator[own_creator.size()] == ' ');
}

Error already_exists(const Kernel& kernel, const Client& client, const session::Session& existing,
                     bool replace) {
  const bool may = kernel.may_act(client.principal(), existing.record().owned_by());
  std::string why;
  if (replace)
    why = may ? " and has not ended, so it cannot be replaced" : " and is not the caller's to replace";
  Error error(Code::already_exists,
              "session \"" + existing.id() + "\" exists already" + why + "; nothing was started");
  if (may) error.details.emplace_back("session", Error::Raw{reflect::to_msgpack(existing.view())});
  return error;
}

/// A long command line is told by its beginning: an event must fit the journal.
void emit_spawned(Kernel& kernel, const session::Session& session) {
  std::vector<std::string> argv;
  std::size_t bytes = 0;
  for (const std::string& word : session.record().argv) {
    bytes += word.size() + 8;
    if (bytes > limits::event_data_bytes / 2) break;
    argv.push_back(word);
  }
  Kernel::Members members{{"argv", reflect::Any{reflect::to_msgpack(argv)}}, {"cwd", session.record().cwd}};
  if (argv.size() < session.record().argv.size())
    members.emplace_back("argvLength", static_cast<std::uint64_t>(session.record().argv.size()));
  kernel.emit(session, "kairo.process.spawned", members);
}

}  // namespace

void spawn_session(Kernel& kernel, Call& call, api::SpawnParams params, const std::string& topology,
                   Spawned reply) {
  if (kernel.stopping())
    return reply(Error(Code::shutting_down, "the daemon is stopping; nothing was started"));
  if (auto kept = kernel.check_state_dir(); !kept) {
    kept.error().message += "; nothing was started";
    return reply(kept.error());
  }
  auto planned = plan_spawn(kernel, call, params);
  if (!planned) return reply(planned.error());
  Plan& plan = *planned;
  const std::string id = plan.record.id;
  plan.record.topology = topology;
  if (kernel.starting.contains(id))
    return reply(
        Error(Code::already_exists, "session \"" + id + "\" is being started already; nothing was started"));
  if (const session::Session* existing = kernel.sessions().find(id)) {
    const bool may = kernel.may_act(call.client->principal(), existing->record().owned_by()) ||
                     succeeds(kernel, *call.client, *existing);
    if (!plan.replace || !may || !existing->ended() || existing->slot())
      return reply(already_exists(kernel, *call.client, *existing, plan.replace));
  }

  const std::size_t live = kernel.sessions().live() + kernel.starting.size();
  if (live >= kernel.settings().live_sessions)
    return reply(Error(Code::limit_exceeded, "cannot start another process: " + std::to_string(live) +
                                                 " sessions are live (liveSessions); nothing was started"));

  if (plan.order.ipc) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      return reply(system_error("cannot make the program's connection to the daemon; nothing was started",
                                errno, Code::limit_exceeded));
    plan.ipc = UniqueFd(ends[0]);
    plan.descriptors.emplace_back(ends[1]);
  }

  keeper::Table& table = kernel.link().table();
  auto place = kernel.sessions().reserve(
      [&](std::uint32_t slot) { return table.slot(slot).key.load(std::memory_order_acquire) == 0; });
  if (!place) return reply(place.error());
  keeper::SessionSlot& slot = table.slot(place->slot);
  const std::uint64_t block_pin = plan.record.block_when_full ? 0 : stream::no_pin;
  // Everything is kept until the requests that follow the spawn have been heard: a lossless attach among them
  // must find the stream from its first byte.
  for (auto& stream : slot.streams) {
    stream.pin.store(0, std::memory_order_relaxed);
    stream.block_pin.store(block_pin, std::memory_order_relaxed);
    stream.wake.store(0, std::memory_order_relaxed);
    stream.no_growth.store(0, std::memory_order_relaxed);
  }
  slot.kairod_wants_hold.store(1, std::memory_order_relaxed);
  plan.order.key = place->key;
  plan.order.slot = place->slot;
  plan.order.record.data = reflect::to_msgpack(plan.record);

  kernel.starting.try_emplace(id);
  kernel.link().launch(
      std::move(plan.order), std::move(plan.descriptors),
      [&kernel, client = std::weak_ptr(call.client), reply, place = *place, subscribe = plan.subscribe,
       asked_at = SteadyClock::now(), ipc = std::make_shared<UniqueFd>(std::move(plan.ipc)),
       peer = call.client->connection().peer(), groups = call.client->groups(),
       losses = kernel.landlock_watch().losses(),
       record = std::move(plan.record)](Result<keeper::Launched> launched) mutable {
        const std::string started_id = record.id;
        Counters& counters = kernel.counters();
        ++(launched ? counters.spawns : counters.failed_spawns);
        if (launched) counters.spawn_duration.observe(SteadyClock::now() - asked_at);
        if (!launched) {
          if (launched.error().code == Code::internal)
            kernel.lost_launches.push_back({0, 0, started_id, false});
          kernel.sessions().give_back(place.slot);
          reply(launched.error());
          return kernel.launch_decided(started_id);
        }
        if (session::Session* old = kernel.sessions().find(record.id)) kernel.forget(*old);
        const bool kill_with_owner = record.kill_on_owner_exit;
        session::Session& session = kernel.sessions().add(std::make_unique<session::Session>(
            std::move(record), place.key, place.slot, &kernel.link().table().slot(place.slot)));
        session.set_group(launched->group);
        session.degrade(launched->degraded);
        if (session.record().audited) {
          session.expect_denied_accesses();
          if (kernel.landlock_watch().losses() != losses) session.interrupt_denied_accesses();
        }
        session.launched(launched->pid, SystemTime(std::chrono::microseconds(launched->started_us)),
                         boot_clock_us());
        if (*ipc) kernel.accept_for(session, std::move(*ipc), peer, std::move(groups));
        auto owner = client.lock();
        if (owner && !owner->open()) owner = nullptr;

        api::SpawnResult result;
        static_cast<api::ProcessSession&>(result) = session.view();
        result.process_id = session.id();
        const Settings& settings = kernel.settings();
        if (owner && subscribe && owner->output_subscriptions() < settings.subscriptions) {
          OutputSubscription::Options options;
          options.flow = api::Flow::throttle;
          options.max_chunk_bytes = settings.throttle_chunk_bytes;
          options.max_bytes_per_second = settings.throttle_bytes_per_second;
          options.owner = true;
          result.subscription_id = owner->subscribe(session, options).id();
        }
        const std::optional<std::string> subscription = result.subscription_id;
        // The answer stands in the outbox before the first event and the first chunk.
        reply(std::move(result));
        kernel.put_on_record(session);
        kernel.began(session, subscription ? owner : nullptr, subscription.value_or(std::string()));
        emit_spawned(kernel, session);
        if (kill_with_owner && owner)
          owner->kill_with.insert(session.key());
        else if (kill_with_owner)
          kernel.terminate(session, api::EndReason::owner_gone, {},
                           std::chrono::milliseconds(session.record().kill_grace_ms));
        const std::uint64_t key = session.key();
        kernel.launch_decided(started_id);
        if (session::Session* still = kernel.sessions().find_key(key)) kernel.update_pins(*still);
      });
}

void spawn(Kernel& kernel, Call& call, api::SpawnParams params, Reply<api::SpawnResult> reply) {
  // Named here where the caller did not, so that a refusal is told of a session, too.
  if (!params.id) {
    do params.id = "p-" + random_id(12);
    while (kernel.sessions().find(*params.id));
  }
  if (is_valid_session_id(*params.id))
    reply.audited([&](AuditedRequest& request) { request.about(*params.id); });
  spawn_session(kernel, call, std::move(params), {}, [reply](Result<api::SpawnResult> spawned) {
    if (!spawned) return reply(spawned.error());
    reply(*spawned);
    reply.flush();
  });
}

}  // namespace kairo::kernel
