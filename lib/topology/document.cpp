#include "topology/document.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "reflect/decode.hpp"
#include "topology/check.hpp"
#include "topology/fault.hpp"
#include "topology/modules.hpp"
#include "wire/payload.hpp"

namespace kairo::topology {
namespace {

using reflect::TypeInfo;
using Kind = TypeInfo::Kind;

/// "+12", "0x1f", "0o17" and "-3"; "017" is none, since it means 15 to some and 17 to others.
bool pack_integer(std::string_view text, reflect::Packer& to) {
  const bool negative = text.starts_with('-');
  const bool is_signed = negative || text.starts_with('+');
  std::string_view digits = text.substr(is_signed ? 1 : 0);
  int base = 10;
  if (!is_signed && (digits.starts_with("0x") || digits.starts_with("0o"))) {
    base = digits[1] == 'x' ? 16 : 8;
    digits.remove_prefix(2);
  } else if (digits.size() > 1 && digits[0] == '0') {
    return false;
  }
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, base);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) return false;
  constexpr std::uint64_t lowest = 1ull << 63;
  if (negative && number > lowest) return false;
  if (negative)
    to.pack(static_cast<std::int64_t>(0 - number));
  else
    to.pack(number);
  return true;
}

bool pack_float(std::string_view text, reflect::Packer& to) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const std::string_view bare = text.substr(text.starts_with('-') ? 1 : 0);
  // Not "inf" and "nan", and no "00.5".
  if (bare.empty() || bare.find_first_not_of("0123456789.eE+-") != std::string_view::npos ||
      (bare.size() > 1 && bare[0] == '0' && bare[1] >= '0' && bare[1] <= '9'))
    return false;
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  reflect::encode(to, number);
  return true;
}

/// YAML 1.2's core schema, which JSON's literals are a part of.
void pack_scalar(const std::string& text, reflect::Packer& to) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") {
    to.pack_nil();
  } else if (text == "true" || text == "True" || text == "TRUE") {
    to.pack_true();
  } else if (text == "false" || text == "False" || text == "FALSE") {
    to.pack_false();
  } else if (!pack_integer(text, to) && !pack_float(text, to)) {
    reflect::encode(to, text);
  }
}

bool is_text(const TypeInfo* type) {
  return type && (type->kind == Kind::string || type->kind == Kind::enumeration || type->kind == Kind::bytes);
}

/// The alternative that a value of this form can only mean.
const TypeInfo* chosen(const TypeInfo* type, const Written& value) {
  if (!type || type->kind != Kind::choice) return type;
  for (const TypeInfo* each : type->choices) {
    const bool fits = value.kind == Written::Kind::map ? each->kind == Kind::object || each->kind == Kind::map
                      : value.kind == Written::Kind::list ? each->kind == Kind::array
                                                          : is_text(each);
    if (fits) return each;
  }
  return nullptr;
}

/// What a worker's params must be, its module says.
const TypeInfo* type_of_params(const Written& node) {
  for (const auto& each : node.members)
    if (each.name == "module")
      if (const ModuleInfo* module = find_module(each.value->text)) return module->params;
  return nullptr;
}

class Typing {
 public:
  Typing(std::string file, Values& out) : file_(std::move(file)), out_(out), sink_(out.msgpack), to_(sink_) {}

  bool value(const Written& from, const TypeInfo* type, const std::string& path, Place place) {
    if (++values_ > file_values || out_.msgpack.size() > file_value_bytes) {
      error_ = too_many_values(file_, place);
      return false;
    }
    out_.places.emplace(path, place);
    type = chosen(type, from);
    switch (from.kind) {
      case Written::Kind::text: reflect::encode(to_, from.text); return true;
      case Written::Kind::literal: pack_scalar(from.text, to_); return true;
      case Written::Kind::plain:
        if (is_text(type) && !from.text.empty())
          reflect::encode(to_, from.text);
        else
          pack_scalar(from.text, to_);
        return true;
      case Written::Kind::list: return list(from, type, path);
      case Written::Kind::map: return map(from, type, path);
    }
    return true;
  }

  Error take_error() { return *std::move(error_); }

 private:
  bool list(const Written& from, const TypeInfo* type, const std::string& path) {
    const TypeInfo* element = type && type->kind == Kind::array ? type->element : nullptr;
    to_.pack_array(static_cast<std::uint32_t>(from.members.size()));
    for (std::size_t i = 0; i < from.members.size(); ++i)
      if (!value(*from.members[i].value, element, in_path(path, i), from.members[i].place)) return false;
    return true;
  }

  bool map(const Written& from, const TypeInfo* type, const std::string& path) {
    to_.pack_map(static_cast<std::uint32_t>(from.members.size()));
    for (const auto& each : from.members) {
      reflect::encode(to_, each.name);
      const std::string name = reflect::quotable(each.name);
      const std::string own = path.empty() ? name : path + "." + name;
      if (!value(*each.value, type_of_member(from, type, each.name), own, each.place)) return false;
    }
    return true;
  }

