// The OutputLog as keeper and kairod share it: a ring file per stream on disk, and a slot of atomics in
// shared memory (keeper/table.hpp) that says what the ring holds.
//
// The ring file, state directory, logs/KEY.S (KEY: 16 hex digits, S: 0 stdout, 1 stderr). A stream that wrote
// nothing has none.
//
//   0      LogFileHeader, 4096 bytes
//   4096   time index: up to index_entries of TimeEntry
//   69632  ring: byte `offset` of the stream lies at 69632 + offset % capacity
//
// Who writes what. The keeper alone writes the file and `tail`, `floor`, `capacity`, `flags`, `index_*`.
// kairod alone writes `pin`, `block_pin`, `no_growth` and sets `wake`. Order for the keeper: floor is raised
// before the bytes below it are overwritten, tail after the bytes up to it are written (release). A reader
// therefore loads tail (acquire), then capacity, copies, and then loads floor: whatever it copied from below
// floor may be torn and is thrown away. log_eof is set when tail is final: a reader loads flags before tail.
// Floor may be ahead of the tail that a reader has seen. A pin is stored seq_cst and log_held looked at after
// it (see log_writer.hpp).
//
// The time index has no entry for the first byte: the header's created_us is its time, so that a short stream
// takes no block for an index.
//
// Rejected: mapping the ring in the keeper. splice(2) from the pipe to the file runs as fast as read(2) into
// a mapping (2.1 against 2.0 GB/s here), keeps 64 MiB per stream out of the keeper's private memory, reports
// a full disk as an errno where a mapping raises SIGBUS, and touches no page that somebody truncated.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace kairo::stream {

inline constexpr std::uint64_t log_format_version = 1;
inline constexpr std::size_t log_header_bytes = 4096;
inline constexpr std::size_t index_entries = 4096;
inline constexpr std::size_t ring_start = log_header_bytes + index_entries * 16;
/// The keeper takes at most so much from a pipe at once. The ring is larger than the retention by as much, so
/// that floor can be raised ahead of a splice of unknown length without giving up retained bytes.
inline constexpr std::size_t splice_bytes = 256u << 10;

/// A pin's value when nobody needs anything.
inline constexpr std::uint64_t no_pin = UINT64_MAX;

enum LogFlag : std::uint32_t {
  log_eof = 1,   ///< The pipe is at its end; tail is final.
  log_held = 2,  ///< The keeper does not read the pipe because of a pin; ring the doorbell after moving one.
  log_degraded = 4,  ///< The disk refused: the ring stays at its present size, or bytes were thrown away.
  log_has_file = 8,  ///< The ring file exists.
  log_stalled = 16,  ///< The disk refuses, and a pin forbids to throw bytes away: the pipe is not read.
};

/// Shared state of one stream. All offsets are bytes since the process started.
struct alignas(64) StreamSlot {
  // The keeper's.
  std::atomic<std::uint64_t> tail;      ///< Bytes recorded.
  std::atomic<std::uint64_t> floor;     ///< Oldest byte that the ring still holds.
  std::atomic<std::uint64_t> capacity;  ///< Bytes of the ring; shrinks once at most: log_degraded, no_growth.
  std::atomic<std::uint32_t> flags;     ///< LogFlag bits.
  std::atomic<std::uint32_t> index_count;       ///< Entries in the time index.
  std::atomic<std::uint32_t> index_generation;  ///< Odd while the index is being thinned out.
  // kairod's.
  std::atomic<std::uint32_t>
      wake;  ///< 1: kairod wants to be told when anything above changes; the keeper takes it.
  std::atomic<std::uint64_t> pin;        ///< Oldest byte that a lossless reader needs, or no_pin.
  std::atomic<std::uint64_t> block_pin;  ///< whenFull "block": oldest byte that no reader has had, or no_pin.
  /// 1: all logs together are over their bound; the ring stays at the size that it has. Never taken back.
  std::atomic<std::uint32_t> no_growth;
};
static_assert(sizeof(StreamSlot) == 64);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

struct LogFileHeader {
  char magic[8];  ///< "KAIROLOG"
  std::uint32_t version;
  std::uint32_t stream;
  char boot_id[40];  ///< /proc/sys/kernel/random/boot_id, NUL-terminated
  std::uint64_t key;
  std::uint64_t retain;
  std::uint64_t created_us;  ///< Unix time, microseconds
  // Final values, written when the stream has ended.
  std::uint64_t sealed;  ///< 1 once the following are final
  std::uint64_t tail;
  std::uint64_t floor;
  std::uint64_t capacity;
  std::uint64_t index_count;
};
static_assert(sizeof(LogFileHeader) <= log_header_bytes);

/// "Bytes from `offset` on were recorded at `time_us` or later", Unix time in microseconds.
struct TimeEntry {
  std::uint64_t offset;
  std::uint64_t time_us;
};
static_assert(sizeof(TimeEntry) == 16);

/// "00000000000004d2.0"
std::string log_file_name(std::uint64_t key, unsigned stream);

}  // namespace kairo::stream
