#include "executor/executor.hpp"

#include <csignal>

#include <boost/asio/post.hpp>

#include "base/clock.hpp"
#include "executor/control_messages.hpp"
#include "reflect/decode.hpp"
#include "reflect/encode.hpp"
#include "topology/check.hpp"

namespace kairo::executor {
namespace {

template <class P>
Result<P> decoded(const msgpack::object* params) {
  if (!params) return Error(Code::invalid_params, "params are missing").with("path", std::string("params"));
  return reflect::from_object<P>(*params, "params", reflect::Unknown::refuse);
}

/// A node that sends rubbish shall not fill the log.
constexpr std::uint64_t most_malformed_told = 20;

reflect::Any packed(const std::vector<std::pair<std::string, std::string>>& head,
                    const NodeHost::Members& members) {
  reflect::Any out;
  reflect::Sink sink(out.msgpack);
  reflect::Packer packer(sink);
  packer.pack_map(static_cast<std::uint32_t>(head.size() + members.size()));
  for (const auto& [name, value] : head) {
    reflect::encode(packer, name);
    reflect::encode(packer, value);
  }
  for (const auto& [name, value] : members) {
    reflect::encode(packer, name);
    std::visit([&](const auto& each) { reflect::encode(packer, each); }, value);
  }
  return out;
}

}  // namespace

Executor::Executor(boost::asio::io_context& io, ExecutorOptions options)
    : io_(io),
      options_(std::move(options)),
      signals_(io),
      timer_(io),
      kernel_(io, [this](const std::string& line) { log(line); }),
      server_(
          io, std::move(options_.listening),
          [this](std::string_view method, const msgpack::object* params, Server::Answer answer) {
            handle(method, params, std::move(answer));
          },
          [this](const std::string& line) { log(line); }) {}

Executor::~Executor() = default;

Result<void> Executor::start() {
  if (auto connected = kernel_.start(); !connected) return connected;
  signals_.add(SIGTERM);
  signals_.add(SIGINT);
  wait_signal();
  server_.start();
  timer_.expires_after(up_timeout);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error || is_up_) return;
    log("no topology came; this executor ends");
    end();
  });
  return {};
}

void Executor::wait_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int) {
    if (error) return;
    if (!is_up_) return end();
    down(default_drain, [](Result<std::string>) {});
    wait_signal();
  });
}

void Executor::handle(std::string_view method, const msgpack::object* params, Server::Answer answer) {
  if (method == "topology.up") {
    auto read = decoded<api::TopologyUpParams>(params);
    return read ? up(*std::move(read), std::move(answer)) : answer(std::move(read).error());
  }
  if (method == "topology.status") return answer(reflect::to_msgpack(status()));
  if (method == "topology.cutover") {
    auto read = decoded<api::CutoverParams>(params);
    return read ? cutover(*read, answer) : answer(std::move(read).error());
  }
  if (method == "topology.down") {
    auto read = decoded<api::TopologyDownParams>(params);
    if (!read) return answer(std::move(read).error());
    return down(read->drain_timeout_ms ? std::chrono::milliseconds(*read->drain_timeout_ms) : default_drain,
                std::move(answer));
  }
  answer(Error(Code::unknown_method, "an executor has no method \"" + reflect::quotable(method) + "\""));
}

// --- up ----------------------------------------------------------------------------------------------

void Executor::up(api::TopologyUpParams params, Server::Answer answer) {
  if (is_up_)
    return answer(Error(Code::already_exists, "the topology \"" + topology_.name + "\" is up already"));
  const std::string path = "params.topology";
  if (auto checked = topology::check(params.topology, path); !checked)
    return answer(std::move(checked).error());
  is_up_ = true;
  timer_.cancel();
  topology_ = std::move(params.topology);
  if (params.cwd) cwd_ = *std::move(params.cwd);
  started_at_ = to_iso8601(system_now());
  if (auto opened = open_hub(); !opened) {
    answer(std::move(opened).error());
    return server_.when_sent([this] { end(); });
  }
  up_answer_ = std::move(answer);
  for (std::size_t i = 0; i < topology_.nodes.size(); ++i)
    nodes_.push_back(
        std::make_unique<Node>(io_, *this, topology_.nodes[i], path + ".nodes[" + std::to_string(i) + "]"));
  for (const api::TopologyConnection& each : topology_.connections)
    connect(find(each.from)->outlet(), find(each.to)->intake(), each.type);
  starting_ = nodes_.size();
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    nodes_[i]->start([this, at = path + ".nodes[" + std::to_string(i) + "]"](Result<void> result) {
      node_started(at, std::move(result));
    });
}

