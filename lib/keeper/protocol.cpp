#include "keeper/protocol.hpp"

namespace kairo::keeper {
namespace {
constexpr std::size_t length_bytes = 4;
}

void put_message_head(char* to, MessageType type, std::size_t body_bytes) noexcept {
  const auto length = static_cast<std::uint32_t>(body_bytes + 1);
  for (unsigned i = 0; i < length_bytes; ++i) to[i] = static_cast<char>(length >> (24 - 8 * i));
  to[length_bytes] = static_cast<char>(type);
}

Result<std::optional<Message>> next_message(std::string_view stream) {
  if (stream.size() < length_bytes) return std::optional<Message>{};
  std::uint32_t length = 0;
  for (unsigned i = 0; i < length_bytes; ++i) length = length << 8 | static_cast<unsigned char>(stream[i]);
  if (length < 1 || length > message_bytes_max)
    return Error(Code::invalid_request,
                 "cannot read a keeper message: a length of " + std::to_string(length) + " bytes, 1 to " +
                     std::to_string(message_bytes_max) + " are possible; the connection is of no use");
  if (stream.size() > length_bytes) {
    const auto type = static_cast<unsigned char>(stream[length_bytes]);
    if (type < static_cast<unsigned>(MessageType::hello) || type > static_cast<unsigned>(last_message_type))
      return Error(Code::invalid_request, "cannot read a keeper message: unknown type " +
                                              std::to_string(type) + "; the connection is of no use");
  }
  if (stream.size() < length_bytes + length) return std::optional<Message>{};
  return std::optional<Message>(Message{static_cast<MessageType>(stream[length_bytes]),
                                        stream.substr(message_head_bytes, length - 1),
                                        length_bytes + length});
}

}  // namespace kairo::keeper
