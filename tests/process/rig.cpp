#include "rig.hpp"

#include <csignal>
#include <cstdlib>
#include <filesystem>

namespace kairo::test {

bool gated() {
  const char* set = std::getenv("MK_PROCESS_EXPERIMENTAL");
  return !set || std::string(set) != "1";
}

// --- nodes -------------------------------------------------------------------------------------------

api::TopologyNode plain(const std::string& id, std::vector<std::string> argv) {
  api::TopologyNode node;
  node.id = id;
  node.command = std::move(argv);
  node.health_ms = 0;
  node.kill_grace_ms = 500;
  return node;
}

api::TopologyNode program(const std::string& id, std::vector<std::string> words) {
  words.insert(words.begin(), test_child_path());
  return plain(id, std::move(words));
}

api::TopologyNode worker(const std::string& id, const std::string& module,
                         const std::map<std::string, std::string>& params) {
  api::TopologyNode node;
  node.id = id;
  node.run_mode = api::RunMode::worker;
  node.module = module;
  if (!params.empty()) node.params = reflect::Any{reflect::to_msgpack(params)};
  return node;
}

api::TopologyNode numbered(std::uint64_t bytes) {
  return program("source", {"spew", std::to_string(bytes)});
}

api::TopologyNode verifier() {
  return program("sink", {"verify-stdin"});
}

api::TopologyNode restarted(api::TopologyNode node, std::uint64_t max_restarts) {
  node.restart.emplace();
  node.restart->policy = api::RestartPolicy::on_failure;
  node.restart->delay_ms = 1;
  node.restart->max_delay_ms = 1;
  node.restart->max_restarts = max_restarts;
  return node;
}

api::Topology row(std::vector<api::TopologyNode> nodes) {
  api::Topology topology;
  topology.name = "t";
  topology.nodes = std::move(nodes);
  for (std::size_t i = 1; i < topology.nodes.size(); ++i)
    join(topology, topology.nodes[i - 1].id, topology.nodes[i].id);
  return topology;
}

void join(api::Topology& topology, const std::string& from, const std::string& to, api::ConnectionType type) {
  topology.connections.push_back({from + ".output", to + ".input", type});
}

api::Replacement by_program(std::vector<std::string> words) {
  words.insert(words.begin(), test_child_path());
  return by_plain(std::move(words));
}

api::Replacement by_plain(std::vector<std::string> argv) {
  api::Replacement with;
  with.command = std::move(argv);
  return with;
}

api::Replacement by_module(const std::string& module) {
  api::Replacement with;
  with.module = module;
  return with;
}

// --- a topology that runs ----------------------------------------------------------------------------

Rig::Rig(Daemon& daemon, const api::Topology& topology, const std::string& cwd)
    : daemon_(daemon), client_(connect(daemon)), name_(topology.name) {
  api::TopologyUpParams params;
  params.topology = topology;
  params.cwd = cwd;
  const auto up = must<api::TopologyStatus>(client_, "topology.up", params);
  CHECK(up.state == api::TopologyState::running);
  CHECK(up.process_id == name_ + ".executor");
}

api::TopologyStatus Rig::status() {
  return must<api::TopologyStatus>(client_, "topology.status", api::TopologyParams{name_});
}

api::NodeStatus Rig::node(const std::string& id) {
  const auto now = status();
  for (const auto& each : now.nodes)
    if (each.id == id) return each;
  throw std::runtime_error("the topology has no node " + id + " (any more): " + now.reason.value_or("") +
                           "\n" + said());
}

api::CutoverParams Rig::cutover_of(const std::string& node, api::Replacement with) const {
  api::CutoverParams params;
  params.name = name_;
  params.node = node;
  params.with = std::move(with);
  return params;
}

Result<api::CutoverResult> Rig::try_cutover(const api::CutoverParams& params) {
  return client_.call<api::CutoverResult>("topology.cutover", params, SteadyClock::now() + patience);
}

api::CutoverResult Rig::cutover(const std::string& node, api::Replacement with, api::Boundary boundary) {
  api::CutoverParams params = cutover_of(node, std::move(with));
  params.boundary = boundary;
  return must<api::CutoverResult>(client_, "topology.cutover", params);
}

api::TopologyDownResult Rig::down(std::optional<std::uint64_t> drain_timeout_ms) {
  return must<api::TopologyDownResult>(client_, "topology.down",
                                       api::TopologyDownParams{name_, drain_timeout_ms});
}

api::ProcessSession Rig::end() {
  return wait(client_, name_ + ".executor");
}

std::vector<NodeEvent> Rig::events(const std::string& type) {
  std::vector<NodeEvent> out;
  api::EventQueryParams params;
  params.topic = type;
  for (;;) {
    auto page = must<api::EventQueryResult>(client_, "event.query", params);
    for (const api::Event& each : page.events) {
      auto event = client::Client::decoded<NodeEvent>(each.data.msgpack);
      REQUIRE_MESSAGE(event.ok(), (event.ok() ? std::string() : event.error().message));
      event->type = each.type;
      if (event->topology == name_) out.push_back(*std::move(event));
    }
    if (!page.next) return out;
    params.since_seq = page.next;
  }
}

bool Rig::runs(const std::string& id) {
  auto session =
      client_.call<api::ProcessSession>("process.status", api::IdParams{id}, SteadyClock::now() + patience);
  return session.ok() && session->status == api::Status::running;
}

void Rig::await_event(const std::string& type, std::size_t count) {
  eventually([&] { return events(type).size() >= count; }, type.c_str());
}

void Rig::await_bytes(const std::string& id, std::uint64_t bytes) {
  eventually([&] { return node(id).bytes_in >= bytes; }, "the bytes flow");
}

void Rig::await_more(const std::string& id, std::uint64_t bytes) {
  await_bytes(id, node(id).bytes_in + bytes);
}

std::string Rig::log_of(const std::string& id, api::StreamName stream) {
  std::string out;
  api::ReadParams params;
  params.id = id;
  params.stream = stream;
  return std::get<std::string>(must<api::ReadResult>(client_, "process.read", params).chunk);
}

void Rig::check_nothing_left() {
  for (const api::ProcessSession& each :
       must<api::ListResult>(client_, "process.list", api::ListParams{}).sessions)
    CHECK_MESSAGE(each.status != api::Status::running, each.id);
  eventually([&] { return !std::filesystem::exists(daemon_.socket() + ".d"); },
             "the directory of the sockets is gone");
}

void send_signal(client::Client& client, const std::string& id, int number) {
  api::KillParams kill;
  kill.id = id;
  kill.signal = std::int32_t{number};
  must<api::ProcessSession>(client, "process.kill", kill);
}

}  // namespace kairo::test