Result<void> Executor::open_hub() {
  ControlHub::Hooks hooks;
  hooks.on_hello = [this](const std::string& node, std::uint64_t generation) {
    if (Node* const found = find(node)) found->on_hello(generation);
  };
  hooks.on_heartbeat = [this](const std::string& node, std::uint64_t generation, const reflect::Any&) {
    if (Node* const found = find(node)) found->on_heartbeat(generation);
  };
  hooks.on_malformed = [this](const std::string& node, const Error& why) {
    if (hub_->counters().malformed <= most_malformed_told)
      log("control: ignored a message of " + (node.empty() ? std::string("a stranger") : "node " + node) +
          ": " + why.message);
  };
  hooks.on_accept_failed = [this](const Error& error) { log("control: " + error.message); };
  auto hub = ControlHub::listen(io_, control_socket(), topology_.name, std::move(hooks));
  if (!hub) return std::move(hub).error();
  hub_ = *std::move(hub);
  return {};
}

std::map<std::string, std::string> Executor::control_environment(const api::TopologyNode& node,
                                                                 std::uint64_t generation) {
  const std::string token = make_control_token();
  hub_->register_node(
      node.id, generation, token,
      std::chrono::milliseconds(node.heartbeat.value_or(api::HeartbeatOptions{}).interval_ms));
  return executor::control_environment(topology_.name, node.id, control_socket(), token);
}

void Executor::node_started(const std::string& path, Result<void> result) {
  if (!result && !start_error_) {
    start_error_ = std::move(result).error();
    start_error_->message = path + ": " + start_error_->message + "; the topology was not brought up";
    bool has_path = false;
    for (const auto& [name, value] : start_error_->details) has_path = has_path || name == "path";
    if (!has_path) start_error_->details.emplace_back("path", path);
  }
  if (--starting_ != 0) return;
  // Not from within the last one's start.
  boost::asio::post(io_, [this] {
    if (start_error_) {
      up_answer_(*start_error_);
      return fail(start_error_->message);
    }
    if (state_ == api::TopologyState::starting) state_ = api::TopologyState::running;
    for (const auto& each : nodes_) each->let_flow();
    topology_event("started", {{"nodes", std::uint64_t{nodes_.size()}}});
    up_answer_(reflect::to_msgpack(status()));
    if (down_once_up_) begin_down(*down_once_up_);
  });
}

// --- while it runs -----------------------------------------------------------------------------------

Node* Executor::find(std::string_view id) const {
  id = id.substr(0, id.find('.'));
  for (const auto& each : nodes_)
    if (each->id() == id) return each.get();
  return nullptr;
}

api::TopologyStatus Executor::status() const {
  api::TopologyStatus out;
  out.name = topology_.name;
  out.state = state_;
  out.process_id = options_.process_id;
  out.started_at = started_at_;
  if (!reason_.empty()) out.reason = reason_;
  for (const auto& each : nodes_) out.nodes.push_back(each->status());
  for (const api::TopologyConnection& each : topology_.connections) {
    const Node& from = *find(each.from);
    const Node& to = *find(each.to);
    out.connections.push_back(
        {each.from, each.to, each.type, edge_bytes(from.outlet(), to.intake()), to.intake().held()});
  }
  return out;
}

