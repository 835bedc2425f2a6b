// A worker: a module of the executor that runs in a thread and an io_context of its own and is connected to
// the executor by a WorkerPipeAdapter.
//
// A module is one file below executor/modules: a class with run-time parameters (a reflect struct, so that
// its schema and its errors follow), and one row in the table of module_table(). It reads its duplex and
// writes to it like a node that is a process does with stdin and stdout, and obeys the same back-pressure.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "api/topology.hpp"
#include "executor/duplex.hpp"
#include "reflect/schema.hpp"

namespace kairo::executor {

/// What runs in the worker's thread. Ends by ending its duplex (in order) or destroying it with an error.
class Module {
 public:
  virtual ~Module() = default;
  virtual void start(boost::asio::io_context& io, std::shared_ptr<Duplex> pipe) = 0;
  /// What it counts, for NodeStatus.figures: MsgPack of a map, or empty. Called from the executor's thread.
  [[nodiscard]] virtual std::string figures() const { return {}; }
};

/// A worker that runs: its thread ends with its module. Destroying it destroys the pipe and joins the thread.
class Worker {
 public:
  /// E_INVALID_PARAMS with details.path below `path` ("params.topology.nodes[1].params") when the module is
  /// unknown or refuses its parameters. Relative paths in parameters are relative to `cwd`.
  static Result<std::unique_ptr<Worker>> start(boost::asio::io_context& executor, std::string_view module,
                                               const reflect::Any& params, const std::string& cwd,
                                               const std::string& path);
  virtual ~Worker() = default;
  /// The executor's side: what is written is the module's input, what it reads is the module's output.
  virtual std::shared_ptr<Duplex> pipe() = 0;
  [[nodiscard]] virtual std::string figures() const = 0;
};

}  // namespace kairo::executor
