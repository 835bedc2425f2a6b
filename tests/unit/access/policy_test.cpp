// What a policy says, without a daemon.
#include "access/policy.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using namespace kairo;
using access::Policy;
using access::Principal;
using api::ResourceLimits;

namespace {

Result<Policy> read(const char* text) {
  std::string bytes;
  nlohmann::json::to_msgpack(nlohmann::json::parse(text), bytes);
  return Policy::read(bytes);
}

Policy good(const char* text) {
  auto policy = read(text);
  REQUIRE_MESSAGE(policy.ok(), (policy.ok() ? std::string() : policy.error().message));
  return *policy;
}

std::string refused(const char* text) {
  auto policy = read(text);
  return policy ? "" : policy.error().message;
}

bool may(const Policy& policy, const Principal& who, std::string_view method) {
  return Policy::check_method(policy.binding(who), who, method).ok();
}

const Principal alice = Principal::user(1000);
const Principal agent = *alice.narrowed("agent");
const Principal inside = Principal::process(1000, agent.path(), "build", 7);

}  // namespace

TEST_CASE("without a policy nobody is bound") {
  CHECK(Policy().binding(inside).empty());
  CHECK(may(Policy(), alice, "kernel.stop"));
  CHECK(Policy().undeclared({}) == "allow");
}

TEST_CASE("the first rule that matches the user counts, and for a process that of the process as well") {
  const Policy policy = good(R"({"rules": [
    {"principal": "user:1000/agent", "methods": ["process.*"]},
    {"principal": "user:1000*", "methods": ["kernel.*", "process.*", "device.list"]},
    {"principal": "process:*", "methods": ["*.list", "kernel.info", "process.spawn"]}]})");
  CHECK(may(policy, agent, "process.spawn"));
  CHECK_FALSE(may(policy, agent, "kernel.info"));
  CHECK(may(policy, alice, "kernel.info"));
  CHECK_FALSE(may(policy, alice, "event.query"));
  // All must allow.
  CHECK(may(policy, inside, "process.list"));
  CHECK(may(policy, inside, "process.spawn"));
  CHECK_FALSE(may(policy, inside, "process.kill"));  // the process's does not
  CHECK_FALSE(may(policy, inside, "kernel.info"));   // the user's does not
  CHECK_FALSE(may(policy, inside, "device.list"));   // the user's does not
  CHECK(policy.binding(inside).size() == 3);
  // Further down the line it is the last process that counts beside the user.
  CHECK_FALSE(may(policy, Principal::process(1000, inside.path(), "x", 8), "process.kill"));
  CHECK(policy.binding(Principal::user(1)).empty());
  const auto no = Policy::check_method(policy.binding(inside), inside, "process.kill");
  REQUIRE_FALSE(no.ok());
  CHECK(no.error().code == Code::permission_denied);
  CHECK(no.error().message ==
        "process:build may not call process.kill: refused by policy.rules[2] (\"process:*\")");
}

TEST_CASE("no name and no further process leads out of a rule") {
  const Policy policy = good(R"({"rules": [
    {"principal": "user:1000", "methods": ["process.spawn"], "limits": {"pids": 5}},
    {"principal": "process:low*", "methods": ["process.spawn", "process.wait"]},
    {"principal": "process:deploy", "methods": ["*"]}]})");
  const Principal named = *alice.narrowed("anything");
  CHECK(may(policy, named, "process.spawn"));
  CHECK_FALSE(may(policy, named, "process.kill"));
  CHECK(Policy::check_limits(policy.binding(named), named, {})->pids == 5);
  const Principal low = Principal::process(1, "user:1", "low1", 1);
  CHECK_FALSE(may(policy, low, "process.kill"));
  CHECK_FALSE(may(policy, *low.narrowed("x"), "process.kill"));
  const Principal below = Principal::process(1, low.path(), "deploy", 2);
  CHECK(may(policy, below, "process.wait"));
  CHECK_FALSE(may(policy, below, "process.kill"));
}

TEST_CASE("an empty list of methods allows none") {
  const Policy policy = good(R"({"rules": [{"principal": "*", "methods": []}]})");
  CHECK_FALSE(may(policy, alice, "kernel.info"));
  CHECK(policy.binding(inside).size() == 1);  // the same rule twice is one
}

