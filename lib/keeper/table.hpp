// The session table: shared memory of keeper and kairod, a file in the state directory ("table"), mapped by
// both. One slot per live session; it holds what changes often (offsets, flags, pins), while what changes
// seldom travels as messages (protocol.hpp). The keeper makes the file and passes its descriptor with
// Welcome.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/limits.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "stream/shared_log.hpp"

namespace kairo::keeper {

inline constexpr std::uint32_t table_version = 1;

enum StdinFlag : std::uint32_t {
  stdin_close = 1,   ///< kairod: end of file after what the ring holds.
  stdin_closed = 2,  ///< Keeper: the pipe is closed (after stdin_close, or because nobody reads it any more).
  stdin_broken = 4,  ///< Keeper, with stdin_closed: the reader went away before it had taken everything.
};

/// The stdin ring: limits::stdin_bytes in a memfd that kairod makes at the first write and passes to the
/// keeper. Byte `offset` of the stream lies at offset % limits::stdin_bytes. Accepted means: below `tail`.
struct alignas(64) StdinSlot {
  std::atomic<std::uint64_t> tail;   ///< kairod: bytes accepted since the start.
  std::atomic<std::uint64_t> head;   ///< Keeper: bytes written into the pipe.
  std::atomic<std::uint32_t> close;  ///< kairod: stdin_close or 0.
  std::atomic<std::uint32_t> state;  ///< Keeper: stdin_closed, stdin_broken.
  std::atomic<std::uint32_t>
      wake;  ///< kairod sets 1 to be told when head or state moves; the keeper takes it.
  std::atomic<std::uint32_t>
      idle;  ///< Keeper sets 1 when it wants a StdinReady order for new bytes; kairod takes it.
  std::uint64_t reserved[4];
};
static_assert(sizeof(StdinSlot) == 64);

struct alignas(64) SessionSlot {
  /// The session's key, chosen by kairod, never used again. 0: free; after Release the keeper sets it last,
  /// and only then may kairod use the slot again.
  std::atomic<std::uint64_t> key;
  std::atomic<std::int32_t> pid;  ///< Main process; stays after its end.
  std::atomic<std::uint32_t>
      kairod_wants_hold;  ///< Not 0: pins outlive kairod's death for limits::orphaned_hold. One more than the
                          ///< lossless readers there are.
  std::uint64_t reserved[6];
  StdinSlot standard_input;
  stream::StreamSlot streams[2];
};
static_assert(sizeof(SessionSlot) == 256);

struct TableHeader {
  char magic[8];  ///< "KAIROTBL"
  std::uint32_t version;
  std::uint32_t slots;
  char boot_id[40];
};

/// The mapping. Slots are zero until used and again after Release. The file's space is reserved when it is
/// made, since a store into a hole on a full disk would be a SIGBUS.
class Table {
 public:
  static Result<Table> create(int state_dir);  ///< The keeper's: makes the file anew.
  static Result<Table> open(UniqueFd file);    ///< kairod's: maps what Welcome brought; checks the header.
  Table(Table&&) noexcept;
  Table& operator=(Table&&) noexcept;
  ~Table();

  [[nodiscard]] std::uint32_t slots() const { return limits::live_sessions; }
  [[nodiscard]] SessionSlot& slot(std::uint32_t index) const;
  [[nodiscard]] int file() const { return file_.get(); }

 private:
  Table(UniqueFd file, char* base) : file_(std::move(file)), base_(base) {}
  UniqueFd file_;
  char* base_ = nullptr;
};

}  // namespace kairo::keeper
