#include "audit/redactor.hpp"

#include <doctest/doctest.h>

#include "base/limits.hpp"

using namespace kairo;
using audit::Redactor;

namespace {

const Redactor shipped({"*TOKEN*", "*SECRET*", "*PASSWORD*"});

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("names are hidden in either case, with dashes or underscores, wherever the pattern says") {
  for (const char* name :
       {"TOKEN", "api_token", "MY_SECRET_KEY", "Password", "--password", "--db-password", "X.token"})
    CHECK(shipped.hides(name));
  for (const char* name : {"", "--", "PATH", "PASS", "tok", "secre"}) CHECK(!shipped.hides(name));
  const Redactor own({"--api-key=*", "PGPASS??", "=x"});
  CHECK(own.hides("API_KEY"));
  CHECK(own.hides("--api_key"));
  CHECK(own.hides("pgpass01"));
  CHECK(!own.hides("PGPASS"));
  CHECK(!own.hides("MY_API_KEY"));
  CHECK(!own.hides("x"));
}

TEST_CASE("a command line shows no value of such a name") {
  CHECK(shipped.argv({"curl", "--password=hunter2", "-v"}) == Words{"curl", "--password=[redacted]", "-v"});
  CHECK(shipped.argv({"psql", "--password", "hunter2", "db"}) ==
        Words{"psql", "--password", "[redacted]", "db"});
  CHECK(shipped.argv({"env", "API_TOKEN=abc", "cmd"}) == Words{"env", "API_TOKEN=[redacted]", "cmd"});
  CHECK(shipped.argv({"x", "--PassWord=a=b"}) == Words{"x", "--PassWord=[redacted]"});
  CHECK(shipped.argv({"sh", "-c", "A=1 DB_PASSWORD='x y' run; ls"}) ==
        Words{"sh", "-c", "A=1 DB_PASSWORD=[redacted]"});
  CHECK(shipped.argv({"sh", "-c", "login --token abc"}) == Words{"sh", "-c", "login --token [redacted]"});
  CHECK(shipped.argv({"a", "--secret"}) == Words{"a", "--secret"});
  CHECK(shipped.argv({"--token", "--token", "x"}) == Words{"--token", "[redacted]", "x"});
  CHECK(shipped.argv({"ls", "token", "a=b"}) == Words{"ls", "token", "a=b"});
  CHECK(Redactor({}).argv({"--password=x"}) == Words{"--password=x"});
}

TEST_CASE("argv and env become JSON, redacted, bounded, with their lengths") {
  std::string out;
  shipped.append_argv(out, {"x", "--token", "abc", "a\nb"});
  CHECK(out == R"(,"argv":["x","--token","[redacted]","a\u000ab"])");
  out.clear();
  shipped.append_env(out, {{"A", "1"}, {"MY_TOKEN", "abc"}});
  CHECK(out == R"(,"env":{"A":"1","MY_TOKEN":"[redacted]"})");
  out.clear();
  shipped.append_argv(out, Words(10'000, "word"));
  CHECK(out.size() < limits::audit_list_bytes + 100);
  CHECK(out.ends_with("\"],\"argvLength\":10000"));
  out.clear();
  shipped.append_argv(out, {std::string(100'000, 'a'), "--password", "hunter2"});
  CHECK(out.size() < limits::audit_list_bytes + 100);
  CHECK(out.find("hunter2") == std::string::npos);
  std::map<std::string, std::string> many;
  for (int i = 0; i < 10'000; ++i) many["V" + std::to_string(i)] = std::string(50, 'v');
  out.clear();
  shipped.append_env(out, many);
  CHECK(out.size() < limits::audit_list_bytes + 100);
  CHECK(out.ends_with("},\"envLength\":10000"));
}

TEST_CASE("a hostile name does not make matching take long") {
  const Redactor stars({"*a*a*a*a*a*a*a*a*b"});
  CHECK(!stars.hides(std::string(1'000'000, 'a')));
}
