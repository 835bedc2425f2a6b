// The public model of a process session and of the options that start one (SPEC 4).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "api/confinement.hpp"
#include "api/process_metrics.hpp"
#include "reflect/fields.hpp"

namespace kairo::api {

using reflect::defaulted;
using reflect::field;

enum class Status { running, exited, killed };
constexpr auto enum_names(Status) {
  return std::array<std::string_view, 3>{"running", "exited", "killed"};
}

enum class StreamName { standard_output, standard_error };
constexpr auto enum_names(StreamName) {
  return std::array<std::string_view, 2>{"stdout", "stderr"};
}

enum class EndReason {
  exited,
  signaled,
  canceled,
  timeout,
  out_of_memory,
  cpu_limit,
  owner_gone,
  kernel_shutdown,
  lost
};
constexpr auto enum_names(EndReason) {
  return std::array<std::string_view, 9>{"exited",     "signaled",        "canceled",
                                         "timeout",    "out-of-memory",   "cpu-limit",
                                         "owner-gone", "kernel-shutdown", "lost"};
}

struct Outcome {
  EndReason reason = EndReason::exited;
  std::optional<std::string> by;
  std::optional<std::uint64_t> limit;
  std::optional<std::uint64_t> oom_kills;
  std::optional<std::uint64_t> pids_refused;
  std::optional<std::uint64_t> cpu_ms;
  static constexpr auto fields() {
    using S = Outcome;
    return std::tuple(
        field("reason", &S::reason, "Why the process ended"),
        field("by", &S::by, "Principal that caused the end, where one did"),
        field("limit", &S::limit,
              "The limit that ended it: bytes (out-of-memory, and SIGXFSZ), CPU seconds (cpu-limit), "
              "milliseconds (timeout)"),
        field("oomKills", &S::oom_kills,
              "Processes of it that were killed for want of memory, where some were"),
        field("pidsRefused", &S::pids_refused, "Forks that limits.pids refused, where it did"),
        field("cpuMs", &S::cpu_ms,
              "CPU time of all its processes, milliseconds; with limits, where the host counts it"));
  }
};

struct StdinState {
  bool open = false;
  std::uint64_t offset = 0;
  std::uint64_t queued = 0;
  bool operator==(const StdinState&) const = default;
  static constexpr auto fields() {
    return std::tuple(
        field("open", &StdinState::open, "Whether stdin.write can still be called"),
        field("offset", &StdinState::offset, "Bytes accepted since the start"),
        field("queued", &StdinState::queued, "Accepted bytes that the process has not taken yet"));
  }
};

struct StreamState {
  std::uint64_t bytes = 0;
  std::uint64_t first_offset = 0;
  bool eof = false;
  bool operator==(const StreamState&) const = default;
  static constexpr auto fields() {
    return std::tuple(
        field("bytes", &StreamState::bytes, "Bytes written since the start"),
        field("firstOffset", &StreamState::first_offset, "Oldest byte that the log still holds"),
        field("eof", &StreamState::eof, "Whether the stream has ended"));
  }
};

struct StreamStates {
  StreamState standard_output;
  StreamState standard_error;
  bool operator==(const StreamStates&) const = default;
  static constexpr auto fields() {
    return std::tuple(field("stdout", &StreamStates::standard_output, "Standard output"),
                      field("stderr", &StreamStates::standard_error, "Standard error"));
  }
};

struct ProcessSession {
  std::string id;
  std::int32_t pid = 0;
  std::vector<std::string> argv;
  std::string cwd;
  Status status = Status::running;
  bool paused = false;
  std::string started_at;
  std::optional<std::string> exited_at;
  std::optional<std::int32_t> exit_code;
  std::optional<std::string> signal;
  std::optional<Outcome> outcome;
  std::string owner;
  std::map<std::string, std::string> labels;
  std::optional<std::string> correlation_id;
  StdinState standard_input;
  StreamStates streams;
  reflect::Any limits;
  reflect::Any permissions;
  std::optional<std::vector<std::string>> degraded;
  std::optional<ProcessMetrics> metrics;
  static constexpr auto fields() {
    using S = ProcessSession;
    return std::tuple(
        field("id", &S::id, "Name of the session, stable for its life"),
        field("pid", &S::pid, "Process id of the main process"),
        field("argv", &S::argv, "Program and arguments"),
        field("cwd", &S::cwd, "Working directory at the start"),
        field("status", &S::status, "\"killed\" means ended by a signal"),
        field("paused", &S::paused, "Whether it was stopped by process.pause"),
        field("startedAt", &S::started_at, "ISO 8601, UTC"),
        field("exitedAt", &S::exited_at, "ISO 8601, UTC"),
        field("exitCode", &S::exit_code, "Absent when a signal ended it"),
        field("signal", &S::signal, "Name of the signal that ended it"),
        field("outcome", &S::outcome, "Why it ended"), field("owner", &S::owner, "Principal that created it"),
        field("labels", &S::labels, "What the caller attached"),
        field("correlationId", &S::correlation_id, "Of the request that created it"),
        field("stdin", &S::standard_input, "State of its standard input"),
        field("streams", &S::streams, "State of its output logs"),
        field("limits", &S::limits, "Limits in force, or nil"),
        field("permissions", &S::permissions, "Declaration in force, or nil"),
        field("degraded", &S::degraded, "What of its promises does not hold now, one sentence each"),
        field("metrics", &S::metrics, "What its processes use; in process.status where it was asked for"));
  }
};

// --- process.spawn ---------------------------------------------------------------------------------

enum class EnvMode { inherit, clean };
constexpr auto enum_names(EnvMode) {
  return std::array<std::string_view, 2>{"inherit", "clean"};
}

enum class StdinKind { pipe, null, fd };
constexpr auto enum_names(StdinKind) {
  return std::array<std::string_view, 3>{"pipe", "null", "fd"};
}

enum class StdoutKind { pipe, null, fd };
constexpr auto enum_names(StdoutKind) {
  return std::array<std::string_view, 3>{"pipe", "null", "fd"};
}

enum class StderrKind { pipe, stdout_, null, fd };
constexpr auto enum_names(StderrKind) {
  return std::array<std::string_view, 4>{"pipe", "stdout", "null", "fd"};
}

enum class OwnerExit { keep, kill };
constexpr auto enum_names(OwnerExit) {
  return std::array<std::string_view, 2>{"keep", "kill"};
}

enum class WhenFull { drop_oldest, block };
constexpr auto enum_names(WhenFull) {
  return std::array<std::string_view, 2>{"drop-oldest", "block"};
}

struct OutputOptions {
  std::optional<std::uint64_t> retain_bytes;
  std::optional<WhenFull> when_full;
  static constexpr auto fields() {
    return std::tuple(
        field("retainBytes", &OutputOptions::retain_bytes, "Bytes that each stream's log keeps (64 MiB)"),
        field("whenFull", &OutputOptions::when_full, "What a full log does (drop-oldest)"));
  }
};

struct SpawnOptions {
  std::optional<std::string> cwd;
  std::optional<std::map<std::string, std::string>> env;
  std::optional<EnvMode> env_mode;
  std::optional<ResourceLimits> limits;
  std::optional<LimitsMode> limits_mode;
  std::optional<Permissions> permissions;
  std::optional<std::string> profile;
  std::optional<reflect::Any> pty;
  std::optional<std::uint32_t> umask;
  std::optional<StdinKind> standard_input;
  std::optional<StdoutKind> standard_output;
  std::optional<StderrKind> standard_error;
  std::optional<std::uint64_t> timeout_ms;
  std::optional<std::uint64_t> kill_grace_ms;
  std::optional<OutputOptions> output;
  std::optional<OwnerExit> on_owner_exit;
  std::optional<bool> detach_descendants;
  std::optional<bool> replace;
  std::optional<bool> subscribe;
  std::optional<std::map<std::string, std::string>> labels;
  static constexpr auto fields() {
    using S = SpawnOptions;
    return std::tuple(
        field("cwd", &S::cwd, "Working directory, absolute (that of the daemon: /)"),
        field("env", &S::env, "Environment variables, added to the base"),
        field("envMode", &S::env_mode, "Base environment: the daemon's (inherit) or a minimal one (clean)"),
        field("limits", &S::limits, "Resource limits"),
        field("limitsMode", &S::limits_mode,
              "What becomes of a limit that this host cannot set: an error (strict, default), or a line in "
              "`degraded` (best-effort)"),
        field("permissions", &S::permissions, "What it may reach; what is not named is denied"),
        field("profile", &S::profile, "Name of a profile of permissions, instead of `permissions`"),
        field("pty", &S::pty, "Run on a pseudo terminal; not supported yet"),
        field("umask", &S::umask, "File mode creation mask, 0 to 511"),
        field("stdin", &S::standard_input, "pipe (default), null, or a descriptor sent with the frame"),
        field("stdout", &S::standard_output, "pipe (default), null, or a descriptor sent with the frame"),
        field("stderr", &S::standard_error,
              "pipe (default), stdout, null, or a descriptor sent with the frame"),
        field("timeoutMs", &S::timeout_ms,
              "Longest life, milliseconds, at most a year; then it is terminated"),
        field("killGraceMs", &S::kill_grace_ms,
              "From SIGTERM to SIGKILL, milliseconds, at most a day (2000)"),
        field("output", &S::output, "Rules of the output logs"),
        field("onOwnerExit", &S::on_owner_exit, "What the end of the spawning connection does (keep)"),
        field("detachDescendants", &S::detach_descendants,
              "Let descendants outlive the main process (false)"),
        field("replace", &S::replace, "Take over the id of an ended session (false)"),
        field("subscribe", &S::subscribe, "Push events and output to this connection (true)"),
        field("labels", &S::labels, "Strings to find the session by"));
  }
};

}  // namespace kairo::api
