// MsgPack value -> struct. Strict by default: an unknown member is an error that suggests the nearest known
// name (what a request's params need); `Unknown::ignore` is for what a server sent. Every error is
// E_INVALID_PARAMS with `details.path`.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <msgpack.hpp>

#include "base/result.hpp"
#include "reflect/encode.hpp"
#include "reflect/fields.hpp"

namespace kairo::reflect {

enum class Unknown { refuse, ignore };

/// Text that came from a peer as it may stand in a message: at most 64 bytes and "...", valid UTF-8, control
/// characters as "?".
std::string quotable(std::string_view text);

/// Where the decoder stands and what went wrong first.
class Context {
 public:
  Context(std::string root, Unknown unknown) : path_(std::move(root)), unknown_(unknown) {}

  [[nodiscard]] bool refuses_unknown() const { return unknown_ == Unknown::refuse; }
  /// Notes the failure at the present path; returns false, for `return context.fail(...)`.
  bool fail(std::string_view problem);
  bool fail_type(std::string_view wanted, const msgpack::object& got);
  bool fail_unknown(std::string_view name, const std::vector<std::string_view>& known);

  /// Steps into a member or an element for the scope's life.
  class Step {
   public:
    Step(Context& context, std::string_view member);
    Step(Context& context, std::size_t index);
    ~Step() { context_.path_.resize(length_); }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    Context& context_;
    std::size_t length_;
  };

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] Error take_error() && { return *std::move(error_); }

 private:
  std::string path_;
  Unknown unknown_;
  std::optional<Error> error_;
};

bool decode(Context& at, const msgpack::object& from, std::string& out);
bool decode(Context& at, const msgpack::object& from, bool& out);
bool decode(Context& at, const msgpack::object& from, double& out);
bool decode(Context& at, const msgpack::object& from, Bytes& out);
bool decode(Context& at, const msgpack::object& from, Any& out);
bool decode_integer(Context& at, const msgpack::object& from, std::int64_t low, std::uint64_t high,
                    std::int64_t& signed_out, std::uint64_t& unsigned_out);

template <std::integral I>
requires(!std::same_as<I, bool>) bool decode(Context& at, const msgpack::object& from, I& out) {
  std::int64_t as_signed = 0;
  std::uint64_t as_unsigned = 0;
  if (!decode_integer(at, from, static_cast<std::int64_t>(std::numeric_limits<I>::min()),
                      static_cast<std::uint64_t>(std::numeric_limits<I>::max()), as_signed, as_unsigned))
    return false;
  if constexpr (std::is_signed_v<I>)
    out = static_cast<I>(as_signed);
  else
    out = static_cast<I>(as_unsigned);
  return true;
}

template <NamedEnum E>
bool decode(Context& at, const msgpack::object& from, E& out) {
  std::string name;
  if (!decode(at, from, name)) return false;
  const auto names = enum_names(E{});
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) {
      out = static_cast<E>(i);
      return true;
    }
  std::string problem = "must be one of";
  for (std::size_t i = 0; i < names.size(); ++i)
    problem.append(i ? ", \"" : " \"").append(names[i]).append("\"");
  return at.fail(problem + ", not \"" + quotable(name) + "\"");
}

template <class T>
bool decode(Context& at, const msgpack::object& from, std::vector<T>& out);
template <class T>
bool decode(Context& at, const msgpack::object& from, std::map<std::string, T>& out);
template <class... Ts>
bool decode(Context& at, const msgpack::object& from, std::variant<Ts...>& out);
template <Described T>
bool decode(Context& at, const msgpack::object& from, T& out);

template <class T>
bool decode(Context& at, const msgpack::object& from, std::vector<T>& out) {
  if (from.type != msgpack::type::ARRAY) return at.fail_type("array", from);
  out.clear();
  for (std::size_t i = 0; i < from.via.array.size; ++i) {
    Context::Step step(at, i);
    T element{};
    if (!decode(at, from.via.array.ptr[i], element)) return false;
    out.push_back(std::move(element));
  }
  return true;
}

template <class T>
bool decode(Context& at, const msgpack::object& from, std::map<std::string, T>& out) {
  if (from.type != msgpack::type::MAP) return at.fail_type("map", from);
  out.clear();
  for (std::size_t i = 0; i < from.via.map.size; ++i) {
    std::string key;
    if (!decode(at, from.via.map.ptr[i].key, key)) return false;
    Context::Step step(at, key);
    T element{};
    if (!decode(at, from.via.map.ptr[i].val, element)) return false;
    if (!out.emplace(std::move(key), std::move(element)).second) return at.fail("stands twice");
  }
  return true;
}

