#include "sandbox/declaration.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "sandbox/hint.hpp"
#include "sandbox/profile.hpp"

namespace kairo::sandbox {
namespace {

using Net = std::variant<api::NetAccess, api::NetPorts>;

Result<std::vector<std::string>> normal_paths(const std::optional<std::vector<std::string>>& paths,
                                              const std::string& cwd, const std::string& at) {
  std::vector<std::string> out;
  if (!paths) return out;
  for (std::size_t i = 0; i < paths->size(); ++i) {
    const std::string& path = (*paths)[i];
    const std::string where = at + "[" + std::to_string(i) + "]";
    if (path.empty() || path.find('\0') != std::string::npos)
      return Error(Code::invalid_params, where + " must be a path").with("path", where);
    std::string normal = normal_path(path, cwd);
    if (std::find(out.begin(), out.end(), normal) == out.end()) out.push_back(std::move(normal));
  }
  return out;
}

std::optional<std::vector<std::uint16_t>> sorted(const std::optional<std::vector<std::uint16_t>>& ports) {
  if (!ports) return ports;
  const std::set<std::uint16_t> unique(ports->begin(), ports->end());
  return std::vector<std::uint16_t>(unique.begin(), unique.end());
}

/// The first of `directories` that `path` lies below.
const std::string* holder(const std::optional<std::vector<std::string>>& directories, std::string_view path) {
  if (!directories) return nullptr;
  for (const std::string& each : *directories)
    if (is_below(path, each)) return &each;
  return nullptr;
}

bool holds(const std::optional<std::vector<std::uint16_t>>& ports, std::uint16_t port) {
  return ports && std::find(ports->begin(), ports->end(), port) != ports->end();
}

std::string name_of(const Net& net) {
  if (const auto* access = std::get_if<api::NetAccess>(&net)) return std::string(reflect::enum_name(*access));
  return "ports";
}

Error exceeds(const std::string& line, const std::string& outer) {
  return Error(Code::permission_denied, "permissions." + line + " is more than " + outer +
                                            ": a process cannot grant what it lacks; nothing was started")
      .with("line", line);
}

Result<void> covers_files(const api::FileAccess& outer, const api::FileAccess& inner) {
  for (const std::string& path : inner.read.value_or(std::vector<std::string>{}))
    if (!holder(outer.read, path) && !holder(outer.write, path))
      return exceeds("fs.read " + path, "the files that its starter may read");
  for (const std::string& path : inner.write.value_or(std::vector<std::string>{}))
    if (!holder(outer.write, path))
      return exceeds("fs.write " + path, "the files that its starter may write");
  return {};
}

Result<void> covers_net(const Net& outer, const Net& inner) {
  const auto* wide = std::get_if<api::NetAccess>(&outer);
  const auto* asked = std::get_if<api::NetAccess>(&inner);
  if (wide && *wide == api::NetAccess::all) return {};
  if (asked && *asked == api::NetAccess::none) return {};
  // A private network inside a private one is another one, and no wider; ports are those of the host.
  if (asked && wide && *asked == *wide) return {};
  const auto* outer_ports = std::get_if<api::NetPorts>(&outer);
  const auto* inner_ports = std::get_if<api::NetPorts>(&inner);
  if (!inner_ports) return exceeds("net " + name_of(inner), "its starter's, " + name_of(outer));
  const api::NetPorts none;
  const api::NetPorts& held = outer_ports ? *outer_ports : none;
  for (const std::uint16_t port : inner_ports->connect_tcp.value_or(std::vector<std::uint16_t>{}))
    if (!holds(held.connect_tcp, port))
      return exceeds("net.connectTcp " + std::to_string(port), "the ports that its starter may connect to");
  for (const std::uint16_t port : inner_ports->bind_tcp.value_or(std::vector<std::uint16_t>{}))
    if (!holds(held.bind_tcp, port))
      return exceeds("net.bindTcp " + std::to_string(port), "the ports that its starter may listen on");
  return {};
}

using Explained = std::vector<api::AccessExplained>;

std::optional<std::string> hint(std::string options) {
  if (options.empty()) return std::nullopt;
  return options;
}

Explained explain_path(const api::Permissions& permissions, const std::string& path, const Hints& hints) {
  const api::FileAccess files = permissions.fs.value_or(api::FileAccess{});
  api::AccessExplained read{"read", false, {}, {}};
  api::AccessExplained write{"write", false, {}, {}};
  const auto devices = basic_devices();
  const auto basics = basic_files();
  if (std::find(devices.begin(), devices.end(), path) != devices.end()) {
    read.by = write.by = "basic " + path + ", part of every declaration";
  } else {
    if (const std::string* line = holder(files.write, path)) read.by = write.by = "fs.write " + *line;
    if (const std::string* line = holder(files.read, path); line && !read.by) read.by = "fs.read " + *line;
    if (!read.by && std::find(basics.begin(), basics.end(), path) != basics.end())
      read.by = "basic " + path + ", part of every declaration";
  }
  read.allowed = read.by.has_value();
  write.allowed = write.by.has_value();
  if (!read.allowed) read.would = hint(hints.read(path));
  if (!write.allowed) write.would = hint(hints.write(path));
  return {read, write};
}

Explained explain_port(const api::Permissions& permissions, bool tcp, std::uint16_t port,
                       const Hints& hints) {
  const Net net = permissions.net.value_or(api::NetAccess::none);
  const auto* access = std::get_if<api::NetAccess>(&net);
  const auto* ports = std::get_if<api::NetPorts>(&net);
  const std::string number = std::to_string(port);
  Explained out;
  const auto add = [&](const char* what, bool by_port, const char* line, std::string would) {
    api::AccessExplained each{what, false, {}, {}};
    if (access && *access == api::NetAccess::all) each.by = "net all";
    if (access && *access == api::NetAccess::private_) each.by = "net private, on its own loopback alone";
    if (by_port) each.by = std::string(line) + " " + number;
    each.allowed = each.by.has_value();
    if (!each.allowed) each.would = std::move(would);
    out.push_back(std::move(each));
  };
  if (!tcp) {
    add("send", false, "", hints.all_net());
    return out;
  }
  add("connect", ports && holds(ports->connect_tcp, port), "net.connectTcp", hints.connect(number));
  add("bind", ports && holds(ports->bind_tcp, port), "net.bindTcp", hints.bind(number));
  return out;
}

/// "TCP:80" is taken for a mistake rather than for a file.
bool is_in_capitals(std::string_view target, std::string_view prefix) {
  const auto same = [](char a, char b) { return a == b || (a >= 'A' && a <= 'Z' && a - 'A' + 'a' == b); };
  return target.size() >= prefix.size() &&
         std::equal(prefix.begin(), prefix.end(), target.begin(), [&](char b, char a) { return same(a, b); });
}

Explained explain_socket(const api::Permissions& permissions, const Hints& hints) {
  api::AccessExplained out{"connect", false, {}, {}};
  if (permissions.ipc == api::IpcAccess::all)
    out.by = "ipc all";
  else
    out.would = hints.all_ipc();
  out.allowed = out.by.has_value();
  return {out};
}

}  // namespace

std::string normal_path(std::string_view path, std::string_view cwd) {
  std::string whole(path.starts_with('/') ? std::string_view() : cwd);
  whole.append("/").append(path);
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin < whole.size();) {
    const std::size_t end = std::min(whole.find('/', begin), whole.size());
    const std::string_view part = std::string_view(whole).substr(begin, end - begin);
    if (part == ".." && !parts.empty()) parts.pop_back();
    if (!part.empty() && part != "." && part != "..") parts.push_back(part);
    begin = end + 1;
  }
  std::string out;
  for (const std::string_view part : parts) out.append("/").append(part);
  return out.empty() ? "/" : out;
}

