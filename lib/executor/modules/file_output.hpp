// The file that file-sink and tee write: a regular file, a device or a named pipe. Bytes come from a pipe and
// are spliced where the file takes that, else copied. What could not be written stays in the pipe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "executor/module.hpp"
#include "executor/stop.hpp"

namespace kairo::executor {

/// Bytes that one splice may move, and the size that a worker's pipes are given.
inline constexpr std::size_t splice_bytes = 1u << 20;

class FileOutput {
 public:
  enum class Keep { nothing, present };

  /// Opens or creates `path`. With Keep::present the file is written behind what it holds when the first byte
  /// comes. A named pipe is waited for until it has a reader; without a file, when asked to stop. Says
  /// `ends.opened`, of a named pipe before that wait: its reader may be somebody who waits for the topology.
  static Result<FileOutput> open(const std::string& path, Keep keep, const FileEnds& ends);

  struct Written {
    std::size_t bytes = 0;
    std::optional<Error> error;
    bool stopped = false;
  };
  /// Moves some of the bytes that wait in `pipe`; nothing when there are none.
  Written take(int pipe, std::size_t most, const Stop& stop);
  /// Brings it to the disk.
  Result<void> sync();
  /// Tells what only closing tells (a quota, a network's disk).
  Result<void> close();
  /// False when it was not opened because of `stop`.
  explicit operator bool() const { return static_cast<bool>(fd_); }

 private:
  Error cannot(std::string_view what, int error) const;
  Written copy(int pipe, std::size_t most, const Stop& stop);

  std::string path_;
  UniqueFd fd_;
  bool seek_end_ = false;
  bool copies_ = false;      ///< The file takes no splice.
  UniqueFd peek_, peek_in_;  ///< A pipe that is given what is to be copied, while it stays in its own.
  std::string buffer_;
  std::uint64_t written_ = 0;
};

/// A pipe of a module's own, into which tee(2) doubles what comes.
struct CopyPipe {
  UniqueFd out;
  UniqueFd in;
  static Result<CopyPipe> make(const std::string& module);
};

/// Makes the end of a pipe non-blocking and large, where the user's budget for pipes has it.
void prepare_pipe(int fd);

}  // namespace kairo::executor
