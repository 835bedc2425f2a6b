#include "topology/schema.hpp"

#include <nlohmann/json.hpp>

#include "api/topology.hpp"
#include "reflect/schema.hpp"
#include "topology/modules.hpp"

namespace kairo::topology {

std::string topology_schema() {
  using Json = nlohmann::ordered_json;
  constexpr const char* name_pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$";
  Json names = Json::array();
  Json rules = Json::array();
  for (const ModuleInfo& each : modules()) {
    names.push_back(each.name);
    const Json params = Json::parse(reflect::to_json_schema(*each.params, true));
    Json rule;
    rule["if"] = {{"properties", {{"module", {{"const", each.name}}}}}, {"required", {"module"}}};
    rule["then"]["description"] = each.text;
    rule["then"]["properties"]["params"] = params;
    if (params.contains("required")) rule["then"]["required"] = {"params"};
    rules.push_back(std::move(rule));
  }
  Json schema;
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "Topology of Kairo: what kairoctl topology up takes";
  schema.update(Json::parse(reflect::to_json_schema(reflect::type_info<api::Topology>(), true)));
  schema["properties"]["name"]["pattern"] = name_pattern;
  Json& node = schema["properties"]["nodes"]["items"];
  node["properties"]["id"]["pattern"] = name_pattern;
  node["properties"]["module"]["enum"] = std::move(names);
  node["allOf"] = std::move(rules);
  return schema.dump(2) + "\n";
}

}  // namespace kairo::topology
