#include "topology/graph.hpp"

#include "rig.hpp"

using namespace kairo;

TEST_CASE("a declared topology as a graph: workers with round corners, types at the edges") {
  const auto file = test::good(R"(
name: t
nodes:
- {id: a, runMode: process, command: [printf, "say \"hi\"\n"]}
- {id: b, runMode: worker, module: uppercase}
- {id: c, runMode: process, command: [cat]}
connections:
- {from: a.output, to: b.input, type: split}
- {from: a.output, to: c.input, type: split}
)");
  CHECK(topology::to_dot(file.topology()) == R"(digraph "t" {
  rankdir=LR;
  node [shape=box];
  "a" [label="a\nprintf say \"hi\"?"];
  "b" [label="b\nuppercase", style=rounded];
  "c" [label="c\ncat"];
  "a" -> "b" [label="split"];
  "a" -> "c" [label="split"];
}
)");
}

TEST_CASE("a running topology as a graph: states and bytes") {
  api::TopologyStatus status;
  status.name = "t";
  api::NodeStatus& node = status.nodes.emplace_back();
  node.id = "a";
  node.state = api::NodeState::running;
  node.health = api::Health::healthy;
  node.bytes_out = 12;
  api::NodeStatus& sink = status.nodes.emplace_back();
  sink.id = "b";
  sink.run_mode = api::RunMode::worker;
  sink.state = api::NodeState::held;
  sink.bytes_in = 10;
  status.connections.push_back({"a.output", "b.input", api::ConnectionType::merge, 10, true});
  CHECK(topology::to_dot(status) == R"(digraph "t" {
  rankdir=LR;
  node [shape=box];
  "a" [label="a\nrunning, healthy\n0 in, 12 out", color=darkgreen];
  "b" [label="b\nheld, unknown\n10 in, 0 out", style=rounded, color=orange];
  "a" -> "b" [label="merge, 10 bytes, held"];
}
)");
}
