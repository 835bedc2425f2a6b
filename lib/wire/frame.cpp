#include "wire/frame.hpp"

#include <algorithm>

namespace kairo::wire {
namespace {
constexpr std::size_t first_buffer_bytes = 16u << 10;
}

void put_head(char* to, FrameType type, std::uint32_t payload_bytes) noexcept {
  to[0] = static_cast<char>(magic >> 8);
  to[1] = static_cast<char>(magic & 0xff);
  to[2] = static_cast<char>(protocol_version);
  to[3] = static_cast<char>(type);
  to[4] = static_cast<char>(payload_bytes >> 24);
  to[5] = static_cast<char>(payload_bytes >> 16 & 0xff);
  to[6] = static_cast<char>(payload_bytes >> 8 & 0xff);
  to[7] = static_cast<char>(payload_bytes & 0xff);
}

Result<FrameHead> parse_head(const char* from, std::size_t max_payload) {
  const auto byte = [from](int i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(from[i])); };
  if ((byte(0) << 8 | byte(1)) != magic)
    return Error(Code::invalid_request, "bad magic: a frame begins with the bytes 4B 41");
  if (byte(2) != protocol_version)
    return Error(Code::invalid_request,
                 "protocol version " + std::to_string(byte(2)) + " is not spoken here, only 1");
  if (byte(3) < 1 || byte(3) > 4)
    return Error(Code::invalid_request, "frame type " + std::to_string(byte(3)) + " is none of 1 to 4");
  const std::uint32_t length = byte(4) << 24 | byte(5) << 16 | byte(6) << 8 | byte(7);
  if (length > max_payload)
    return Error(Code::invalid_request, "a frame of " + std::to_string(length) +
                                            " bytes is over the limit of " + std::to_string(max_payload));
  return FrameHead{static_cast<FrameType>(byte(3)), length};
}

std::span<char> FrameReader::writable(std::size_t min) {
  if (begin_ == end_) begin_ = end_ = 0;
  if (buffer_.size() - end_ < min && begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() - end_ < min)
    buffer_.resize(std::max({first_buffer_bytes, buffer_.size() * 2, end_ + min}));
  return {buffer_.data() + end_, buffer_.size() - end_};
}

Result<std::optional<Frame>> FrameReader::next() {
  if (pending() < head_bytes) return std::optional<Frame>();
  auto head = parse_head(buffer_.data() + begin_, max_payload_);
  if (!head) return std::move(head).error();
  if (pending() < head_bytes + head->length) return std::optional<Frame>();
  const Frame frame{head->type, {buffer_.data() + begin_ + head_bytes, head->length}};
  begin_ += head_bytes + head->length;
  return std::optional<Frame>(frame);
}

void FrameReader::shrink() {
  if (pending() != 0 || buffer_.size() <= first_buffer_bytes) return;
  begin_ = end_ = 0;
  buffer_ = std::string();
}

}  // namespace kairo::wire
