#include <filesystem>
#include <fstream>
#include <iterator>

#include "reflect/encode.hpp"
#include "rig.hpp"

using namespace kairo;
using test::fault;
using test::good;

namespace {

/// A topology whose only node has these further members, in YAML's flow style.
std::string node(const std::string& members) {
  return "name: t\nnodes:\n- {id: a, runMode: process, " + members + "}\n";
}

const api::TopologyNode& only(const topology::TopologyFile& file) {
  return file.topology().nodes.at(0);
}

std::string contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace

TEST_CASE("where text is wanted, a plain scalar is its own text") {
  const auto file =
      good(node("command: [echo, no, on, null, 1, 0x10, 1.50, ~, 2026-01-01, 'x'], env: {PORT: 8080, "
                "DEBUG: yes, EMPTY: ''}, labels: {1: true}"));
  CHECK(*only(file).command ==
        std::vector<std::string>{"echo", "no", "on", "null", "1", "0x10", "1.50", "~", "2026-01-01", "x"});
  CHECK(*only(file).env ==
        std::map<std::string, std::string>{{"PORT", "8080"}, {"DEBUG", "yes"}, {"EMPTY", ""}});
  CHECK(*only(file).labels == std::map<std::string, std::string>{{"1", "true"}});
}

TEST_CASE("where a number or a truth is wanted, it is YAML 1.2's") {
  const auto file =
      good(node("command: [x], healthMs: 0x10, killGraceMs: 1e3, limits: {cpu: 1, memory: +5}"));
  CHECK(only(file).health_ms == 16);
  CHECK(only(file).kill_grace_ms == 1000);
  CHECK(only(file).limits->cpu == 1.0);
  CHECK(only(file).limits->memory == 5);
  CHECK(fault(node("command: [x], healthMs: '16'")).ends_with("healthMs must be integer, not string"));
  CHECK(fault(node("command: [x], healthMs: 010")).ends_with("healthMs must be integer, not string"));
  CHECK(fault(node("command: [x], healthMs: 1.5")).ends_with("healthMs must be integer, not number"));
  CHECK(fault(node("command: [x], healthMs: ")).ends_with("healthMs must be integer, not nil"));
  CHECK(fault(node("command: [x], cwd: ")).ends_with("cwd must be string, not nil"));
}

TEST_CASE("parameters have the types that their module wants") {
  const auto file = good(R"(
name: t
nodes:
- {id: a, runMode: process, command: [yes]}
- {id: b, runMode: worker, module: filter-lines, params: {match: no, invert: true}}
connections: [{from: a.output, to: b.input}]
)");
  const std::string wanted = std::string("\x82\xa5match\xa2no\xa6invert\xc3");
  CHECK(file.topology().nodes[1].params->msgpack == wanted);
  CHECK(fault(R"(
name: t
nodes:
- id: b
  runMode: worker
  module: rate-limit
  params:
    bytesPerSecond: 10
    burstBytes: 1k
)") == "t.yaml:9:5: nodes[0].params.burstBytes must be integer, not string");
}

TEST_CASE("a choice of forms takes each of them") {
  const auto none = good(node("command: [x], permissions: {net: none}"));
  CHECK(std::get<api::NetAccess>(*only(none).permissions->net) == api::NetAccess::none);
  const auto ports = good(node("command: [x], permissions: {net: {connectTcp: [443]}}"));
  CHECK(std::get<api::NetPorts>(*only(ports).permissions->net).connect_tcp->at(0) == 443);
}

TEST_CASE("an unknown member is told at its own line, with the nearest name") {
  CHECK(fault(R"(name: words
nodes:
- id: a
  runMode: process
  command: [cat]
- id: b
  runMode: process
  comand: [cat]
)") == "t.yaml:8:3: nodes[1].comand is not a known field; did you mean \"command\"?");
}

TEST_CASE("what is missing is told where it is missing") {
  CHECK(fault("name: t\nnodes:\n- runMode: process\n") == "t.yaml:3:3: nodes[0].id is missing");
  CHECK(fault("nodes: []\n") == "t.yaml:1:1: name is missing");
  CHECK(fault("- a\n") == "t.yaml:1:1: the topology must be map, not array");
}

TEST_CASE("what is no YAML is told with its line") {
  CHECK(fault("name: t\nnodes: [\n") ==
        "t.yaml:3:1: did not find expected node content, while parsing a flow node");
  CHECK(fault("name: t\n\tnodes: x\n").starts_with("t.yaml:2:1: "));
  CHECK(fault("name: \xff\n").starts_with("t.yaml:1:7: "));
  CHECK(fault("") == "t.yaml:1:1: holds no document");
  CHECK(fault("# nothing\n") == "t.yaml:1:1: holds no document");
}

TEST_CASE("a member that stands twice, two documents, and strange names and tags are refused") {
  CHECK(fault("name: t\nname: u\n") == "t.yaml:2:1: \"name\" stands twice; the first is in line 1");
  CHECK(fault("{\"name\": \"t\",\n \"name\": \"u\"}", "t.json") ==
        "t.json:2:2: \"name\" stands twice; the first is in line 1");
  CHECK(fault("name: t\n---\nname: u\n") ==
        "t.yaml:2:1: a second document begins here; a file holds one topology");
  CHECK(fault("? [a]\n: b\n") == "t.yaml:1:3: the name of a member must be text");
  CHECK(fault("name: !!int 5\n") == "t.yaml:1:7: the tag tag:yaml.org,2002:int means nothing here");
  CHECK(good("name: !!str 5\nnodes: [{id: a, runMode: process, command: [x]}]\n").topology().name == "5");
}

TEST_CASE("anchors and merges save writing things twice") {
  const auto file = good(R"(
name: t
nodes:
- &base
  id: a
  runMode: process
  command: &cat [cat]
  restart: {policy: always}
- {<<: *base, id: b}
- {id: c, runMode: process, command: *cat}
- {<<: [{cwd: /a}, {cwd: /b, healthMs: 3}], id: d, runMode: process, command: *cat}
)");
  const auto& nodes = file.topology().nodes;
  CHECK(nodes[1].id == "b");
  CHECK(nodes[1].restart->policy == api::RestartPolicy::always);
  CHECK(*nodes[2].command == std::vector<std::string>{"cat"});
  CHECK(*nodes[3].cwd == "/a");
  CHECK(nodes[3].health_ms == 3);
  CHECK(fault("name: *x\n") == "t.yaml:1:7: there is no anchor &x before this");
  CHECK(fault("a: &a [*a]\n") == "t.yaml:1:8: there is no anchor &a before this");
  CHECK(fault("a: {<<: 5}\n") == "t.yaml:1:5: << takes a map, or a list of maps");
}

TEST_CASE("a bomb of aliases is refused before it goes off") {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
    for (int j = 0; j < 8; ++j) bomb += ", " + last;
    bomb += "]\n";
  }
  const auto read = topology::TopologyFile::read(bomb, "t.yaml", {});
  REQUIRE_FALSE(read.ok());
  CHECK(read.error().code == Code::limit_exceeded);

  std::string merges = "m: &m {";
  for (int i = 0; i < 1000; ++i) merges += "k" + std::to_string(i) + ": 1, ";
  merges += "z: 1}\nall:\n";
  for (int i = 0; i < 1000; ++i) merges += "- {<<: *m}\n";
  CHECK(fault(merges).find("has more than 100000 values") != std::string::npos);

  std::string text = "t: &t " + std::string(100'000, 'x') + "\nall:\n";
  for (int i = 0; i < 1000; ++i) text += "- *t\n";
  CHECK(fault(text).find("4194304 bytes") != std::string::npos);
}

TEST_CASE("nesting is bounded, through aliases too") {
  CHECK(fault("name: " + std::string(40, '[')).ends_with("is nested deeper than 28"));
  CHECK(fault(std::string(40, '['), "t.json").ends_with("is nested deeper than 28"));
  std::string chain = "a0: &a0 [x]\n";
  for (int i = 1; i < 100; ++i)
    chain += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + "]\n";
  CHECK(fault(chain) == "t.yaml:28:12: is nested deeper than 28");
  CHECK(fault("a: " + std::string(27, '[') + "x" + std::string(27, ']')) ==
        "t.yaml:1:1: a is not a known field");
}

TEST_CASE("a file that is too long is refused") {
  const auto read = topology::TopologyFile::read(std::string(topology::file_bytes + 1, ' '), "t.yaml", {});
  REQUIRE_FALSE(read.ok());
  CHECK(read.error().code == Code::limit_exceeded);
}

TEST_CASE("JSON keeps its types, its places, and all that is JSON") {
  const std::string text =
      "\t{\"name\": \"t\",\n  \"nodes\": [\n    {\"id\": \"a\", \"runMode\": \"process\",\n"
      "     \"command\": [\"echo\", \"\\ud83d\\ude00\\/\"], \"healthMs\"\n\n : 5 }]}";
  const auto file = good(text, "t.json");
  CHECK(only(file).command->at(1) == "\xf0\x9f\x98\x80/");
  CHECK(only(file).health_ms == 5);
  // Without a telling name it is JSON because it is JSON.
  CHECK(good(text, "-").topology().name == "t");
  CHECK(fault("{\"name\": \"t\", \"nodes\": [\n{\"id\": 5}]}", "t.json") ==
        "t.json:2:2: nodes[0].id must be string, not integer");
  CHECK(fault("{\"nodes\": [12,\n  13 , {\"a\":true},null\n,{\"b\":[]}]}", "t.json") ==
        "t.json:1:12: nodes[0] must be map, not integer");
  CHECK(fault("{\"name\": \"t\",\n \"nodes\": [1 2]}", "t.json").starts_with("t.json:2:14: syntax error"));
  CHECK(fault("", "t.json").starts_with("t.json:1:1: syntax error"));
  CHECK(fault("{\"name\": no}", "t.json").starts_with("t.json:1:"));
}

TEST_CASE("places in JSON are those of the tokens") {
  const std::string text = "{\"a\":12,\n  \"b\" :[ -1.5e3 , true,null\n,\"x\\\"y\" ,{}]}";
  auto written = topology::read_json(text, "t.json");
  REQUIRE(written.ok());
  const auto& members = (*written)->members;
  using topology::Place;
  CHECK(members[0].place == Place{1, 2});
  CHECK(members[0].value->place == Place{1, 6});
  CHECK(members[1].place == Place{2, 3});
  const auto& list = members[1].value->members;
  CHECK(members[1].value->place == Place{2, 8});
  CHECK(list[0].place == Place{2, 10});
  CHECK(list[1].place == Place{2, 19});
  CHECK(list[2].place == Place{2, 24});
  CHECK(list[3].place == Place{3, 2});
  CHECK(list[4].place == Place{3, 10});
}

TEST_CASE("an error that the daemon sent back is told at its place in the file") {
  const auto file = good("name: t\nnodes:\n- id: a\n  runMode: process\n  command: [x]\n  cwd: /nowhere\n");
  const Error from_daemon = Error(Code::permission_denied, "params.topology.nodes[0].cwd is not yours")
                                .with("path", std::string("params.topology.nodes[0].cwd"))
                                .with("rule", std::string("r"));
  const Error told = file.located(from_daemon, "params.topology");
  CHECK(told.code == Code::permission_denied);
  CHECK(told.message == "t.yaml:6:3: nodes[0].cwd is not yours");
  CHECK(test::detail(told, "line") == "6");
  CHECK(test::detail(told, "path") == "nodes[0].cwd");
  CHECK(test::detail(told, "rule") == "r");
  const Error other =
      Error(Code::invalid_params, "params.cwd is wrong").with("path", std::string("params.cwd"));
  CHECK(file.located(other, "params.topology").message == "params.cwd is wrong");
  const Error longer = Error(Code::invalid_params, "x").with("path", std::string("params.topologyish.nodes"));
  CHECK(file.located(longer, "params.topology").message == "x");
}

TEST_CASE("a name that is given takes the place of the file's") {
  const auto file = topology::TopologyFile::read(
      "name: t\nnodes: [{id: a, runMode: process, command: [x]}]\n", "t.yaml", "other");
  REQUIRE(file.ok());
  CHECK(file->topology().name == "other");
}

TEST_CASE("the examples are good") {
  std::size_t seen = 0;
  for (const auto& each : std::filesystem::directory_iterator(KAIRO_EXAMPLES)) {
    const std::string name = each.path().filename();
    if (!name.ends_with(".yaml") && !name.ends_with(".json")) continue;
    const auto file = topology::TopologyFile::read(contents(each.path()), name, {});
    CHECK_MESSAGE(file.ok(), (file ? "" : file.error().message));
    ++seen;
  }
  CHECK(seen >= 3);
}
