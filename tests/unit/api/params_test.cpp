// What the methods' own params take and refuse; the decoder's general rules are tested with reflect.
#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "api/methods.hpp"
#include "reflect/decode.hpp"
#include "reflect/schema.hpp"

using namespace kairo;
using namespace kairo::api;
using Json = nlohmann::ordered_json;

namespace {

template <class T>
Result<T> read(const char* text) {
  std::string bytes;
  Json::to_msgpack(Json::parse(text), bytes);
  const auto handle = msgpack::unpack(bytes.data(), bytes.size());
  return reflect::from_object<T>(handle.get(), "params", reflect::Unknown::refuse);
}

template <class T>
void refused(const char* text, const std::string& path, const std::string& part) {
  CAPTURE(text);
  const auto result = read<T>(text);
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().details.at(0) == std::pair<std::string, Error::Detail>("path", path));
  CAPTURE(result.error().message);
  CHECK(result.error().message.find(part) != std::string::npos);
}

}  // namespace

namespace kairo {
static bool operator==(const Error::Raw& a, const Error::Raw& b) {
  return a.msgpack == b.msgpack;
}
}  // namespace kairo

TEST_CASE("a spawn needs nothing but a command") {
  const auto params = read<SpawnParams>(R"({"command": ["true"]})");
  REQUIRE(params.ok());
  CHECK(params->command == std::vector<std::string>{"true"});
  CHECK_FALSE(params->options.has_value());
  refused<SpawnParams>("{}", "params.command", "is missing");
}

TEST_CASE("a spawn takes every option") {
  const auto params =
      read<SpawnParams>(R"({"id": "x", "command": ["sh"], "options": {"cwd": "/", "env": {"A": ""},
    "envMode": "clean", "umask": 18, "stdin": "null", "stdout": "fd", "stderr": "stdout", "timeoutMs": 1,
    "killGraceMs": 0, "output": {"retainBytes": 65536, "whenFull": "drop-oldest"}, "onOwnerExit": "kill",
    "detachDescendants": true, "replace": true, "subscribe": false, "labels": {"k": "v"}}})");
  REQUIRE(params.ok());
  const SpawnOptions& options = *params->options;
  CHECK(options.env_mode == EnvMode::clean);
  CHECK(options.standard_input == StdinKind::null);
  CHECK(options.standard_output == StdoutKind::fd);
  CHECK(options.standard_error == StderrKind::stdout_);
  CHECK(options.output->when_full == WhenFull::drop_oldest);
  CHECK(options.on_owner_exit == OwnerExit::kill);
  CHECK(options.subscribe == false);
}

TEST_CASE("options that a later version gives a meaning are carried, so that they can be refused by name") {
  const auto params = read<SpawnParams>(R"({"command": ["sh"], "options": {"pty": {"cols": 80}}})");
  REQUIRE(params.ok());
  CHECK(params->options->pty.has_value());
  CHECK_FALSE(params->options->permissions.has_value());
}

TEST_CASE("limits and permissions are read whole") {
  const auto params = read<SpawnParams>(R"({"command": ["sh"], "options": {
    "limits": {"cpu": 0.5, "memory": 1048576, "pids": 8}, "limitsMode": "best-effort",
    "permissions": {"fs": {"read": ["/usr"]}, "net": {"connectTcp": [443]}, "ipc": "kernel"}}})");
  REQUIRE(params.ok());
  const SpawnOptions& options = *params->options;
  CHECK(options.limits->cpu == 0.5);
  CHECK(options.limits->pids == 8);
  CHECK_FALSE(options.limits->wall_ms.has_value());
  CHECK(options.limits_mode == LimitsMode::best_effort);
  CHECK(options.permissions->fs->read == std::vector<std::string>{"/usr"});
  CHECK(std::get<NetPorts>(*options.permissions->net).connect_tcp == std::vector<std::uint16_t>{443});
  CHECK(options.permissions->ipc == IpcAccess::kernel);
  refused<SpawnParams>(R"({"command": ["sh"], "options": {"limits": {"memroy": 1}}})",
                       "params.options.limits.memroy", "memory");
}

