#include "reflect/schema.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "sample.hpp"

using namespace kairo::reflect;
using Json = nlohmann::ordered_json;

namespace {
Json schema(bool closed = true) {
  return Json::parse(to_json_schema(type_info<sample::All>(), closed));
}
}  // namespace

TEST_CASE("an object lists its members, their sentences, and those that must be there") {
  const Json all = schema();
  CHECK(all["type"] == "object");
  CHECK(all["required"] == Json::array({"name"}));
  CHECK(all["properties"]["name"] == Json{{"type", "string"}, {"description", "Required text"}});
  CHECK(all["properties"].size() == 12);
}

TEST_CASE("members stand in the order of the field list") {
  const Json all = schema();
  auto each = all["properties"].begin();
  for (const char* name : {"name", "flag", "small", "large", "ratio", "colour"})
    CHECK((each++).key() == name);
}

TEST_CASE("params are closed at every depth, results are open") {
  const Json closed = schema(true), open = schema(false);
  CHECK(closed["additionalProperties"] == false);
  CHECK(closed["properties"]["options"]["properties"]["output"]["additionalProperties"] == false);
  CHECK_FALSE(open.contains("additionalProperties"));
  CHECK_FALSE(open["properties"]["options"].contains("additionalProperties"));
}

TEST_CASE("each kind of member has its form") {
  const Json properties = schema()["properties"];
  CHECK(properties["flag"]["type"] == "boolean");
  CHECK(properties["small"]["minimum"] == -2147483648);
  CHECK(properties["small"]["maximum"] == 2147483647);
  CHECK(properties["large"]["minimum"] == 0);
  CHECK(properties["large"]["maximum"] == 18446744073709551615u);
  CHECK(properties["ratio"]["type"] == "number");
  CHECK(properties["colour"]["enum"] == Json::array({"red", "deep-blue"}));
  CHECK(properties["list"]["items"]["type"] == "string");
  CHECK(properties["table"]["type"] == "object");
  CHECK(properties["table"]["additionalProperties"]["type"] == "integer");
  CHECK(properties["choice"]["anyOf"].size() == 3);
  CHECK(properties["choice"]["anyOf"][2]["properties"].contains("retainBytes"));
  CHECK(properties["any"] == Json{{"description", "Carried along"}});
}

TEST_CASE("the MsgPack form is the same document") {
  const std::string bytes = to_msgpack_schema(type_info<sample::All>(), true);
  CHECK(Json::from_msgpack(bytes) == schema());
}

TEST_CASE("the description of a type is made once") {
  CHECK(&type_info<sample::Inner>() == &type_info<sample::Inner>());
}