  static const TypeInfo* type_of_member(const Written& map, const TypeInfo* type, std::string_view name) {
    if (!type || (type->kind != Kind::map && type->kind != Kind::object)) return nullptr;
    if (type->kind == Kind::map) return type->element;
    if (type == &reflect::type_info<api::TopologyNode>() && name == "params") return type_of_params(map);
    for (const TypeInfo::Member& each : type->members)
      if (each.name == name) return each.type;
    return nullptr;
  }

  std::string file_;
  Values& out_;
  reflect::Sink sink_;
  reflect::Packer to_;
  std::size_t values_ = 0;
  std::optional<Error> error_;
};

bool reads_as_json(std::string_view text, std::string_view file) {
  if (file.ends_with(".json")) return true;
  if (file.ends_with(".yaml") || file.ends_with(".yml")) return false;
  return is_json(text);
}

}  // namespace

Error at_place(const std::string& file, Place place, const std::string& problem) {
  return Error(Code::invalid_params,
               file + ":" + std::to_string(place.line) + ":" + std::to_string(place.column) + ": " + problem)
      .with("file", file)
      .with("line", static_cast<std::int64_t>(place.line))
      .with("column", static_cast<std::int64_t>(place.column));
}

Error too_many_values(const std::string& file, Place place) {
  Error error = at_place(file, place,
                         "the file has more than " + std::to_string(file_values) + " values, or " +
                             std::to_string(file_value_bytes) + " bytes of them");
  error.code = Code::limit_exceeded;
  return error;
}

Place place_of(std::string_view text, std::size_t offset) {
  Place place;
  for (const char c : text.substr(0, offset)) {
    if (c == '\n')
      ++place.line, place.column = 1;
    else if ((c & 0xc0) != 0x80)
      ++place.column;
  }
  return place;
}

Result<void> check_names(const Written& map, const std::string& file) {
  std::map<std::string_view, Place> seen;
  for (const auto& each : map.members) {
    const auto [first, fresh] = seen.emplace(each.name, each.place);
    if (!fresh)
      return at_place(
          file, each.place,
          in_quotes(each.name) + " stands twice; the first is in line " + std::to_string(first->second.line));
  }
  return {};
}

Result<Values> with_types(const Written& root, const TypeInfo& type, const std::string& file) {
  Values out;
  Typing typing(file, out);
  if (!typing.value(root, &type, "", root.place)) return typing.take_error();
  return out;
}

Result<TopologyFile> TopologyFile::read(std::string_view text, const std::string& file,
                                        const std::optional<std::string>& name) {
  if (text.size() > file_bytes)
    return Error(Code::limit_exceeded, file + " is longer than " + std::to_string(file_bytes) + " bytes")
        .with("file", file);
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  auto written = reads_as_json(text, file) ? read_json(text, file) : read_yaml(text, file);
  if (!written) return std::move(written).error();
  auto values = with_types(**written, reflect::type_info<api::Topology>(), file);
  if (!values) return std::move(values).error();

  TopologyFile made;
  made.file_ = file;
  made.values_ = std::move(*values);
  wire::PayloadDecoder decoder;
  auto object = decoder.decode(made.values_.msgpack, wire::Shape::any);
  if (!object) return std::move(object).error();
  auto topology = reflect::from_object<api::Topology>(*object, "topology", reflect::Unknown::refuse);
  if (!topology) return made.located(topology.error(), "topology");
  made.topology_ = std::move(*topology);
  if (name) made.topology_.name = *name;
  auto good = check(made.topology_, "topology");
  if (!good) return made.located(good.error(), "topology");
  return made;
}

Error TopologyFile::located(const Error& error, std::string_view root) const {
  const auto path_of = [](const Error& of) -> const std::string* {
    for (const auto& [key, value] : of.details)
      if (key == "path") return std::get_if<std::string>(&value);
    return nullptr;
  };
  const std::string* path = path_of(error);
  if (!path || !path->starts_with(root)) return error;
  std::string_view below = std::string_view(*path).substr(root.size());
  if (!below.empty() && below[0] != '.') return error;
  if (!below.empty()) below.remove_prefix(1);

  // What is missing has no place; what it is missing in has one.
  std::string nearest(below);
  while (!values_.places.contains(nearest)) {
    const std::size_t cut = nearest.find_last_of(".[");
    nearest.resize(cut == std::string::npos ? 0 : cut);
  }
  std::string problem = error.message;
  if (problem.starts_with(*path))
    problem = (below.empty() ? "the topology" : std::string(below)) + problem.substr(path->size());
  Error out = at_place(file_, values_.places.at(nearest), problem);
  out.code = error.code;
  for (const auto& [key, value] : error.details)
    out.details.emplace_back(key, key == "path" ? Error::Detail(std::string(below)) : value);
  return out;
}

}  // namespace kairo::topology
