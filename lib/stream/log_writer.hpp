// The keeper's end of an OutputLog: moves what is in a pipe into the ring by splice(2), keeps the slot and the
// time index. One per stream; called from one thread. The file comes to be with the first byte.
#pragma once

#include <cstdint>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "stream/shared_log.hpp"

namespace kairo::stream {

class LogWriter {
 public:
  /// `logs_dir`: descriptor of the logs directory, outlives the writer. `slot` must be zeroed by the caller and
  /// gets its first values here, except pins, which the caller has set.
  LogWriter(int logs_dir, std::uint64_t key, unsigned stream, std::uint64_t retain_bytes, StreamSlot& slot);
  /// Takes up the log of a slot that is in use already (a keeper that re-executed itself).
  static LogWriter resume(int logs_dir, std::uint64_t key, unsigned stream, std::uint64_t retain_bytes, StreamSlot& slot);
  LogWriter(LogWriter&&) noexcept;
  LogWriter& operator=(LogWriter&&) noexcept;

  enum class State {
    drained,  ///< The pipe is empty for now.
    more,     ///< The budget is spent; call again.
    held,     ///< A pin forbids to go on. log_held is set; call again after the doorbell.
    ended,    ///< End of file. The header is sealed and log_eof set.
    stalled,  ///< The disk refuses and the log may not drop: call again later.
  };
  struct Progress {
    State state;
    std::uint64_t bytes;    ///< Recorded (or, degraded, thrown away) by this call.
    bool pipe_was_full;     ///< A splice gave as much as the pipe can hold: a hint to enlarge it.
  };

  /// Takes at most `budget` bytes from the non-blocking pipe. `now_us`: Unix time, microseconds.
  Progress pump(int pipe, std::uint64_t now_us, std::size_t budget);

  /// Ends the log without waiting for the pipe's end (the grace is over and the pipe was closed by us).
  void seal();

 private:
  int logs_dir_;
  std::uint64_t key_;
  unsigned stream_;
  std::uint64_t retain_;
  StreamSlot* slot_;
  UniqueFd file_;
  std::uint64_t next_index_us_ = 0;
  std::uint64_t index_interval_us_ = 10'000;

  Result<void> create_file(std::uint64_t now_us);
  void note_time(std::uint64_t now_us);
  void thin_index();
  State degrade(int error_number, int pipe);
};

}  // namespace kairo::stream
