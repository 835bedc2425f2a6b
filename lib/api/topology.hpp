// Topologies (SPEC 9): what a file declares, and what topology.* takes and answers. kairod passes the methods
// on to the topology's executor, which answers them with these very structs.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "api/confinement.hpp"
#include "reflect/fields.hpp"

namespace kairo::api {

enum class RunMode { process, worker };
constexpr auto enum_names(RunMode) {
  return std::array<std::string_view, 2>{"process", "worker"};
}

enum class NodeIo { sockets, pipes, named };
constexpr auto enum_names(NodeIo) {
  return std::array<std::string_view, 3>{"sockets", "pipes", "named"};
}

enum class RestartPolicy { never, on_failure, always };
constexpr auto enum_names(RestartPolicy) {
  return std::array<std::string_view, 3>{"never", "on-failure", "always"};
}

enum class OnFailure { fail, hold };
constexpr auto enum_names(OnFailure) {
  return std::array<std::string_view, 2>{"fail", "hold"};
}

enum class ConnectionType { direct, split, merge };
constexpr auto enum_names(ConnectionType) {
  return std::array<std::string_view, 3>{"direct", "split", "merge"};
}

enum class Boundary { bytes, line };
constexpr auto enum_names(Boundary) {
  return std::array<std::string_view, 2>{"bytes", "line"};
}

struct RestartOptions {
  RestartPolicy policy = RestartPolicy::never;
  std::uint64_t delay_ms = 100;
  std::uint64_t max_delay_ms = 30'000;
  std::uint64_t max_restarts = 10;
  std::uint64_t stable_after_ms = 10'000;
  bool operator==(const RestartOptions&) const = default;
  static constexpr auto fields() {
    using S = RestartOptions;
    using reflect::defaulted;
    return std::tuple(
        defaulted("policy", &S::policy, "Which ends of the node start it again (never)"),
        defaulted("delayMs", &S::delay_ms,
                  "Before the first restart, milliseconds; each next waits twice as long (100)"),
        defaulted("maxDelayMs", &S::max_delay_ms,
                  "Longest wait before a restart, milliseconds, at most 30000 (30000)"),
        defaulted("maxRestarts", &S::max_restarts,
                  "Restarts in a row, without a stable time between them (10)"),
        defaulted("stableAfterMs", &S::stable_after_ms,
                  "A life of so many milliseconds makes the next restart a first one again (10000)"));
  }
};

struct HeartbeatOptions {
  std::uint64_t interval_ms = 1000;
  std::uint64_t timeout_ms = 10'000;
  std::uint64_t max_missed = 3;
  bool operator==(const HeartbeatOptions&) const = default;
  static constexpr auto fields() {
    using S = HeartbeatOptions;
    using reflect::defaulted;
    return std::tuple(
        defaulted("intervalMs", &S::interval_ms, "Time between two heartbeats, milliseconds (1000)"),
        defaulted("timeoutMs", &S::timeout_ms,
                  "Silence after which the node counts as failed, milliseconds (10000)"),
        defaulted("maxMissed", &S::max_missed, "Heartbeats in a row that may be missed (3)"));
  }
};

struct TopologyNode {
  std::string id;
  RunMode run_mode = RunMode::process;
  std::optional<std::vector<std::string>> command;
  std::optional<std::string> module;
  std::optional<reflect::Any> params;
  std::optional<std::string> cwd;
  std::optional<std::map<std::string, std::string>> env;
  std::optional<NodeIo> io;
  std::optional<RestartOptions> restart;
  std::optional<HeartbeatOptions> heartbeat;
  std::optional<std::uint64_t> health_ms;
  std::optional<OnFailure> on_failure;
  std::optional<std::uint64_t> kill_grace_ms;
  std::optional<ResourceLimits> limits;
  std::optional<Permissions> permissions;
  std::optional<std::string> profile;
  std::optional<std::map<std::string, std::string>> labels;
  static constexpr auto fields() {
    using S = TopologyNode;
    using reflect::field;
    return std::tuple(
        field("id", &S::id, "Name of the node: [A-Za-z0-9][A-Za-z0-9_-]{0,62}"),
        field("runMode", &S::run_mode, "A process of its own, or a module that runs in the executor"),
        field("command", &S::command, "Program and arguments of a process"),
        field("module", &S::module, "Name of a worker's module"),
        field("params", &S::params, "Map of the module's parameters"),
        field("cwd", &S::cwd, "Working directory, absolute (that of topology.up)"),
        field("env", &S::env, "Environment variables, added to the session's base"),
        field("io", &S::io,
              "What stdin and stdout are: ends of sockets (sockets, default), pipes, or paths of sockets in "
              "the environment"),
        field("restart", &S::restart, "Whether and when the node is started again"),
        field("heartbeat", &S::heartbeat, "What is expected of a node that said control.hello"),
        field("healthMs", &S::health_ms,
              "A node that says no control.hello is healthy once it has lived so many milliseconds (500)"),
        field("onFailure", &S::on_failure,
              "When it has failed and is not started again: end the topology (fail, default), or hold its "
              "input until a "
              "cutover replaces it"),
        field("killGraceMs", &S::kill_grace_ms, "From SIGTERM to SIGKILL, milliseconds (5000)"),
        field("limits", &S::limits, "Resource limits of a process"),
        field("permissions", &S::permissions, "What a process may reach"),
        field("profile", &S::profile, "Name of a profile of permissions"),
        field("labels", &S::labels, "Strings to find a process's session by"));
  }
};

struct TopologyConnection {
  std::string from;
  std::string to;
  ConnectionType type = ConnectionType::direct;
  static constexpr auto fields() {
    using S = TopologyConnection;
    using reflect::defaulted;
    using reflect::field;
    return std::tuple(
        field("from", &S::from, "NODE.output"), field("to", &S::to, "NODE.input"),
        defaulted(
            "type", &S::type,
            "direct: the only one at both ends (default); split: every one of an output gets all; merge: "
            "whole lines of all go to one input"));
  }
};

struct Topology {
  std::string name;
  std::vector<TopologyNode> nodes;
  std::vector<TopologyConnection> connections;
  static constexpr auto fields() {
    using S = Topology;
    using reflect::defaulted;
    using reflect::field;
    return std::tuple(field("name", &S::name, "Name of the topology: [A-Za-z0-9][A-Za-z0-9_-]{0,62}"),
                      field("nodes", &S::nodes, "What runs"),
                      defaulted("connections", &S::connections, "What flows between them"));
  }
};

// --- what is told of one that runs ------------------------------------------------------------------

enum class NodeState { starting, running, restarting, held, finished, failed };
constexpr auto enum_names(NodeState) {
  return std::array<std::string_view, 6>{"starting", "running", "restarting", "held", "finished", "failed"};
}

enum class Health { unknown, healthy, late, unhealthy };
constexpr auto enum_names(Health) {
  return std::array<std::string_view, 4>{"unknown", "healthy", "late", "unhealthy"};
}

struct NodeStatus {
  std::string id;
  RunMode run_mode = RunMode::process;
  NodeState state = NodeState::starting;
  Health health = Health::unknown;
  std::uint64_t generation = 0;
  std::uint64_t restarts = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t unread = 0;
  bool control = false;
  std::optional<std::string> process_id;
  std::optional<std::string> reason;
  std::optional<reflect::Any> figures;
  static constexpr auto fields() {
    using S = NodeStatus;
    using reflect::field;
    return std::tuple(field("id", &S::id, "Name of the node"),
                      field("runMode", &S::run_mode, "Process or worker"),
                      field("state", &S::state, "Where it stands"),
                      field("health", &S::health, "What its heartbeats or its life say"),
                      field("generation", &S::generation, "Counts its lives from 1"),
                      field("restarts", &S::restarts, "Of these, those that followed a failure"),
                      field("bytesIn", &S::bytes_in, "Bytes that all its lives together were given"),
                      field("bytesOut", &S::bytes_out, "Bytes that all its lives together gave"),
                      field("unread", &S::unread, "Bytes that it was given and has not read yet"),
                      field("control", &S::control, "Whether it speaks the control protocol"),
                      field("processId", &S::process_id, "Its session"),
                      field("reason", &S::reason, "Why it failed, or is held"),
                      field("figures", &S::figures, "What its module counts (meter, count)"));
  }
};

struct ConnectionStatus {
  std::string from;
  std::string to;
  ConnectionType type = ConnectionType::direct;
  std::uint64_t bytes = 0;
  bool held = false;
  static constexpr auto fields() {
    using S = ConnectionStatus;
    using reflect::field;
    return std::tuple(field("from", &S::from, "NODE.output"), field("to", &S::to, "NODE.input"),
                      field("type", &S::type, "direct, split or merge"),
                      field("bytes", &S::bytes, "Bytes that have passed"),
                      field("held", &S::held, "Whether nothing may pass now"));
  }
};

enum class TopologyState { starting, running, stopping, finished, failed };
constexpr auto enum_names(TopologyState) {
  return std::array<std::string_view, 5>{"starting", "running", "stopping", "finished", "failed"};
}

struct TopologyStatus {
  std::string name;
  TopologyState state = TopologyState::starting;
  std::string process_id;
  std::string started_at;
  std::optional<std::string> reason;
  std::vector<NodeStatus> nodes;
  std::vector<ConnectionStatus> connections;
  static constexpr auto fields() {
    using S = TopologyStatus;
    using reflect::defaulted;
    using reflect::field;
    return std::tuple(field("name", &S::name, "Name of the topology"),
                      field("state", &S::state, "finished: all nodes have ended in order"),
                      field("processId", &S::process_id, "Session of its executor"),
                      field("startedAt", &S::started_at, "ISO 8601, UTC"),
                      field("reason", &S::reason, "Why it failed"),
                      defaulted("nodes", &S::nodes, "Empty once the executor has ended"),
                      defaulted("connections", &S::connections, "Empty once the executor has ended"));
  }
};

// --- methods -----------------------------------------------------------------------------------------

struct TopologyUpParams {
  Topology topology;
  std::optional<std::string> cwd;
  static constexpr auto fields() {
    using S = TopologyUpParams;
    using reflect::field;
    return std::tuple(field("topology", &S::topology, "What is to run"),
                      field("cwd", &S::cwd, "Working directory of nodes that name none, absolute (/)"));
  }
};

struct TopologyParams {
  std::string name;
  static constexpr auto fields() {
    return std::tuple(reflect::field("name", &TopologyParams::name, "Name of the topology"));
  }
};

struct TopologySummary {
  std::string name;
  TopologyState state = TopologyState::running;
  std::string process_id;
  std::string owner;
  std::string started_at;
  static constexpr auto fields() {
    using S = TopologySummary;
    using reflect::field;
    return std::tuple(field("name", &S::name, "Name of the topology"),
                      field("state", &S::state, "Whether its executor runs, and how it ended"),
                      field("processId", &S::process_id, "Session of its executor"),
                      field("owner", &S::owner, "Principal that created it"),
                      field("startedAt", &S::started_at, "ISO 8601, UTC"));
  }
};

struct TopologyListResult {
  std::vector<TopologySummary> topologies;
  static constexpr auto fields() {
    return std::tuple(reflect::field("topologies", &TopologyListResult::topologies,
                                     "Those whose executor's session is known, newest last"));
  }
};

/// What a cutover puts in a node's place; what is absent stays as it is.
struct Replacement {
  std::optional<std::vector<std::string>> command;
  std::optional<std::string> module;
  std::optional<reflect::Any> params;
  std::optional<std::map<std::string, std::string>> env;
  static constexpr auto fields() {
    using S = Replacement;
    using reflect::field;
    return std::tuple(field("command", &S::command, "Program and arguments; makes the node a process"),
                      field("module", &S::module, "Module; makes the node a worker"),
                      field("params", &S::params, "Map of the module's parameters"),
                      field("env", &S::env, "Environment variables, instead of the node's own"));
  }
};

struct CutoverParams {
  std::string name;
  std::string node;
  std::optional<Replacement> with;
  std::optional<Boundary> boundary;
  std::optional<std::uint64_t> drain_timeout_ms;
  std::optional<std::uint64_t> health_timeout_ms;
  static constexpr auto fields() {
    using S = CutoverParams;
    using reflect::field;
    return std::tuple(
        field("name", &S::name, "Name of the topology"), field("node", &S::node, "Name of the node"),
        field("with", &S::with, "What takes its place (the same again)"),
        field("boundary", &S::boundary, "Where its input is cut (bytes)"),
        field("drainTimeoutMs", &S::drain_timeout_ms,
              "Longest time that the old node has to read and write the rest, milliseconds (8000)"),
        field("healthTimeoutMs", &S::health_timeout_ms,
              "Longest time that the new node has to become healthy, milliseconds (10000)"));
  }
};

struct CutoverOld {
  std::optional<std::string> process_id;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  bool drained = false;
  std::uint64_t remaining = 0;
  static constexpr auto fields() {
    using S = CutoverOld;
    using reflect::field;
    return std::tuple(field("processId", &S::process_id, "Its session"),
                      field("bytesIn", &S::bytes_in, "Bytes that this life was given"),
                      field("bytesOut", &S::bytes_out, "Bytes that this life gave"),
                      field("drained", &S::drained, "Whether its output was taken to the end"),
                      field("remaining", &S::remaining, "Bytes that it had not read when its time was up"));
  }
};

struct CutoverNew {
  std::optional<std::string> process_id;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  static constexpr auto fields() {
    using S = CutoverNew;
    using reflect::field;
    return std::tuple(field("processId", &S::process_id, "Its session"),
                      field("bytesIn", &S::bytes_in, "Bytes that it has been given so far"),
                      field("bytesOut", &S::bytes_out, "Bytes that it has given so far"));
  }
};

struct CutoverResult {
  std::string node;
  Boundary boundary = Boundary::bytes;
  double hold_ms = 0;
  bool rolled_back = false;
  std::optional<std::string> reason;
  CutoverOld old_node;
  CutoverNew new_node;
  static constexpr auto fields() {
    using S = CutoverResult;
    using reflect::field;
    return std::tuple(
        field("node", &S::node, "Name of the node"),
        field("boundary", &S::boundary, "Where its input was cut"),
        field("holdMs", &S::hold_ms, "How long its input was held, milliseconds"),
        field("rolledBack", &S::rolled_back, "Whether the old node goes on, nothing having been lost"),
        field("reason", &S::reason, "Why it was rolled back, or not drained"),
        field("old", &S::old_node, "The node that was replaced"),
        field("new", &S::new_node, "The node that took its place"));
  }
};

struct TopologyDownParams {
  std::string name;
  std::optional<std::uint64_t> drain_timeout_ms;
  static constexpr auto fields() {
    using S = TopologyDownParams;
    using reflect::field;
    return std::tuple(field("name", &S::name, "Name of the topology"),
                      field("drainTimeoutMs", &S::drain_timeout_ms,
                            "Longest time that what is under way has to flow out, milliseconds (8000)"));
  }
};

struct NodeEnd {
  std::string id;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  bool drained = false;
  std::uint64_t remaining = 0;
  static constexpr auto fields() {
    using S = NodeEnd;
    using reflect::field;
    return std::tuple(
        field("id", &S::id, "Name of the node"),
        field("bytesIn", &S::bytes_in, "Bytes that all its lives together were given"),
        field("bytesOut", &S::bytes_out, "Bytes that all its lives together gave"),
        field("drained", &S::drained, "Whether its output was taken to the end"),
        field(
            "remaining", &S::remaining,
            "Bytes that were for it and that it had not read at its end, those on their way to it included"));
  }
};

struct TopologyDownResult {
  std::string name;
  bool drained = false;
  std::vector<NodeEnd> nodes;
  static constexpr auto fields() {
    using S = TopologyDownResult;
    using reflect::field;
    return std::tuple(field("name", &S::name, "Name of the topology"),
                      field("drained", &S::drained, "Whether everything that was under way has flowed out"),
                      field("nodes", &S::nodes, "In the order in which they ended"));
  }
};

}  // namespace kairo::api
