// One life of a node: a process, or a worker, from its start to its end. A node has one after another
// (restarts), and two at a time during a cutover. It owns what the node's duplexes stand on; what flows
// through them is the affair of the node's Outlet and Intake.
//
// Order: start(), then `started`; only after a success `ended`, once. Nothing is called after the life was
// destroyed. A process with io "named" has started when it has connected to its sockets, a worker when its
// module has opened its file.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/io_context.hpp>

#include "api/topology.hpp"
#include "base/clock.hpp"
#include "base/unique_fd.hpp"
#include "executor/duplex.hpp"

namespace kairo::executor {

class KernelLink;
class WorkerInput;

/// How long a process with io "named" has to connect.
inline constexpr std::chrono::milliseconds connect_timeout{10'000};

/// How a life ended.
struct LifeEnd {
  bool in_order = false;  ///< Exit code 0, or a module that came to its end.
  std::string text;       ///< "exited with 3", "was ended by SIGKILL", or the module's error.
};

/// What a life inherits from one of the same kind that it follows: its input as it is, with what was not
/// read.
struct Inheritance {
  std::shared_ptr<Duplex> input;
  UniqueFd own_end;                     ///< Of a process.
  std::shared_ptr<WorkerInput> worker;  ///< Of a worker.
};

class NodeLife {
 public:
  struct Hooks {
    std::function<void(Result<void>)> started;
    std::function<void(const LifeEnd&)> ended;
  };
  struct Spec {
    std::string topology;
    std::string cwd;
    const api::TopologyNode* node = nullptr;  ///< Outlives start().
    std::uint64_t generation = 1;
    bool has_input = false;
    bool has_output = false;
    std::map<std::string, std::string> control_environment;
    std::string path;  ///< Of the node, for errors: "params.topology.nodes[2]".
    /// Of io "named": what the paths of its sockets begin with, its own alone.
    std::string socket_stem;
  };

  virtual ~NodeLife() = default;
  virtual void start(Hooks hooks) = 0;
  /// Where the node's input is written and its output read; nullptr where it has none, or before it has
  /// started.
  [[nodiscard]] virtual std::shared_ptr<Duplex> input() = 0;
  [[nodiscard]] virtual std::shared_ptr<Duplex> output() = 0;
  /// Asks it to end: SIGTERM, and SIGKILL after the grace. A worker ends at once.
  virtual void end(const std::string& reason, std::chrono::milliseconds grace) = 0;
  [[nodiscard]] virtual std::optional<std::string> process_id() const = 0;
  /// Bytes that it was given and has not read; 0 where nobody knows.
  [[nodiscard]] virtual std::uint64_t unread() const = 0;
  /// Whether what it leaves unread is known, and can be taken back.
  [[nodiscard]] virtual bool keeps_unread() const { return true; }
  /// Those bytes. After it has ended.
  virtual std::string take_unread() = 0;
  /// For a successor of the same kind; empty where it has to be given the unread bytes instead. After it has
  /// ended.
  virtual std::optional<Inheritance> inheritance() = 0;
  /// What its module counts: MsgPack of a map, or empty.
  [[nodiscard]] virtual std::string figures() const { return {}; }
};

std::unique_ptr<NodeLife> make_process_life(boost::asio::io_context& io, KernelLink& kernel,
                                            NodeLife::Spec spec, std::optional<Inheritance> inheritance = {});
std::unique_ptr<NodeLife> make_worker_life(boost::asio::io_context& io, NodeLife::Spec spec,
                                           std::optional<Inheritance> inheritance = {});

}  // namespace kairo::executor
