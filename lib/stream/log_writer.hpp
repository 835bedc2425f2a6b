// The keeper's end of an OutputLog: moves what is in a pipe into the ring by splice(2), keeps the slot and
// the time index. One per stream; called from one thread. The file comes to be with the first byte.
//
// A log that is pinned never overwrites a byte at or above its pins: when the pins leave no room, pump sets
// log_held, looks at the pins once more and gives `held`. Who moves a pin stores it and then looks at
// log_held (both seq_cst, here too), so one of the two sees the other and no wake-up is lost.
//
// A log whose no_growth kairod has set stays, in its first lap, at the size that it has and goes round there,
// but not below 64 KiB (limits::retain_bytes_min); it is not degraded by that. Pins hold as ever.
//
// A disk that refuses (ENOSPC, EDQUOT, EIO and their like): in its first lap a ring of at least a page stays
// at the size that it has and goes round there. Otherwise there is nothing to go round in: a pinned log gives
// `stalled` (log_stalled is set meanwhile) and leaves its bytes in the pipe; any other throws them away,
// floor and tail going on together, and so does every log when the directory of the logs is gone for good.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "stream/shared_log.hpp"

namespace kairo::stream {

class LogWriter {
 public:
  /// `logs_dir`: descriptor of the logs directory, outlives the writer. `slot` must be zeroed by the caller
  /// and gets its first values here, except pins, which the caller has set.
  LogWriter(int logs_dir, std::uint64_t key, unsigned stream, std::uint64_t retain_bytes, StreamSlot& slot);
  /// Takes up the log of a slot that is in use already (a keeper that re-executed itself). `file` is the ring
  /// that the writer before had open, or none; `carry` what it had read from the pipe and not yet recorded.
  static LogWriter resume(int logs_dir, std::uint64_t key, unsigned stream, std::uint64_t retain_bytes,
                          StreamSlot& slot, UniqueFd file, std::string carry = {});
  [[nodiscard]] std::uint64_t retain_bytes() const { return retain_; }
  [[nodiscard]] const std::string& carry() const { return carry_; }
  /// The ring, borrowed; -1 before the first byte.
  [[nodiscard]] int file() const { return file_.get(); }
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
    std::uint64_t bytes;  ///< Recorded (or, degraded, thrown away) by this call.
    bool pipe_was_full;   ///< A splice gave as much as the pipe can hold: a hint to enlarge it.
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
  std::uint64_t written_ = 0;  ///< The file holds at least so much, unless somebody cuts it.
  std::uint64_t next_index_us_ = 0;
  std::uint64_t index_interval_us_ = 10'000;
  std::size_t pipe_bytes_ = 4096;  ///< What the pipe holds, as far as it was asked.
  bool copies_ = false;            ///< The file system knows no splice.
  std::string carry_;              ///< Read by the copying way, not yet on disk.

  Result<void> create_file(std::uint64_t now_us);
  Result<void> write_header(bool sealed, std::uint64_t created_us);
  [[nodiscard]] std::uint64_t file_bytes() const;
  /// Every byte that was recorded counts as dropped.
  void give_up_written();
  void look_for_cut(std::uint64_t now_us);
  std::uint64_t allowed();
  bool may_go_on(std::uint64_t& bytes);
  long take(int pipe, std::size_t bytes);
  long take_by_copy(int pipe, std::size_t bytes);
  void note_time(std::uint64_t offset, std::uint64_t now_us);
  void thin_index();
  [[nodiscard]] bool pinned() const;
  bool shrink_ring();
  std::uint64_t growth_left(std::uint64_t tail);
  Progress throw_away(int pipe, std::size_t budget);
};

}  // namespace kairo::stream
