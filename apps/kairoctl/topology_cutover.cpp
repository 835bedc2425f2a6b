// kairoctl topology cutover: another program, module or variables for a node, while data flows.
#include <memory>

#include "api/topology.hpp"
#include "context.hpp"
#include "option_set.hpp"
#include "topology_file.hpp"
#include "units.hpp"

namespace kairo::ctl {
namespace {

struct CutoverOptions {
  std::string topology;
  std::string node;
  std::string boundary;
  std::string drain_timeout;
  std::string health_timeout;
  std::string module;
  std::string params;
  std::vector<std::string> env;
};

std::optional<std::uint64_t> milliseconds(const char* option, const std::string& text) {
  if (text.empty()) return {};
  return static_cast<std::uint64_t>(parse_duration(option, text).count());
}

/// Nothing where nothing is to change.
std::optional<api::Replacement> replacement(const CutoverOptions& options,
                                            const std::vector<std::string>& program) {
  api::Replacement with;
  if (!program.empty()) with.command = program;
  if (!options.module.empty()) with.module = options.module;
  if (with.command && with.module) throw UsageError{"a node runs either a command or a --module"};
  if (!options.params.empty()) with.params = reflect::Any{json_value("--params", options.params)};
  if (!options.env.empty()) {
    with.env.emplace();
    for (const std::string& each : options.env) with.env->insert(parse_pair("--env", each));
  }
  if (!with.command && !with.module && !with.params && !with.env) return {};
  return with;
}

}  // namespace

Action declare_topology_cutover(OptionSet& set) {
  auto options = std::make_shared<CutoverOptions>();
  set.argument("NAME", options->topology, "Topology");
  set.argument("NODE", options->node, "Node that is replaced: by PROGRAM, by --module, or by the same again");
  set.choice("--boundary", options->boundary, "KIND", {"bytes", "line"},
             "Cut its input between: bytes, line (bytes)");
  set.value("--drain-timeout", options->drain_timeout, "DURATION",
            "How long the old node may take to read and write the rest (8s)");
  set.value("--health-timeout", options->health_timeout, "DURATION",
            "How long the new node may take to become healthy (10s)");
  set.value("--module", options->module, "MODULE", "Run this module in its place");
  set.value("--params", options->params, "JSON", "Parameters of the module");
  set.list("-e,--env", options->env, "KEY=VALUE", "Variables, instead of the node's own");
  return [options](Context& context) {
    api::CutoverParams params;
    params.name = options->topology;
    params.node = options->node;
    params.with = replacement(*options, context.program());
    if (!options->boundary.empty())
      params.boundary = options->boundary == "line" ? api::Boundary::line : api::Boundary::bytes;
    params.drain_timeout_ms = milliseconds("--drain-timeout", options->drain_timeout);
    params.health_timeout_ms = milliseconds("--health-timeout", options->health_timeout);
    auto client = context.connect();
    if (!client) return report(client.error());
    auto raw = client->call_raw("topology.cutover", params);
    if (!raw) return report(raw.error());
    print_json(*raw);
    auto result = client::Client::decoded<api::CutoverResult>(*raw);
    if (!result) return report(result.error());
    return result->rolled_back ? exit_code::request_failed : exit_code::success;
  };
}

}  // namespace kairo::ctl
