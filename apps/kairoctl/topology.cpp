// kairoctl topology: what a file declares is started, looked at, changed and ended. `check`, `schema` and
// `graph -f` need no daemon.
#include "api/topology.hpp"

#include <memory>
#include <span>

#include "context.hpp"
#include "option_set.hpp"
#include "program_options.hpp"
#include "table.hpp"
#include "topology/check.hpp"
#include "topology/graph.hpp"
#include "topology/schema.hpp"
#include "topology_file.hpp"
#include "units.hpp"
#include "wire/payload.hpp"

namespace kairo::ctl {

Action declare_topology_cutover(OptionSet& set);  // topology_cutover.cpp
Action declare_topology_logs(OptionSet& set);     // topology_logs.cpp

namespace {

std::span<const msgpack::object> elements(const msgpack::object& map, std::string_view name) {
  const msgpack::object* list = wire::find_member(map, name);
  if (!list || list->type != msgpack::type::ARRAY) return {};
  return {list->via.array.ptr, list->via.array.size};
}

/// A TopologyStatus; the table has a row for each node.
int print_status(Context& context, const std::string& raw) {
  wire::PayloadDecoder decoder;
  auto status = decoder.decode(raw, wire::Shape::any);
  if (!status) return report(status.error());
  const auto nodes = elements(*status, "nodes");
  if (!context.globals().table)
    print_json(*status);
  else if (nodes.empty())  // It has ended: how is all that is left to tell.
    write_out(listed(std::span(&*status, 1)).text());
  else
    write_out(listed(nodes).text());
  return exit_code::success;
}

/// What was checked: {"name", "nodes" in the order of the flow, "connections"}.
struct Checked {
  std::string name;
  std::vector<std::string> nodes;
  std::uint64_t connections = 0;
  static constexpr auto fields() {
    return std::tuple(reflect::field("name", &Checked::name, "Name of the topology"),
                      reflect::field("nodes", &Checked::nodes, "Names of its nodes, sources first"),
                      reflect::field("connections", &Checked::connections, "How many there are"));
  }
};

int print_checked(const api::Topology& topology) {
  Checked checked{topology.name, {}, topology.connections.size()};
  for (const std::size_t each : topology::in_flow_order(topology))
    checked.nodes.push_back(topology.nodes[each].id);
  print_json(reflect::to_msgpack(checked));
  return exit_code::success;
}

// --- up ----------------------------------------------------------------------------------------------

struct UpOptions {
  std::string file;
  std::string name;
  std::string cwd;
  bool check = false;
};

int up(Context& context, const UpOptions& options) {
  auto file = read_topology(options.file, options.name);
  if (!file) return report(file.error());
  if (options.check) return print_checked(file->topology());
  api::TopologyUpParams params;
  params.topology = file->topology();
  params.cwd = options.cwd.starts_with('/') ? options.cwd : callers_cwd();
  if (!options.cwd.empty() && !options.cwd.starts_with('/')) *params.cwd += "/" + options.cwd;
  auto client = context.connect();
  if (!client) return report(client.error());
  auto status = client->call_raw("topology.up", params);
  if (!status) return report(file->located(status.error(), "params.topology"));
  return print_status(context, *status);
}

Action declare_up(OptionSet& set) {
  auto options = std::make_shared<UpOptions>();
  set.value("-f,--file", options->file, "FILE", "YAML or JSON that declares it; - is standard input");
  set.value("--name", options->name, "NAME", "Name of the topology, instead of the file's");
  set.value("--cwd", options->cwd, "DIR", "Working directory of nodes that name none (the caller's)");
  set.flag("--check", options->check, "Only say whether the file is good");
  return [options](Context& context) {
    if (options->file.empty()) throw UsageError{"-f FILE is missing: what is to run? (- is standard input)"};
    return up(context, *options);
  };
}

// --- status, list, down ------------------------------------------------------------------------------

/// Waits for the end of the executor's session, which is the topology's.
int wait_and_print(Context& context, const api::TopologyParams& params) {
  auto client = context.connect();
  if (!client) return report(client.error());
  auto status = client->call<api::TopologyStatus>("topology.status", params);
  if (!status) return report(status.error());
  auto ended = client->call_raw("process.wait", api::WaitParams{status->process_id, {}});
  if (!ended) return report(ended.error());
  auto raw = client->call_raw("topology.status", params);
  if (!raw) return report(raw.error());
  const int printed = print_status(context, *raw);
  status = client::Client::decoded<api::TopologyStatus>(*raw);
  if (!status) return report(status.error());
  return status->state == api::TopologyState::finished ? printed : exit_code::request_failed;
}

Action declare_status(OptionSet& set) {
  auto params = std::make_shared<api::TopologyParams>();
  auto wait = std::make_shared<bool>(false);
  set.argument("NAME", params->name, "Topology");
  set.flag("--wait", *wait, "Wait until it has ended; exit with 1 where it failed");
  return [params, wait](Context& context) {
    if (*wait) return wait_and_print(context, *params);
    auto client = context.connect();
    if (!client) return report(client.error());
    auto status = client->call_raw("topology.status", *params);
    return status ? print_status(context, *status) : report(status.error());
  };
}

int list(Context& context) {
  auto client = context.connect();
  if (!client) return report(client.error());
  auto raw = client->call_raw("topology.list", api::NoParams{});
  if (!raw) return report(raw.error());
  wire::PayloadDecoder decoder;
  auto result = decoder.decode(*raw, wire::Shape::any);
  if (!result) return report(result.error());
  const auto all = elements(*result, "topologies");
  if (context.globals().table)
    write_out(listed(all).text());
  else
    for (const msgpack::object& each : all) print_json(each);
  return exit_code::success;
}

Action declare_list(OptionSet&) {
  return list;
}

Action declare_down(OptionSet& set) {
  auto params = std::make_shared<api::TopologyDownParams>();
  auto drain = std::make_shared<std::string>();
  set.argument("NAME", params->name, "Topology");
  set.value("--drain-timeout", *drain, "DURATION", "How long what is under way may take to flow out (8s)");
  return [params, drain](Context& context) {
    if (!drain->empty())
      params->drain_timeout_ms =
          static_cast<std::uint64_t>(parse_duration("--drain-timeout", *drain).count());
    auto client = context.connect();
    if (!client) return report(client.error());
    auto raw = client->call_raw("topology.down", *params);
    if (!raw) return report(raw.error());
    print_json(*raw);
    auto result = client::Client::decoded<api::TopologyDownResult>(*raw);
    if (!result) return report(result.error());
    return result->drained ? exit_code::success : exit_code::request_failed;
  };
}

// --- graph, check, schema ----------------------------------------------------------------------------

int print_graph(Context& context, const std::string& name, const std::string& path) {
  if (!path.empty()) {
    auto file = read_topology(path, {});
    if (!file) return report(file.error());
    write_out(topology::to_dot(file->topology()));
    return exit_code::success;
  }
  auto client = context.connect();
  if (!client) return report(client.error());
  auto status = client->call<api::TopologyStatus>("topology.status", api::TopologyParams{name});
  if (!status) return report(status.error());
  write_out(topology::to_dot(*status));
  return exit_code::success;
}

Action declare_graph(OptionSet& set) {
  auto name = std::make_shared<std::string>();
  auto file = std::make_shared<std::string>();
  set.optional_argument("NAME", *name, "Topology that runs");
  set.value("-f,--file", *file, "FILE", "Instead: YAML or JSON that declares one; - is standard input");
  return [name, file](Context& context) {
    if (name->empty() == file->empty()) throw UsageError{"either NAME or -f FILE says of what"};
    return print_graph(context, *name, *file);
  };
}

Action declare_check(OptionSet& set) {
  auto path = std::make_shared<std::string>();
  set.argument("FILE", *path, "YAML or JSON that declares a topology; - is standard input");
  return [path](Context&) {
    auto file = read_topology(*path, {});
    return file ? print_checked(file->topology()) : report(file.error());
  };
}

Action declare_schema(OptionSet&) {
  return [](Context&) {
    write_out(topology::topology_schema());
    return exit_code::success;
  };
}

constexpr Command actions[] = {
    {"up", "Start what a file declares, and print its status", declare_up},
    {"status", "Print a topology, its nodes and its connections", declare_status},
    {"list", "List topologies", declare_list},
    {"cutover", "Put another node in a node's place while data flows", declare_topology_cutover, nullptr,
     nullptr, true},
    {"down", "End a topology, sources first, once what is under way has flowed out", declare_down},
    {"logs", "Print what its nodes have written to standard error", declare_topology_logs},
    {"graph", "Print it as a graph, for dot(1)", declare_graph},
    {"check", "Say whether a file is good", declare_check},
    {"schema", "Print the JSON Schema of such a file", declare_schema},
};

}  // namespace

std::span<const Command> topology_actions() {
  return actions;
}

}  // namespace kairo::ctl
