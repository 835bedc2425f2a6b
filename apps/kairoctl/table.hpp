// Tables for people (--table): aligned columns, no colours, cut at nothing.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <msgpack.hpp>

namespace kairo::ctl {

class Table {
 public:
  explicit Table(std::vector<std::string> titles) { rows_.push_back(std::move(titles)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// A member as text: "" when absent, scalars as they are, everything else as JSON on one line. `path` may
/// name members of members ("outcome.reason").
std::string cell(const msgpack::object& map, std::string_view path);

/// Every scalar below `value` as a row of its path and itself.
Table flattened(const msgpack::object& value);

/// One row per element; the columns are the members that hold scalars, in the order in which they first come.
Table listed(std::span<const msgpack::object> maps);

}  // namespace kairo::ctl
