// Struct -> MsgPack bytes, straight into a string; nothing is built in between.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include <msgpack.hpp>

#include "base/error.hpp"
#include "reflect/fields.hpp"

namespace kairo::reflect {

/// Appends to a std::string; the stream that msgpack::packer writes to.
class Sink {
 public:
  explicit Sink(std::string& out) : out_(out) {}
  void write(const char* data, std::size_t size) { out_.append(data, size); }
  std::string& bytes() { return out_; }

 private:
  std::string& out_;
};

using Packer = msgpack::packer<Sink>;

inline void encode(Packer& to, std::string_view text) {
  to.pack_str(static_cast<std::uint32_t>(text.size()));
  to.pack_str_body(text.data(), static_cast<std::uint32_t>(text.size()));
}
inline void encode(Packer& to, const std::string& text) {
  encode(to, std::string_view(text));
}
inline void encode(Packer& to, const char* text) {
  encode(to, std::string_view(text));
}
inline void encode(Packer& to, bool value) {
  value ? to.pack_true() : to.pack_false();
}
template <std::integral I>
requires(!std::same_as<I, bool>) void encode(Packer& to, I value) {
  to.pack(value);
}
inline void encode(Packer& to, double value) {
  // The packer would take 2^64 for an integer that it can hold, which is undefined: written out, a float64.
  if (value == 0x1p64)
    to.pack_str_body("\xcb\x43\xf0\0\0\0\0\0\0", 9);
  else
    to.pack_double(value);
}

template <NamedEnum E>
void encode(Packer& to, E value) {
  encode(to, enum_name(value));
}
template <class T>
void encode(Packer& to, const std::vector<T>& values);
template <class T>
void encode(Packer& to, const std::map<std::string, T>& values);
template <class... Ts>
void encode(Packer& to, const std::variant<Ts...>& value);
template <Described T>
void encode(Packer& to, const T& value);

/// Carries bytes that are MsgPack already; empty ones stand for nil.
void encode_any(Packer& to, const Any& value);
inline void encode(Packer& to, const Any& value) {
  encode_any(to, value);
}
inline void encode(Packer& to, const Bytes& value) {
  to.pack_bin(static_cast<std::uint32_t>(value.data.size()));
  to.pack_bin_body(value.data.data(), static_cast<std::uint32_t>(value.data.size()));
}

template <class T>
void encode(Packer& to, const std::vector<T>& values) {
  to.pack_array(static_cast<std::uint32_t>(values.size()));
  for (const auto& each : values) encode(to, each);
}

template <class T>
void encode(Packer& to, const std::map<std::string, T>& values) {
  to.pack_map(static_cast<std::uint32_t>(values.size()));
  for (const auto& [key, each] : values) {
    encode(to, key);
    encode(to, each);
  }
}

template <class... Ts>
void encode(Packer& to, const std::variant<Ts...>& value) {
  std::visit([&](const auto& each) { encode(to, each); }, value);
}

/// A member's name; the short ones, which all are, in one piece.
inline void encode_key(Packer& to, std::string_view name) {
  char piece[32];
  if (name.size() >= sizeof piece) return encode(to, name);
  piece[0] = static_cast<char>(0xa0u | name.size());
  std::memcpy(piece + 1, name.data(), name.size());
  to.pack_str_body(piece, static_cast<std::uint32_t>(name.size() + 1));
}

template <class Member>
constexpr bool is_present(const Member& member) {
  if constexpr (is_optional<Member>)
    return member.has_value();
  else
    return true;
}

/// How many members of a map `value` will take.
template <Described T>
std::uint32_t count_members(const T& value) {
  std::uint32_t count = 0;
  for_each_field<T>([&](const auto& each) { count += is_present(value.*each.member) ? 1 : 0; });
  return count;
}

/// The members alone, for a map that has further ones; the caller counts with count_members.
template <Described T>
void encode_members(Packer& to, const T& value) {
  for_each_field<T>([&](const auto& each) {
    const auto& member = value.*each.member;
    if (!is_present(member)) return;
    encode_key(to, each.name);
    if constexpr (is_optional<std::decay_t<decltype(member)>>)
      encode(to, *member);
    else
      encode(to, member);
  });
}

template <Described T>
void encode(Packer& to, const T& value) {
  to.pack_map(count_members(value));
  encode_members(to, value);
}

/// One value as MsgPack bytes.
template <class T>
std::string to_msgpack(const T& value) {
  std::string out;
  Sink sink(out);
  Packer packer(sink);
  encode(packer, value);
  return out;
}

/// A decoded value as MsgPack bytes again.
std::string packed(const msgpack::object& value);

/// The map that stands under `error` in a response: code, message, details.
void encode_error(Packer& to, const Error& error);

}  // namespace kairo::reflect
