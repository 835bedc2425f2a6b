#include "topology/graph.hpp"

#include <string_view>

#include "reflect/decode.hpp"

namespace kairo::topology {
namespace {

/// Between quotes, DOT knows two escapes that matter; the lines of a label are put together with "\n" here.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

std::string shown(std::string_view text) {
  return escaped(reflect::quotable(text));
}

std::string node_of(std::string_view end) {
  return std::string(end.substr(0, end.find('.')));
}

class Dot {
 public:
  explicit Dot(std::string_view name)
      : text_("digraph \"" + shown(name) + "\" {\n  rankdir=LR;\n  node [shape=box];\n") {}

  void node(std::string_view id, api::RunMode mode, const std::string& label, std::string_view colour = {}) {
    text_ += "  \"" + shown(id) + "\" [label=\"" + label + "\"";
    if (mode == api::RunMode::worker) text_ += ", style=rounded";
    if (!colour.empty()) text_ += ", color=" + std::string(colour);
    text_ += "];\n";
  }
  void edge(std::string_view from, std::string_view to, const std::string& label) {
    text_ += "  \"" + shown(node_of(from)) + "\" -> \"" + shown(node_of(to)) + "\"";
    if (!label.empty()) text_ += " [label=\"" + label + "\"]";
    text_ += ";\n";
  }
  std::string end() && { return std::move(text_) + "}\n"; }

 private:
  std::string text_;
};

std::string words(const std::vector<std::string>& command) {
  std::string out;
  for (const std::string& each : command) out += (out.empty() ? "" : " ") + each;
  return out;
}

std::string_view colour_of(api::NodeState state) {
  switch (state) {
    case api::NodeState::running: return "darkgreen";
    case api::NodeState::failed: return "red";
    case api::NodeState::held:
    case api::NodeState::restarting: return "orange";
    case api::NodeState::starting:
    case api::NodeState::finished: return "gray";
  }
  return {};
}

}  // namespace

std::string to_dot(const api::Topology& topology) {
  Dot dot(topology.name);
  for (const api::TopologyNode& each : topology.nodes) {
    const std::string what = each.command ? words(*each.command) : each.module.value_or(std::string());
    dot.node(each.id, each.run_mode, shown(each.id) + "\\n" + shown(what));
  }
  for (const api::TopologyConnection& each : topology.connections)
    dot.edge(each.from, each.to,
             each.type == api::ConnectionType::direct ? std::string()
                                                      : std::string(reflect::enum_name(each.type)));
  return std::move(dot).end();
}

std::string to_dot(const api::TopologyStatus& status) {
  Dot dot(status.name);
  for (const api::NodeStatus& each : status.nodes)
    dot.node(each.id, each.run_mode,
             shown(each.id) + "\\n" + std::string(reflect::enum_name(each.state)) + ", " +
                 std::string(reflect::enum_name(each.health)) + "\\n" + std::to_string(each.bytes_in) +
                 " in, " + std::to_string(each.bytes_out) + " out",
             colour_of(each.state));
  for (const api::ConnectionStatus& each : status.connections) {
    std::string label = std::to_string(each.bytes) + " bytes";
    if (each.type != api::ConnectionType::direct)
      label = std::string(reflect::enum_name(each.type)) + ", " + label;
    if (each.held) label += ", held";
    dot.edge(each.from, each.to, label);
  }
  return std::move(dot).end();
}

}  // namespace kairo::topology
