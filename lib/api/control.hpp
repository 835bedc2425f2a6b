// The control protocol between an executor and its nodes (SPEC 9.3; kairo-control(7)): frames that carry
// EVENTs, in both directions, over a Unix socket. What stands here is all that a node in C++ needs beside
// api/envelope.hpp. The names of the protocol's own types and the data of each; every other type is the
// user's and goes to all subscribers of the topology.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

#include "reflect/fields.hpp"

namespace kairo::api::control {

inline constexpr std::uint64_t protocol_version = 1;

// From a node.
inline constexpr std::string_view hello = "control.hello";
inline constexpr std::string_view heartbeat = "control.heartbeat";  ///< Its data is the node's own.
inline constexpr std::string_view shutdown_ack = "control.shutdown.ack";
inline constexpr std::string_view subscribe = "control.subscribe";
inline constexpr std::string_view unsubscribe = "control.unsubscribe";
// From the executor.
inline constexpr std::string_view welcome = "control.welcome";
inline constexpr std::string_view refused = "control.refused";
inline constexpr std::string_view shutdown = "control.shutdown";
inline constexpr std::string_view lagged = "control.lagged";

/// Whether a type is the protocol's own, and so nobody's to publish.
constexpr bool is_own_type(std::string_view type) {
  for (const std::string_view each :
       {hello, heartbeat, shutdown_ack, subscribe, unsubscribe, welcome, refused, shutdown, lagged})
    if (type == each) return true;
  return false;
}

/// Variables of a node's environment.
inline constexpr const char* environment_node = "KAIRO_NODE";
inline constexpr const char* environment_topology = "KAIRO_TOPOLOGY";
inline constexpr const char* environment_socket = "KAIRO_CONTROL_SOCKET";
inline constexpr const char* environment_token = "KAIRO_CONTROL_TOKEN";

/// The first message of a connection.
struct Hello {
  std::string node_id;
  std::uint64_t version = 0;
  std::optional<std::string> token;
  bool guest = false;
  static constexpr auto fields() {
    using S = Hello;
    using reflect::defaulted;
    using reflect::field;
    return std::tuple(field("nodeId", &S::node_id, "KAIRO_NODE"), field("protocolVersion", &S::version, "1"),
                      field("token", &S::token, "KAIRO_CONTROL_TOKEN"),
                      defaulted("guest", &S::guest,
                                "This connection says nothing of the node's health: no heartbeats are "
                                "expected of it, and no shutdown is sent to it (false)"));
  }
};

/// The answer to a hello.
struct Welcome {
  std::string topology;
  std::uint64_t version = 0;
  std::uint64_t heartbeat_interval_ms = 0;
  static constexpr auto fields() {
    using S = Welcome;
    using reflect::field;
    return std::tuple(
        field("topology", &S::topology, "Name of the topology"), field("protocolVersion", &S::version, "1"),
        field("heartbeatIntervalMs", &S::heartbeat_interval_ms, "How often a heartbeat is expected"));
  }
};

/// The other answer; the connection ends behind it.
struct Refused {
  std::string code;
  std::string message;
  static constexpr auto fields() {
    using S = Refused;
    using reflect::field;
    return std::tuple(field("code", &S::code, "One of the kernel's error codes"),
                      field("message", &S::message, "Why"));
  }
};

/// Of subscribe and unsubscribe.
struct Subscription {
  std::string topic;
  static constexpr auto fields() {
    return std::tuple(
        reflect::field("topic", &Subscription::topic, "Pattern of types: * is one segment, > is the rest"));
  }
};

struct Shutdown {
  std::string reason;
  std::uint64_t grace_ms = 0;
  static constexpr auto fields() {
    using S = Shutdown;
    using reflect::defaulted;
    return std::tuple(
        defaulted("reason", &S::reason, "For people"),
        defaulted("graceMs", &S::grace_ms, "Time until the node is ended by signals, milliseconds"));
  }
};

/// Events were left out for a peer that was too slow to read them.
struct Lagged {
  std::uint64_t dropped = 0;
  static constexpr auto fields() {
    return std::tuple(reflect::field("dropped", &Lagged::dropped, "How many, since it was last told"));
  }
};

}  // namespace kairo::api::control
