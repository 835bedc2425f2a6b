#include "sandbox/ruleset.hpp"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "sandbox/landlock.hpp"
#include "support/temp_dir.hpp"

using namespace kairo;
using sandbox::Plan;
using sandbox::Rulesets;

namespace {

namespace fs = std::filesystem;
namespace landlock = sandbox::landlock;

class Folder : public test::TempDir {
 public:
  /// A directory with a file "file".
  std::string directory(const std::string& name) const {
    put(name + "/file", "text");
    return TempDir::file(name);
  }
  std::string file(const char* name) const { return put(name, "text"); }
  std::string at(const char* name) const { return TempDir::file(name); }
};

Plan reading(const std::vector<std::string>& paths) {
  Plan plan;
  plan.handled_files = landlock::all_files;
  for (const std::string& path : paths)
    plan.paths.push_back({path, landlock::read_file | landlock::read_dir, false});
  return plan;
}

/// Whether a process under the ruleset may read the file.
bool reads(int ruleset, const std::string& path) {
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (::syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) ::_exit(2);
    ::_exit(::open(path.c_str(), O_RDONLY | O_CLOEXEC) >= 0 ? 0 : errno == EACCES ? 1 : 3);
  }
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) < 2);
  return WEXITSTATUS(status) == 0;
}

int ruleset_of(Rulesets& rulesets, const Plan& plan) {
  const auto got = rulesets.get(plan);
  REQUIRE(std::holds_alternative<int>(got));
  return std::get<int>(got);
}

}  // namespace

