// One node of a topology, for all of its lives: what it is given (Intake), what it gives (Outlet), whether it
// is healthy, what follows the end of a life, and its cutover. Its neighbours notice nothing of a restart or
// a cutover but a pause.
//
// The end of a life is decided upon when both are known: how it ended, and that its output was taken to the
// end.
//
//   in order, or nobody wanted its output   finished: the end goes to the nodes behind it, and it takes no
//   more otherwise                               failed: started again (RestartBackoff), or onFailure: the
//   topology fails, or
//                                           the node is held: its input waits for a cutover
//
// Owned by the Executor, on its thread.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "api/topology.hpp"
#include "executor/cutover.hpp"
#include "executor/flow.hpp"
#include "executor/heartbeat.hpp"
#include "executor/node_life.hpp"
#include "executor/restart.hpp"

namespace kairo::executor {

class ControlHub;
class KernelLink;
class Node;

/// How long a node has to end in order, and from then to SIGKILL (SPEC 9.5, the defaults).
inline constexpr std::chrono::milliseconds default_drain{8000};
inline constexpr std::chrono::milliseconds default_kill{5000};
inline constexpr std::chrono::milliseconds default_health_timeout{10'000};
inline constexpr std::chrono::milliseconds default_health{500};

/// From SIGTERM to SIGKILL.
std::chrono::milliseconds kill_grace(const api::TopologyNode& node);

/// What a node tells of, and asks of, the topology that it is part of.
class NodeHost {
 public:
  using Members = std::vector<std::pair<std::string, std::variant<std::uint64_t, std::string>>>;
  [[nodiscard]] virtual const std::string& topology() const = 0;
  [[nodiscard]] virtual const std::string& cwd() const = 0;
  virtual KernelLink& kernel() = 0;
  virtual ControlHub& hub() = 0;
  /// Lets a life speak the control protocol: what it finds in its environment.
  virtual std::map<std::string, std::string> control_environment(const api::TopologyNode& node,
                                                                 std::uint64_t generation) = 0;
  /// A path in the executor's own directory that no other life is given; what it is completed by is the
  /// life's.
  virtual std::string next_socket_stem() = 0;
  virtual void log(const std::string& line) = 0;
  /// `kairo.node.TYPE` with topology, node, generation and processId.
  virtual void node_event(const Node& node, const std::string& type, Members members) = 0;
  /// It finished, was held, or failed for good.
  virtual void node_changed(Node& node) = 0;

 protected:
  ~NodeHost() = default;
};

class Node {
 public:
  using CutoverDone = std::function<void(Result<api::CutoverResult>)>;

  Node(boost::asio::io_context& io, NodeHost& host, api::TopologyNode spec, std::string path);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  [[nodiscard]] const std::string& id() const { return spec_.id; }
  [[nodiscard]] const api::TopologyNode& spec() const { return spec_; }
  [[nodiscard]] api::NodeState state() const { return state_; }
  [[nodiscard]] const std::string& reason() const { return reason_; }
  [[nodiscard]] api::NodeStatus status() const;
  [[nodiscard]] api::NodeEnd end_report() const;
  [[nodiscard]] bool over() const {
    return state_ == api::NodeState::finished || state_ == api::NodeState::failed;
  }
  [[nodiscard]] bool is_source() const { return !intake_.connected(); }
  [[nodiscard]] std::uint64_t generation() const { return generation_; }
  [[nodiscard]] std::optional<std::string> process_id() const;
  Outlet& outlet() { return outlet_; }
  Intake& intake() { return intake_; }
  [[nodiscard]] const Outlet& outlet() const { return outlet_; }
  [[nodiscard]] const Intake& intake() const { return intake_; }

  /// The first life. All nodes are connected.
  void start(std::function<void(Result<void>)> started);
  /// Nothing flows before; once, after every node has started.
  void let_flow();
  /// Replaces it by what `replacement` says. E_NOT_RUNNING: it is over; E_ALREADY_EXISTS: a cutover is under
  /// way.
  void cutover(api::TopologyNode replacement, const api::CutoverParams& params, CutoverDone done);
  /// From now on no end of it is a failure and nothing starts it again. A source is asked to end; the others
  /// end when their input does.
  void wind_down();
  /// Ends it whatever it still has.
  void terminate(const std::string& reason);

  // From the control hub.
  void on_hello(std::uint64_t generation);
  void on_heartbeat(std::uint64_t generation);

 private:
  /// A life with what is known of it.
  struct Current {
    std::unique_ptr<NodeLife> life;
    api::TopologyNode spec;  ///< Outlives the life's start.
    std::uint64_t generation = 0;
    SteadyTime began{};
    bool started = false;
    bool healthy = false;
    bool control = false;
    bool output_ended = false;
    bool end_told = false;
    bool cut_short = false;  ///< Its output was not taken to its end.
    bool ending = false;     ///< It was asked to end, or nobody wants its output: no end of it is a failure.
    std::optional<LifeEnd> end;
    std::optional<HeartbeatMonitor> heartbeat;
    std::optional<std::string> killed_for;
    std::unique_ptr<boost::asio::steady_timer> health_timer;
    std::unique_ptr<boost::asio::steady_timer> heartbeat_timer;
  };
  struct Cutover;

  std::shared_ptr<Current> make_life(const api::TopologyNode& spec, std::optional<Inheritance> inheritance);
  void start_life(const std::shared_ptr<Current>& life, std::function<void(Result<void>)> started);
  void take_stream(const std::shared_ptr<Current>& life, std::string first, bool inherits,
                   Unaccepted unaccepted = Unaccepted::follows);
  /// Of a life that has ended: whether its take_unread() has what it had not accepted.
  [[nodiscard]] static Unaccepted left_unaccepted(const Current& life);
  void on_started(const std::shared_ptr<Current>& life);
  void on_ended(const std::shared_ptr<Current>& life, const LifeEnd& end);
  void on_output_ended(const Error* why);
  void on_unwanted();
  void on_input_refused(const Error& why);
  void become_healthy(const std::shared_ptr<Current>& life);
  void watch_heartbeats(const std::shared_ptr<Current>& life);
  void told_heartbeat(const std::shared_ptr<Current>& life, const HeartbeatChange& change);
  void decide();
  /// `kairo.node.ended` or `crashed`, once for each life.
  void tell_end(Current& life, bool in_order);
  /// Whether what that life has left unread is known.
  [[nodiscard]] bool knows_unread(const Current& life) const;
  /// What is to be said where it is not.
  [[nodiscard]] std::string lost_with(const Current& life) const;
  void failed(const std::string& text);
  void restart_after(std::chrono::milliseconds delay);
  void restart();
  void give_up(const std::string& why);
  void finish();
  void ask_to_end(const std::shared_ptr<Current>& life);
  void forget_life(const std::shared_ptr<Current>& life);
  [[nodiscard]] bool is_starting() const { return current_ && !current_->started && !current_->end; }
  /// Bytes that all lives together were given, what one left to the next counted once.
  [[nodiscard]] std::uint64_t given() const {
    return intake_.bytes() - std::min(intake_.bytes(), given_again_);
  }
  [[nodiscard]] bool has_input() const { return intake_.connected(); }
  [[nodiscard]] bool has_output() const { return outlet_.connected(); }

  // node_cutover.cpp
  void step_cutover(CutoverEvent event);
  void hold_input();
  void await_takers();
  void switch_over();
  void roll_back();
  void answer_cutover(bool rolled_back);

  boost::asio::io_context& io_;
  NodeHost& host_;
  api::TopologyNode spec_;
  std::string path_;
  Outlet outlet_;
  Intake intake_;
  RestartBackoff backoff_;
  boost::asio::steady_timer restart_timer_;
  std::shared_ptr<Current> current_;
  std::unique_ptr<Cutover> cutover_;
  /// Lives that were replaced and have not ended yet.
  std::vector<std::shared_ptr<Current>> leaving_;
  api::NodeState state_ = api::NodeState::starting;
  std::string reason_;
  std::string carried_;  ///< Was not read by a life whose successor could not be started.
  std::uint64_t given_again_ = 0;
  std::uint64_t generation_ = 0;
  std::uint64_t restarts_ = 0;
  bool flowing_ = false;         ///< Before let_flow(), or terminate(), no end is decided upon.
  bool starting_again_ = false;  ///< A restart has begun, and is not done.
  bool winding_down_ = false;
  bool drained_ = false;
  std::uint64_t remaining_ = 0;
};

}  // namespace kairo::executor
