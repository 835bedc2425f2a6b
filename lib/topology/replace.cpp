#include <algorithm>

#include "topology/check.hpp"
#include "topology/edges.hpp"
#include "topology/fault.hpp"

namespace kairo::topology {

using api::RunMode;

Result<api::TopologyNode> replaced(const api::Topology& topology, std::string_view name,
                                   const api::Replacement& with, const std::string& path) {
  const auto found = std::find_if(topology.nodes.begin(), topology.nodes.end(),
                                  [&](const api::TopologyNode& each) { return each.id == name; });
  if (found == topology.nodes.end())
    return Error(Code::not_found,
                 "there is no node " + in_quotes(name) + " in the topology " + topology.name);
  if (with.command && with.module) return wrong(path, "has both a command and a module");
  api::TopologyNode node = *found;
  if (with.command) {
    if (node.run_mode == RunMode::worker) node.module = std::nullopt, node.params = std::nullopt;
    node.run_mode = RunMode::process;
    node.command = with.command;
  }
  if (with.module) {
    if (node.run_mode == RunMode::process) {
      // What only a process has goes with it; what the caller gives anew is looked at below.
      api::TopologyNode worker;
      worker.id = node.id;
      worker.cwd = node.cwd;
      worker.restart = node.restart;
      worker.health_ms = node.health_ms;
      worker.on_failure = node.on_failure;
      node = std::move(worker);
    } else if (node.module != with.module) {
      node.params = std::nullopt;
    }
    node.run_mode = RunMode::worker;
    node.module = with.module;
  }
  if (with.params) node.params = with.params;
  if (with.env) node.env = with.env;
  auto good = check_node(node, path);
  if (!good) return std::move(good).error();
  bool fed = false, wanted = false;
  for (const api::TopologyConnection& each : topology.connections) {
    wanted |= each.from == node.id + ".output";
    fed |= each.to == node.id + ".input";
  }
  if (wanted)
    if (const auto problem = check_end(node, End::output)) return wrong(path + ".module", *problem);
  if (fed)
    if (const auto problem = check_end(node, End::input)) return wrong(path + ".module", *problem);
  if (!fed && needs_input(node))
    return wrong(path + ".module",
                 "\"" + *node.module + "\" needs an input, and no connection leads to " + node.id + ".input");
  return node;
}

}  // namespace kairo::topology