void Executor::cutover(const api::CutoverParams& params, const Server::Answer& answer) {
  Node* const node = find(params.node);
  if (!node) {
    std::vector<std::string_view> names;
    for (const auto& each : nodes_) names.push_back(each->id());
    const std::string_view near = reflect::nearest_name(params.node, names.data(), names.size());
    return answer(
        Error(Code::not_found, "topology \"" + topology_.name + "\" has no node \"" +
                                   reflect::quotable(params.node) + "\"" +
                                   (near.empty() ? "" : "; did you mean \"" + std::string(near) + "\"?"))
            .with("path", std::string("params.node")));
  }
  // What runs now, an earlier cutover included.
  api::Topology present = topology_;
  for (std::size_t i = 0; i < nodes_.size(); ++i) present.nodes[i] = nodes_[i]->spec();
  auto replaced =
      topology::replaced(present, params.node, params.with.value_or(api::Replacement{}), "params.with");
  if (!replaced) return answer(std::move(replaced).error());
  if (state_ != api::TopologyState::running)
    return answer(
        Error(Code::not_running, "topology \"" + topology_.name + "\" does not run; nothing was started"));
  node->cutover(*std::move(replaced), params, [answer](Result<api::CutoverResult> result) {
    if (!result) return answer(std::move(result).error());
    answer(reflect::to_msgpack(*result));
  });
}

void Executor::node_event(const Node& node, const std::string& type, Members members) {
  std::vector<std::pair<std::string, std::string>> head{{"topology", topology_.name}, {"node", node.id()}};
  if (auto process = node.process_id()) head.emplace_back("processId", *process);
  kernel_.publish("kairo.node." + type, packed(head, members));
}

void Executor::topology_event(const std::string& type, Members members) {
  kernel_.publish("kairo.topology." + type,
                  packed({{"topology", topology_.name}, {"processId", options_.process_id}}, members));
}

// --- the end -----------------------------------------------------------------------------------------

void Executor::node_changed(Node& node) {
  if (node.over()) ended_.push_back(node.id());
  boost::asio::post(io_, [this, &node] {
    if (node.state() == api::NodeState::failed && state_ == api::TopologyState::running) {
      std::string why = "node \"" + node.id() + "\" failed: " + node.reason();
      return fail(why);
    }
    look_whether_over();
  });
}

void Executor::fail(const std::string& why) {
  log(why);
  reason_ = why;
  state_ = api::TopologyState::failed;
  topology_event("failed", {{"message", why}});
  terminate_all("the topology failed");
  look_whether_over();
}

void Executor::terminate_all(const std::string& reason) {
  for (const std::size_t i : topology::in_flow_order(topology_))
    if (i < nodes_.size()) nodes_[i]->terminate(reason);
}

void Executor::down(std::chrono::milliseconds drain, Server::Answer answer) {
  if (!is_up_) return answer(Error(Code::not_running, "the topology is not up yet; nothing was ended"));
  down_answers_.push_back(std::move(answer));
  if (state_ == api::TopologyState::starting)
    down_once_up_ = drain;
  else if (state_ == api::TopologyState::running)
    begin_down(drain);
  else
    look_whether_over();
}

void Executor::begin_down(std::chrono::milliseconds drain) {
  state_ = api::TopologyState::stopping;
  topology_event("stopping", {{"drainTimeoutMs", static_cast<std::uint64_t>(drain.count())}});
  timer_.expires_after(drain);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) terminate_all("not drained in time");
  });
  for (const std::size_t i : topology::in_flow_order(topology_)) nodes_[i]->wind_down();
  look_whether_over();
}

void Executor::look_whether_over() {
  if (ended_all_) return;
  for (const auto& each : nodes_)
    if (!each->over()) return;
  ended_all_ = true;
  timer_.cancel();
  if (state_ != api::TopologyState::failed) {
    state_ = api::TopologyState::finished;
    exit_code_ = 0;
  }
  api::TopologyDownResult result;
  result.name = topology_.name;
  result.drained = true;
  for (const std::string& id : ended_) {
    result.nodes.push_back(find(id)->end_report());
    result.drained = result.drained && result.nodes.back().drained;
  }
  topology_event("ended", {{"state", std::string(reflect::enum_name(state_))}});
  for (const auto& answer : std::exchange(down_answers_, {})) answer(reflect::to_msgpack(result));
  server_.when_sent([this] { kernel_.after_published([this] { end(); }); });
  timer_.expires_after(farewell);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) end();
  });
}

void Executor::end() {
  // From the loop's own ground: the lives that go here may be on the stack now.
  boost::asio::post(io_, [this] {
    kernel_.stop();
    server_.stop();
    signals_.cancel();
    timer_.cancel();
    // Behind what closed connections still have to say: each is kept until then.
    boost::asio::post(io_, [this] { io_.stop(); });
  });
}

}  // namespace kairo::executor
