// A worker: a module (module.hpp) that runs in a thread of its own and is connected to the executor by two
// duplexes of one direction each, as a process is by stdin and stdout. A module that computes has
// WorkerPipeAdapters, one that moves files has pipes, which the executor can splice from and to.
//
//   auto worker = Worker::start(io, "tee", params, cwd, "params.topology.nodes[1].params", {.name = "copy"});
//   (*worker)->on_opened = ...;             // both before the loop runs again
//   (*worker)->on_ended = ...;
//   intake.open((*worker)->input()); outlet.open((*worker)->output());
//
// The end. A module is over when its input has ended and its output was taken, when nobody takes its output
// any more (destroy output(), as a reader closes a pipe), or when it fails: then its output ends after all
// that it gave, and its input stays: what waits there is for the successor, as with a process that died.
// on_ended comes then, from the loop, before or after output() has come to its end; the thread is over.
//
// Bounds. A module may be within a system call on a file that does not return (a disk or a mount that
// hangs). Whoever destroys the worker waits for its thread no longer than join_patience; past it the thread
// is let go. It owns all that it uses, touches nothing of the executor, and ends when the call returns.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>

#include "executor/duplex.hpp"
#include "executor/module.hpp"
#include "reflect/fields.hpp"

namespace kairo::executor {

/// How long a thread that does not end is waited for.
inline constexpr std::chrono::milliseconds join_patience{1000};

/// The input of a worker, which may outlive it: the executor's side, and what has not been used of it. A
/// successor of the same kind of module begins with what its predecessor left.
class WorkerInput {
 public:
  virtual ~WorkerInput() = default;
  [[nodiscard]] virtual const std::shared_ptr<Duplex>& duplex() const = 0;
  /// Bytes that were given and not used.
  [[nodiscard]] virtual std::uint64_t unread() const = 0;
  /// They. The worker must be over.
  virtual std::string take_unread() = 0;
};

struct WorkerStart {
  std::string name = {};   ///< Of the thread; the module's without.
  bool continues = false;  ///< A life after the first: file-sink and tee do not empty their file.
  std::shared_ptr<WorkerInput> input = {};  ///< Of the predecessor, which must be over; or none.
};

class Worker {
 public:
  /// E_INVALID_PARAMS with details.path below `path` when the module is unknown or refuses its parameters;
  /// E_LIMIT_EXCEEDED: no thread or descriptor is left; `how.input` can be given to another then. Relative
  /// paths in parameters are relative to `cwd`.
  static Result<std::unique_ptr<Worker>> start(boost::asio::io_context& executor, std::string_view module,
                                               const reflect::Any& params, const std::string& cwd,
                                               const std::string& path, WorkerStart how = {});
  /// Destroys both duplexes (input() only while it is this worker's) and ends the thread.
  virtual ~Worker() = default;
  /// The executor's side: what is written is the module's input.
  [[nodiscard]] virtual std::shared_ptr<Duplex> input() = 0;
  /// ... and what is read is its output.
  [[nodiscard]] virtual std::shared_ptr<Duplex> output() = 0;
  /// Called once, from the executor's loop, when the module has opened what it needs. Not if it fails before.
  std::function<void()> on_opened;
  /// Called once, from the executor's loop, with why it failed.
  std::function<void(const Error*)> on_ended;

  /// Ends it at once: its output is destroyed, and on_ended comes. What it did not use can be taken then.
  virtual void end() = 0;

  [[nodiscard]] virtual std::string figures() const = 0;
  /// Bytes that were given and not used.
  [[nodiscard]] virtual std::uint64_t unread() const = 0;
  /// They; empty before on_ended. Also those of which the writer was told that they were refused.
  virtual std::string take_unread() = 0;
  /// For WorkerStart.input: input() stays open then, whatever becomes of this worker. Nullptr unless it
  /// failed.
  virtual std::shared_ptr<WorkerInput> take_input() = 0;
};

}  // namespace kairo::executor
