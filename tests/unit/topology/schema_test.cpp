#include "topology/schema.hpp"

#include <fstream>
#include <iterator>

#include <nlohmann/json.hpp>

#include "rig.hpp"
#include "topology/modules.hpp"

using namespace kairo;

TEST_CASE("the schema lists every member with its sentence, and every module with its parameters") {
  const auto schema = nlohmann::json::parse(topology::topology_schema());
  CHECK(schema["additionalProperties"] == false);
  CHECK(schema["required"] == nlohmann::json::array({"name", "nodes"}));
  const auto& node = schema["properties"]["nodes"]["items"];
  CHECK(node["properties"]["runMode"]["enum"] == nlohmann::json::array({"process", "worker"}));
  CHECK(node["properties"]["command"]["description"] == "Program and arguments of a process");
  CHECK(node["properties"]["module"]["enum"].size() == topology::modules().size());
  CHECK(node["allOf"].size() == topology::modules().size());
  CHECK(node["allOf"][2]["if"]["properties"]["module"]["const"] == "tee");
  CHECK(node["allOf"][2]["then"]["properties"]["params"]["required"] == nlohmann::json::array({"path"}));
  CHECK(node["allOf"][2]["then"]["required"] == nlohmann::json::array({"params"}));
}

TEST_CASE("the published schema is this program's") {
  std::ifstream in(KAIRO_SCHEMA, std::ios::binary);
  const std::string published{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  CHECK(published == topology::topology_schema());
}
