// What kairod and keeper say to each other, over the Unix socket STATE_DIR/keeper.sock (SOCK_STREAM).
//
// A message is 4 bytes of length (big-endian, of what follows), 1 byte of MessageType, and one MsgPack map of
// the struct of that name; unknown members are ignored, so that a version may add some. Descriptors go with
// the first byte of their message (SCM_RIGHTS).
//
// kairod opens three connections. The first message on each is Hello and the keeper's answer is Welcome, on
// the control connection with the table's descriptor and every session. On the two `launch` connections only
// Launch goes in and Launched or LaunchFailed comes out, one for each, in order; a thread of the keeper
// serves each, so that one exec on a dead mount does not stop all launches. On the control connection
// everything else.
//
// The keeper trusts kairod (same user, checked by SO_PEERCRED) but parses with bounds all the same.
// When a control connection ends the keeper goes on without kairod: it reads output, feeds what stdin rings
// hold and keeps exits until the next kairod has released them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/limits.hpp"
#include "base/result.hpp"
#include "cgroup/layout.hpp"
#include "reflect/fields.hpp"
#include "sandbox/denial.hpp"
#include "sandbox/plan.hpp"

namespace kairo::keeper {

/// Each side speaks its own version and the one before, so that either may be newer by one. Version 2 brought
/// Upgrade, version 3 what Launch has for other users, limits and confinement: an older keeper would start
/// the program without them, so it is not asked to. Version 4 brought what was denied: an older keeper
/// confines as well and is not asked what it refused. (Tests build keepers of other versions.)
#ifndef KAIRO_KEEPER_PROTOCOL
#define KAIRO_KEEPER_PROTOCOL 4
#endif
inline constexpr std::uint32_t protocol_version = KAIRO_KEEPER_PROTOCOL;
inline constexpr std::uint32_t oldest_protocol_version = protocol_version > 1 ? protocol_version - 1 : 0;
inline constexpr std::size_t message_bytes_max = 4u << 20;
inline constexpr unsigned launch_connections = 2;

enum class MessageType : std::uint8_t {
  hello = 1,
  welcome,
  launch,
  launched,
  launch_failed,
  signal,
  signaled,
  stdin_ring,
  stdin_ready,
  resume_pump,
  changed,
  exited,
  release,
  stop,
  note,
  upgrade,
  upgrade_failed,
  ask_denials,
  denials,
};
inline constexpr MessageType last_message_type = MessageType::denials;

using reflect::defaulted;
using reflect::field;

struct Hello {
  std::uint32_t version = protocol_version;
  std::string role;  ///< "control" or "launch"
  std::string instance_id;
  static constexpr auto fields() {
    return std::tuple(field("version", &Hello::version, "Newest version spoken"),
                      field("role", &Hello::role, "control or launch"),
                      field("instanceId", &Hello::instance_id, "Of the kairod that speaks"));
  }
};

/// What a session's control group counted, of all its processes together.
struct LimitReport {
  bool out_of_memory = false;  ///< The main process was killed for want of memory.
  std::uint64_t oom_kills = 0;
  std::uint64_t pids_refused = 0;
  std::optional<std::uint64_t> cpu_us;
  bool operator==(const LimitReport&) const = default;
  static constexpr auto fields() {
    using S = LimitReport;
    return std::tuple(defaulted("outOfMemory", &S::out_of_memory, ""),
                      defaulted("oomKills", &S::oom_kills, ""),
                      defaulted("pidsRefused", &S::pids_refused, ""), field("cpuUs", &S::cpu_us, ""));
  }
};

/// A call that a session's filter has refused, and how often.
struct DeniedCall {
  sandbox::Denial denial;
  std::uint64_t count = 0;
  std::uint64_t first_us = 0;  ///< Unix time.
  std::uint64_t last_us = 0;
  bool operator==(const DeniedCall&) const = default;
  static constexpr auto fields() {
    using S = DeniedCall;
    return std::tuple(field("denial", &S::denial, ""), field("count", &S::count, ""),
                      field("firstUs", &S::first_us, ""), field("lastUs", &S::last_us, ""));
  }
};

/// All that a session's filter has refused of what a declaration could allow.
struct DenialReport {
  std::vector<DeniedCall> listed;  ///< At most sandbox::denials_max.
  std::uint64_t unlisted = 0;      ///< Calls beyond these.
  bool operator==(const DenialReport&) const = default;
  static constexpr auto fields() {
    return std::tuple(defaulted("listed", &DenialReport::listed, ""),
                      defaulted("unlisted", &DenialReport::unlisted, ""));
  }
};

/// One session as a new kairod finds it.
struct HeldSession {
  std::uint64_t key = 0;
  std::uint32_t slot = 0;
  std::int32_t pid = 0;
  std::uint64_t started_us = 0;
  std::uint64_t started_boot_us = 0;        ///< The same by boot_clock_us().
  reflect::Bytes record;                    ///< As it came with Launch.
  reflect::Bytes note;                      ///< As it came with the last Note, or empty.
  bool has_stdin_ring = false;              ///< Its memfd stands in the message's descriptors, in this order.
  std::optional<std::int32_t> wait_status;  ///< When the main process has ended and all was recorded.
  std::uint64_t exited_us = 0;
  std::uint64_t exited_boot_us = 0;  ///< The same by boot_clock_us().
  std::uint32_t group = 0;           ///< As in Launched.
  std::map<std::string, std::string> degraded;
  std::optional<LimitReport> report;    ///< As in Exited.
  std::optional<DenialReport> denials;  ///< As in Exited.
  static constexpr auto fields() {
    using S = HeldSession;
    return std::tuple(field("key", &S::key, ""), field("slot", &S::slot, ""), field("pid", &S::pid, ""),
                      field("startedUs", &S::started_us, ""),
                      defaulted("startedBootUs", &S::started_boot_us, ""), field("record", &S::record, ""),
                      defaulted("note", &S::note, ""), defaulted("hasStdinRing", &S::has_stdin_ring, ""),
                      field("waitStatus", &S::wait_status, ""), defaulted("exitedUs", &S::exited_us, ""),
                      defaulted("exitedBootUs", &S::exited_boot_us, ""), defaulted("group", &S::group, ""),
                      defaulted("degraded", &S::degraded, ""), field("report", &S::report, ""),
                      field("denials", &S::denials, ""));
  }
};

/// Answer to Hello. On the control connection the table's descriptor comes with it. Sessions come in several
/// Welcomes
/// (`more` set on all but the last) so that no message is over message_bytes_max and none carries more than
/// 200 descriptors.
struct Welcome {
  std::uint32_t version = protocol_version;
  std::string keeper_id;
  std::int32_t pid = 0;
  std::vector<HeldSession> sessions;
  bool more = false;
  cgroup::Layout groups;  ///< Where the sessions' control groups are.
  static constexpr auto fields() {
    using S = Welcome;
    return std::tuple(field("version", &S::version, "Version that will be spoken"),
                      field("keeperId", &S::keeper_id, ""), field("pid", &S::pid, ""),
                      defaulted("sessions", &S::sessions, ""), defaulted("more", &S::more, ""),
                      defaulted("groups", &S::groups, ""));
  }
};

/// Where one of the three standard descriptors leads.
enum class Stdio : std::uint8_t { pipe, null, fd, to_stdout };
constexpr auto enum_names(Stdio) {
  return std::array<std::string_view, 4>{"pipe", "null", "fd", "stdout"};
}

/// Whom a program runs as.
struct Identity {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;
  static constexpr auto fields() {
    using S = Identity;
    return std::tuple(field("uid", &S::uid, ""), field("gid", &S::gid, ""), field("groups", &S::groups, ""));
  }
};

/// What a program and all that it starts may use. The first three need a control group; the others are set
/// for each process (setrlimit(2)).
struct LaunchLimits {
  std::optional<double> cpu;  ///< Cores.
  std::optional<std::uint64_t> memory;
  std::optional<std::uint64_t> pids;
  std::optional<std::uint64_t> open_files;
  std::optional<std::uint64_t> cpu_seconds;  ///< kairod looks after the sum.
  std::optional<std::uint64_t> file_size;
  bool best_effort = false;  ///< What cannot be set is told in Launched; else it fails the launch.
  static constexpr auto fields() {
    using S = LaunchLimits;
    return std::tuple(field("cpu", &S::cpu, ""), field("memory", &S::memory, ""), field("pids", &S::pids, ""),
                      field("openFiles", &S::open_files, ""), field("cpuSeconds", &S::cpu_seconds, ""),
                      field("fileSize", &S::file_size, ""), defaulted("bestEffort", &S::best_effort, ""));
  }
};

struct Launch {
  std::uint64_t token = 0;
  std::uint64_t key = 0;
  std::uint32_t slot = 0;  ///< Free in the table, chosen by kairod, which has set the pins.
  std::vector<std::string> argv;
  reflect::Bytes env;  ///< Complete: each "NAME=value" with a NUL behind it.
  std::string cwd;     ///< Absolute.
  std::uint32_t umask = 022;
  Stdio standard_input = Stdio::pipe;
  Stdio standard_output = Stdio::pipe;
  Stdio standard_error = Stdio::pipe;
  std::uint64_t retain_bytes = 0;
  std::uint64_t kill_grace_ms = 0;
  bool detach_descendants = false;
  std::optional<Identity> identity;  ///< None: as the keeper.
  std::optional<LaunchLimits> limits;
  std::optional<sandbox::Plan> confinement;
  bool ipc = false;  ///< One more descriptor comes behind those of the stdio, to be 3 in the program.
  std::string mark;  ///< Session id; a process belongs to it whose environment has KAIRO_PROCESS_ID=mark.
  reflect::Bytes record;  ///< kairod's own; kept and given back with HeldSession.
  static constexpr auto fields() {
    using S = Launch;
    return std::tuple(field("token", &S::token, ""), field("key", &S::key, ""), field("slot", &S::slot, ""),
                      field("argv", &S::argv, ""), field("env", &S::env, ""), field("cwd", &S::cwd, ""),
                      field("umask", &S::umask, ""), field("stdin", &S::standard_input, ""),
                      field("stdout", &S::standard_output, ""), field("stderr", &S::standard_error, ""),
                      field("retainBytes", &S::retain_bytes, ""), field("killGraceMs", &S::kill_grace_ms, ""),
                      field("detachDescendants", &S::detach_descendants, ""),
                      field("identity", &S::identity, ""), field("limits", &S::limits, ""),
                      field("confinement", &S::confinement, ""), defaulted("ipc", &S::ipc, ""),
                      field("mark", &S::mark, ""), field("record", &S::record, ""));
  }
};

struct Launched {
  std::uint64_t token = 0;
  std::int32_t pid = 0;
  std::uint64_t started_us = 0;
  std::uint32_t group = 0;                      ///< cgroup::Group::in; 0: it has no control group.
  std::map<std::string, std::string> degraded;  ///< Limits that could not be set, and why.
  static constexpr auto fields() {
    using S = Launched;
    return std::tuple(field("token", &S::token, ""), field("pid", &S::pid, ""),
                      field("startedUs", &S::started_us, ""), defaulted("group", &S::group, ""),
                      defaulted("degraded", &S::degraded, ""));
  }
};

struct LaunchFailed {
  std::uint64_t token = 0;
  std::string step;  ///< "exec", "chdir", "pipe", "clone", "descriptors", "stdio", "slot", "limits", ...
  std::int32_t error_number = 0;
  std::string object;  ///< The path or name that the step was about.
  static constexpr auto fields() {
    using S = LaunchFailed;
    return std::tuple(field("token", &S::token, ""), field("step", &S::step, ""),
                      field("errno", &S::error_number, ""), field("object", &S::object, ""));
  }
};

enum class SignalScope : std::uint8_t { group, main, all };
constexpr auto enum_names(SignalScope) {
  return std::array<std::string_view, 3>{"group", "main", "all"};
}

/// Sends a signal; a terminating one is followed by SIGCONT. Answered by Signaled.
struct Signal {
  std::uint64_t token = 0;
  std::uint64_t key = 0;
  std::int32_t number = 0;
  SignalScope scope = SignalScope::group;
  static constexpr auto fields() {
    using S = Signal;
    return std::tuple(field("token", &S::token, ""), field("key", &S::key, ""),
                      field("number", &S::number, ""), field("scope", &S::scope, ""));
  }
};
struct Signaled {
  std::uint64_t token = 0;
  std::int32_t error_number = 0;  ///< ESRCH: there is nobody left.
  static constexpr auto fields() {
    return std::tuple(field("token", &Signaled::token, ""), field("errno", &Signaled::error_number, ""));
  }
};

/// What a session was denied so far; answered by Denials.
struct AskDenials {
  std::uint64_t token = 0;
  std::uint64_t key = 0;
  static constexpr auto fields() {
    return std::tuple(field("token", &AskDenials::token, ""), field("key", &AskDenials::key, ""));
  }
};
struct DenialsAnswer {
  std::uint64_t token = 0;
  std::optional<DenialReport> report;  ///< None: its filter has no listener, or the session is forgotten.
  static constexpr auto fields() {
    return std::tuple(field("token", &DenialsAnswer::token, ""), field("report", &DenialsAnswer::report, ""));
  }
};

/// StdinRing (with the memfd), StdinReady (bytes or a close wait and `idle` was set), ResumePump (a pin moved
/// and log_held was set), Release (kairod has taken the exit over: slot and memory may go; the log files
/// stay). A Release before log_eof of both streams gives up what their pipes still hold; one before the main
/// process has ended is not obeyed.
struct Key {
  std::uint64_t key = 0;
  static constexpr auto fields() { return std::tuple(field("key", &Key::key, "")); }
};

/// What kairod wants to find again of a session that has been launched; the keeper does not look into it.
/// An order that follows on the same connection is carried out after it is kept.
struct Note {
  std::uint64_t key = 0;
  reflect::Bytes note;
  static constexpr auto fields() {
    return std::tuple(field("key", &Note::key, ""), field("note", &Note::note, ""));
  }
};

/// Sessions whose exit kairod has taken note of: the keeper may forget them.
struct Release {
  std::vector<std::uint64_t> keys;
  static constexpr auto fields() { return std::tuple(field("keys", &Release::keys, "")); }
};

/// Slots in which something changed that kairod wanted to know (`wake` was set): look at them.
struct Changed {
  std::vector<std::uint32_t> slots;
  static constexpr auto fields() { return std::tuple(field("slots", &Changed::slots, "")); }
};

/// The main process has ended and its output has been recorded up to end of file, or the grace is over. In
/// the second case a stream that a pin holds, that the disk refuses or that detached descendants write is
/// still without log_eof and goes on being recorded.
struct Exited {
  std::uint64_t key = 0;
  std::int32_t wait_status = 0;       ///< As waitpid gives it.
  std::uint64_t exited_us = 0;        ///< Unix time.
  std::uint64_t exited_boot_us = 0;   ///< The same by boot_clock_us().
  std::optional<LimitReport> report;  ///< Of a session with limits and a control group.
  /// Of a session whose filter has a listener. What descendants that it left are denied later is not in it.
  std::optional<DenialReport> denials = {};
  static constexpr auto fields() {
    return std::tuple(field("key", &Exited::key, ""), field("waitStatus", &Exited::wait_status, ""),
                      field("exitedUs", &Exited::exited_us, ""),
                      defaulted("exitedBootUs", &Exited::exited_boot_us, ""),
                      field("report", &Exited::report, ""), field("denials", &Exited::denials, ""));
  }
};

/// kairod goes and wants the keeper to go, too; sent when nothing runs.
struct Stop {
  static constexpr auto fields() { return std::tuple<>(); }
};

/// kairod has the keeper execute another program in its place, whose descriptor comes with it; sent before
/// any other order. The connection ends with that; kairod connects again and finds the same keeper.
struct Upgrade {
  std::uint32_t oldest_letter = 0;  ///< What that program reads (succession.hpp).
  std::uint32_t newest_letter = 0;
  static constexpr auto fields() {
    using S = Upgrade;
    return std::tuple(field("oldestLetter", &S::oldest_letter, ""),
                      field("newestLetter", &S::newest_letter, ""));
  }
};
/// The keeper goes on as the program that it is.
struct UpgradeFailed {
  std::string why;
  static constexpr auto fields() { return std::tuple(field("why", &UpgradeFailed::why, "")); }
};

/// Appends one message.
template <class T>
void append_message(std::string& out, MessageType type, const T& message);

/// The next whole message of a byte stream; nothing while it is incomplete, an error when it cannot be one.
struct Message {
  MessageType type;
  std::string_view body;  ///< MsgPack
  std::size_t bytes;      ///< Of the whole message, to be dropped from the stream.
};
Result<std::optional<Message>> next_message(std::string_view stream);

/// Decodes a body as T; a message that is not one is an error for the connection.
template <class T>
Result<T> read_message(const Message& message);

}  // namespace kairo::keeper

#include "keeper/protocol.ipp"
