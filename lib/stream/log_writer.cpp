// What may be overwritten is decided once, ahead of the splice: `want` bytes go to tail % capacity, so every
// byte below tail + want - capacity must be given up first. The ring is larger than the retention by the
// longest splice, hence floor never passes tail - retain. A splice that brings less than was asked for has
// raised floor too far by at most that much; it is not taken back, since a reader may have seen it.
#include "stream/log_writer.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "base/limits.hpp"

namespace kairo::stream {
namespace {

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t first_interval_us = 10'000;

std::uint64_t round_up(std::uint64_t bytes) {
  return (bytes + page - 1) / page * page;
}

off_t file_offset(std::uint64_t bytes) {
  return static_cast<off_t>(bytes);
}

/// Room that a pin at `limit` leaves for a ring that keeps `keep` bytes.
std::uint64_t room_before(std::uint64_t limit, std::uint64_t keep, std::uint64_t tail) {
  if (limit == no_pin) return UINT64_MAX;
  if (limit >= tail) return keep;
  const std::uint64_t behind = tail - limit;
  return behind >= keep ? 0 : keep - behind;
}

const std::string& boot_id() {
  static const std::string id = [] {
    std::array<char, 64> text{};
    const UniqueFd file(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
    const ssize_t n = file ? ::read(file.get(), text.data(), text.size()) : 0;
    return std::string(text.data(), n >= 36 ? 36u : 0u);
  }();
  return id;
}

/// pwrite of the whole; 0 or the errno.
int write_all(int file, const void* data, std::size_t size, off_t at) {
  const char* from = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::pwrite(file, from, size, at);
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    from += n;
    at += n;
    size -= static_cast<std::size_t>(n);
  }
  return 0;
}

enum class Waiting { data, nothing, end };

/// Whether the directory was removed: nothing can ever be made in it again.
bool is_gone(int dir) {
  struct stat status {};
  return ::fstat(dir, &status) == 0 && status.st_nlink == 0;
}

/// What a reader of the pipe would find, without taking anything.
Waiting look_into(int pipe) {
  pollfd poll_for{pipe, POLLIN, 0};
  if (::poll(&poll_for, 1, 0) <= 0) return Waiting::nothing;
  if (poll_for.revents & POLLIN) return Waiting::data;
  return poll_for.revents & (POLLHUP | POLLERR | POLLNVAL) ? Waiting::end : Waiting::nothing;
}

}  // namespace

LogWriter::LogWriter(int logs_dir, std::uint64_t key, unsigned stream, std::uint64_t retain_bytes,
                     StreamSlot& slot)
    : logs_dir_(logs_dir), key_(key), stream_(stream), retain_(retain_bytes), slot_(&slot) {
  // A slot in use keeps what it has.
  if (slot.capacity.load(std::memory_order_relaxed) == 0)
    slot.capacity.store(round_up(retain_bytes) + splice_bytes, std::memory_order_release);
}

LogWriter LogWriter::resume(int logs_dir, std::uint64_t key, unsigned stream, std::uint64_t retain_bytes,
                            StreamSlot& slot, UniqueFd file, std::string carry) {
  LogWriter writer(logs_dir, key, stream, retain_bytes, slot);
  writer.copies_ = !carry.empty();  // it goes first
  writer.carry_ = std::move(carry);
  const std::uint32_t flags = slot.flags.load(std::memory_order_acquire);
  writer.file_ = std::move(file);
  if (!writer.file_ && (flags & log_has_file) != 0 && (flags & log_eof) == 0)
    writer.file_.reset(
        ::openat(logs_dir, log_file_name(key, stream).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (writer.file_) writer.written_ = writer.file_bytes();
  // A predecessor that ended while it thinned the index left the generation odd; what it left is whole
  // enough, for entries are only ever moved forward.
  if (slot.index_generation.load(std::memory_order_acquire) % 2 == 1)
    slot.index_generation.fetch_add(1, std::memory_order_acq_rel);
  return writer;
}

LogWriter::LogWriter(LogWriter&&) noexcept = default;
LogWriter& LogWriter::operator=(LogWriter&&) noexcept = default;

Result<void> LogWriter::create_file(std::uint64_t now_us) {
  const std::string name = log_file_name(key_, stream_);
  file_.reset(::openat(logs_dir_, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file_) return system_error("cannot create the log " + name, errno);
  Result<void> written = write_header(false, now_us);
  if (!written) {
    file_.reset();
    ::unlinkat(logs_dir_, name.c_str(), 0);
    return written;
  }
  next_index_us_ = now_us + index_interval_us_;
  written_ = sizeof(LogFileHeader);
  // A file that takes the place of another has none of its bytes.
  if (slot_->tail.load(std::memory_order_relaxed) > 0) give_up_written();
  slot_->flags.fetch_or(log_has_file, std::memory_order_release);
  return {};
}

std::uint64_t LogWriter::file_bytes() const {
  struct stat status {};
  return ::fstat(file_.get(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

void LogWriter::give_up_written() {
  slot_->index_generation.fetch_add(1, std::memory_order_acq_rel);
  slot_->index_count.store(0, std::memory_order_release);
  slot_->index_generation.fetch_add(1, std::memory_order_release);
  slot_->floor.store(slot_->tail.load(std::memory_order_relaxed), std::memory_order_release);
  slot_->flags.fetch_or(log_degraded, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

/// Somebody has cut the file. What it held must not come back as zeros when it grows again.
void LogWriter::look_for_cut(std::uint64_t now_us) {
  const std::uint64_t now = file_bytes();
  if (now >= written_) return;
  give_up_written();
  static_cast<void>(write_header(false, now_us));
  written_ = std::max<std::uint64_t>(now, sizeof(LogFileHeader));
}

Result<void> LogWriter::write_header(bool sealed, std::uint64_t created_us) {
  LogFileHeader header{};
  if (sealed && ::pread(file_.get(), &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header))
    header = {};
  std::memcpy(header.magic, "KAIROLOG", sizeof header.magic);
  header.version = log_format_version;
  header.stream = stream_;
  std::memcpy(header.boot_id, boot_id().c_str(), boot_id().size() + 1);
  header.key = key_;
  header.retain = retain_;
  if (!sealed) header.created_us = created_us;
  if (sealed) {
    header.sealed = 1;
    header.tail = slot_->tail.load(std::memory_order_relaxed);
    header.floor = slot_->floor.load(std::memory_order_relaxed);
    header.capacity = slot_->capacity.load(std::memory_order_relaxed);
    header.index_count = slot_->index_count.load(std::memory_order_relaxed);
  }
  const int failed = write_all(file_.get(), &header, sizeof header, 0);
  if (failed != 0) return system_error("cannot write the header of " + log_file_name(key_, stream_), failed);
  return {};
}

bool LogWriter::pinned() const {
  return slot_->pin.load(std::memory_order_seq_cst) != no_pin ||
         slot_->block_pin.load(std::memory_order_seq_cst) != no_pin;
}

/// Bytes that the pins leave room for, UINT64_MAX without a pin.
std::uint64_t LogWriter::allowed() {
  const std::uint64_t limit =
      std::min(slot_->pin.load(std::memory_order_seq_cst), slot_->block_pin.load(std::memory_order_seq_cst));
  const std::uint64_t capacity = slot_->capacity.load(std::memory_order_relaxed);
  return room_before(limit, std::min(retain_, capacity), slot_->tail.load(std::memory_order_relaxed));
}

bool LogWriter::may_go_on(std::uint64_t& bytes) {
  bytes = allowed();
  if (bytes == 0) {
    slot_->flags.fetch_or(log_held, std::memory_order_seq_cst);
    bytes = allowed();
    if (bytes == 0) return false;
  }
  if (slot_->flags.load(std::memory_order_relaxed) & log_held)
    slot_->flags.fetch_and(~std::uint32_t{log_held}, std::memory_order_seq_cst);
  return true;
}

LogWriter::Progress LogWriter::pump(int pipe, std::uint64_t now_us, std::size_t budget) {
  Progress progress{State::drained, 0, false};
  if (slot_->flags.load(std::memory_order_relaxed) & log_eof) return {State::ended, 0, false};
  const auto finish = [&](State state) {
    progress.state = state;
    return progress;
  };
  while (progress.bytes < budget) {
    if (!file_ && !(slot_->flags.load(std::memory_order_relaxed) & log_has_file)) {
      // Only what is there makes a file: a stream that says nothing has none.
      const Waiting waiting = look_into(pipe);
      if (waiting == Waiting::nothing) return finish(State::drained);
      if (waiting == Waiting::end) {
        seal();
        return finish(State::ended);
      }
    }
    const std::uint64_t tail = slot_->tail.load(std::memory_order_relaxed);
    const std::uint64_t growth = growth_left(tail);
    std::uint64_t room = 0;
    if (!may_go_on(room)) return finish(State::held);

    const std::uint64_t capacity = slot_->capacity.load(std::memory_order_relaxed);
    std::uint64_t want = std::min<std::uint64_t>({splice_bytes, budget - progress.bytes, room, growth});
    // A ring that stayed small keeps three quarters through every splice.
    if (capacity < 4 * splice_bytes) want = std::min(want, std::max<std::uint64_t>(capacity / 4, 1));
    const std::uint64_t place = tail % capacity;
    want = std::min(want, capacity - place);
    const std::uint64_t gone = tail + want > capacity ? tail + want - capacity : 0;
    if (gone > slot_->floor.load(std::memory_order_relaxed)) {
      slot_->floor.store(gone, std::memory_order_release);
      // Not below the data that follows: a reader that sees new bytes in an old place must see this floor.
      std::atomic_thread_fence(std::memory_order_seq_cst);
    }

    long taken = 0;
    if (file_) look_for_cut(now_us);
    if (!file_ && !create_file(now_us))
      taken = -EIO;
    else
      taken = take(pipe, want);
    if (taken > 0) written_ = std::max(written_, ring_start + place + static_cast<std::uint64_t>(taken));

    if (taken == 0) {
      seal();
      return finish(State::ended);
    }
    if (taken == -EAGAIN) return finish(State::drained);
    if (taken < 0) {
      if (shrink_ring()) continue;
      if (pinned() && !is_gone(logs_dir_)) {
        slot_->flags.fetch_or(log_stalled, std::memory_order_release);
        return finish(State::stalled);
      }
      const Progress thrown = throw_away(pipe, budget - progress.bytes);
      progress.state = thrown.state;
      progress.bytes += thrown.bytes;
      return progress;
    }
    if (slot_->flags.load(std::memory_order_relaxed) & log_stalled)
      slot_->flags.fetch_and(~std::uint32_t{log_stalled}, std::memory_order_release);
    const auto bytes = static_cast<std::uint64_t>(taken);
    slot_->tail.store(tail + bytes, std::memory_order_release);
    note_time(tail, now_us);
    progress.bytes += bytes;
    if (bytes * 4 >= pipe_bytes_ * 3) {
      const int now_holds = ::fcntl(pipe, F_GETPIPE_SZ);
      if (now_holds > 0) pipe_bytes_ = static_cast<std::size_t>(now_holds);
      if (bytes * 4 >= pipe_bytes_ * 3 || bytes == splice_bytes) progress.pipe_was_full = true;
    }
  }
  return finish(State::more);
}

/// Moves up to `bytes` from the pipe to the ring at tail: the count, 0 at the pipe's end, or a negative
/// errno.
long LogWriter::take(int pipe, std::size_t bytes) {
  if (!copies_) {
    const std::uint64_t place =
        slot_->tail.load(std::memory_order_relaxed) % slot_->capacity.load(std::memory_order_relaxed);
    for (;;) {
      off64_t to = file_offset(ring_start + place);
      const ssize_t n = ::splice(pipe, nullptr, file_.get(), &to, bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (n >= 0) return n;
      if (errno == EINTR) continue;
      if (errno != EINVAL) return -errno;
      break;
    }
    copies_ = true;
  }
  return take_by_copy(pipe, bytes);
}

long LogWriter::take_by_copy(int pipe, std::size_t bytes) {
  if (carry_.empty()) {
    char buffer[64u << 10];
    ssize_t n;
    do n = ::read(pipe, buffer, std::min(bytes, sizeof buffer));
    while (n < 0 && errno == EINTR);
    if (n <= 0) return n < 0 ? -errno : 0;
    carry_.assign(buffer, static_cast<std::size_t>(n));
  }
  const std::uint64_t place =
      slot_->tail.load(std::memory_order_relaxed) % slot_->capacity.load(std::memory_order_relaxed);
  ssize_t n;
  do
    n = ::pwrite(file_.get(), carry_.data(), std::min(bytes, carry_.size()), file_offset(ring_start + place));
  while (n < 0 && errno == EINTR);
  if (n < 0) return -errno;
  carry_.erase(0, static_cast<std::size_t>(n));
  if (carry_.empty()) carry_.shrink_to_fit();
  return n;
}

/// The disk refused. True when the ring can go round in what it has.
bool LogWriter::shrink_ring() {
  const std::uint64_t tail = slot_->tail.load(std::memory_order_relaxed);
  // Once degraded, what lies below tail may never have been written.
  if ((slot_->flags.load(std::memory_order_relaxed) & log_degraded) != 0 || tail < page ||
      tail >= slot_->capacity.load(std::memory_order_relaxed))
    return false;
  slot_->capacity.store(tail,
                        std::memory_order_release);  // tail % capacity is 0: every offset keeps its place
  slot_->flags.fetch_or(log_degraded, std::memory_order_release);
  return true;
}

/// Bytes that the ring may still take at its end before it has to go round: any number but under no_growth.
/// At 0 it is made to go round from here on.
std::uint64_t LogWriter::growth_left(std::uint64_t tail) {
  if (slot_->no_growth.load(std::memory_order_relaxed) == 0 ||
      tail >= slot_->capacity.load(std::memory_order_relaxed))
    return UINT64_MAX;
  if (tail < limits::retain_bytes_min) return limits::retain_bytes_min - tail;
  // As in shrink_ring every offset keeps its place. The pins are looked at after it: a reader that sets one
  // sees this capacity, or its pin is seen.
  slot_->capacity.store(tail, std::memory_order_seq_cst);
  return UINT64_MAX;
}

LogWriter::Progress LogWriter::throw_away(int pipe, std::size_t budget) {
  Progress progress{State::more, 0, false};
  slot_->flags.fetch_or(log_degraded, std::memory_order_release);
  slot_->flags.fetch_and(~std::uint32_t{log_stalled}, std::memory_order_release);
  const auto drop = [&](std::size_t bytes) {
    const std::uint64_t tail = slot_->tail.load(std::memory_order_relaxed) + bytes;
    // Floor first, as ever: no reader may take bytes that are nowhere for data.
    slot_->floor.store(tail, std::memory_order_release);
    slot_->tail.store(tail, std::memory_order_release);
    progress.bytes += bytes;
  };
  if (!carry_.empty()) {
    drop(carry_.size());
    carry_.clear();
  }
  char scratch[64u << 10];
  while (progress.bytes < budget) {
    const ssize_t n = ::read(pipe, scratch, std::min(sizeof scratch, budget - progress.bytes));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      progress.state = n == 0 ? State::ended : State::drained;
      if (n == 0) seal();
      return progress;
    }
    drop(static_cast<std::size_t>(n));
  }
  return progress;
}

void LogWriter::note_time(std::uint64_t offset, std::uint64_t now_us) {
  if (now_us < next_index_us_) return;
  if (slot_->index_count.load(std::memory_order_relaxed) >= index_entries) thin_index();
  const std::uint32_t count = slot_->index_count.load(std::memory_order_relaxed);
  if (count >= index_entries) return;
  const TimeEntry entry{offset, now_us};
  // The index is a convenience: what the disk refuses is left out.
  if (write_all(file_.get(), &entry, sizeof entry, file_offset(log_header_bytes + count * sizeof entry)) != 0)
    return;
  slot_->index_count.store(count + 1, std::memory_order_release);
  next_index_us_ = now_us + index_interval_us_;
}

/// Makes room in a full index: what tells of bytes that are gone goes first, and if that is not half of it,
/// every second entry, and the interval doubles.
void LogWriter::thin_index() {
  const std::uint32_t count = slot_->index_count.load(std::memory_order_relaxed);
  std::vector<TimeEntry> entries(count);
  const std::size_t size = count * sizeof(TimeEntry);
  if (::pread(file_.get(), entries.data(), size, log_header_bytes) != static_cast<ssize_t>(size)) return;

  const std::uint64_t floor = slot_->floor.load(std::memory_order_relaxed);
  std::size_t first = 0;
  while (first + 1 < entries.size() && entries[first + 1].offset <= floor) ++first;
  entries.erase(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(first));
  if (entries.size() > index_entries / 2) {
    for (std::size_t i = 0; 2 * i < entries.size(); ++i) entries[i] = entries[2 * i];
    entries.resize((entries.size() + 1) / 2);
    index_interval_us_ *= 2;
  } else if (entries.size() < index_entries / 4 && index_interval_us_ > first_interval_us) {
    index_interval_us_ /= 2;
  }

  slot_->index_generation.fetch_add(1, std::memory_order_acq_rel);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (write_all(file_.get(), entries.data(), entries.size() * sizeof(TimeEntry), log_header_bytes) == 0)
    slot_->index_count.store(static_cast<std::uint32_t>(entries.size()), std::memory_order_release);
  slot_->index_generation.fetch_add(1, std::memory_order_release);
}

void LogWriter::seal() {
  const std::uint32_t flags = slot_->flags.load(std::memory_order_relaxed);
  if (flags & log_eof) return;
  // What could not be recorded any more is not counted, but told.
  if (!carry_.empty()) slot_->flags.fetch_or(log_degraded, std::memory_order_release);
  carry_.clear();
  if (file_) static_cast<void>(write_header(true, 0));
  file_.reset();
  slot_->flags.store(
      (slot_->flags.load(std::memory_order_relaxed) & ~std::uint32_t{log_held | log_stalled}) | log_eof,
      std::memory_order_seq_cst);
}

}  // namespace kairo::stream
