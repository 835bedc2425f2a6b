// Whether a topology can run: names, what each node needs, ends of connections, cycles. Pure; the client asks
// before it sends, the daemon before it starts an executor, and the executor before it starts a node.
#pragma once

#include <string>
#include <vector>

#include "api/topology.hpp"
#include "base/result.hpp"

namespace kairo::topology {

/// Nodes of one topology; each is a session, two descriptors and, for a worker, a thread.
inline constexpr std::size_t most_nodes = 1024;
inline constexpr std::size_t most_workers = 256;
inline constexpr std::size_t name_bytes = 63;

/// [A-Za-z0-9][A-Za-z0-9_-]{0,62}. No dot: a node's session is TOPOLOGY.NODE.GENERATION.
bool is_valid_name(std::string_view name);

/// E_INVALID_PARAMS with details.path below `path` ("params.topology") for the first thing that is wrong.
Result<void> check(const api::Topology& topology, const std::string& path);

/// Indices of the nodes, sources first, each behind all that it gets bytes from; of a topology that was
/// checked.
std::vector<std::size_t> in_flow_order(const api::Topology& topology);

}  // namespace kairo::topology
