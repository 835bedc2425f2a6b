#include "program_options.hpp"

#include <charconv>
#include <concepts>
#include <cstdlib>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

#include "context.hpp"
#include "units.hpp"

extern char** environ;

namespace kairo::ctl {
namespace {

std::uint32_t callers_umask() {
  const mode_t mask = umask(0);
  umask(mask);
  return mask;
}

std::map<std::string, std::string> environment(const ProgramOptions& options) {
  std::map<std::string, std::string> out;
  if (!options.clean_env)
    for (char** each = environ; *each; ++each)
      if (const char* equals = std::strchr(*each, '='); equals && equals != *each)
        out.emplace(std::string(*each, static_cast<std::size_t>(equals - *each)), equals + 1);
  for (const std::string& each : options.env) {
    if (each.find('=') != std::string::npos) {
      auto [key, value] = parse_pair("--env", each);
      out[key] = value;
    } else if (const char* value = getenv(each.c_str())) {
      out[each] = value;
    }
  }
  return out;
}

template <class E>
std::optional<E> enumerator(std::string_view option, const std::string& text) {
  if (text.empty()) return std::nullopt;
  const auto names = enum_names(E{});
  std::string wanted;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == text) return static_cast<E>(i);
    wanted.append(i ? ", " : "").append(names[i]);
  }
  throw UsageError{std::string(option) + ": \"" + text + "\" is none of " + wanted};
}

std::optional<std::uint64_t> milliseconds(std::string_view option, const std::string& text) {
  if (text.empty()) return std::nullopt;
  return static_cast<std::uint64_t>(parse_duration(option, text).count());
}

std::uint64_t whole_number(const std::string& option, const std::string& text) {
  std::uint64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{} || end != text.data() + text.size())
    throw UsageError{option + ": \"" + text + "\" is no whole number"};
  return out;
}

double cores(const std::string& option, const std::string& text) {
  double out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{} || end != text.data() + text.size())
    throw UsageError{option + ": \"" + text + "\" is no number of cores"};
  return out;
}

void set_limit(api::ResourceLimits& limits, const std::string& option, const std::string& name,
               const std::string& value) {
  bool known = false;
  const auto consider = [&](const auto& field) {
    if (field.name != name) return;
    known = true;
    auto& member = limits.*field.member;
    if (member) throw UsageError{option + ": the limit " + name + " is named twice"};
    if constexpr (std::same_as<std::decay_t<decltype(*member)>, double>)
      member = cores(option, value);
    else if (name == "memory" || name == "fileSize")
      member = parse_size(option, value);
    else
      member = whole_number(option, value);
  };
  std::apply([&](const auto&... each) { (consider(each), ...); }, api::ResourceLimits::fields());
  if (!known)
    throw UsageError{option + ": \"" + name +
                     "\" is none of cpu, memory, pids, openFiles, cpuSeconds, fileSize, wallMs"};
}

std::optional<api::ResourceLimits> limits_of(const ProgramOptions& o) {
  api::ResourceLimits out;
  if (!o.cpus.empty()) set_limit(out, "--cpus", "cpu", o.cpus);
  if (!o.memory.empty()) set_limit(out, "--memory", "memory", o.memory);
  if (!o.pids_limit.empty()) set_limit(out, "--pids-limit", "pids", o.pids_limit);
  for (const std::string& each : o.limits) {
    const auto [name, value] = parse_pair("--limit", each);
    set_limit(out, "--limit", name, value);
  }
  if (out == api::ResourceLimits{}) return std::nullopt;
  return out;
}

std::optional<std::vector<std::uint16_t>> ports(std::string_view option,
                                                const std::vector<std::string>& texts) {
  if (texts.empty()) return std::nullopt;
  std::vector<std::uint16_t> out;
  for (const std::string& text : texts) {
    std::uint16_t port = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (failed != std::errc() || end != text.data() + text.size() || text.empty())
      throw UsageError{std::string(option) + ": \"" + text + "\" is no port from 0 to 65535"};
    out.push_back(port);
  }
  return out;
}

/// Where the path really leads, if it is there: a confined process may name no symbolic links in what it
/// gives on, and what is shown of a session is then what holds. Relative ones count from the program's
/// directory.
std::vector<std::string> real_paths(const std::vector<std::string>& paths, const std::string& cwd) {
  std::vector<std::string> out;
  for (const std::string& each : paths) {
    const std::string whole = each.starts_with('/') ? each : cwd + "/" + each;
    char* real = realpath(whole.c_str(), nullptr);
    out.emplace_back(real ? real : whole);
    free(real);
  }
  return out;
}

std::optional<api::Permissions> permissions(const ProgramOptions& o, const std::string& cwd) {
  if (o.allow_read.empty() && o.allow_write.empty() && o.net.empty() && o.connect_tcp.empty() &&
      o.bind_tcp.empty() && o.ipc.empty())
    return std::nullopt;
  if (!o.profile.empty())
    throw UsageError{
        "--profile is a whole declaration: no --allow-read, --allow-write, --net, --connect-tcp, "
        "--bind-tcp or --ipc beside it"};
  api::Permissions out;
  if (!o.allow_read.empty() || !o.allow_write.empty()) {
    out.fs.emplace();
    if (!o.allow_read.empty()) out.fs->read = real_paths(o.allow_read, cwd);
    if (!o.allow_write.empty()) out.fs->write = real_paths(o.allow_write, cwd);
  }
  if (!o.connect_tcp.empty() || !o.bind_tcp.empty()) {
    if (!o.net.empty())
      throw UsageError{"--net does not go with --connect-tcp and --bind-tcp, which are ports alone"};
    out.net = api::NetPorts{ports("--connect-tcp", o.connect_tcp), ports("--bind-tcp", o.bind_tcp)};
  } else if (const auto net = enumerator<api::NetAccess>("--net", o.net)) {
    out.net = *net;
  }
  out.ipc = enumerator<api::IpcAccess>("--ipc", o.ipc);
  return out;
}

}  // namespace

