// Templates of protocol.hpp.
#pragma once

#include "reflect/decode.hpp"
#include "reflect/encode.hpp"
#include "wire/payload.hpp"

namespace kairo::keeper {

inline constexpr std::size_t message_head_bytes = 5;

/// Writes the 5 bytes before a body of `body_bytes`.
void put_message_head(char* to, MessageType type, std::size_t body_bytes) noexcept;

template <class T>
void append_message(std::string& out, MessageType type, const T& message) {
  const std::size_t start = out.size();
  out.resize(start + message_head_bytes);
  reflect::Sink sink(out);
  reflect::Packer packer(sink);
  reflect::encode(packer, message);
  put_message_head(out.data() + start, type, out.size() - start - message_head_bytes);
}

template <class T>
Result<T> read_message(const Message& message) {
  wire::PayloadDecoder decoder;
  auto object = decoder.decode(message.body);
  if (!object) return std::move(object).error();
  return reflect::from_object<T>(*object, "message", reflect::Unknown::ignore);
}

}  // namespace kairo::keeper