bool is_below(std::string_view path, std::string_view directory) {
  if (directory == "/") return path.starts_with('/');
  return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
}

Result<api::Permissions> normalised(const api::Permissions& permissions, const std::string& cwd,
                                    const std::string& at) {
  api::Permissions out;
  const api::FileAccess files = permissions.fs.value_or(api::FileAccess{});
  auto read = normal_paths(files.read, cwd, at + ".fs.read");
  if (!read) return std::move(read).error();
  auto write = normal_paths(files.write, cwd, at + ".fs.write");
  if (!write) return std::move(write).error();
  std::size_t bytes = 0;
  for (const auto* paths : {&*read, &*write})
    for (const std::string& each : *paths) bytes += each.size();
  if (read->size() + write->size() > paths_max || bytes > path_bytes_max)
    return Error(Code::invalid_params, at + ".fs must name at most " + std::to_string(paths_max) +
                                           " paths of together " + std::to_string(path_bytes_max) + " bytes")
        .with("path", at + ".fs");
  out.fs.emplace();
  out.fs->read = *std::move(read);
  out.fs->write = *std::move(write);
  out.net = permissions.net.value_or(api::NetAccess::none);
  if (auto* ports = std::get_if<api::NetPorts>(&*out.net)) {
    ports->connect_tcp = sorted(ports->connect_tcp);
    ports->bind_tcp = sorted(ports->bind_tcp);
    for (const auto* each : {&ports->connect_tcp, &ports->bind_tcp})
      if (*each && (*each)->size() > ports_max)
        return Error(Code::invalid_params,
                     at + ".net must name at most " + std::to_string(ports_max) + " ports")
            .with("path", at + ".net");
  }
  out.ipc = permissions.ipc.value_or(api::IpcAccess::none);
  return out;
}

