#include "rig.hpp"

using namespace kairo;
using test::fault;
using test::good;

namespace {

const std::string three = R"(
name: t
nodes:
- {id: a, runMode: process, command: [yes]}
- {id: b, runMode: worker, module: uppercase}
- {id: c, runMode: process, command: [cat]}
connections:
- {from: a.output, to: b.input}
- {from: b.output, to: c.input}
)";

/// `three` with the line that holds `line` replaced.
std::string with(const std::string& line, const std::string& instead) {
  std::string text = three;
  const std::size_t at = text.find(line);
  REQUIRE(at != std::string::npos);
  text.replace(at, line.size(), instead);
  return text;
}

/// A node of three's with these members.
std::string process(const std::string& members) {
  return with("{id: a, runMode: process, command: [yes]}", "{id: a, runMode: process, " + members + "}");
}
std::string worker(const std::string& members) {
  return with("{id: b, runMode: worker, module: uppercase}", "{id: b, runMode: worker, " + members + "}");
}

std::vector<std::string> order_of(const std::string& text) {
  const auto file = good(text);
  std::vector<std::string> names;
  for (const std::size_t each : topology::in_flow_order(file.topology()))
    names.push_back(file.topology().nodes[each].id);
  return names;
}

}  // namespace

TEST_CASE("a name is letters, digits, _ and -, and no dot, since sessions are named after it") {
  for (const char* name :
       {"a", "9", "A-b_c", "x23456789012345678901234567890123456789012345678901234567890123"})
    CHECK(topology::is_valid_name(name));
  for (const char* name : {"", "-a", "_a", "a.b", "a b", "\xc3\xa4",
                           "x234567890123456789012345678901234567890123456789012345678901234"})
    CHECK_FALSE(topology::is_valid_name(name));
}

TEST_CASE("a topology of which nothing is wrong is taken") {
  CHECK(good(three).topology().nodes.size() == 3);
  good("{name: alone, nodes: [{id: a, runMode: process, command: [ls]}]}");
}

TEST_CASE("the first thing that is wrong is told with its path and its line") {
  auto read = topology::TopologyFile::read(
      with("runMode: worker, module: uppercase", "runMode: worker, module: upercase"), "t.yaml", {});
  REQUIRE_FALSE(read.ok());
  CHECK(read.error().code == Code::invalid_params);
  CHECK(read.error().message ==
        "t.yaml:5:28: nodes[1].module \"upercase\" is unknown; did you mean \"uppercase\"?");
  CHECK(test::detail(read.error(), "path") == "nodes[1].module");
  CHECK(test::detail(read.error(), "line") == "5");
  CHECK(test::detail(read.error(), "column") == "28");
  CHECK(test::detail(read.error(), "file") == "t.yaml");
}

TEST_CASE("names are valid and stand once") {
  CHECK(fault(with("name: t", "name: t.u")) == "t.yaml:2:1: name must match [A-Za-z0-9][A-Za-z0-9_-]{0,62}");
  CHECK(fault(with("id: c", "id: \"\"")) ==
        "t.yaml:6:4: nodes[2].id must match [A-Za-z0-9][A-Za-z0-9_-]{0,62}");
  CHECK(fault(with("id: c", "id: a")) == "t.yaml:6:4: nodes[2].id \"a\" is the name of nodes[0], too");
}

TEST_CASE("a process has a command and a worker a module, and neither has what is the other's") {
  CHECK(fault(process("cwd: /")).ends_with("nodes[0].command is missing: a process needs one"));
  CHECK(fault(process("command: []")).ends_with("nodes[0].command must name a program"));
  CHECK(fault(process("command: ['']")).ends_with("nodes[0].command[0] must name a program"));
  CHECK(fault(process("command: [\"a\\0b\"]")).ends_with("nodes[0].command[0] holds a NUL byte"));
  CHECK(
      fault(process("command: [ls], module: tee")).ends_with("nodes[0].module has no meaning for a process"));
  CHECK(
      fault(process("command: [ls], params: {}")).ends_with("nodes[0].params has no meaning for a process"));
  CHECK(fault(worker("cwd: /")).ends_with("nodes[1].module is missing: a worker needs one"));
  for (const char* each : {"command: [ls]", "env: {A: b}", "io: pipes", "heartbeat: {}", "killGraceMs: 1",
                           "limits: {}", "permissions: {}", "profile: offline", "labels: {}"}) {
    const std::string name = std::string(each).substr(0, std::string(each).find(':'));
    CHECK(fault(worker(std::string("module: uppercase, ") + each))
              .ends_with("nodes[1]." + name + " has no meaning for a worker; runMode is \"worker\""));
  }
}

