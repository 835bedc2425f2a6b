// A file as it was written, before it is known what it means: values with their places. Made by two readers,
// of YAML (yaml.cpp) and of JSON (json.cpp); document.cpp gives the values their types.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.hpp"
#include "base/result.hpp"

namespace kairo::topology {

/// Counted from 1; columns in characters.
struct Place {
  std::size_t line = 1;
  std::size_t column = 1;
  bool operator==(const Place&) const = default;
};

/// Lists and maps in each other; a request with the topology in it must not pass limits::nesting_depth.
inline constexpr std::size_t file_depth = limits::nesting_depth - 4;

/// Values of a file once YAML's aliases are written out (a bomb of nine lines has 10^9), and bytes of them.
inline constexpr std::size_t file_values = 100'000;
inline constexpr std::size_t file_value_bytes = 4u << 20;

struct Written {
  struct Member {
    std::string name;  ///< Empty in a list.
    Place place;       ///< Of the name; in a list, of the value.
    std::shared_ptr<const Written> value;
  };
  enum class Kind {
    plain,    ///< YAML without quotes: its type is what is expected in its place.
    literal,  ///< JSON's null, true, false and numbers, which are never text.
    text,
    list,
    map,
  };

  Kind kind = Kind::plain;
  Place place;
  std::string text;
  /// Shared where an alias of YAML stands for a value: what is small here may be large once written out.
  std::vector<Member> members;
  /// Lists and maps in each other, itself included; 0 for a scalar.
  std::size_t height = 0;
};

using Node = std::shared_ptr<const Written>;

/// "words.yaml:12:5: PROBLEM", with details file, line and column.
Error at_place(const std::string& file, Place place, const std::string& problem);

/// The place of the byte at `offset`.
Place place_of(std::string_view text, std::size_t offset);

/// E_LIMIT_EXCEEDED, at that place.
Error too_many_values(const std::string& file, Place place);

/// An Error for the first member whose name another one before it has.
Result<void> check_names(const Written& map, const std::string& file);

/// One document; its nesting is at most file_depth, with all aliases written out.
Result<Node> read_yaml(std::string_view text, const std::string& file);
Result<Node> read_json(std::string_view text, const std::string& file);
/// Whether the whole text is JSON.
bool is_json(std::string_view text);

}  // namespace kairo::topology
