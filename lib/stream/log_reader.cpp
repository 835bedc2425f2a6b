#include "stream/log_reader.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace kairo::stream {
namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t window_bytes = 8u << 20;
/// A window with less than this left of what was asked for slides on.
constexpr std::size_t window_rest_bytes = 256u << 10;
/// Looks at a log that is overwritten under the copy; then the caller gets what is gone and asks again.
constexpr int copy_attempts = 4;
constexpr int index_attempts = 1000;

/// pread of the whole; 0, the errno, or ENODATA when the file is shorter than that.
int read_all(int file, void* to, std::size_t size, std::uint64_t at) {
  char* out = static_cast<char*>(to);
  while (size > 0) {
    const ssize_t n = ::pread(file, out, size, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return ENODATA;
    out += n;
    at += static_cast<std::uint64_t>(n);
    size -= static_cast<std::size_t>(n);
  }
  return 0;
}

std::uint64_t unix_us(SystemTime time) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(time.time_since_epoch().count(), 0));
}

}  // namespace

LogState recover_log(int logs_dir, std::uint64_t key, unsigned stream, const StreamSlot* slot) {
  LogState state;
  if (slot) {
    state.tail = slot->tail.load(std::memory_order_relaxed);
    state.floor = std::min(slot->floor.load(std::memory_order_relaxed), state.tail);
    state.capacity = slot->capacity.load(std::memory_order_relaxed);
    state.index_count =
        std::min<std::uint32_t>(slot->index_count.load(std::memory_order_relaxed), index_entries);
    state.flags = slot->flags.load(std::memory_order_relaxed) & ~std::uint32_t{log_held};
  }
  state.flags |= log_eof;
  const auto gone = [&] {
    state.floor = state.tail;
    state.flags &= ~std::uint32_t{log_has_file};
    return state;
  };
  const std::string name = log_file_name(key, stream);
  const UniqueFd file(::openat(logs_dir, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status {};
  LogFileHeader header{};
  if (!file || ::fstat(file.get(), &status) != 0 || read_all(file.get(), &header, sizeof header, 0) != 0 ||
      std::memcmp(header.magic, "KAIROLOG", sizeof header.magic) != 0 ||
      header.version != log_format_version || header.key != key || header.stream != stream)
    return gone();
  state.flags |= log_has_file;
  if (header.sealed == 1 && header.floor <= header.tail && header.capacity > 0) {
    state.tail = header.tail;
    state.floor = header.floor;
    state.capacity = header.capacity;
    state.index_count =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(header.index_count, index_entries));
    return state;
  }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const std::uint64_t held = size > ring_start ? size - ring_start : 0;
  if (state.capacity == 0) {
    // No slot. A ring that never wrapped is as long as its file.
    state.capacity = (header.retain + page - 1) / page * page + splice_bytes;
    state.tail = held;
    if (held >= state.capacity) return gone();
    return state;
  }
  if (state.tail <= state.capacity)
    state.tail = std::min(state.tail, held);
  else if (held < state.capacity)
    return gone();  // the file is not the one that the slot tells of
  state.floor = std::min(state.floor, state.tail);
  return state;
}

LogReader::LogReader(int logs_dir, std::uint64_t key, unsigned stream, StreamSlot* slot,
                     const LogState& frozen)
    : logs_dir_(logs_dir), key_(key), stream_(stream), slot_(slot), frozen_(frozen) {}

LogState LogReader::state() const {
  if (!slot_) return frozen_;
  LogState state;
  // The order is the contract of shared_log.hpp: flags, tail, capacity, floor.
  state.flags = slot_->flags.load(std::memory_order_seq_cst);
  state.tail = slot_->tail.load(std::memory_order_seq_cst);
  state.capacity = slot_->capacity.load(std::memory_order_acquire);
  state.floor = std::min(slot_->floor.load(std::memory_order_acquire), state.tail);
  state.index_count = slot_->index_count.load(std::memory_order_acquire);
  return state;
}

void LogReader::freeze() {
  if (!slot_) return;
  frozen_ = state();
  frozen_.flags |= log_eof;
  slot_ = nullptr;
}

void LogReader::drop() {
  frozen_.floor = frozen_.tail;
  frozen_.flags &= ~std::uint32_t{log_has_file};
  file_.reset();
}

Result<int> LogReader::file() {
  if (file_) return file_.get();
  if ((state().flags & log_has_file) == 0) return -1;
  const std::string name = log_file_name(key_, stream_);
  file_.reset(::openat(logs_dir_, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file_) return system_error("cannot open the log " + name, errno);
  return file_.get();
}

Error LogReader::cut_short() const {
  return Error(Code::internal, "cannot read the log " + log_file_name(key_, stream_) +
                                   ": the file is shorter than what was recorded; somebody has cut it");
}

Result<void> LogReader::read_ring(std::uint64_t offset, char* to, std::size_t size, std::uint64_t capacity) {
  Result<int> from = file();
  if (!from) return std::move(from).error();
  const std::uint64_t place = offset % capacity;
  const std::size_t first = static_cast<std::size_t>(std::min<std::uint64_t>(size, capacity - place));
  int failed = read_all(*from, to, first, ring_start + place);
  if (failed == 0 && first < size) failed = read_all(*from, to + first, size - first, ring_start);
  if (failed == ENODATA) return cut_short();
  if (failed != 0) return system_error("cannot read the log " + log_file_name(key_, stream_), failed);
  return {};
}

Result<LogReader::Copied> LogReader::copy(std::uint64_t offset, char* to, std::size_t size) {
  std::uint64_t lost = 0;
  for (int attempt = 0; attempt < copy_attempts; ++attempt) {
    const LogState now = state();
    if (offset + lost < now.floor) lost = now.floor - offset;
    const std::uint64_t from = offset + lost;
    // A floor that runs ahead of the tail is not yet a loss to report.
    if (from >= now.tail) return Copied{0, now.tail > offset ? std::min(lost, now.tail - offset) : 0};
    const std::size_t bytes = static_cast<std::size_t>(std::min<std::uint64_t>(size, now.tail - from));
    if (bytes == 0) return Copied{0, lost};
    Result<void> read = read_ring(from, to, bytes, now.capacity);
    if (!read) return std::move(read).error();
    if (!slot_) return Copied{bytes, lost};
    std::atomic_thread_fence(std::memory_order_acquire);
    const std::uint64_t floor = slot_->floor.load(std::memory_order_acquire);
    if (floor <= from) return Copied{bytes, lost};
    lost = floor - offset;
    if (floor < from + bytes) {
      const std::size_t torn = static_cast<std::size_t>(floor - from);
      std::memmove(to, to + torn, bytes - torn);
      return Copied{bytes - torn, lost};
    }
  }
  return Copied{0, std::min(lost, state().tail - offset)};
}

Result<std::vector<TimeEntry>> LogReader::times() {
  std::vector<TimeEntry> entries;
  Result<int> from = file();
  if (!from) return std::move(from).error();
  if (*from < 0) return entries;
  const auto failed_with = [&](int failed) {
    return system_error("cannot read the time index of the log " + log_file_name(key_, stream_), failed);
  };
  LogFileHeader header{};
  if (const int failed = read_all(*from, &header, sizeof header, 0)) return failed_with(failed);
  for (int attempt = 0; attempt < index_attempts; ++attempt) {
    const std::uint32_t generation = slot_ ? slot_->index_generation.load(std::memory_order_acquire) : 0;
    if (generation % 2 == 1) {
      ::sched_yield();
      continue;
    }
    const std::size_t count = std::min<std::size_t>(state().index_count, index_entries);
    entries.resize(count + 1);
    entries[0] = {0, header.created_us};
    if (const int failed = read_all(*from, entries.data() + 1, count * sizeof(TimeEntry), log_header_bytes))
      return failed_with(failed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (!slot_ || slot_->index_generation.load(std::memory_order_acquire) == generation) return entries;
  }
  // A keeper that ended in the middle of thinning: what is known is when the log began.
  entries.assign(1, {0, header.created_us});
  return entries;
}

Result<std::uint64_t> LogReader::offset_since(SystemTime time) {
  Result<std::vector<TimeEntry>> entries = times();
  if (!entries) return std::move(entries).error();
  const std::uint64_t since = unix_us(time);
  std::uint64_t offset = 0;
  // Up to the first that is later, not the last that is not: the system's clock may have been set back.
  for (const TimeEntry& entry : *entries) {
    if (entry.time_us > since) break;
    offset = entry.offset;
  }
  return std::max(offset, state().floor);
}

MappedWindow::~MappedWindow() {
  unmap();
}

MappedWindow::MappedWindow(MappedWindow&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      length_(std::exchange(other.length_, 0)),
      file_offset_(other.file_offset_) {}

MappedWindow& MappedWindow::operator=(MappedWindow&& other) noexcept {
  if (this != &other) {
    unmap();
    base_ = std::exchange(other.base_, nullptr);
    length_ = std::exchange(other.length_, 0);
    file_offset_ = other.file_offset_;
  }
  return *this;
}

void MappedWindow::unmap() {
  if (base_) ::munmap(base_, length_);
  base_ = nullptr;
  length_ = 0;
}

Result<MappedWindow::Piece> MappedWindow::at(LogReader& log, std::uint64_t offset, std::size_t size,
                                             bool may_slide) {
  const LogState now = log.state();
  if (offset < now.floor || offset >= now.tail || size == 0) return Piece{};
  const std::uint64_t place = offset % now.capacity;
  const std::size_t bytes =
      static_cast<std::size_t>(std::min<std::uint64_t>({size, now.tail - offset, now.capacity - place}));
  const std::uint64_t at = ring_start + place;
  // A file that somebody has cut short would be a SIGBUS.
  Result<int> file = log.file();
  if (!file) return std::move(file).error();
  struct stat status {};
  if (::fstat(*file, &status) != 0 || static_cast<std::uint64_t>(status.st_size) < at + bytes)
    return log.cut_short();
  if (base_ && at >= file_offset_ && at < file_offset_ + length_) {
    const std::size_t into = static_cast<std::size_t>(at - file_offset_);
    const std::size_t there = std::min(bytes, length_ - into);
    if (there == bytes || there >= window_rest_bytes || !may_slide) return Piece{base_ + into, there};
  }
  if (!may_slide) return Piece{};
  unmap();
  const std::uint64_t start = at / page * page;
  const std::uint64_t ring_end = (ring_start + now.capacity + page - 1) / page * page;
  const std::size_t length =
      static_cast<std::size_t>(std::min<std::uint64_t>(window_bytes, ring_end - start));
  void* base = ::mmap(nullptr, length, PROT_READ, MAP_SHARED, *file, static_cast<off_t>(start));
  if (base == MAP_FAILED) return system_error("cannot map a log for reading", errno);
  base_ = static_cast<char*>(base);
  length_ = length;
  file_offset_ = start;
  const std::size_t into = static_cast<std::size_t>(at - start);
  return Piece{base_ + into, std::min(bytes, length - into)};
}

}  // namespace kairo::stream
