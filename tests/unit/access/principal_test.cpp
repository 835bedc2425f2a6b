#include "access/principal.hpp"

#include <doctest/doctest.h>

using namespace kairo;
using access::Principal;

TEST_CASE("a user reaches all of its tree, a name only its own") {
  const Principal user = Principal::user(1000);
  const Principal agent = *user.narrowed("agent");
  CHECK(agent.name() == "user:1000/agent");
  CHECK(user.may_act_on("user:1000"));
  CHECK(user.may_act_on("user:1000/agent"));
  CHECK(agent.may_act_on("user:1000/agent"));
  CHECK_FALSE(agent.may_act_on("user:1000"));
  CHECK_FALSE(agent.may_act_on("user:1000/other"));
  CHECK_FALSE(agent.may_act_on("user:1000/agent2"));
  CHECK_FALSE(user.may_act_on("user:10000"));
  CHECK_FALSE(user.may_act_on("user:1001"));
  CHECK(user.is_plain_user());
  CHECK_FALSE(agent.is_plain_user());
}

TEST_CASE("a process reaches what came from it, and nothing above or beside it") {
  const Principal user = Principal::user(1000);
  const Principal build = Principal::process(1000, user.path(), "build", 17);
  const Principal step = Principal::process(1000, build.path(), "step", 18);
  CHECK(build.name() == "process:build");
  CHECK(build.session_key() == 17);
  CHECK(step.path() == "user:1000 process:build#17 process:step#18");
  CHECK(user.may_act_on(step.path()));
  CHECK(build.may_act_on(build.path()));
  CHECK(build.may_act_on(step.path()));
  CHECK_FALSE(step.may_act_on(build.path()));
  CHECK_FALSE(build.may_act_on(user.path()));
  CHECK_FALSE(build.is_plain_user());
  SUBCASE("an id that is used again is another principal") {
    const Principal again = Principal::process(1000, user.path(), "build", 19);
    CHECK(again.name() == build.name());
    CHECK_FALSE(again.may_act_on(step.path()));
    CHECK_FALSE(Principal::process(1000, user.path(), "build", 1).may_act_on(build.path()));
  }
  SUBCASE("what a name of the user started is out of reach of other names") {
    const Principal of_ci = Principal::process(1000, user.narrowed("ci")->path(), "build", 17);
    CHECK(user.narrowed("ci")->may_act_on(of_ci.path()));
    CHECK_FALSE(user.narrowed("dev")->may_act_on(of_ci.path()));
  }
  SUBCASE("a process has names, too") {
    const Principal named = *build.narrowed("x");
    CHECK(named.name() == "process:build/x");
    CHECK(named.session_key() == 17);
    CHECK(build.may_act_on(named.path()));
    CHECK_FALSE(named.may_act_on(build.path()));
  }
}

TEST_CASE("who cannot be attributed may nothing") {
  const Principal lost = Principal::unattributed(0);
  CHECK_FALSE(lost.has_rights());
  CHECK_FALSE(lost.may_act_on(lost.path()));
  CHECK_FALSE(lost.may_act_on("user:0"));
  CHECK_FALSE(lost.narrowed("a")->has_rights());
  CHECK_FALSE(lost.is_plain_user());
}

TEST_CASE("a path is shown without keys") {
  CHECK(access::name_of_path("user:0") == "user:0");
  CHECK(access::name_of_path("user:0/ci process:a#3/x") == "process:a/x");
  CHECK(access::names_along("user:0/ci process:a#3 process:b#4") ==
        std::vector<std::string>{"user:0/ci", "process:a", "process:b"});
}

TEST_CASE("identify narrows once and never widens") {
  const Principal agent = *Principal::user(0).narrowed("a");
  CHECK(agent.narrowed("a").ok());
  auto other = agent.narrowed("b");
  REQUIRE_FALSE(other.ok());
  CHECK(other.error().code == Code::permission_denied);
}

TEST_CASE("a name is plain") {
  for (const char* bad : {"", "a/b", "a b", "a#1", "../x", "\n"}) {
    CAPTURE(bad);
    CHECK_FALSE(Principal::user(0).narrowed(bad).ok());
  }
  CHECK_FALSE(Principal::user(0).narrowed(std::string(65, 'a')).ok());
}
