#include "reflect/encode.hpp"
#include "rig.hpp"

using namespace kairo;
using test::good;

namespace {

using Map = std::map<std::string, std::string>;
using Words = std::vector<std::string>;

const topology::TopologyFile& three() {
  static const auto file = good(R"(
name: t
nodes:
- {id: a, runMode: process, command: [cat], env: {A: b}, limits: {pids: 9}, healthMs: 7}
- {id: b, runMode: worker, module: tee, params: {path: f}}
- {id: c, runMode: process, command: [cat]}
connections:
- {from: a.output, to: b.input}
- {from: b.output, to: c.input}
)");
  return file;
}

Result<api::TopologyNode> replaced(const char* node, const api::Replacement& with) {
  return topology::replaced(three().topology(), node, with, "params.with");
}

std::string refused(const char* node, const api::Replacement& with) {
  const auto result = replaced(node, with);
  return result ? "" : result.error().message;
}

}  // namespace

TEST_CASE("nothing given is the same node again") {
  const auto same = replaced("a", {});
  REQUIRE(same.ok());
  CHECK(reflect::to_msgpack(*same) == reflect::to_msgpack(three().topology().nodes[0]));
}

TEST_CASE("another command keeps what else the process has; env takes the place of its own") {
  api::Replacement with;
  with.command = Words{"tr", "a", "b"};
  with.env = Map{{"C", "d"}};
  const auto node = replaced("a", with);
  REQUIRE(node.ok());
  CHECK(*node->command == Words{"tr", "a", "b"});
  CHECK(*node->env == Map{{"C", "d"}});
  CHECK(node->limits->pids == 9);
}

TEST_CASE("a command makes a process of a worker, and a module a worker of a process") {
  api::Replacement command;
  command.command = Words{"cat"};
  const auto process = replaced("b", command);
  REQUIRE(process.ok());
  CHECK(process->run_mode == api::RunMode::process);
  CHECK_FALSE(process->module);
  CHECK_FALSE(process->params);
  api::Replacement module;
  module.module = "passthrough";
  const auto worker = replaced("c", module);
  REQUIRE(worker.ok());
  CHECK(worker->run_mode == api::RunMode::worker);
  CHECK_FALSE(worker->command);
}

TEST_CASE("what only a process has goes when a worker takes its place") {
  api::Replacement module;
  module.module = "file-source";
  module.params = reflect::Any{reflect::to_msgpack(Map{{"path", "g"}})};
  const auto worker = replaced("a", module);
  REQUIRE(worker.ok());
  CHECK_FALSE(worker->env);
  CHECK_FALSE(worker->limits);
  CHECK(worker->health_ms == 7);
  module.env = Map{{"A", "b"}};
  CHECK(refused("a", module) == "params.with.env has no meaning for a worker; runMode is \"worker\"");
}

TEST_CASE("another module drops the parameters of the one before, the same one keeps them") {
  api::Replacement other;
  other.module = "uppercase";
  const auto changed = replaced("b", other);
  REQUIRE(changed.ok());
  CHECK_FALSE(changed->params);
  api::Replacement same;
  same.module = "tee";
  const auto kept = replaced("b", same);
  REQUIRE(kept.ok());
  CHECK(kept->params);
}

TEST_CASE("a replacement that cannot run, or does not fit its connections, is refused") {
  api::Replacement both;
  both.command = Words{"cat"};
  both.module = "tee";
  CHECK(refused("a", both) == "params.with has both a command and a module");
  api::Replacement sink;
  sink.module = "file-sink";
  sink.params = reflect::Any{reflect::to_msgpack(Map{{"path", "g"}})};
  CHECK(refused("b", sink) == "params.with.module leaves b, but the module \"file-sink\" gives no output");
  CHECK(refused("c", sink).empty());
  api::Replacement source = sink;
  source.module = "file-source";
  CHECK(refused("b", source) ==
        "params.with.module leads to b, but the module \"file-source\" takes no input");
  api::Replacement upper;
  upper.module = "uppercase";
  CHECK(refused("a", upper) ==
        "params.with.module \"uppercase\" needs an input, and no connection leads to a.input");
  api::Replacement params;
  params.params = reflect::Any{"\x80"};
  CHECK(refused("a", params) == "params.with.params has no meaning for a process");
  CHECK(refused("b", params) == "params.with.params.path is missing");
  const auto nobody = replaced("x", {});
  REQUIRE_FALSE(nobody.ok());
  CHECK(nobody.error().code == Code::not_found);
}