std::string callers_cwd() {
  char* here = getcwd(nullptr, 0);
  std::string path(here ? here : "");
  free(here);
  // "(unreachable)/x" of a directory outside of the present root, and a directory that was removed, are no
  // paths.
  if (path.empty() || path[0] != '/')
    throw UsageError{"the present directory has no path: name one with --cwd"};
  return path;
}

void declare_bounds(OptionSet& set, ProgramOptions& o) {
  set.value("--cpus", o.cpus, "N", "Cores that it may use, for instance 0.5");
  set.value("-m,--memory", o.memory, "SIZE", "Memory that it may use");
  set.value("--pids-limit", o.pids_limit, "N", "Processes and threads that it may be");
  set.list("--limit", o.limits, "NAME=VALUE",
           "A limit: cpu, memory, pids, openFiles, cpuSeconds, fileSize or wallMs");
  set.list("--allow-read", o.allow_read, "PATH", "Confine it; let it read and execute below PATH");
  set.list("--allow-write", o.allow_write, "PATH", "Confine it; let it read and change what is below PATH");
  set.value("--net", o.net, "ACCESS", "Confine it; network: none, private or all");
  set.list("--connect-tcp", o.connect_tcp, "PORT", "Confine it; let it connect to a TCP port");
  set.list("--bind-tcp", o.bind_tcp, "PORT", "Confine it; let it listen on a TCP port");
  set.value("--ipc", o.ipc, "ACCESS", "Confine it; Unix sockets and System V IPC: none, kernel or all");
  set.value("--profile", o.profile, "NAME",
            "Confine it by a profile: read-only, workspace, offline, unconfined");
}

Bounds bounds_of(const ProgramOptions& o, const std::string& cwd) {
  Bounds out{limits_of(o), permissions(o, cwd), std::nullopt};
  if (!o.profile.empty()) out.profile = o.profile;
  return out;
}

void declare_program_options(OptionSet& set, ProgramOptions& o) {
  set.value("--id", o.id, "ID", "Name of the session; one is made when absent");
  set.value("--cwd", o.cwd, "DIR", "Working directory (the caller's)");
  set.list("-e,--env", o.env, "KEY=VALUE", "Set a variable; KEY alone passes the caller's");
  set.flag("--clean-env", o.clean_env, "Do not pass the caller's environment");
  set.list("-l,--label", o.labels, "KEY=VALUE", "Attach a label");
  set.flag("--replace", o.replace, "Take over the id of an ended session");
  set.value("--stdin", o.standard_input, "KIND", "pipe or null");
  set.value("--timeout", o.timeout, "DURATION", "Terminate it after so long");
  set.value("--kill-grace", o.kill_grace, "DURATION", "From SIGTERM to SIGKILL (2s)");
  set.value("--retain", o.retain, "SIZE", "Bytes that each stream's log keeps (64MiB)");
  set.value("--when-full", o.when_full, "RULE", "What a full log does: drop-oldest or block");
  set.value("--on-owner-exit", o.on_owner_exit, "RULE",
            "What the end of this client does to it: keep or kill");
  set.flag("--detach-descendants", o.detach_descendants, "Let its descendants outlive it");
  set.flag("--limits-best-effort", o.limits_best_effort,
           "Run it also where the host cannot set some of the limits");
  declare_bounds(set, o);
}

api::SpawnParams spawn_params(const ProgramOptions& o, const std::vector<std::string>& program) {
  if (program.empty()) throw UsageError{"there is no program to run; write it behind the options"};
  api::SpawnParams params;
  if (!o.id.empty()) params.id = o.id;
  params.command = program;
  api::SpawnOptions& options = params.options.emplace();
  options.cwd = o.cwd.starts_with('/') ? o.cwd : callers_cwd();
  if (!o.cwd.empty() && !o.cwd.starts_with('/')) *options.cwd += "/" + o.cwd;
  options.env = environment(o);
  options.env_mode = api::EnvMode::clean;
  options.umask = callers_umask();
  options.standard_input = enumerator<api::StdinKind>("--stdin", o.standard_input);
  if (options.standard_input == api::StdinKind::fd) throw UsageError{"--stdin: \"fd\" is none of pipe, null"};
  options.timeout_ms = milliseconds("--timeout", o.timeout);
  options.kill_grace_ms = milliseconds("--kill-grace", o.kill_grace);
  if (!o.retain.empty() || !o.when_full.empty()) {
    options.output.emplace();
    if (!o.retain.empty()) options.output->retain_bytes = parse_size("--retain", o.retain);
    options.output->when_full = enumerator<api::WhenFull>("--when-full", o.when_full);
  }
  options.on_owner_exit = enumerator<api::OwnerExit>("--on-owner-exit", o.on_owner_exit);
  if (o.detach_descendants) options.detach_descendants = true;
  Bounds bounds = bounds_of(o, *options.cwd);
  options.limits = std::move(bounds.limits);
  options.permissions = std::move(bounds.permissions);
  options.profile = std::move(bounds.profile);
  if (o.limits_best_effort) options.limits_mode = api::LimitsMode::best_effort;
  if (o.replace) options.replace = true;
  options.subscribe = false;
  if (!o.labels.empty()) {
    options.labels.emplace();
    for (const std::string& each : o.labels) options.labels->insert(parse_pair("--label", each));
  }
  return params;
}

}  // namespace kairo::ctl
