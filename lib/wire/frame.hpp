// The frame: 8 bytes of head, big-endian, then one MsgPack map (SPEC 2.1; seed 001 §2.1).
//
//   magic 0x4B41 (2) | version 1 (1) | type (1) | payload length (4)
//
// FrameReader takes bytes as they come and gives complete frames; it knows no socket. Order of calls:
// writable() -> the caller reads into it -> commit(n) -> next() until it gives none.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/limits.hpp"
#include "base/result.hpp"

namespace kairo::wire {

inline constexpr std::uint16_t magic = 0x4B41;
inline constexpr std::uint8_t protocol_version = 1;
inline constexpr std::size_t head_bytes = 8;

enum class FrameType : std::uint8_t { request = 1, response = 2, event = 3, stream_chunk = 4 };

struct FrameHead {
  FrameType type = FrameType::request;
  std::uint32_t length = 0;
};

/// Writes the 8 bytes of a head.
void put_head(char* to, FrameType type, std::uint32_t payload_bytes) noexcept;

/// Reads 8 bytes; E_INVALID_REQUEST for a bad magic, version, type or a length over `max_payload` bytes.
Result<FrameHead> parse_head(const char* from, std::size_t max_payload = limits::frame_payload_bytes);

/// Appends a whole frame whose payload `fill(std::string&)` appends.
template <class Fill>
void append_frame(std::string& out, FrameType type, Fill&& fill) {
  const std::size_t start = out.size();
  out.resize(start + head_bytes);
  fill(out);
  put_head(out.data() + start, type, static_cast<std::uint32_t>(out.size() - start - head_bytes));
}

struct Frame {
  FrameType type;
  std::string_view payload;  ///< Valid until the reader's next call of writable().
};

class FrameReader {
 public:
  explicit FrameReader(std::size_t max_payload = limits::frame_payload_bytes) : max_payload_(max_payload) {}

  /// Room for at least `min` bytes behind what has come. Grows with the bytes that came, at most to double,
  /// never with what a head claims (SPEC 2.6).
  std::span<char> writable(std::size_t min = 1);
  void commit(std::size_t bytes) { end_ += bytes; }

  /// The next complete frame, or nothing; an error is final for the connection.
  Result<std::optional<Frame>> next();

  /// Bytes that have come and belong to no complete frame yet.
  [[nodiscard]] std::size_t pending() const { return end_ - begin_; }
  [[nodiscard]] std::size_t capacity() const { return buffer_.size(); }

  /// Gives memory back that a large frame took, when nothing is pending.
  void shrink();

 private:
  std::size_t max_payload_;
  std::string buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace kairo::wire
