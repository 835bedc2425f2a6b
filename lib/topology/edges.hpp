// The connections of a topology as pairs of nodes, and what can be said of them: which end a node has, in
// which order bytes pass, whether they could go in a circle.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/topology.hpp"

namespace kairo::topology {

/// Indices of nodes.
struct Edge {
  std::size_t from;
  std::size_t to;
};

/// Of a topology whose ends of connections were checked.
std::vector<Edge> edges_of(const api::Topology& topology);

/// Indices of `nodes` nodes, each behind all that it gets bytes from, in the file's order where that leaves a
/// choice. Those of circles, and all behind them, are left out.
std::vector<std::size_t> sort_by_flow(std::size_t nodes, const std::vector<Edge>& edges);

/// "a -> b -> a": one of the circles among those that `order` left out, of which there must be some.
std::string some_circle(const api::Topology& topology, const std::vector<Edge>& edges,
                        const std::vector<std::size_t>& order);

enum class End { input, output };
/// Why nothing may be connected to that end of a node, whose module is known, if nothing may.
std::optional<std::string> check_end(const api::TopologyNode& node, End end);
/// Whether a node makes no sense without an input.
bool needs_input(const api::TopologyNode& node);

}  // namespace kairo::topology
