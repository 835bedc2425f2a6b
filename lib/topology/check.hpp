// Whether a topology can run: names, what each node needs, ends of connections, cycles. Pure; the client asks
// before it sends, the daemon before it starts an executor, and the executor before it starts a node.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "api/topology.hpp"
#include "base/result.hpp"

namespace kairo::topology {

/// Nodes of one topology; each is a session, two descriptors and, for a worker, a thread.
inline constexpr std::size_t most_nodes = 1024;
inline constexpr std::size_t most_workers = 256;
inline constexpr std::size_t name_bytes = 63;
/// A node that fails for ever is tried so often at least (issue: back-off capped at 30 s).
inline constexpr std::chrono::milliseconds longest_restart_delay{30'000};
/// A node that beats faster is heard late by chance.
inline constexpr std::chrono::milliseconds shortest_heartbeat{10};
/// Labels that the executor adds to a node's own: kairo.topology, kairo.node, and room for two more.
inline constexpr std::size_t own_labels = 4;

/// [A-Za-z0-9][A-Za-z0-9_-]{0,62}. No dot: a node's session is TOPOLOGY.NODE.GENERATION.
bool is_valid_name(std::string_view name);

/// The id of the session in which a topology's executor runs.
inline std::string executor_session(const std::string& topology) {
  return topology + ".executor";
}

/// E_INVALID_PARAMS with details.path below `path` ("params.topology") for the first thing that is wrong.
Result<void> check(const api::Topology& topology, const std::string& path);

/// The same for one node by itself; `path` is the node's.
Result<void> check_node(const api::TopologyNode& node, const std::string& path);

/// Indices of the nodes, sources first, each behind all that it gets bytes from; of a topology that was
/// checked.
std::vector<std::size_t> in_flow_order(const api::Topology& topology);

/// The node of that name as a cutover makes it, of a topology that was checked. A command makes it a process,
/// a module a worker, and what only the other kind has is dropped; the parameters of another module are
/// dropped, too. Neither: the same again, with params and env as they are given. E_NOT_FOUND: there is no
/// such node; E_INVALID_PARAMS with details.path below `path` ("params.with"): the node cannot run so, or its
/// connections do not fit the module.
Result<api::TopologyNode> replaced(const api::Topology& topology, std::string_view name,
                                   const api::Replacement& with, const std::string& path);

}  // namespace kairo::topology
