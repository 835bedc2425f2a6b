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
}

TEST_CASE("identify narrows once and never widens") {
  const Principal agent = *Principal::user(0).narrowed("a");
  CHECK(agent.narrowed("a").ok());
  auto other = agent.narrowed("b");
  REQUIRE_FALSE(other.ok());
  CHECK(other.error().code == Code::permission_denied);
}

TEST_CASE("a name is plain") {
  for (const char* bad : {"", "a/b", "a b", "../x", "\n"}) {
    CAPTURE(bad);
    CHECK_FALSE(Principal::user(0).narrowed(bad).ok());
  }
  CHECK_FALSE(Principal::user(0).narrowed(std::string(65, 'a')).ok());
}
