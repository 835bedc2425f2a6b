// Params and Result of every method (SPEC 2.7, 4, 5, 6, 10). A method's name, both structs and the sentence
// for kernel.introspect stand together in kernel/methods.cpp.
#pragma once

#include "api/session.hpp"

namespace kairo::api {

struct NoParams {
  static constexpr auto fields() { return std::tuple<>(); }
};
struct Done {
  static constexpr auto fields() { return std::tuple<>(); }
};

// --- kernel ----------------------------------------------------------------------------------------

struct PingResult {
  bool pong = true;
  std::string time;
  static constexpr auto fields() {
    return std::tuple(field("pong", &PingResult::pong, "Always true"),
                      field("time", &PingResult::time, "The daemon's clock, ISO 8601, UTC"));
  }
};

/// What this host can enforce of a declaration of permissions.
struct ConfinementInfo {
  std::int32_t landlock_abi = 0;
  bool seccomp = false;
  bool private_network = false;
  std::vector<std::string> missing;
  std::vector<std::string> sources;
  std::vector<std::string> untold;
  static constexpr auto fields() {
    using S = ConfinementInfo;
    return std::tuple(
        field("landlockAbi", &S::landlock_abi, "Version of Landlock; 0 where there is none"),
        field("seccomp", &S::seccomp, "Whether system calls can be filtered"),
        field("privateNetwork", &S::private_network, "Whether net \"private\" can be had"),
        field("missing", &S::missing, "What stands in the way of permissions, one sentence each; else empty"),
        field("sources", &S::sources, "Who tells what sessions are denied: seccomp, landlock"),
        field("untold", &S::untold, "What nobody tells, and why, one sentence each"));
  }
};

struct InfoResult {
  std::string version;
  std::uint32_t protocol_version = 1;
  std::string instance_id;
  std::string keeper_id;
  std::int32_t pid = 0;
  std::int32_t keeper_pid = 0;
  std::string started_at;
  std::uint64_t uptime_ms = 0;
  std::string socket;
  std::string state_dir;
  std::optional<std::string> metrics_listen;
  std::uint64_t sessions = 0;
  std::uint64_t running = 0;
  std::map<std::string, std::uint64_t> limits;
  std::map<std::string, bool> features;
  ConfinementInfo confinement;
  static constexpr auto fields() {
    using S = InfoResult;
    return std::tuple(field("version", &S::version, "Version of the program"),
                      field("protocolVersion", &S::protocol_version, "Version of the wire protocol"),
                      field("instanceId", &S::instance_id, "New with every start of the daemon"),
                      field("keeperId", &S::keeper_id, "New with every start of the keeper"),
                      field("pid", &S::pid, "Process id of the daemon"),
                      field("keeperPid", &S::keeper_pid, "Process id of the keeper"),
                      field("startedAt", &S::started_at, "ISO 8601, UTC"),
                      field("uptimeMs", &S::uptime_ms, "Milliseconds since the start"),
                      field("socket", &S::socket, "Path that it listens on"),
                      field("stateDir", &S::state_dir, "Directory of its logs and locks"),
                      field("metricsListen", &S::metrics_listen, "Where metrics are served over HTTP"),
                      field("sessions", &S::sessions, "Sessions known, ended ones included"),
                      field("running", &S::running, "Sessions that run"),
                      field("limits", &S::limits, "Every bound in force, by name"),
                      field("features", &S::features, "What works on this host, by name"),
                      field("confinement", &S::confinement, "What this host can enforce of permissions"));
  }
};

/// What becomes of the processes when the daemon stops.
enum class Processes { keep, stop };
constexpr auto enum_names(Processes) {
  return std::array<std::string_view, 2>{"keep", "stop"};
}

struct StopParams {
  std::optional<Processes> processes;
  static constexpr auto fields() {
    return std::tuple(field("processes", &StopParams::processes, "By default as the daemon is configured"));
  }
};
struct StopResult {
  std::string instance_id;
  Processes processes = Processes::keep;
  static constexpr auto fields() {
    return std::tuple(field("instanceId", &StopResult::instance_id, "Of the daemon that stops"),
                      field("processes", &StopResult::processes, "What becomes of them"));
  }
};

struct UpgradeResult {
  std::string instance_id;
  std::string version;
  std::string next_version;
  std::string program;
  static constexpr auto fields() {
    using S = UpgradeResult;
    return std::tuple(field("instanceId", &S::instance_id, "Of the daemon that is replaced"),
                      field("version", &S::version, "Version of the daemon that is replaced"),
                      field("nextVersion", &S::next_version, "Version of the program that takes its place"),
                      field("program", &S::program, "Path of that program"));
  }
};

struct MethodDescription {
  std::string name;
  std::string text;
  reflect::Any params;
  reflect::Any result;
  static constexpr auto fields() {
    using S = MethodDescription;
    return std::tuple(field("name", &S::name, "Method name"), field("text", &S::text, "What it does"),
                      field("params", &S::params, "JSON Schema of its params"),
                      field("result", &S::result, "JSON Schema of its result"));
  }
};
struct IntrospectResult {
  std::uint32_t protocol_version = 1;
  std::vector<MethodDescription> methods;
  static constexpr auto fields() {
    using S = IntrospectResult;
    return std::tuple(field("protocolVersion", &S::protocol_version, "Version of the wire protocol"),
                      field("methods", &S::methods, "Every method, by name"));
  }
};

struct IdentifyParams {
  std::string name;
  static constexpr auto fields() {
    return std::tuple(
        field("name", &IdentifyParams::name, "Letters, digits, dot, dash, underscore; at most 64"));
  }
};
struct IdentifyResult {
  std::string principal;
  static constexpr auto fields() {
    return std::tuple(
        field("principal", &IdentifyResult::principal, "Whom the connection acts as from now on"));
  }
};

// --- process ---------------------------------------------------------------------------------------

struct SpawnParams {
  std::optional<std::string> id;
  std::vector<std::string> command;
  std::optional<SpawnOptions> options;
  std::optional<std::string> cwd;
  std::optional<std::map<std::string, std::string>> env;
  std::optional<ResourceLimits> limits;
  static constexpr auto fields() {
    using S = SpawnParams;
    return std::tuple(field("id", &S::id, "Name to give; the kernel makes one when absent"),
                      field("command", &S::command, "Program and arguments; no shell is involved"),
                      field("options", &S::options, "How to start it"),
                      field("cwd", &S::cwd, "As options.cwd (ProcessConfig)"),
                      field("env", &S::env, "As options.env (ProcessConfig)"),
                      field("limits", &S::limits, "As options.limits (ProcessConfig)"));
  }
};

struct ExplainParams {
  std::string id;
  std::optional<std::string> target;
  static constexpr auto fields() {
    return std::tuple(field("id", &ExplainParams::id, "Session"),
                      field("target", &ExplainParams::target,
                            "A path, tcp:PORT, udp:PORT or unix:PATH; without it what was denied is told"));
  }
};

/// One thing that can be done to a target.
struct AccessExplained {
  std::string access;
  bool allowed = false;
  std::optional<std::string> by;
  std::optional<std::string> would;
  static constexpr auto fields() {
    using S = AccessExplained;
    return std::tuple(field("access", &S::access, "read, write, connect, bind or send"),
                      field("allowed", &S::allowed, "Whether the declaration covers it"),
                      field("by", &S::by, "The line of the declaration that does"),
                      field("would", &S::would, "The option of kairoctl that would"));
  }
};

/// Something that a session's processes asked for and did not get.
struct Denied {
  std::string what;
  std::optional<std::string> target;
  std::uint64_t count = 0;
  std::string first_at;
  std::string last_at;
  std::optional<std::string> would;
  std::optional<std::string> note;
  std::string source;
  static constexpr auto fields() {
    using S = Denied;
    return std::tuple(
        field("what", &S::what, "What was asked for, for instance \"UDP socket (IPv4)\" or read"),
        field("target", &S::target, "What it was to be done to, as process.explain takes it"),
        field("count", &S::count, "How often"), field("firstAt", &S::first_at, "When it was first asked for"),
        field("lastAt", &S::last_at, "And when last"),
        field("would", &S::would, "The option of kairoctl that would allow it; absent: none does"),
        field("note", &S::note, "What else there is to say of it, for people"),
        field("source", &S::source, "Who told it: seccomp or landlock"));
  }
};

struct ExplainResult {
  std::optional<std::string> target;
  bool confined = false;
  std::optional<std::vector<AccessExplained>> accesses;
  std::optional<std::vector<Denied>> denials;
  std::optional<bool> complete;
  std::optional<std::vector<std::string>> sources;
  std::optional<std::vector<std::string>> untold;
  static constexpr auto fields() {
    using S = ExplainResult;
    return std::tuple(
        field("target", &S::target, "What was asked about"),
        field("confined", &S::confined, "False: the session has no declaration, and nothing is denied"),
        field("accesses", &S::accesses, "With a target: what can be done to it"),
        field("denials", &S::denials, "Without a target: what the session was denied, the oldest first"),
        field("complete", &S::complete, "Without a target: whether all that the sources told is listed"),
        field("sources", &S::sources, "Without a target: who tells of this session: seccomp, landlock"),
        field("untold", &S::untold, "Without a target: what nobody tells, and why, one sentence each"));
  }
};

/// The ProcessSession, with its id under the seed's name and the owner's subscription.
struct SpawnResult : ProcessSession {
  std::string process_id;
  std::optional<std::string> subscription_id;
  static constexpr auto fields() {
    return std::tuple_cat(ProcessSession::fields(),
                          std::tuple(field("processId", &SpawnResult::process_id, "The id again"),
                                     field("subscriptionId", &SpawnResult::subscription_id,
                                           "The owner's subscription, unless declined")));
  }
};

struct IdParams {
  std::string id;
  static constexpr auto fields() { return std::tuple(field("id", &IdParams::id, "Session id")); }
};

struct StatusParams {
  std::string id;
  std::optional<bool> metrics;
  static constexpr auto fields() {
    return std::tuple(field("id", &StatusParams::id, "Session id"),
                      field("metrics", &StatusParams::metrics,
                            "Whether to look at what its processes use, while it runs (false)"));
  }
};

struct ListParams {
  std::optional<Status> status;
  std::optional<std::string> label;
  std::optional<std::string> owner;
  std::optional<std::string> after;
  std::optional<std::uint32_t> limit;
  static constexpr auto fields() {
    using S = ListParams;
    return std::tuple(
        field("status", &S::status, "Only sessions of this status"),
        field("label", &S::label, "Only sessions with this label: \"key\" or \"key=value\""),
        field("owner", &S::owner, "Only sessions of this principal"),
        field("after", &S::after, "Continue after this `next` of the page before"),
        field("limit", &S::limit, "Sessions in one page, 1 to the setting listPage (listPage)"));
  }
};
struct ListResult {
  std::vector<ProcessSession> sessions;
  std::optional<std::string> next;
  static constexpr auto fields() {
    return std::tuple(
        field("sessions", &ListResult::sessions, "In order of their start"),
        field("next", &ListResult::next, "Pass as `after` for the next page; absent on the last"));
  }
};

struct WaitParams {
  std::string id;
  std::optional<std::uint64_t> timeout_ms;
  static constexpr auto fields() {
    return std::tuple(field("id", &WaitParams::id, "Session id"),
                      field("timeoutMs", &WaitParams::timeout_ms,
                            "Longest wait, milliseconds, at most a year; E_TIMEOUT after it"));
  }
};

enum class Scope { group, main, all };
constexpr auto enum_names(Scope) {
  return std::array<std::string_view, 3>{"group", "main", "all"};
}

struct KillParams {
  std::string id;
  std::optional<std::variant<std::string, std::int32_t>> signal;
  std::optional<std::uint64_t> escalate_after_ms;
  std::optional<Scope> scope;
  static constexpr auto fields() {
    using S = KillParams;
    return std::tuple(field("id", &S::id, "Session id"),
                      field("signal", &S::signal, "Name or number (SIGTERM)"),
                      field("escalateAfterMs", &S::escalate_after_ms,
                            "SIGKILL follows after so many milliseconds, at most a day"),
                      field("scope", &S::scope, "Whom it reaches (group)"));
  }
};

struct CancelParams {
  std::string id;
  std::optional<std::string> reason;
  std::optional<std::uint64_t> grace_ms;
  static constexpr auto fields() {
    using S = CancelParams;
    return std::tuple(
        field("id", &S::id, "Session id"),
        field("reason", &S::reason, "For the event kairo.process.canceled"),
        field("graceMs", &S::grace_ms, "From SIGTERM to SIGKILL, milliseconds, at most a day (killGraceMs)"));
  }
};

struct ResizeParams {
  std::string id;
  std::uint16_t cols = 0;
  std::uint16_t rows = 0;
  static constexpr auto fields() {
    return std::tuple(field("id", &ResizeParams::id, "Session id"),
                      field("cols", &ResizeParams::cols, "Columns of the terminal"),
                      field("rows", &ResizeParams::rows, "Rows of the terminal"));
  }
};

struct StdinWriteParams {
  std::string id;
  reflect::Bytes data;
  std::optional<std::string> encoding;
  std::optional<std::uint64_t> offset;
  static constexpr auto fields() {
    using S = StdinWriteParams;
    return std::tuple(
        field("id", &S::id, "Session id"), field("data", &S::data, "What to write, str or bin"),
        field("encoding", &S::encoding, "Of `data`: utf8 (default) or base64"),
        field("offset", &S::offset, "Position of the first byte; makes the write exactly-once"));
  }
};
struct StdinWriteResult {
  std::uint64_t written = 0;
  std::uint64_t offset = 0;
  static constexpr auto fields() {
    return std::tuple(field("written", &StdinWriteResult::written, "Bytes that were not skipped"),
                      field("offset", &StdinWriteResult::offset, "Position after the write"));
  }
};

// --- output ----------------------------------------------------------------------------------------

enum class Mode { chunk, line };
constexpr auto enum_names(Mode) {
  return std::array<std::string_view, 2>{"chunk", "line"};
}
enum class Encoding { utf8, base64, binary };
constexpr auto enum_names(Encoding) {
  return std::array<std::string_view, 3>{"utf8", "base64", "binary"};
}
enum class Flow { throttle, follow, lossless };
constexpr auto enum_names(Flow) {
  return std::array<std::string_view, 3>{"throttle", "follow", "lossless"};
}
enum class From { start, end };
constexpr auto enum_names(From) {
  return std::array<std::string_view, 2>{"start", "end"};
}

struct FromOffsets {
  std::optional<std::uint64_t> standard_output;
  std::optional<std::uint64_t> standard_error;
  static constexpr auto fields() {
    return std::tuple(field("stdout", &FromOffsets::standard_output, "Offset to begin at (0)"),
                      field("stderr", &FromOffsets::standard_error, "Offset to begin at (0)"));
  }
};

struct AttachParams {
  std::string id;
  std::optional<std::vector<StreamName>> streams;
  std::optional<std::variant<From, FromOffsets>> from;
  std::optional<Mode> mode;
  std::optional<Encoding> encoding;
  std::optional<Flow> flow;
  std::optional<std::uint32_t> max_chunk_bytes;
  std::optional<std::uint64_t> max_bytes_per_second;
  std::optional<std::uint64_t> window;
  static constexpr auto fields() {
    using S = AttachParams;
    return std::tuple(
        field("id", &S::id, "Session id"), field("streams", &S::streams, "Which streams (both)"),
        field("from", &S::from, "start (default), end, or an offset per stream"),
        field("mode", &S::mode, "Pieces as they come (chunk, default) or one whole line each (line)"),
        field("encoding", &S::encoding, "utf8 (default; base64 where it is none), base64 always, or binary"),
        field("flow", &S::flow, "throttle, follow (default) or lossless"),
        field("maxChunkBytes", &S::max_chunk_bytes, "Longest chunk, bytes (64 KiB; throttle: 16 KiB)"),
        field("maxBytesPerSecond", &S::max_bytes_per_second,
              "Rate of each stream under throttle (256 KiB/s)"),
        field("window", &S::window, "Credit to begin with, bytes; absent: no credit is counted"));
  }
};
struct SubscriptionResult {
  std::string subscription_id;
  static constexpr auto fields() {
    return std::tuple(
        field("subscriptionId", &SubscriptionResult::subscription_id, "Name of the subscription"));
  }
};
struct SubscriptionParams {
  std::string subscription_id;
  static constexpr auto fields() {
    return std::tuple(
        field("subscriptionId", &SubscriptionParams::subscription_id, "Name of the subscription"));
  }
};
struct CreditParams {
  std::string subscription_id;
  std::uint64_t bytes = 0;
  static constexpr auto fields() {
    return std::tuple(field("subscriptionId", &CreditParams::subscription_id, "Name of the subscription"),
                      field("bytes", &CreditParams::bytes, "Credit to add"));
  }
};

struct ReadParams {
  std::string id;
  StreamName stream = StreamName::standard_output;
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> max_bytes;
  std::optional<std::uint64_t> wait_ms;
  std::optional<Encoding> encoding;
  std::optional<bool> timestamps;
  std::optional<std::string> since;
  static constexpr auto fields() {
    using S = ReadParams;
    return std::tuple(
        field("id", &S::id, "Session id"), field("stream", &S::stream, "Which stream"),
        field("offset", &S::offset, "Position of the first byte"),
        field("maxBytes", &S::max_bytes, "Most bytes to answer (64 KiB; at most 4 MiB)"),
        field("waitMs", &S::wait_ms, "Wait so long for a first byte, at most an hour (0)"),
        field("encoding", &S::encoding, "As in process.attach"),
        field("timestamps", &S::timestamps, "Answer when the bytes were written, too"),
        field("since", &S::since, "ISO 8601: begin at the first byte written since then, if later"));
  }
};
struct TimeMark {
  std::uint64_t offset = 0;
  std::string time;
  static constexpr auto fields() {
    return std::tuple(field("offset", &TimeMark::offset, "Bytes from here on..."),
                      field("time", &TimeMark::time, "...were recorded at this time or later, ISO 8601"));
  }
};
struct ReadResult {
  std::uint64_t offset = 0;
  std::string encoding;
  std::variant<std::string, reflect::Bytes> chunk;
  std::uint64_t next_offset = 0;
  bool eof = false;
  std::optional<std::uint64_t> dropped;
  std::optional<std::vector<TimeMark>> times;
  static constexpr auto fields() {
    using S = ReadResult;
    return std::tuple(
        field("offset", &S::offset, "Position of the first byte of `chunk`"),
        field("encoding", &S::encoding, "Of `chunk`: utf8, base64 or binary"),
        field("chunk", &S::chunk, "The bytes"),
        field("nextOffset", &S::next_offset, "Position after `chunk`"),
        field("eof", &S::eof, "Whether nothing follows"),
        field("dropped", &S::dropped, "Bytes from the wanted offset that the log no longer holds"),
        field("times", &S::times, "When the bytes were written"));
  }
};

// --- events ----------------------------------------------------------------------------------------

struct EventSubscribeParams {
  std::string topic;
  std::optional<std::uint64_t> since_seq;
  static constexpr auto fields() {
    return std::tuple(
        field("topic", &EventSubscribeParams::topic, "Pattern: * one segment, > the rest"),
        field("sinceSeq", &EventSubscribeParams::since_seq, "First what was stored behind this number"));
  }
};
struct EventSubscribeResult {
  std::string subscription_id;
  std::uint64_t seq = 0;
  static constexpr auto fields() {
    return std::tuple(
        field("subscriptionId", &EventSubscribeResult::subscription_id, "Name of the subscription"),
        field("seq", &EventSubscribeResult::seq, "Number of the newest event so far"));
  }
};
struct EventQueryParams {
  std::optional<std::string> topic;
  std::optional<std::uint64_t> since_seq;
  std::optional<std::string> from_time;
  std::optional<std::string> to_time;
  std::optional<std::string> correlation_id;
  std::optional<std::string> process_id;
  std::optional<std::uint32_t> limit;
  static constexpr auto fields() {
    using S = EventQueryParams;
    return std::tuple(field("topic", &S::topic, "Pattern: * one segment, > the rest (>)"),
                      field("sinceSeq", &S::since_seq, "Only what follows this number (0)"),
                      field("fromTime", &S::from_time, "ISO 8601: only what happened then or later"),
                      field("toTime", &S::to_time, "ISO 8601: only what happened then or earlier"),
                      field("correlationId", &S::correlation_id, "Only what carries it"),
                      field("processId", &S::process_id, "Only what is about this session"),
                      field("limit", &S::limit, "Events in one page, 1 to 1000 (1000)"));
  }
};
struct PublishParams {
  std::string type;
  reflect::Any data;
  std::optional<std::string> correlation_id;
  std::optional<std::string> causation_id;
  static constexpr auto fields() {
    using S = PublishParams;
    return std::tuple(field("type", &S::type, "Dotted name outside of `kairo.`, with few exceptions"),
                      defaulted("data", &S::data, "Any value"),
                      field("correlationId", &S::correlation_id, "Instead of the request's own"),
                      field("causationId", &S::causation_id, "Instead of the request's own"));
  }
};
struct PublishResult {
  std::string id;
  std::uint64_t seq = 0;
  static constexpr auto fields() {
    return std::tuple(field("id", &PublishResult::id, "The event's id"),
                      field("seq", &PublishResult::seq, "The event's number"));
  }
};

}  // namespace kairo::api
