#include "sandbox/hint.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <variant>

#include "base/shown.hpp"
#include "sandbox/declaration.hpp"
#include "sandbox/profile.hpp"

namespace kairo::sandbox {
namespace {

using namespace std::string_view_literals;

std::string profile_of(const api::Permissions& permissions, const std::string& cwd) {
  const auto count = [](const api::Permissions& each) {
    return each.fs && each.fs->read ? each.fs->read->size() : 0;
  };
  for (const std::string_view name : shipped_profiles()) {
    const auto shipped = shipped_profile(name).permissions;
    // What is cheap to compare first: this is asked for each denial.
    if (!shipped || shipped->ipc != permissions.ipc || count(*shipped) < count(permissions)) continue;
    const auto normal = normalised(*shipped, cwd, "profile");
    if (normal && *normal == permissions) return std::string(name);
  }
  return {};
}

/// Of a path in a process's directory of /proc. A rule for that directory would not hold for the next
/// process.
struct OfProcess {
  std::string_view process;  ///< Its number, self or thread-self.
  bool numbered = false;
  bool guarded = false;  ///< Landlock shows it of processes under the same confinement alone.
};
std::optional<OfProcess> of_process(std::string_view path) {
  constexpr std::array guarded{
      "auxv"sv,    "cwd"sv,         "environ"sv,       "exe"sv,   "fd"sv,           "fdinfo"sv,
      "io"sv,      "map_files"sv,   "maps"sv,          "mem"sv,   "ns"sv,           "numa_maps"sv,
      "pagemap"sv, "personality"sv, "root"sv,          "smaps"sv, "smaps_rollup"sv, "stack"sv,
      "syscall"sv, "timers"sv,      "timerslack_ns"sv, "wchan"sv};
  const auto next = [&] {
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view out = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    return out;
  };
  constexpr std::string_view proc = "/proc/";
  if (!path.starts_with(proc)) return std::nullopt;
  path.remove_prefix(proc.size());
  OfProcess out{next()};
  out.numbered =
      !out.process.empty() && out.process.find_first_not_of("0123456789") == std::string_view::npos;
  if (!out.numbered && out.process != "self" && out.process != "thread-self") return std::nullopt;
  std::string_view name = next();
  if (name == "task") {
    next();
    name = next();
  }
  out.guarded = std::find(guarded.begin(), guarded.end(), name) != guarded.end();
  return out;
}

}  // namespace

Hints::Hints(const api::Permissions& permissions, const std::string& cwd)
    : ipc_(permissions.ipc == api::IpcAccess::all), profile_(profile_of(permissions, cwd)) {
  const auto* ports = permissions.net ? std::get_if<api::NetPorts>(&*permissions.net) : nullptr;
  ports_ = ports != nullptr;
  binds_ = ports && ports->bind_tcp && !ports->bind_tcp->empty();
  const auto* access = permissions.net ? std::get_if<api::NetAccess>(&*permissions.net) : nullptr;
  none_ = !permissions.net || (access && *access == api::NetAccess::none);
}

std::string Hints::write_somewhere() const {
  return whole("--allow-write PATH");
}

std::string Hints::connect(const std::string& port) const {
  // Without a port to listen on all of ipc would be more than can be enforced (plan.cpp).
  const bool listens = ipc_ && !binds_;
  return whole("--connect-tcp " + port + (listens ? " --bind-tcp PORT" : ""), none_ ? "--net none" : "");
}

std::string Hints::bind(const std::string& port) const {
  return whole("--bind-tcp " + port, none_ ? "--net none" : "");
}

std::string Hints::any_tcp() const {
  if (!none_) return all_net();
  const std::string ports =
      ipc_ ? "--bind-tcp PORT and --connect-tcp PORT" : "--connect-tcp PORT or --bind-tcp PORT";
  return whole("--net all, or " + ports, "--net none");
}

std::string Hints::all_net() const {
  return whole("--net all", ports_ ? "--connect-tcp and --bind-tcp" : "");
}

std::string Hints::all_ipc() const {
  return whole(ports_ && !binds_ ? "--ipc all --bind-tcp PORT" : "--ipc all");
}

std::string Hints::all_net_and_ipc() const {
  return whole("--net all --ipc all", ports_ ? "--connect-tcp and --bind-tcp" : "");
}

std::string Hints::file(const char* option, const std::string& path) const {
  const auto process = of_process(path);
  if (!process) return whole(std::string(option) + " " + shell_word(path));
  if (process->guarded && process->process == "1") return {};
  const bool may_be_others = process->guarded && process->numbered;
  return whole(std::string(option) + " /proc" +
               (may_be_others ? " (for the session's own processes alone)" : ""));
}

std::string Hints::whole(std::string options, const std::string& instead_of) const {
  if (!profile_.empty())
    return options + " (in place of --profile " + profile_ + ", with the rest of what it allows)";
  if (!instead_of.empty()) options += " (in place of " + instead_of + ")";
  return options;
}

}  // namespace kairo::sandbox
