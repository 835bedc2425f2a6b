// What runs in a worker (worker.hpp). There are two kinds:
//
// - A StreamModule computes: it is given its input's and its output's duplex and lives in the loop of the
//   worker's thread (modules/stage.hpp is the base of all of them).
// - A FileModule moves bytes between files and two pipes, by splice() wherever the kernel can. It has the
//   worker's thread to itself and blocks there, so that not even a regular file on a slow disk, which has no
//   readiness, is waited for by anybody else.
//
// A module is one file below executor/modules and one row in the table there. It names its parameters by a
// struct of topology/modules.hpp.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>

#include "base/result.hpp"
#include "executor/worker_pipe_adapter.hpp"
#include "reflect/fields.hpp"

namespace kairo::executor {

class Stop;

class Module {
 public:
  virtual ~Module() = default;
  /// What it counts, for NodeStatus.figures: MsgPack of a map, or empty. Called from the executor's thread
  /// while the module runs.
  [[nodiscard]] virtual std::string figures() const { return {}; }
};

class StreamModule : public Module {
 public:
  /// Called from the loop when the module is over; nothing of it is used any more.
  using Done = std::function<void(std::optional<Error>)>;
  /// Reads `in` and writes `out`. A module that fails gives back what it was given and did not use, leaves
  /// `in` to a successor, and is done when its output has been taken.
  virtual void start(boost::asio::io_context& io, std::shared_ptr<WorkerPipeAdapter> in,
                     std::shared_ptr<WorkerPipeAdapter> out, Done done) = 0;
};

/// The pipes of a FileModule; none of the two ends blocks. What it has not used stays in `in`.
struct FileEnds {
  int in = -1;
  int out = -1;
  const Stop* stop = nullptr;
  /// Said once by the module when it has opened what it needs; until then a failure is one of the start.
  std::function<void()> opened;
};

class FileModule : public Module {
 public:
  /// Whether it reads its input; otherwise that is closed before run().
  [[nodiscard]] virtual bool reads() const { return true; }
  /// Returns when its work is done, when nobody takes its output any more, or when `stop` says so.
  virtual Result<void> run(const FileEnds& ends) = 0;
};

/// How a module is to begin.
struct ModuleStart {
  std::string cwd;         ///< What relative paths are relative to.
  std::string path;        ///< Of its parameters in the request, for errors.
  bool continues = false;  ///< The node has had a life before: files are not emptied.
};

struct ModuleRow {
  std::string_view name;
  /// E_INVALID_PARAMS. One of the two.
  Result<std::unique_ptr<StreamModule>> (*stream)(const reflect::Any& params, const ModuleStart& start);
  Result<std::unique_ptr<FileModule>> (*file)(const reflect::Any& params, const ModuleStart& start);
};

/// nullptr: there is none of that name.
const ModuleRow* find_module_row(std::string_view name);

}  // namespace kairo::executor
