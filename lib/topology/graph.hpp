// A topology as a graph in Graphviz's language: `kairoctl topology graph words | dot -Tsvg`.
#pragma once

#include <string>

#include "api/topology.hpp"

namespace kairo::topology {

/// What a file declares: nodes with their programs or modules, workers with round corners.
std::string to_dot(const api::Topology& topology);

/// What runs: nodes with their states and counts, connections with the bytes that have passed.
std::string to_dot(const api::TopologyStatus& status);

}  // namespace kairo::topology
