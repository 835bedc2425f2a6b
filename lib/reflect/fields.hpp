// One field list per struct, from which MsgPack, JSON Schema and the checks of both follow.
//
//   struct WaitParams {
//     std::string id;
//     std::optional<std::uint64_t> timeout_ms;
//     static constexpr auto fields() {
//       return std::tuple(field("id", &WaitParams::id, "Session to wait for"),
//                         field("timeoutMs", &WaitParams::timeout_ms, "Longest wait, milliseconds"));
//     }
//   };
//
// A std::optional member may be absent. `defaulted(...)` marks a plain member that may be absent on the wire
// and keeps its initial value then; every other member is required. An enum lists its names by `constexpr
// auto enum_names(E)`, found by argument-dependent lookup, which returns a std::array of string_views indexed
// by the enumerator.
#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

namespace kairo::reflect {

template <class Struct, class Member>
struct Field {
  std::string_view name;
  Member Struct::*member;
  std::string_view text;
  bool required;
};

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

/// A member under its name on the wire, with one sentence for the schema.
template <class Struct, class Member>
constexpr auto field(std::string_view name, Member Struct::*member, std::string_view text) {
  return Field<Struct, Member>{name, member, text, !is_optional<Member>};
}

/// A plain member that may be absent on the wire.
template <class Struct, class Member>
constexpr auto defaulted(std::string_view name, Member Struct::*member, std::string_view text) {
  return Field<Struct, Member>{name, member, text, false};
}

template <class T>
concept Described = requires {
  T::fields();
};

template <class T>
concept NamedEnum = std::is_enum_v<T> && requires(T e) {
  enum_names(e);
};

/// The wire name of an enumerator.
template <NamedEnum E>
constexpr std::string_view enum_name(E e) {
  return enum_names(e)[static_cast<std::size_t>(e)];
}

/// MsgPack bytes of one value, carried without being looked at (an event's data).
struct Any {
  std::string msgpack;
  bool operator==(const Any&) const = default;
};

/// Bytes that travel as MsgPack bin; a str is accepted too.
struct Bytes {
  std::string data;
  bool operator==(const Bytes&) const = default;
};

/// The field list of T, made at compile time.
template <Described T>
inline constexpr auto fields_of = T::fields();

/// Calls f(field) for every field of T.
template <Described T, class F>
constexpr void for_each_field(F&& f) {
  std::apply([&](const auto&... each) { (f(each), ...); }, fields_of<T>);
}

/// The candidate nearest to `name` by edit distance, or empty when none is near enough to be meant.
std::string_view nearest_name(std::string_view name, const std::string_view* candidates, std::size_t count);

}  // namespace kairo::reflect
