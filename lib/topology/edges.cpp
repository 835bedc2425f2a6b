#include "topology/edges.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "topology/modules.hpp"

namespace kairo::topology {

std::vector<Edge> edges_of(const api::Topology& topology) {
  std::map<std::string_view, std::size_t> nodes;
  for (std::size_t i = 0; i < topology.nodes.size(); ++i) nodes.emplace(topology.nodes[i].id, i);
  const auto node_of = [&](std::string_view end) { return nodes.at(end.substr(0, end.find('.'))); };
  std::vector<Edge> edges;
  for (const api::TopologyConnection& each : topology.connections)
    edges.push_back({node_of(each.from), node_of(each.to)});
  return edges;
}

std::vector<std::size_t> sort_by_flow(std::size_t nodes, const std::vector<Edge>& edges) {
  std::vector<std::size_t> awaited(nodes);
  std::vector<std::vector<std::size_t>> behind(nodes);
  for (const Edge& each : edges) {
    ++awaited[each.to];
    behind[each.from].push_back(each.to);
  }
  std::set<std::size_t> ready;
  for (std::size_t i = 0; i < nodes; ++i)
    if (awaited[i] == 0) ready.insert(i);
  std::vector<std::size_t> order;
  while (!ready.empty()) {
    const std::size_t next = *ready.begin();
    ready.erase(ready.begin());
    order.push_back(next);
    for (const std::size_t each : behind[next])
      if (--awaited[each] == 0) ready.insert(each);
  }
  return order;
}

std::string some_circle(const api::Topology& topology, const std::vector<Edge>& edges,
                        const std::vector<std::size_t>& order) {
  std::set<std::size_t> rest;
  for (std::size_t i = 0; i < topology.nodes.size(); ++i) rest.insert(i);
  for (const std::size_t each : order) rest.erase(each);
  // Each of the rest gets bytes from another one of it, so that going backwards meets a node again.
  std::vector<std::size_t> way{*rest.begin()};
  for (;;) {
    const auto before = std::find_if(edges.begin(), edges.end(), [&](const Edge& each) {
      return each.to == way.back() && rest.contains(each.from);
    });
    const auto met = std::find(way.begin(), way.end(), before->from);
    if (met == way.end()) {
      way.push_back(before->from);
      continue;
    }
    std::string text = topology.nodes[*met].id;
    for (auto each = way.end(); each != met;) text += " -> " + topology.nodes[*--each].id;
    return text;
  }
}

std::optional<std::string> check_end(const api::TopologyNode& node, End end) {
  if (node.run_mode == api::RunMode::process) return {};
  const ModuleInfo& module = *find_module(*node.module);
  if (end == End::input && !module.takes_input)
    return "leads to " + node.id + ", but the module \"" + *node.module + "\" takes no input";
  if (end == End::output && !module.gives_output)
    return "leaves " + node.id + ", but the module \"" + *node.module + "\" gives no output";
  return {};
}

bool needs_input(const api::TopologyNode& node) {
  return node.run_mode == api::RunMode::worker && find_module(*node.module)->takes_input;
}

}  // namespace kairo::topology
