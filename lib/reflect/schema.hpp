// Field list -> JSON Schema (draft 2020-12), for kernel.introspect and for the published documents.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "reflect/fields.hpp"

namespace kairo::reflect {

/// A type as the schema sees it; built once from the field lists, free of any JSON library.
struct TypeInfo {
  enum class Kind { string, boolean, integer, number, bytes, any, array, map, object, choice, enumeration };
  struct Member {
    std::string_view name;
    std::string_view text;
    bool required;
    const TypeInfo* type;
  };

  Kind kind = Kind::any;
  std::int64_t low = 0;                  // integer
  std::uint64_t high = 0;                // integer
  const TypeInfo* element = nullptr;     // array, map
  std::vector<Member> members;           // object
  std::vector<const TypeInfo*> choices;  // choice
  std::vector<std::string_view> names;   // enumeration
};

/// The schema as a JSON text. `closed`: unknown members are not allowed (a request's params).
std::string to_json_schema(const TypeInfo& type, bool closed);

/// The schema as MsgPack bytes of the same document.
std::string to_msgpack_schema(const TypeInfo& type, bool closed);

template <class T>
const TypeInfo& type_info();

namespace detail {
template <class T>
struct Unwrap {
  using Type = T;
};
template <class T>
struct Unwrap<std::optional<T>> {
  using Type = T;
};

template <class T>
void fill(TypeInfo& info, std::type_identity<T>) {
  using Kind = TypeInfo::Kind;
  if constexpr (std::same_as<T, std::string> || std::same_as<T, std::string_view>) {
    info.kind = Kind::string;
  } else if constexpr (std::same_as<T, bool>) {
    info.kind = Kind::boolean;
  } else if constexpr (std::integral<T>) {
    info.kind = Kind::integer;
    info.low = static_cast<std::int64_t>(std::numeric_limits<T>::min());
    info.high = static_cast<std::uint64_t>(std::numeric_limits<T>::max());
  } else if constexpr (std::same_as<T, double>) {
    info.kind = Kind::number;
  } else if constexpr (std::same_as<T, Bytes>) {
    info.kind = Kind::bytes;
  } else if constexpr (std::same_as<T, Any>) {
    info.kind = Kind::any;
  } else if constexpr (NamedEnum<T>) {
    info.kind = Kind::enumeration;
    for (std::string_view name : enum_names(T{})) info.names.push_back(name);
  } else {
    info.kind = Kind::object;
    for_each_field<T>([&](const auto& each) {
      using Member = typename Unwrap<std::decay_t<decltype(std::declval<T&>().*each.member)>>::Type;
      info.members.push_back({each.name, each.text, each.required, &type_info<Member>()});
    });
  }
}
template <class T>
void fill(TypeInfo& info, std::type_identity<std::vector<T>>) {
  info.kind = TypeInfo::Kind::array;
  info.element = &type_info<T>();
}
template <class T>
void fill(TypeInfo& info, std::type_identity<std::map<std::string, T>>) {
  info.kind = TypeInfo::Kind::map;
  info.element = &type_info<T>();
}
template <class... Ts>
void fill(TypeInfo& info, std::type_identity<std::variant<Ts...>>) {
  info.kind = TypeInfo::Kind::choice;
  (info.choices.push_back(&type_info<Ts>()), ...);
}
}  // namespace detail

/// The description of T, made on first use.
template <class T>
const TypeInfo& type_info() {
  static const TypeInfo info = [] {
    TypeInfo made;
    detail::fill(made, std::type_identity<T>{});
    return made;
  }();
  return info;
}

}  // namespace kairo::reflect