TEST_CASE("the options of a node are within their ranges") {
  const std::string begin = "command: [ls], ";
  CHECK(
      fault(process(begin + "restart: {delayMs: 0}")).ends_with("restart.delayMs must be 1 to 30000, not 0"));
  CHECK(fault(process(begin + "restart: {maxDelayMs: 30001}"))
            .ends_with("restart.maxDelayMs must be 1 to 30000, not 30001"));
  CHECK(fault(process(begin + "restart: {delayMs: 11, maxDelayMs: 10}"))
            .ends_with("restart.delayMs must not be more than maxDelayMs, 10"));
  CHECK(fault(process(begin + "heartbeat: {intervalMs: 9}"))
            .ends_with("heartbeat.intervalMs must be 10 to 86400000, not 9"));
  CHECK(fault(process(begin + "heartbeat: {intervalMs: 20, timeoutMs: 19}"))
            .ends_with("heartbeat.timeoutMs must not be less than intervalMs, 20"));
  CHECK(
      fault(process(begin + "healthMs: 86400001")).ends_with("healthMs must be 0 to 86400000, not 86400001"));
  CHECK(fault(process(begin + "killGraceMs: 86400001"))
            .ends_with("killGraceMs must be 0 to 86400000, not 86400001"));
  CHECK(fault(process(begin + "cwd: work")).ends_with("cwd must be an absolute path"));
  CHECK(fault(process(begin + "env: {\"A=B\": c}")).find("env.A=B cannot be an environment variable") !=
        std::string::npos);
  CHECK(fault(process(begin + "labels: {kairo.node: x}"))
            .ends_with("begins with \"kairo.\", which is Kairo's own"));
  CHECK(fault(process(begin + "healthMs: -1")).ends_with("healthMs must be at least 0"));
  good(process(
      begin +
      "restart: {policy: always, delayMs: 1, maxDelayMs: 30000}, heartbeat: {intervalMs: 10, timeoutMs: "
      "10}, healthMs: 0, killGraceMs: 0, cwd: /tmp, env: {A: b}, labels: {team: x}, io: named, "
      "onFailure: hold, limits: {pids: 5}, permissions: {net: none}"));
}

TEST_CASE("a connection leads from an output to an input of nodes that there are") {
  CHECK(fault(with("from: b.output", "from: b")) ==
        "t.yaml:9:4: connections[1].from must be NODE.output, not \"b\"");
  CHECK(fault(with("from: b.output", "from: b.input")).ends_with("must be NODE.output, not \"b.input\""));
  CHECK(fault(with("to: c.input", "to: c.stdin")).ends_with("must be NODE.input, not \"c.stdin\""));
  CHECK(fault(with("to: c.input", "to: cc.input")) ==
        "t.yaml:9:20: connections[1].to names the node \"cc\", which there is not; did you mean \"c\"?");
  CHECK(fault(with("to: c.input", "to: b.input")).ends_with("connections[1] connects b to itself"));
  CHECK(fault(three + "- {from: a.output, to: b.input}\n")
            .ends_with("connections[2] stands twice: a.output to b.input"));
}

