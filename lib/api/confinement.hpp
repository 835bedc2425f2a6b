// What a session's processes may use and reach: limits (SPEC 8.3) and permissions (SPEC 8.1), as clients
// declare them. Everything is optional: a limit that is absent is none, a permission that is absent is
// denied.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "reflect/fields.hpp"

namespace kairo::api {

/// Of all processes of the session together, but for openFiles, cpuSeconds and fileSize where the host offers
/// only what is counted per process (docs/security.md).
struct ResourceLimits {
  std::optional<double> cpu;
  std::optional<std::uint64_t> memory;
  std::optional<std::uint64_t> pids;
  std::optional<std::uint64_t> open_files;
  std::optional<std::uint64_t> cpu_seconds;
  std::optional<std::uint64_t> file_size;
  std::optional<std::uint64_t> wall_ms;
  bool operator==(const ResourceLimits&) const = default;
  static constexpr auto fields() {
    using S = ResourceLimits;
    using reflect::field;
    return std::tuple(field("cpu", &S::cpu, "Cores, for instance 0.5"),
                      field("memory", &S::memory, "Memory, bytes"),
                      field("pids", &S::pids, "Processes and threads"),
                      field("openFiles", &S::open_files, "Open descriptors of each process"),
                      field("cpuSeconds", &S::cpu_seconds, "CPU time, seconds"),
                      field("fileSize", &S::file_size, "Size of any file that it writes, bytes"),
                      field("wallMs", &S::wall_ms, "Longest life, milliseconds"));
  }
};

/// Takes out the limit of that name ("openFiles").
inline void clear_limit(ResourceLimits& limits, std::string_view name) {
  std::apply(
      [&](const auto&... each) { ((each.name == name ? (limits.*each.member).reset() : void()), ...); },
      ResourceLimits::fields());
}

/// What happens to a limit that this host cannot set.
enum class LimitsMode { strict, best_effort };
constexpr auto enum_names(LimitsMode) {
  return std::array<std::string_view, 2>{"strict", "best-effort"};
}

enum class NetAccess { none, private_, all };
constexpr auto enum_names(NetAccess) {
  return std::array<std::string_view, 3>{"none", "private", "all"};
}

struct NetPorts {
  std::optional<std::vector<std::uint16_t>> connect_tcp;
  std::optional<std::vector<std::uint16_t>> bind_tcp;
  bool operator==(const NetPorts&) const = default;
  static constexpr auto fields() {
    using reflect::field;
    return std::tuple(field("connectTcp", &NetPorts::connect_tcp, "TCP ports that it may connect to"),
                      field("bindTcp", &NetPorts::bind_tcp, "TCP ports that it may listen on"));
  }
};

enum class IpcAccess { none, kernel, all };
constexpr auto enum_names(IpcAccess) {
  return std::array<std::string_view, 3>{"none", "kernel", "all"};
}

struct FileAccess {
  std::optional<std::vector<std::string>> read;
  std::optional<std::vector<std::string>> write;
  bool operator==(const FileAccess&) const = default;
  static constexpr auto fields() {
    using reflect::field;
    return std::tuple(field("read", &FileAccess::read, "Paths below which it may read and execute"),
                      field("write", &FileAccess::write,
                            "Paths below which it may read, write, create, remove and rename"));
  }
};

struct Permissions {
  std::optional<FileAccess> fs;
  std::optional<std::variant<NetAccess, NetPorts>> net;
  std::optional<IpcAccess> ipc;
  bool operator==(const Permissions&) const = default;
  static constexpr auto fields() {
    using S = Permissions;
    using reflect::field;
    return std::tuple(
        field("fs", &S::fs, "Files; relative paths count from the process's cwd (none)"),
        field("net", &S::net,
              "none, private (a network of its own with loopback alone), all, or ports (none)"),
        field("ipc", &S::ipc,
              "Unix sockets and System V IPC: none, kernel (one connection to the daemon), all (none)"));
  }
};

}  // namespace kairo::api