TEST_CASE("limits: what is not named is given, what is more is refused by name") {
  const Policy policy = good(R"({"rules": [
    {"principal": "user:*", "limits": {"memory": 1000, "pids": 10, "cpu": 0.5}},
    {"principal": "process:*", "limits": {"pids": 4, "wallMs": 50}}]})");
  const auto rules = policy.binding(inside);
  auto granted = Policy::check_limits(rules, inside, {});
  REQUIRE(granted.ok());
  CHECK(granted->memory == 1000);
  CHECK(granted->pids == 4);  // the lower of both
  CHECK(granted->cpu == 0.5);
  CHECK(granted->wall_ms == 50);
  CHECK_FALSE(granted->file_size.has_value());
  ResourceLimits asked;
  asked.memory = 900;
  asked.file_size = 5;
  granted = Policy::check_limits(rules, inside, asked);
  REQUIRE(granted.ok());
  CHECK(granted->memory == 900);
  CHECK(granted->file_size == 5);
  CHECK(granted->pids == 4);
  asked.pids = 5;  // within the user's, over the process's
  granted = Policy::check_limits(rules, inside, asked);
  REQUIRE_FALSE(granted.ok());
  CHECK(
      granted.error().message ==
      "process:build may not set limits.pids to 5, at most to 4: refused by policy.rules[1] (\"process:*\")");
  asked = {};
  asked.cpu = 0.75;
  granted = Policy::check_limits(rules, inside, asked);
  REQUIRE_FALSE(granted.ok());
  CHECK(granted.error().message.find("limits.cpu to 0.75, at most to 0.5") != std::string::npos);
}

TEST_CASE("undeclared: the process's rule before the user's, and neither widens the other") {
  const auto of = [](const char* rules, const Principal& who) {
    const Policy policy = good(rules);
    return policy.undeclared(policy.binding(who));
  };
  CHECK(of(R"({"undeclared": "deny"})", alice) == "deny");
  CHECK(of(R"({"undeclared": "deny", "rules": [{"principal": "user:*", "undeclared": "allow"}]})", alice) ==
        "allow");
  const char* both = R"({"rules": [{"principal": "user:*", "undeclared": "offline"},
                                   {"principal": "process:*", "undeclared": "workspace"}]})";
  CHECK(of(both, inside) == "workspace");
  CHECK(of(both, alice) == "offline");
  CHECK(of(R"({"rules": [{"principal": "user:*", "undeclared": "offline"},
                         {"principal": "process:*", "undeclared": "allow"}]})",
           inside) == "offline");
  CHECK(of(R"({"rules": [{"principal": "user:*", "undeclared": "deny"},
                         {"principal": "process:*", "undeclared": "offline"}]})",
           inside) == "deny");
  CHECK(of(R"({"rules": [{"principal": "user:*", "undeclared": "offline"},
                         {"principal": "process:*", "undeclared": "deny"}]})",
           inside) == "deny");
}

TEST_CASE("what is wrong is named by its path, and what was meant is suggested") {
  CHECK(refused(R"({"rule": []})").find("rules") != std::string::npos);
  CHECK(refused(R"({"rules": [{"principal": "users:1"}]})").find("policy.rules[0].principal") == 0);
  for (const char* nobody :
       {"user:alice", "user:1000 ", "user:", "process:a b", "process:", "user:1/", "user:1/a b"}) {
    CAPTURE(nobody);
    CHECK(refused((std::string(R"({"rules": [{"principal": ")") + nobody + R"("}]})").c_str())
              .find("policy.rules[0].principal must be") == 0);
  }
  CHECK(refused(R"({"rules": [{"principal": "*", "limits": {"pids": 0}}]})")
            .find("policy.rules[0].limits.pids") == 0);
  CHECK(refused(R"({"rules": [{}]})").find("policy.rules[0].principal") != std::string::npos);
  CHECK(refused(R"({"rules": [{"principal": "*", "limits": {"cpu": -1}}]})")
            .find("policy.rules[0].limits.cpu") == 0);
  CHECK(refused(R"({"rules": [{"principal": "*", "undeclared": "x"}]})").find("policy.rules[0].undeclared") ==
        0);
  CHECK(refused(R"({"rules": [{"principal": "*", "permissions": {"fs": {"write": ["."]}}}]})")
            .find("policy.rules[0].permissions.fs.write") == 0);
  CHECK(refused(R"({"profiles": {"deny": {}}})").find("policy.profiles.deny") == 0);
  const Policy policy = good(R"({"undeclared": "mine", "profiles": {"mine": {"net": "none"}}})");
  CHECK(policy.profile("mine"));
  CHECK_FALSE(policy.profile("other"));
}

TEST_CASE("a pattern's star stands for any characters, none too") {
  CHECK(access::matches_glob("*", ""));
  CHECK(access::matches_glob("a*c*", "abbcb"));
  CHECK(access::matches_glob("user:*/ci", "user:12/ci"));
  CHECK_FALSE(access::matches_glob("user:1", "user:12"));
  CHECK_FALSE(access::matches_glob("", "a"));
  CHECK_FALSE(access::matches_glob("a*b", "ac"));
  CHECK(access::matches_glob("a**b", "ab"));
}
