#include "table.hpp"

#include <algorithm>

#include "base/shown.hpp"
#include "json.hpp"
#include "wire/payload.hpp"

namespace kairo::ctl {
namespace {

bool is_container(const msgpack::object& value) {
  return value.type == msgpack::type::MAP || value.type == msgpack::type::ARRAY;
}

std::string as_text(const msgpack::object& value) {
  if (value.type == msgpack::type::STR) return shown({value.via.str.ptr, value.via.str.size});
  return to_json(value, false);
}

std::string title_of(std::string_view name) {
  std::string title;
  for (char c : name) {
    if (c >= 'A' && c <= 'Z') title.push_back(' ');
    title.push_back(c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
  }
  return title;
}

/// Columns on the screen: code points, near enough.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

void flatten(Table& table, const std::string& path, const msgpack::object& value) {
  const auto below = [&](const std::string& name) { return path.empty() ? name : path + "." + name; };
  if (value.type == msgpack::type::MAP && value.via.map.size > 0) {
    for (const auto& [key, member] : value.via.map) flatten(table, below(as_text(key)), member);
  } else if (value.type == msgpack::type::ARRAY &&
             std::any_of(begin(value.via.array), end(value.via.array), is_container)) {
    for (std::size_t i = 0; i < value.via.array.size; ++i)
      flatten(table, below(std::to_string(i)), value.via.array.ptr[i]);
  } else {
    table.add({path, as_text(value)});
  }
}

}  // namespace

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (widths.size() <= i) widths.push_back(0);
      widths[i] = std::max(widths[i], width_of(row[i]));
    }
  std::string out;
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths[i] - width_of(row[i]) + 2, ' ');
    }
    out += '\n';
  }
  return out;
}

std::string cell(const msgpack::object& map, std::string_view path) {
  const std::size_t dot = path.find('.');
  const msgpack::object* member = wire::find_member(map, path.substr(0, dot));
  if (!member) return "";
  if (dot != std::string_view::npos) return cell(*member, path.substr(dot + 1));
  return as_text(*member);
}

Table flattened(const msgpack::object& value) {
  Table table({"NAME", "VALUE"});
  flatten(table, "", value);
  return table;
}

Table listed(std::span<const msgpack::object> maps) {
  std::vector<std::string> names, titles;
  for (const msgpack::object& map : maps) {
    if (map.type != msgpack::type::MAP) continue;
    for (const auto& [key, member] : map.via.map) {
      std::string name = as_text(key);
      if (is_container(member) || std::find(names.begin(), names.end(), name) != names.end()) continue;
      titles.push_back(title_of(name));
      names.push_back(std::move(name));
    }
  }
  Table table(titles);
  for (const msgpack::object& map : maps) {
    std::vector<std::string> row;
    for (const std::string& name : names) row.push_back(cell(map, name));
    table.add(std::move(row));
  }
  return table;
}

}  // namespace kairo::ctl
