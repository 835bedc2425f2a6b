#include "reflect/schema.hpp"

#include <nlohmann/json.hpp>

namespace kairo::reflect {
namespace {

using Json = nlohmann::ordered_json;

Json schema_of(const TypeInfo& type, bool closed) {
  using Kind = TypeInfo::Kind;
  Json out = Json::object();
  switch (type.kind) {
    case Kind::string: out["type"] = "string"; break;
    case Kind::boolean: out["type"] = "boolean"; break;
    case Kind::integer:
      out["type"] = "integer";
      out["minimum"] = type.low;
      out["maximum"] = type.high;
      break;
    case Kind::number: out["type"] = "number"; break;
    case Kind::bytes:
      out["type"] = "string";
      out["description"] = "MsgPack bin, or str";
      break;
    case Kind::any: break;
    case Kind::array:
      out["type"] = "array";
      out["items"] = schema_of(*type.element, closed);
      break;
    case Kind::map:
      out["type"] = "object";
      out["additionalProperties"] = schema_of(*type.element, closed);
      break;
    case Kind::enumeration:
      out["type"] = "string";
      out["enum"] = Json(type.names);
      break;
    case Kind::choice:
      for (const TypeInfo* each : type.choices) out["anyOf"].push_back(schema_of(*each, closed));
      break;
    case Kind::object: {
      out["type"] = "object";
      out["properties"] = Json::object();
      Json required = Json::array();
      for (const TypeInfo::Member& member : type.members) {
        Json property = schema_of(*member.type, closed);
        property["description"] = member.text;
        out["properties"][std::string(member.name)] = std::move(property);
        if (member.required) required.push_back(member.name);
      }
      if (!required.empty()) out["required"] = std::move(required);
      if (closed) out["additionalProperties"] = false;
      break;
    }
  }
  return out;
}

}  // namespace

std::string to_json_schema(const TypeInfo& type, bool closed) {
  return schema_of(type, closed).dump();
}

std::string to_msgpack_schema(const TypeInfo& type, bool closed) {
  std::string out;
  Json::to_msgpack(schema_of(type, closed), out);
  return out;
}

}  // namespace kairo::reflect
