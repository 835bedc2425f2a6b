// Records of the host's audit as Linux 6.18 writes them, and texts that look like them.
#include "sandbox/landlock_record.hpp"

#include <doctest/doctest.h>

using namespace kairo;
using sandbox::read_landlock_access;
using sandbox::read_landlock_domain;

namespace {

constexpr std::string_view head = "audit(1795291458.628:180): ";

std::string asked(const std::string& body) {
  const auto access = read_landlock_access(std::string(head) + body);
  if (!access) return "nothing";
  const sandbox::AccessAsked out = sandbox::asked(*access);
  return out.what + " " + out.target;
}

}  // namespace

TEST_CASE("an access is read in the words of process.explain") {
  CHECK(asked("domain=1a1703fab blockers=fs.read_file path=\"/etc/hostname\" dev=\"vda\" ino=733") ==
        "read /etc/hostname");
  CHECK(asked("domain=1a1703fab blockers=fs.execute,fs.read_file path=\"/usr/bin/true\" dev=\"vda\" ino=1") ==
        "read /usr/bin/true");
  CHECK(asked("domain=1a1703fab blockers=fs.write_file,fs.read_file path=\"/etc/x\" dev=\"vda\" ino=7") ==
        "write /etc/x");
  CHECK(asked("domain=1a1703fab blockers=fs.make_reg path=\"/tmp/dn\" dev=\"vda\" ino=1") == "write /tmp/dn");
  CHECK(asked("domain=1a1703fab blockers=net.connect_tcp daddr=127.0.0.1 dest=8099") == "connect tcp:8099");
  CHECK(asked("domain=1a1703fab blockers=net.bind_tcp saddr=::1 src=8098") == "bind tcp:8098");
  CHECK(asked("domain=1a1703fab blockers=scope.signal opid=29683 ocomm=\"python3\"") == "scope.signal ");
  // The system leaves port 0 out, and says "<too_long>" where a path does not fit.
  CHECK(asked("domain=1a1703fab blockers=net.bind_tcp saddr=127.0.0.1") == "bind tcp:0");
  CHECK(asked("domain=1a1703fab blockers=net.bind_tcp") == "bind tcp:0");
  CHECK(asked("domain=1a1703fab blockers=fs.read_file path=\"<too_long>\" dev=\"vda\" ino=1") == "read ");
  const auto access = read_landlock_access(
      "audit(1795291458.628:182): domain=1a1703fab blockers=fs.read_file "
      "path=2F746D702F646E2F776522697264206E610A6D65 dev=\"vda\" ino=10994271");
  REQUIRE(access);
  CHECK(access->domain == 0x1a1703fab);
  CHECK(access->path == "/tmp/dn/we\"ird na\nme");
}

TEST_CASE("a domain is its maker's, and ends") {
  const auto made = read_landlock_domain(std::string(head) +
                                         "domain=1a1703fab status=allocated mode=enforcing pid=29724 uid=0 "
                                         "exe=\"/usr/bin/kairod\" comm=\"kairod\"");
  REQUIRE(made);
  CHECK(made->domain == 0x1a1703fab);
  CHECK(made->pid == 29724);
  CHECK(made->uid == 0);
  CHECK(made->exe == "/usr/bin/kairod");
  CHECK(made->at_us == 1'795'291'458'628'000);
  CHECK_FALSE(made->ended);
  const auto ended =
      read_landlock_domain(std::string(head) + "domain=1a1703fab status=deallocated denials=12");
  REQUIRE(ended);
  CHECK(ended->ended);
}

TEST_CASE("what a program chooses decides nothing") {
  // A name in quotes ends at its quote; behind it nothing but another value can stand.
  CHECK(asked("domain=1 blockers=fs.read_file path=\"/a\"x dest=1\" dev=\"vda\" ino=1") == "read ");
  CHECK(asked("domain=1 blockers=scope.signal opid=1 ocomm=\"domain=2 path=\" path=\"/forged\"") ==
        "scope.signal ");
  const auto domain = read_landlock_domain(std::string(head) +
                                           "domain=1 status=allocated mode=enforcing pid=5 uid=0 "
                                           "exe=\"/a pid=7\" comm=\"domain=9 pid=8\"");
  REQUIRE(domain);
  CHECK(domain->domain == 1);
  CHECK(domain->pid == 5);
  CHECK(domain->exe == "/a pid=7");
  for (const std::string body :
       {"", "domain=", "domain=x blockers=fs.read_file", "blockers=fs.read_file domain=1",
        "domain=1 blockers=", "domain=1 blockers=\"fs.read_file\"",
        "path=\"domain=1\" blockers=fs.read_file"})
    CHECK(asked(body) == "nothing");
  CHECK_FALSE(read_landlock_access("domain=1 blockers=fs.read_file path=\"/a\""));
  CHECK_FALSE(read_landlock_access("x audit(1.2:3): domain=1 blockers=fs.read_file path=\"/a\""));
  CHECK_FALSE(read_landlock_domain(std::string(head) + "domain=1 status=allocated mode=enforcing pid=-1"));
  CHECK_FALSE(read_landlock_domain(std::string(head) + "domain=1 status=allocated mode=enforcing"));
  for (const std::string rest :
       {"", " uid=0", " exe=\"/a\"", " comm=\"x uid=0 exe=/a\"", " uid=-1 exe=\"/a\""})
    CHECK_FALSE(
        read_landlock_domain(std::string(head) + "domain=1 status=allocated mode=enforcing pid=5" + rest));
  CHECK(asked("domain=1 blockers=fs.read_file path=2F0A0") == "read ");
  CHECK(asked("domain=1 blockers=fs.read_file path=2F00") == "read ");
  CHECK(asked("domain=1 blockers=net.bind_tcp src=70000") == "bind ");
}

TEST_CASE("a domain's maker may run a program that was removed, or say no time") {
  const auto made = read_landlock_domain(
      "audit(1795291458:180): domain=1 status=allocated mode=enforcing pid=5 uid=1000 "
      "exe=2F622F6B6169726F64202864656C6574656429 comm=\"x\"");
  REQUIRE(made);
  CHECK(made->uid == 1000);
  CHECK(made->exe == "/b/kairod (deleted)");
  CHECK(sandbox::program_of(made->exe) == "/b/kairod");
  CHECK(sandbox::program_of("/b/kairod") == "/b/kairod");
  CHECK(made->at_us == 0);
}

TEST_CASE("the audit's state is read as far as it is there") {
  std::uint32_t words[10] = {127, 1, 1, 0, 0, 64, 7, 3, 60, 0};
  const std::string_view bytes(reinterpret_cast<const char*>(words), sizeof words);
  const auto status = sandbox::read_audit_status(bytes);
  REQUIRE(status);
  CHECK(status->enabled);
  CHECK(status->lost == 7);
  CHECK(status->backlog == 3);
  CHECK_FALSE(sandbox::read_audit_status(bytes.substr(0, 28)));
}