TEST_SUITE("rulesets" * doctest::skip(landlock::abi() < landlock::needed_abi)) {
  TEST_CASE("the same plan gets the same ruleset, another one its own") {
    const Folder folder;
    const std::string a = folder.directory("a"), b = folder.directory("b");
    Rulesets rulesets;
    const int of_a = ruleset_of(rulesets, reading({a}));
    CHECK(ruleset_of(rulesets, reading({a})) == of_a);
    CHECK(rulesets.made() == 1);
    CHECK(reads(of_a, a + "/file"));
    CHECK_FALSE(reads(of_a, b + "/file"));

    const int of_b = ruleset_of(rulesets, reading({b}));
    CHECK(rulesets.made() == 2);
    CHECK(reads(of_b, b + "/file"));
    CHECK_FALSE(reads(of_b, a + "/file"));

    Plan less = reading({a});
    less.paths[0].access = landlock::read_dir;
    CHECK_FALSE(reads(ruleset_of(rulesets, less), a + "/file"));
    Plan ports = reading({a});
    ports.handled_ports = landlock::bind_tcp;
    ruleset_of(rulesets, ports);
    Plan scoped = reading({a});
    scoped.scoped = landlock::scope_signals;
    ruleset_of(rulesets, scoped);
    CHECK(rulesets.made() == 5);
    CHECK(ruleset_of(rulesets, reading({a})) == of_a);
    CHECK(rulesets.made() == 5);
  }

  TEST_CASE("a directory that is removed and made again is another one") {
    const Folder folder;
    const std::string a = folder.directory("a");
    Rulesets rulesets;
    for (std::uint64_t i = 1; i <= 20; ++i) {  // the number of the one before would be given again
      CHECK(reads(ruleset_of(rulesets, reading({a})), a + "/file"));
      CHECK(rulesets.made() == i);
      fs::remove_all(a);
      folder.directory("a");
    }
  }

  TEST_CASE("a directory that is moved away takes nothing with it") {
    const Folder folder;
    const std::string a = folder.directory("a");
    Rulesets rulesets;
    ruleset_of(rulesets, reading({a}));
    fs::rename(a, folder.at("old"));
    CHECK(std::holds_alternative<sandbox::RulesetFailure>(rulesets.get(reading({a}))));
    folder.directory("a");
    const int now = ruleset_of(rulesets, reading({a}));
    CHECK(reads(now, a + "/file"));
    CHECK_FALSE(reads(now, folder.at("old/file")));
  }

  TEST_CASE("a link that points elsewhere is followed anew") {
    const Folder folder;
    const std::string a = folder.directory("a"), b = folder.directory("b"), link = folder.at("link");
    fs::create_symlink(a, link);
    Rulesets rulesets;
    CHECK(reads(ruleset_of(rulesets, reading({link})), a + "/file"));
    fs::remove(link);
    fs::create_symlink(b, link);
    const int now = ruleset_of(rulesets, reading({link}));
    CHECK(reads(now, b + "/file"));
    CHECK_FALSE(reads(now, a + "/file"));
  }

  TEST_CASE("what nothing uses for a while is let go of") {
    const Folder folder;
    Rulesets rulesets;
    CHECK(rulesets.empty());
    ruleset_of(rulesets, reading({folder.directory("a")}));
    CHECK_FALSE(rulesets.empty());
    rulesets.forget(SteadyClock::now());
    CHECK_FALSE(rulesets.empty());
    rulesets.forget(SteadyClock::now() + sandbox::ruleset_kept_for);
    CHECK(rulesets.empty());
  }

  TEST_CASE("where links may not be followed nothing is kept") {
    const Folder folder;
    const std::string a = folder.directory("a"), b = folder.directory("b"), under = folder.at("under");
    fs::create_directory(a + "/inner");
    fs::create_directory(b + "/inner");
    fs::create_directory(under);
    fs::create_directory(under + "/inner");
    Plan plan = reading({under + "/inner"});
    Rulesets rulesets;
    ruleset_of(rulesets, plan);
    plan.follow_links = false;
    ruleset_of(rulesets, plan);
    ruleset_of(rulesets, plan);
    CHECK(rulesets.made() == 3);
    fs::remove_all(under);
    fs::create_symlink(a, under);
    const auto refused = rulesets.get(plan);
    REQUIRE(std::holds_alternative<sandbox::RulesetFailure>(refused));
    CHECK(std::get<sandbox::RulesetFailure>(refused).error_number == ELOOP);
  }

  TEST_CASE("what may be missing is seen when it comes, and when it goes") {
    const Folder folder;
    const std::string a = folder.directory("a");
    Plan plan = reading({a, folder.at("b")});
    plan.paths[1].optional = true;
    Rulesets rulesets;
    ruleset_of(rulesets, plan);
    ruleset_of(rulesets, plan);
    CHECK(rulesets.made() == 1);
    const std::string b = folder.directory("b");
    CHECK(reads(ruleset_of(rulesets, plan), b + "/file"));
    CHECK(rulesets.made() == 2);
    fs::remove_all(b);
    ruleset_of(rulesets, plan);
    CHECK(rulesets.made() == 3);
  }

  TEST_CASE("a file that somebody names is not held") {
    const Folder folder;
    const Plan plan = reading({folder.file("named")});
    Rulesets rulesets;
    CHECK(reads(ruleset_of(rulesets, plan), folder.at("named")));
    CHECK(reads(ruleset_of(rulesets, plan), folder.at("named")));
    CHECK(rulesets.made() == 2);
  }

  TEST_CASE("of too many the one that was not used for longest goes") {
    const Folder folder;
    Rulesets rulesets;
    const auto plan = [&](std::size_t i) { return reading({folder.directory(std::to_string(i).c_str())}); };
    for (std::size_t i = 0; i < sandbox::rulesets_kept_max; ++i) ruleset_of(rulesets, plan(i));
    ruleset_of(rulesets, plan(0));
    ruleset_of(rulesets, plan(sandbox::rulesets_kept_max));
    CHECK(rulesets.made() == sandbox::rulesets_kept_max + 1);
    ruleset_of(rulesets, plan(0));
    CHECK(rulesets.made() == sandbox::rulesets_kept_max + 1);
    ruleset_of(rulesets, plan(1));
    CHECK(rulesets.made() == sandbox::rulesets_kept_max + 2);
  }
}
