// The only file that includes the JSON library.
#include "json.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/shown.hpp"
#include "wire/payload.hpp"

namespace kairo::ctl {
namespace {

using Json = nlohmann::ordered_json;

std::string base64(std::string_view bytes) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t have = std::min<std::size_t>(3, bytes.size() - at);
    unsigned group = 0;
    for (std::size_t i = 0; i < 3; ++i)
      group = group << 8 | (i < have ? static_cast<unsigned char>(bytes[at + i]) : 0u);
    for (std::size_t i = 0; i < 4; ++i)
      out.push_back(i <= have ? alphabet[group >> (18 - 6 * i) & 63u] : '=');
  }
  return out;
}

std::string key_text(const msgpack::object& key) {
  if (key.type == msgpack::type::STR) return {key.via.str.ptr, key.via.str.size};
  return to_json(key, false);
}

/// The depth is bounded by the decoder (limits::nesting_depth).
Json convert(const msgpack::object& value) {
  using namespace msgpack::type;
  switch (value.type) {
    case NIL: return nullptr;
    case BOOLEAN: return value.via.boolean;
    case POSITIVE_INTEGER: return value.via.u64;
    case NEGATIVE_INTEGER: return value.via.i64;
    case FLOAT32:
    case FLOAT64: return value.via.f64;
    case STR: return std::string(value.via.str.ptr, value.via.str.size);
    case BIN: return base64({value.via.bin.ptr, value.via.bin.size});
    case EXT: return base64({value.via.ext.data(), value.via.ext.size});
    case ARRAY: {
      Json array = Json::array();
      for (const auto& each : value.via.array) array.push_back(convert(each));
      return array;
    }
    case MAP: {
      Json map = Json::object();
      for (const auto& [key, member] : value.via.map) map[key_text(key)] = convert(member);
      return map;
    }
  }
  return nullptr;
}

Json convert_bytes(std::string_view msgpack_value) {
  wire::PayloadDecoder decoder;
  auto object = decoder.decode(msgpack_value, wire::Shape::any);
  return object ? convert(*object) : Json();
}

std::string escaped(char32_t code) {
  const auto unit = [](char32_t value) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out = "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out += digits[value >> shift & 15];
    return out;
  };
  if (code < 0x10000) return unit(code);
  return unit(0xD800 + ((code - 0x10000) >> 10)) + unit(0xDC00 + ((code - 0x10000) & 0x3FF));
}

/// What is not printable stands in strings alone there, where an escape means the same. Line ends and blanks
/// between the members stay.
std::string without_effects(std::string json) {
  const auto has_effect = [](char c) { return static_cast<unsigned char>(c) >= 0x7F; };
  const auto first = std::find_if(json.begin(), json.end(), has_effect);
  if (first == json.end()) return json;
  std::string out(json.begin(), first);
  for (std::string_view rest(first, json.end()); !rest.empty();) {
    const Character each = first_character(rest);
    if (each.printable || each.code < 0x20)
      out.append(rest.substr(0, each.bytes));
    else
      out.append(escaped(each.code));
    rest.remove_prefix(each.bytes);
  }
  return out;
}

std::string dump(const Json& json, bool indented) {
  return without_effects(json.dump(indented ? 2 : -1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

std::string to_json(const msgpack::object& value, bool indented) {
  return dump(convert(value), indented);
}

std::string to_json(std::string_view msgpack_value, bool indented) {
  return dump(convert_bytes(msgpack_value), indented);
}

Result<std::string> from_json(std::string_view text) {
  try {
    std::string out;
    Json::to_msgpack(Json::parse(text), out);
    return out;
  } catch (const Json::exception& error) {
    return Error(Code::invalid_params, std::string("this is no JSON: ") + error.what());
  }
}

std::string error_to_json(const Error& error, bool indented) {
  Json body{{"code", code_name(error.code)}, {"message", error.message}};
  for (const auto& [key, value] : error.details) {
    Json& member = body["details"][key];
    if (const auto* number = std::get_if<std::int64_t>(&value)) member = *number;
    if (const auto* text = std::get_if<std::string>(&value)) member = *text;
    if (const auto* raw = std::get_if<Error::Raw>(&value)) member = convert_bytes(raw->msgpack);
  }
  return dump(Json{{"error", std::move(body)}}, indented);
}

}  // namespace kairo::ctl