TEST_CASE("a wrong option of a spawn is named by its path") {
  refused<SpawnParams>(R"({"command": "ls /"})", "params.command", "must be array, not string");
  refused<SpawnParams>(R"({"command": ["ls", null]})", "params.command[1]", "must be string, not nil");
  refused<SpawnParams>(R"({"command": ["ls"], "options": {"output": {"retainBytes": -1}}})",
                       "params.options.output.retainBytes", "must be at least 0");
  refused<SpawnParams>(R"({"command": ["ls"], "options": {"env": {"PATH": 1}}})", "params.options.env.PATH",
                       "must be string");
  refused<SpawnParams>(R"({"command": ["ls"], "options": {"stdin": "inherit"}})", "params.options.stdin",
                       "must be one of \"pipe\", \"null\", \"fd\"");
  refused<SpawnParams>(R"({"command": ["ls"], "options": {"timeout": 5}})", "params.options.timeout",
                       "did you mean \"timeoutMs\"?");
  refused<SpawnParams>(R"({"cmd": ["ls"]})", "params.cmd", "is not a known field");
  refused<SpawnParams>(R"({"command": ["ls"], "options": {"umask": 4294967296}})", "params.options.umask",
                       "must be at most 4294967295");
}

TEST_CASE("an attach begins at a word or at offsets") {
  CHECK(std::get<From>(*read<AttachParams>(R"({"id": "x", "from": "end"})")->from) == From::end);
  const auto offsets =
      read<AttachParams>(R"({"id": "x", "from": {"stderr": 5000000000}, "streams": ["stderr"]})");
  REQUIRE(offsets.ok());
  CHECK(std::get<FromOffsets>(*offsets->from).standard_error == 5'000'000'000u);
  CHECK(offsets->streams == std::vector<StreamName>{StreamName::standard_error});
  refused<AttachParams>(R"({"id": "x", "from": 5})", "params.from", "must be string or map, not integer");
  refused<AttachParams>(R"({"id": "x", "from": "middle"})", "params.from", "must be one of");
  refused<AttachParams>(R"({"id": "x", "from": {"stdot": 5}})", "params.from.stdot",
                        "did you mean \"stdout\"?");
  refused<AttachParams>(R"({"id": "x", "streams": ["stdin"]})", "params.streams[0]", "must be one of");
}

TEST_CASE("a signal is a name or a number") {
  CHECK(std::get<std::string>(*read<KillParams>(R"({"id": "x", "signal": "TERM"})")->signal) == "TERM");
  CHECK(std::get<std::int32_t>(*read<KillParams>(R"({"id": "x", "signal": 9})")->signal) == 9);
  refused<KillParams>(R"({"id": "x", "signal": [9]})", "params.signal",
                      "must be string or integer, not array");
}

TEST_CASE("a method without params refuses any") {
  CHECK(read<NoParams>("{}").ok());
  refused<NoParams>(R"({"x": 1})", "params.x", "is not a known field");
}

TEST_CASE("the schema of a spawn says what a caller needs to know") {
  const Json schema = Json::parse(reflect::to_json_schema(reflect::type_info<SpawnParams>(), true));
  CHECK(schema["required"] == Json::array({"command"}));
  CHECK(schema["additionalProperties"] == false);
  const Json& options = schema["properties"]["options"];
  CHECK(options["properties"]["envMode"]["enum"] == Json::array({"inherit", "clean"}));
  CHECK(options["properties"]["output"]["properties"]["retainBytes"]["type"] == "integer");
  CHECK_FALSE(options.contains("required"));
  const Json from =
      Json::parse(reflect::to_json_schema(reflect::type_info<AttachParams>(), true))["properties"]["from"];
  CHECK(from["anyOf"].size() == 2);
}

TEST_CASE("every member of the public structs has a sentence") {
  const auto check = [](const reflect::TypeInfo& type) {
    for (const auto& member : type.members) {
      CAPTURE(member.name);
      CHECK_FALSE(member.text.empty());
    }
  };
  check(reflect::type_info<SpawnParams>());
  check(reflect::type_info<SpawnOptions>());
  check(reflect::type_info<ProcessSession>());
  check(reflect::type_info<AttachParams>());
  check(reflect::type_info<InfoResult>());
  check(reflect::type_info<ReadResult>());
}
