// The executor: a topology that runs. It takes topology.up, status, cutover and down from kairod (Server),
// starts the nodes, and ends when all of them have: in order, by topology.down, or because one failed.
//
// Nothing flows before every node has started; if one cannot be started, none stays.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "api/topology.hpp"
#include "executor/control_hub.hpp"
#include "executor/kernel_link.hpp"
#include "executor/node.hpp"
#include "executor/server.hpp"

namespace kairo::executor {

/// How long an executor waits for its topology before it ends.
inline constexpr std::chrono::seconds up_timeout{30};
/// How long the last events may take to get to the daemon.
inline constexpr std::chrono::seconds farewell{2};

struct ExecutorOptions {
  UniqueFd listening;      ///< Where kairod connects.
  std::string process_id;  ///< Its own session.
  std::string directory;   ///< For the sockets of nodes; the daemon removes it.
  std::function<void(const std::string&)> log;
};

class Executor final : public NodeHost {
 public:
  Executor(boost::asio::io_context& io, ExecutorOptions options);
  ~Executor();
  /// E_NOT_RUNNING where the kernel does not answer.
  Result<void> start();
  /// What the process exits with, once the io_context has run out: 0 where the topology came to its end in
  /// order or went down.
  [[nodiscard]] int exit_code() const { return exit_code_; }

  [[nodiscard]] const std::string& topology() const override { return topology_.name; }
  [[nodiscard]] const std::string& cwd() const override { return cwd_; }
  KernelLink& kernel() override { return kernel_; }
  ControlHub& hub() override { return *hub_; }
  std::map<std::string, std::string> control_environment(const api::TopologyNode& node,
                                                         std::uint64_t generation) override;
  void log(const std::string& line) override { options_.log(line); }
  void node_event(const Node& node, const std::string& type, Members members) override;
  void node_changed(Node& node) override;

 private:
  void handle(std::string_view method, const msgpack::object* params, Server::Answer answer);
  void up(api::TopologyUpParams params, Server::Answer answer);
  Result<void> open_hub();
  void node_started(const std::string& path, Result<void> result);
  void cutover(const api::CutoverParams& params, const Server::Answer& answer);
  void down(std::chrono::milliseconds drain, Server::Answer answer);
  void begin_down(std::chrono::milliseconds drain);
  void fail(const std::string& why);
  void terminate_all(const std::string& reason);
  void look_whether_over();
  void end();
  void wait_signal();
  [[nodiscard]] api::TopologyStatus status() const;
  /// The node of that name, or of that end of a connection ("NODE.output"); nullptr where there is none.
  [[nodiscard]] Node* find(std::string_view id) const;
  [[nodiscard]] std::string control_socket() const { return options_.directory + "/control.sock"; }
  void topology_event(const std::string& type, Members members);

  boost::asio::io_context& io_;
  ExecutorOptions options_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer timer_;
  KernelLink kernel_;
  Server server_;
  std::unique_ptr<ControlHub> hub_;
  api::Topology topology_;
  std::string cwd_ = "/";
  std::string started_at_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::string> ended_;  ///< Nodes, in the order of their ends.
  api::TopologyState state_ = api::TopologyState::starting;
  std::string reason_;
  bool is_up_ = false;
  bool ended_all_ = false;
  std::size_t starting_ = 0;
  std::optional<Error> start_error_;
  Server::Answer up_answer_;
  std::vector<Server::Answer> down_answers_;
  std::optional<std::chrono::milliseconds> down_once_up_;  ///< Asked for while it came up.
  int exit_code_ = 1;
};

}  // namespace kairo::executor
