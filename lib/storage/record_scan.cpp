#include "storage/record_scan.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>
#include <vector>

#include "base/unique_fd.hpp"
#include "storage/crc32c.hpp"

namespace kairo::storage {
namespace {

constexpr std::size_t chunk_bytes = 64u << 10;

void put_u32(char* to, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<char>(value >> (8 * i) & 0xffu);
}
std::uint32_t get_u32(const char* from) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= std::uint32_t{static_cast<unsigned char>(from[i])} << (8 * i);
  return value;
}

/// A stretch of the file in memory, that moves forward.
class Window {
 public:
  Window(int file, std::uint64_t size) : file_(file), size_(size) {}

  /// At least `wanted` bytes at `at`, which must be within `size`; fewer where the file ended early.
  std::string_view bytes(std::uint64_t at, std::size_t wanted) {
    if (at < start_ || at + wanted > start_ + have_) fill(at, wanted);
    const auto skip = static_cast<std::size_t>(at - start_);
    return {buffer_.data() + skip, have_ - skip};
  }
  [[nodiscard]] int error() const { return error_; }

 private:
  void fill(std::uint64_t at, std::size_t wanted) {
    const auto skip = static_cast<std::size_t>(at - start_);
    if (at >= start_ && skip < have_) {
      std::memmove(buffer_.data(), buffer_.data() + skip, have_ - skip);
      have_ -= skip;
    } else {
      have_ = 0;
    }
    start_ = at;
    const auto end = static_cast<std::size_t>(
        std::min<std::uint64_t>(size_ - at, std::max<std::size_t>(wanted, chunk_bytes)));
    if (buffer_.size() < end) buffer_.resize(end);
    while (have_ < end) {
      const ssize_t got =
          ::pread(file_, buffer_.data() + have_, end - have_, static_cast<off_t>(start_ + have_));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) error_ = errno;
      if (got <= 0) return;
      have_ += static_cast<std::size_t>(got);
    }
  }

  int file_;
  std::uint64_t size_;
  std::uint64_t start_ = 0;
  std::size_t have_ = 0;
  std::vector<char> buffer_;
  int error_ = 0;
};

}  // namespace

const std::string& machine_boot_id() {
  static const std::string id = [] {
    char text[boot_id_chars];
    const UniqueFd file(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
    const bool read = file && ::read(file.get(), text, sizeof text) == static_cast<ssize_t>(sizeof text);
    return read ? std::string(text, sizeof text) : std::string();
  }();
  return id;
}

std::array<char, header_bytes> make_header(const Kind& kind) {
  std::array<char, header_bytes> out{};
  std::memcpy(out.data(), kind.magic.data(), std::min<std::size_t>(kind.magic.size(), 8));
  put_u32(out.data() + 8, kind.version);
  const std::string& boot = kind.boot_id.empty() ? machine_boot_id() : kind.boot_id;
  std::memcpy(out.data() + boot_id_at, boot.data(), std::min(boot.size(), boot_id_chars));
  return out;
}

std::array<char, record_head_bytes> make_record_head(std::string_view payload) {
  std::array<char, record_head_bytes> out{};
  put_u32(out.data(), static_cast<std::uint32_t>(payload.size()));
  put_u32(out.data() + 4, crc32c(payload, crc32c({out.data(), 4})));
  return out;
}

HeaderCheck check_header(std::string_view bytes, const Kind& kind) {
  if (bytes.size() < header_bytes) return {"its header is cut short", {}};
  if (bytes.substr(0, 8) != kind.magic) return {"it is another kind of file", {}};
  if (get_u32(bytes.data() + 8) != kind.version) return {"it is of another version", {}};
  return {nullptr,
          std::string(bytes.data() + boot_id_at, ::strnlen(bytes.data() + boot_id_at, boot_id_chars))};
}

ScanEnd scan_records(int file, std::uint64_t size,
                     const std::function<bool(std::string_view payload)>& each) {
  ScanEnd at;
  Window window(file, size);
  const auto stop = [&](const char* problem) {
    at.problem = problem;
    at.error = window.error();
    return at;
  };
  while (at.end < size) {
    const std::uint64_t left = size - at.end;
    if (left < record_head_bytes) return stop("a record is cut short");
    std::string_view bytes = window.bytes(at.end, record_head_bytes);
    if (bytes.size() < record_head_bytes) return stop("the file ends early");
    const std::size_t length = get_u32(bytes.data());
    if (length > limits::record_bytes) return stop("a record claims to be longer than any is");
    if (length > left - record_head_bytes) return stop("a record is cut short");
    bytes = window.bytes(at.end, record_head_bytes + length);
    if (bytes.size() < record_head_bytes + length) return stop("the file ends early");
    const std::string_view payload = bytes.substr(record_head_bytes, length);
    if (crc32c(payload, crc32c(bytes.substr(0, 4))) != get_u32(bytes.data() + 4))
      return stop("a record's checksum is wrong");
    at.end += record_head_bytes + length;
    ++at.records;
    if (!each(payload)) return at;
  }
  return at;
}

}  // namespace kairo::storage
