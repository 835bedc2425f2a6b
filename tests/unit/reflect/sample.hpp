// A struct with a member of every kind that a field list can hold.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "reflect/fields.hpp"

namespace sample {

using kairo::reflect::defaulted;
using kairo::reflect::field;

enum class Colour { red, deep_blue };
constexpr auto enum_names(Colour) {
  return std::array<std::string_view, 2>{"red", "deep-blue"};
}

struct Inner {
  std::uint64_t retain_bytes = 0;
  std::optional<std::string> note;
  static constexpr auto fields() {
    return std::tuple(field("retainBytes", &Inner::retain_bytes, "How much to keep"),
                      field("note", &Inner::note, "Anything"));
  }
};

struct Middle {
  Inner output;
  static constexpr auto fields() { return std::tuple(field("output", &Middle::output, "Rules")); }
};

struct All {
  std::string name;
  bool flag = false;
  std::int32_t small = 0;
  std::optional<std::uint64_t> large;
  double ratio = 0.5;
  Colour colour = Colour::red;
  std::vector<std::string> list;
  std::map<std::string, std::int64_t> table;
  std::optional<std::variant<std::string, std::int32_t, Inner>> choice;
  std::optional<kairo::reflect::Bytes> bytes;
  kairo::reflect::Any any;
  std::optional<Middle> options;
  static constexpr auto fields() {
    return std::tuple(
        field("name", &All::name, "Required text"), defaulted("flag", &All::flag, "A truth"),
        defaulted("small", &All::small, "32 bits"), field("large", &All::large, "64 bits"),
        defaulted("ratio", &All::ratio, "A float"), defaulted("colour", &All::colour, "One of two"),
        defaulted("list", &All::list, "Texts"), defaulted("table", &All::table, "Numbers by name"),
        field("choice", &All::choice, "One of three types"), field("bytes", &All::bytes, "Any bytes"),
        defaulted("any", &All::any, "Carried along"), field("options", &All::options, "Nested"));
  }
};

}  // namespace sample