Result<void> covers(const api::Permissions& outer, const api::Permissions& inner) {
  auto files = covers_files(outer.fs.value_or(api::FileAccess{}), inner.fs.value_or(api::FileAccess{}));
  if (!files) return files;
  auto net = covers_net(outer.net.value_or(api::NetAccess::none), inner.net.value_or(api::NetAccess::none));
  if (!net) return net;
  const api::IpcAccess held = outer.ipc.value_or(api::IpcAccess::none);
  const api::IpcAccess asked = inner.ipc.value_or(api::IpcAccess::none);
  if (asked > held)
    return exceeds("ipc " + std::string(reflect::enum_name(asked)),
                   "its starter's, " + std::string(reflect::enum_name(held)));
  return {};
}

Result<void> covers(const api::Permissions& outer, const api::Permissions& inner,
                    const std::string& outer_cwd, const std::string& inner_cwd) {
  auto held = normalised(outer, outer_cwd, "permissions");
  if (!held) return std::move(held).error();
  auto asked = normalised(inner, inner_cwd, "permissions");
  if (!asked) return std::move(asked).error();
  return covers(*held, *asked);
}

Result<Explained> explain(const api::Permissions& permissions, std::string_view target,
                          const std::string& cwd) {
  const Hints hints(permissions, cwd);
  for (const bool tcp : {true, false}) {
    const std::string_view prefix = tcp ? "tcp:" : "udp:";
    if (!target.starts_with(prefix)) continue;
    const std::string_view digits = target.substr(prefix.size());
    std::uint16_t port = 0;
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (failed != std::errc() || end != digits.data() + digits.size())
      return Error(Code::invalid_params,
                   "params.target must have a port from 0 to 65535 behind " + std::string(prefix))
          .with("path", std::string("params.target"));
    return explain_port(permissions, tcp, port, hints);
  }
  constexpr std::string_view local = "unix:";
  const bool names_socket = target.starts_with(local) && target.size() > local.size();
  if (target.empty() || target == local || target.find('\0') != std::string_view::npos)
    return Error(Code::invalid_params, "params.target must be a path, tcp:PORT, udp:PORT or unix:PATH")
        .with("path", std::string("params.target"));
  if (names_socket) return explain_socket(permissions, hints);
  for (const std::string_view prefix : {"tcp:", "udp:", "unix:"})
    if (is_in_capitals(target, prefix))
      return Error(Code::invalid_params, "params.target has " + std::string(prefix) +
                                             " in other letters; for a file of that name write ./ before it")
          .with("path", std::string("params.target"));
  return explain_path(permissions, normal_path(target, cwd), hints);
}

}  // namespace kairo::sandbox
