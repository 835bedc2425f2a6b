#include "topology/check.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "topology/edges.hpp"
#include "topology/fault.hpp"

namespace kairo::topology {
namespace {

using api::ConnectionType;
using api::RunMode;

constexpr const char* name_rule = "must match [A-Za-z0-9][A-Za-z0-9_-]{0,62}";

Result<void> check_nodes(const api::Topology& topology, const std::string& path) {
  const std::string list = path + ".nodes";
  if (topology.nodes.empty()) return wrong(list, "must name at least one node");
  if (topology.nodes.size() > most_nodes)
    return wrong(list, "must be at most " + std::to_string(most_nodes) + ", not " +
                           std::to_string(topology.nodes.size()));
  std::map<std::string_view, std::size_t> seen;
  std::size_t workers = 0;
  for (std::size_t i = 0; i < topology.nodes.size(); ++i) {
    const api::TopologyNode& node = topology.nodes[i];
    const std::string own = in_path(list, i);
    if (!is_valid_name(node.id)) return wrong(own + ".id", name_rule);
    const auto [first, fresh] = seen.emplace(node.id, i);
    if (!fresh)
      return wrong(own + ".id",
                   in_quotes(node.id) + " is the name of nodes[" + std::to_string(first->second) + "], too");
    if (node.run_mode == RunMode::worker && ++workers > most_workers)
      return wrong(own, "is one worker too many: at most " + std::to_string(most_workers) +
                            ", each a thread of the executor");
    auto good = check_node(node, own);
    if (!good) return good;
  }
  return {};
}

// --- connections -------------------------------------------------------------------------------------

/// "NODE.output": the node's index.
Result<std::size_t> node_of_end(const std::map<std::string_view, std::size_t>& nodes, const std::string& end,
                                std::string_view side, const std::string& path) {
  const std::size_t dot = end.find('.');
  const std::string_view name = std::string_view(end).substr(0, dot);
  if (dot == std::string::npos || std::string_view(end).substr(dot + 1) != side)
    return wrong(path, "must be NODE." + std::string(side) + ", not " + in_quotes(end));
  const auto found = nodes.find(name);
  if (found != nodes.end()) return found->second;
  std::vector<std::string_view> names;
  for (const auto& each : nodes) names.push_back(each.first);
  return wrong(path,
               "names the node " + in_quotes(name) + ", which there is not" + did_you_mean(name, names));
}

/// Where several connections meet, each must say how.
Result<void> check_meetings(const api::Topology& topology, const std::vector<Edge>& edges,
                            const std::string& list) {
  std::vector<std::size_t> leaving(topology.nodes.size()), entering(topology.nodes.size());
  for (const Edge& each : edges) {
    ++leaving[each.from];
    ++entering[each.to];
  }
  for (std::size_t i = 0; i < edges.size(); ++i) {
    const bool splits = leaving[edges[i].from] > 1, merges = entering[edges[i].to] > 1;
    const std::string path = in_path(list, i) + ".type";
    const ConnectionType type = topology.connections[i].type;
    const std::string& from = topology.nodes[edges[i].from].id;
    const std::string& to = topology.nodes[edges[i].to].id;
    if (splits && merges)
      return wrong(path, "can be neither: " + from + ".output is split and " + to +
                             ".input is merged; put a passthrough between them");
    if (splits && type != ConnectionType::split)
      return wrong(path, "must be \"split\": " + std::to_string(leaving[edges[i].from]) +
                             " connections leave " + from + ".output");
    if (merges && type != ConnectionType::merge)
      return wrong(path, "must be \"merge\": " + std::to_string(entering[edges[i].to]) +
                             " connections enter " + to + ".input");
  }
  return {};
}

Result<void> check_connections(const api::Topology& topology, const std::string& path) {
  const std::string list = path + ".connections";
  std::map<std::string_view, std::size_t> nodes;
  for (std::size_t i = 0; i < topology.nodes.size(); ++i) nodes.emplace(topology.nodes[i].id, i);
  std::vector<Edge> edges;
  std::set<std::pair<std::size_t, std::size_t>> seen;
  for (std::size_t i = 0; i < topology.connections.size(); ++i) {
    const api::TopologyConnection& each = topology.connections[i];
    const std::string own = in_path(list, i);
    auto from = node_of_end(nodes, each.from, "output", own + ".from");
    if (!from) return std::move(from).error();
    auto to = node_of_end(nodes, each.to, "input", own + ".to");
    if (!to) return std::move(to).error();
    if (*from == *to) return wrong(own, "connects " + topology.nodes[*from].id + " to itself");
    if (!seen.emplace(*from, *to).second) return wrong(own, "stands twice: " + each.from + " to " + each.to);
    edges.push_back({*from, *to});
    const auto source = check_end(topology.nodes[*from], End::output);
    if (source) return wrong(own + ".from", *source);
    const auto sink = check_end(topology.nodes[*to], End::input);
    if (sink) return wrong(own + ".to", *sink);
  }
  auto good = check_meetings(topology, edges, list);
  if (!good) return good;
  std::vector<bool> fed(topology.nodes.size());
  for (const Edge& each : edges) fed[each.to] = true;
  for (std::size_t i = 0; i < topology.nodes.size(); ++i) {
    if (!fed[i] && needs_input(topology.nodes[i]))
      return wrong(in_path(path + ".nodes", i), "has no input: no connection leads to " +
                                                    topology.nodes[i].id + ".input, and the module \"" +
                                                    *topology.nodes[i].module + "\" needs one");
  }
  const std::vector<std::size_t> order = sort_by_flow(topology.nodes.size(), edges);
  if (order.size() == topology.nodes.size()) return {};
  return wrong(list, "lead in a circle: " + some_circle(topology, edges, order));
}

}  // namespace

bool is_valid_name(std::string_view name) {
  const auto letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !name.empty() && name.size() <= name_bytes && letter_or_digit(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return letter_or_digit(c) || c == '_' || c == '-'; });
}

Result<void> check(const api::Topology& topology, const std::string& path) {
  if (!is_valid_name(topology.name)) return wrong(path + ".name", name_rule);
  auto good = check_nodes(topology, path);
  return good ? check_connections(topology, path) : good;
}

std::vector<std::size_t> in_flow_order(const api::Topology& topology) {
  return sort_by_flow(topology.nodes.size(), edges_of(topology));
}

}  // namespace kairo::topology
