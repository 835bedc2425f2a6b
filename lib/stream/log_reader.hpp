// kairod's end of an OutputLog. One per stream of a session, made when somebody first wants to read; it holds
// the file's descriptor and no memory of the ring but what a MappedWindow has in use. It goes on working when
// the session has ended and its slot was given back: freeze() keeps the last state.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "stream/shared_log.hpp"

namespace kairo::stream {

/// What a log holds at one moment.
struct LogState {
  std::uint64_t tail = 0;
  std::uint64_t floor = 0;
  std::uint64_t capacity = 0;
  std::uint32_t flags = 0;
  std::uint32_t index_count = 0;
  [[nodiscard]] bool eof() const { return (flags & log_eof) != 0; }
};

/// What a log holds whose keeper is gone, with log_eof: from the file, where it was closed in order; else
/// from the keeper's last `slot` (nullptr: that is lost, too) as far as the file agrees. Of a ring that had
/// wrapped nothing can be told without the slot: its bytes count as gone.
LogState recover_log(int logs_dir, std::uint64_t key, unsigned stream, const StreamSlot* slot);

class LogReader {
 public:
  /// `slot` stays valid until freeze(); without one, `frozen` is the log's last state. `logs_dir` outlives
  /// the reader.
  LogReader(int logs_dir, std::uint64_t key, unsigned stream, StreamSlot* slot, const LogState& frozen = {});

  [[nodiscard]] LogState state() const;

  /// Copies the slot's last state and lets go of it.
  void freeze();

  /// The file of a frozen log is given up: from now on all of its bytes count as gone.
  void drop();

  /// Copies up to `size` bytes from `offset` into `to`. Gives the count (0 at the tail), and how many bytes
  /// before the copied ones were gone already (`offset` below the floor, also when the ring was overwritten
  /// while it was copied): the copied bytes begin at offset + lost. E_INTERNAL when the file fails.
  struct Copied {
    std::size_t bytes = 0;
    std::uint64_t lost = 0;
  };
  Result<Copied> copy(std::uint64_t offset, char* to, std::size_t size);

  /// Entries of the time index, oldest first; whole even while the keeper thins it out.
  Result<std::vector<TimeEntry>> times();

  /// First offset that was recorded at `time` or later, as the index knows it (never too late an offset).
  Result<std::uint64_t> offset_since(SystemTime time);

  /// E_INTERNAL: the file is shorter than what was recorded.
  [[nodiscard]] Error cut_short() const;

  /// Borrowed; -1 while there is no file. For MappedWindow.
  Result<int> file();

 private:
  int logs_dir_;
  std::uint64_t key_;
  unsigned stream_;
  StreamSlot* slot_;
  LogState frozen_;
  UniqueFd file_;

  Result<void> read_ring(std::uint64_t offset, char* to, std::size_t size, std::uint64_t capacity);
};

/// A sliding read-only mapping of the ring, for sendmsg straight from the page cache. Only system calls may
/// touch what it gives (a file that was truncated from outside then gives EFAULT, not SIGBUS), and only
/// pinned bytes may be asked for.
class MappedWindow {
 public:
  MappedWindow() = default;
  ~MappedWindow();
  MappedWindow(MappedWindow&&) noexcept;
  MappedWindow& operator=(MappedWindow&&) noexcept;

  /// The bytes at `offset`, as many as lie in one piece, at most `size`. Valid until a call that slides the
  /// window; without `may_slide` it gives only what is mapped already, maybe nothing.
  struct Piece {
    const char* data = nullptr;
    std::size_t bytes = 0;
  };
  Result<Piece> at(LogReader& log, std::uint64_t offset, std::size_t size, bool may_slide = true);
  void unmap();

 private:
  char* base_ = nullptr;
  std::size_t length_ = 0;
  std::uint64_t file_offset_ = 0;
};

}  // namespace kairo::stream