template <class T>
inline constexpr bool is_map = false;
template <class T>
inline constexpr bool is_map<std::map<std::string, T>> = true;

/// Whether a value of this MsgPack type can become a T; chooses a variant's alternative.
template <class T>
bool takes(const msgpack::object& from) {
  using msgpack::type::object_type;
  if constexpr (std::same_as<T, std::string> || NamedEnum<T>)
    return from.type == object_type::STR;
  else if constexpr (std::same_as<T, bool>)
    return from.type == object_type::BOOLEAN;
  else if constexpr (std::integral<T>)  // a float may be a whole number of JavaScript's, see decode_integer
    return from.type == object_type::POSITIVE_INTEGER || from.type == object_type::NEGATIVE_INTEGER ||
           from.type == object_type::FLOAT32 || from.type == object_type::FLOAT64;
  else if constexpr (std::same_as<T, double>)
    return from.type == object_type::FLOAT32 || from.type == object_type::FLOAT64;
  else if constexpr (std::same_as<T, Bytes>)
    return from.type == object_type::BIN || from.type == object_type::STR;
  else if constexpr (std::same_as<T, Any>)
    return true;
  else if constexpr (Described<T> || is_map<T>)
    return from.type == object_type::MAP;
  else
    return from.type == object_type::ARRAY;
}

template <class T>
std::string_view type_word() {
  if constexpr (std::same_as<T, std::string> || NamedEnum<T>)
    return "string";
  else if constexpr (std::same_as<T, bool>)
    return "boolean";
  else if constexpr (std::integral<T>)
    return "integer";
  else if constexpr (std::same_as<T, double>)
    return "number";
  else if constexpr (std::same_as<T, Bytes>)
    return "bytes";
  else if constexpr (Described<T> || is_map<T>)
    return "map";
  else
    return "array";
}

template <class... Ts>
bool decode(Context& at, const msgpack::object& from, std::variant<Ts...>& out) {
  bool matched = false, good = false;
  const auto attempt = [&]<class T>(std::type_identity<T>) {
    if (matched || !takes<T>(from)) return;
    matched = true;
    T value{};
    good = decode(at, from, value);
    if (good) out = std::move(value);
  };
  (attempt(std::type_identity<Ts>{}), ...);
  if (matched) return good;
  std::string wanted;
  ((wanted.append(wanted.empty() ? "" : " or ").append(type_word<Ts>())), ...);
  return at.fail_type(wanted, from);
}

template <Described T>
bool decode(Context& at, const msgpack::object& from, T& out) {
  if (from.type != msgpack::type::MAP) return at.fail_type("map", from);
  constexpr std::size_t count = std::tuple_size_v<decltype(T::fields())>;
  std::array<bool, count> seen{};
  for (std::size_t i = 0; i < from.via.map.size; ++i) {
    const msgpack::object_kv& pair = from.via.map.ptr[i];
    if (pair.key.type != msgpack::type::STR) return at.fail_type("map with string keys", pair.key);
    const std::string_view key(pair.key.via.str.ptr, pair.key.via.str.size);
    bool known = false, good = true;
    std::size_t index = 0;
    for_each_field<T>([&](const auto& each) {
      const std::size_t own = index++;
      if (known || each.name != key) return;
      known = true;
      Context::Step step(at, each.name);
      if (seen[own]) {
        good = at.fail("stands twice");
        return;
      }
      seen[own] = true;
      auto& member = out.*each.member;
      using Member = std::decay_t<decltype(member)>;
      if constexpr (is_optional<Member>) {
        typename Member::value_type value{};
        good = decode(at, pair.val, value);
        if (good) member = std::move(value);
      } else {
        good = decode(at, pair.val, member);
      }
    });
    if (!good) return false;
    if (!known && at.refuses_unknown()) {
      std::vector<std::string_view> names;
      for_each_field<T>([&](const auto& each) { names.push_back(each.name); });
      Context::Step step(at, key);
      return at.fail_unknown(key, names);
    }
  }
  bool complete = true;
  std::size_t index = 0;
  for_each_field<T>([&](const auto& each) {
    const std::size_t own = index++;
    if (!complete || seen[own] || !each.required) return;
    Context::Step step(at, each.name);
    complete = at.fail("is missing");
  });
  return complete;
}

/// Decodes a whole value; `root` begins every path in an error ("params").
template <class T>
Result<T> from_object(const msgpack::object& from, std::string root, Unknown unknown) {
  Context context(std::move(root), unknown);
  T out{};
  if (decode(context, from, out)) return out;
  return std::move(context).take_error();
}

}  // namespace kairo::reflect