TEST_CASE("where connections meet they say how") {
  const std::string more = "- {from: a.output, to: c.input}\n";
  CHECK(fault(three + more).ends_with("connections[0].type must be \"split\": 2 connections leave a.output"));
  const std::string split =
      with("{from: a.output, to: b.input}", "{from: a.output, to: b.input, type: split}");
  CHECK(fault(split + more).ends_with("connections[1].type must be \"merge\": 2 connections enter c.input"));
  const std::string merge = R"(
name: t
nodes:
- {id: a, runMode: process, command: [yes]}
- {id: b, runMode: process, command: [yes]}
- {id: m, runMode: process, command: [cat]}
- {id: x, runMode: process, command: [cat]}
- {id: y, runMode: process, command: [cat]}
connections:
- {from: a.output, to: m.input, type: merge}
- {from: b.output, to: m.input, type: merge}
- {from: m.output, to: x.input, type: split}
- {from: m.output, to: y.input, type: split}
)";
  CHECK(good(merge).topology().connections[2].type == api::ConnectionType::split);
  CHECK(fault(merge + "- {from: a.output, to: y.input, type: split}\n")
            .ends_with("connections[0].type can be neither: a.output is split and m.input is merged; put a "
                       "passthrough "
                       "between them"));
  // A single one may be of any type.
  good(with("{from: a.output, to: b.input}", "{from: a.output, to: b.input, type: merge}"));
  good(with("{from: a.output, to: b.input}", "{from: a.output, to: b.input, type: split}"));
}

TEST_CASE("a module's ends are those that it has") {
  CHECK(fault(worker("module: file-source, params: {path: f}"))
            .ends_with("connections[0].to leads to b, but the module \"file-source\" takes no input"));
  CHECK(fault(worker("module: file-sink, params: {path: f}"))
            .ends_with("connections[1].from leaves b, but the module \"file-sink\" gives no output"));
  CHECK(fault(with("- {from: a.output, to: b.input}\n", ""))
            .ends_with("nodes[1] has no input: no connection leads to b.input, and the module \"uppercase\" "
                       "needs one"));
}

TEST_CASE("a circle is refused, and one way around it is told") {
  CHECK(fault(R"(
name: t
nodes:
- {id: behind, runMode: process, command: [cat]}
- {id: a, runMode: process, command: [cat]}
- {id: b, runMode: process, command: [cat]}
- {id: c, runMode: process, command: [cat]}
- {id: source, runMode: process, command: [cat]}
connections:
- {from: a.output, to: b.input}
- {from: b.output, to: c.input}
- {from: c.output, to: a.input, type: split}
- {from: c.output, to: behind.input, type: split}
)") == "t.yaml:9:1: connections lead in a circle: c -> a -> b -> c");
}

TEST_CASE("nodes are ordered from the sources on, in the file's order where there is a choice") {
  CHECK(order_of(three) == std::vector<std::string>{"a", "b", "c"});
  CHECK(order_of(R"(
name: t
nodes:
- {id: sink, runMode: process, command: [cat]}
- {id: right, runMode: process, command: [cat]}
- {id: left, runMode: process, command: [cat]}
- {id: source, runMode: process, command: [cat]}
connections:
- {from: source.output, to: left.input, type: split}
- {from: source.output, to: right.input, type: split}
- {from: left.output, to: sink.input, type: merge}
- {from: right.output, to: sink.input, type: merge}
)") == std::vector<std::string>{"source", "right", "left", "sink"});
}

TEST_CASE("there are at most so many nodes and workers") {
  const auto many = [](std::size_t count, bool workers) {
    api::Topology topology;
    topology.name = "t";
    for (std::size_t i = 0; i < count; ++i) {
      api::TopologyNode& node = topology.nodes.emplace_back();
      node.id = "n" + std::to_string(i);
      node.run_mode = workers ? api::RunMode::worker : api::RunMode::process;
      if (workers)
        node.module = "uppercase";
      else
        node.command.emplace().emplace_back("cat");
    }
    return topology::check(topology, "params.topology");
  };
  CHECK(many(topology::most_nodes, false).ok());
  auto nodes = many(topology::most_nodes + 1, false);
  REQUIRE_FALSE(nodes.ok());
  CHECK(nodes.error().message == "params.topology.nodes must be at most 1024, not 1025");
  auto workers = many(topology::most_workers + 1, true);
  REQUIRE_FALSE(workers.ok());
  CHECK(test::detail(workers.error(), "path") == "params.topology.nodes[256]");
  auto none = many(0, false);
  REQUIRE_FALSE(none.ok());
  CHECK(none.error().message == "params.topology.nodes must name at least one node");
}
