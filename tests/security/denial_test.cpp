// What a session is denied is told: by its filter, and where the host's audit is on by Landlock.
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "e2e/support.hpp"
#include "sandbox/host.hpp"
#include "sandbox/landlock.hpp"
#include "support/harness.hpp"

namespace kairo::test {
namespace {

namespace fs = std::filesystem;

/// Asks for a TCP socket as often as it reads a line, and says each time what came of it.
constexpr const char* asks_on_demand =
    "while read -r line; do : 2>/dev/null </dev/tcp/127.0.0.1/1 && echo in || echo out; done";
constexpr const char* tcp = "TCP socket (IPv4)";

std::vector<std::string> bash(std::vector<std::string> arguments, const std::string& script) {
  arguments.insert(arguments.end(), {"--", "bash", "-c", script});
  return arguments;
}

/// A member of what was denied under this name (and with this target); empty where it is not listed.
std::string denied(const std::string& explained, const std::string& what, const std::string& target,
                   const std::string& member) {
  for (int i = 0; i < 64; ++i) {
    const std::string at = "/denials/" + std::to_string(i);
    if (json_at(explained, at).empty()) break;
    if (json_at(explained, at + "/what") == what && json_at(explained, at + "/target") == target)
      return json_at(explained, at + "/" + member);
  }
  return {};
}

/// The count of what was denied under this name (and with this target); 0 where it is not listed.
std::uint64_t count_of(const Daemon& daemon, const std::string& id, const std::string& what,
                       const std::string& target = {}) {
  const std::string count = denied(daemon.ctl({"explain", id}).out, what, target, "count");
  return count.empty() ? 0 : std::stoull(count);
}

/// Has a session that runs asks_on_demand ask once more.
void ask(const Daemon& daemon, const std::string& id, std::size_t before) {
  CHECK(daemon.ctl({"write", id}, "\n").code == 0);
  std::string out;
  eventually(
      [&] {
        return lines_of(out = daemon.ctl({"logs", id}).out).size() == before + 1;
      },
      "the answer to a denied call");
  CHECK(lines_of(out).back() == "out");
}

/// Switches the host's audit, and on again at the end.
struct AuditSwitch {
  ~AuditSwitch() { to(true); }
  static void to(bool on) {
    struct {
      nlmsghdr head;
      std::uint32_t status[10];
    } request{};
    request.head = {sizeof request, AUDIT_SET, NLM_F_REQUEST | NLM_F_ACK, 1, 0};
    request.status[0] = AUDIT_STATUS_ENABLED;
    request.status[1] = on ? 1 : 0;
    const UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT));
    REQUIRE(::send(socket.get(), &request, sizeof request, 0) == sizeof request);
    char answer[256];
    REQUIRE(::recv(socket.get(), answer, sizeof answer, 0) > 0);
  }
};

/// A process of `uid` with this number opens a file that a domain of its own denies. False: the number was
/// not to be had.
bool open_as(pid_t number, uid_t uid, const std::string& path) {
  for (int i = 0; i < 500; ++i) {
    std::ofstream("/proc/sys/kernel/ns_last_pid") << number - 1;
    const pid_t pid = ::fork();
    if (pid == 0) {
      if (::getpid() != number) ::_exit(9);
      const UniqueFd ruleset = sandbox::landlock::make_ruleset(sandbox::landlock::all_files, 0, 0);
      const bool denied = ::setresuid(uid, uid, uid) == 0 && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                          ::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) == 0 &&
                          ::open(path.c_str(), O_RDONLY | O_CLOEXEC) < 0;
      ::_exit(denied ? 0 : 1);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (WEXITSTATUS(status) == 9) continue;
    CHECK(status == 0);
    return true;
  }
  return false;
}

}  // namespace

TEST_SUITE("denials") {
  TEST_CASE("what a filter refuses is told with the option that would allow it") {
    if (!sandbox::host().tells) return;
    const Daemon daemon;
    const TempDir dir;
    const std::string file = dir.put("file", "");
    const Ran ran =
        daemon.ctl(bash({"run", "--id", "told", "--allow-read", "/usr", "--net", "none"},
                        ": </dev/tcp/127.0.0.1/1; : </dev/tcp/127.0.0.1/1; chmod 600 " + file + "; exit 3"));
    CHECK(ran.code == 3);
    CHECK(ran.err.find("kairoctl: denied: TCP socket (IPv4) (2 times); --net all, or --connect-tcp PORT or "
                       "--bind-tcp PORT (in place of --net none) would allow it\n") != std::string::npos);
    const std::string explained = daemon.ctl({"explain", "told"}).out;
    CHECK(json_at(explained, "/complete") == "true");
    CHECK(json_at(explained, "/sources/0") == "seccomp");
    CHECK(denied(explained, tcp, "", "source") == "seccomp");
    CHECK(count_of(daemon, "told", tcp) == 2);
    CHECK(ran.err.find("chmod") != std::string::npos);
    // What is allowed is denied to nobody.
    const Ran online = daemon.ctl(bash({"run", "--id", "online", "--allow-read", "/usr", "--net", "all"},
                                       ": </dev/tcp/127.0.0.1/1; exit 3"));
    CHECK(online.code == 3);
    CHECK(count_of(daemon, "online", tcp) == 0);
    const Ran free = daemon.ctl(bash({"run", "--id", "free"}, "exit 3"));
    CHECK(free.err.empty());
    CHECK(json_at(daemon.ctl({"explain", "free"}).out, "/confined") == "false");
  }

  TEST_CASE("the list outlives the daemon and its keeper's program, and the session") {
    if (!sandbox::host().tells) return;
    TempDir programs;
    for (const char* name : {"first", "second"}) fs::copy_file(kairod_path(), programs.file(name));
    Daemon daemon({.program = programs.file("first"), .keep = true});
    const std::string id = spawned(
        daemon,
        bash({"--allow-read", "/usr", "--allow-write", "/dev/null", "--net", "none"}, asks_on_demand));
    ask(daemon, id, 0);
    CHECK(count_of(daemon, id, tcp) == 1);

    ::kill(daemon.pids().daemon, SIGKILL);
    daemon.start({.program = programs.file("first"), .keep = true});
    CHECK(count_of(daemon, id, tcp) == 1);
    ask(daemon, id, 1);
    CHECK(count_of(daemon, id, tcp) == 2);

    const pid_t keeper = daemon.pids().keeper;
    daemon.ctl({"kernel", "stop", "--processes", "keep"});
    daemon.start({.program = programs.file("second"), .keep = true});
    CHECK(daemon.pids().keeper == keeper);
    CHECK(fs::read_symlink("/proc/" + std::to_string(keeper) + "/exe") == programs.file("second"));
    CHECK(count_of(daemon, id, tcp) == 2);
    ask(daemon, id, 2);
    CHECK(count_of(daemon, id, tcp) == 3);

    CHECK(daemon.ctl({"close-stdin", id}).code == 0);
    CHECK(daemon.ctl({"wait", id}).code == 0);
    CHECK(count_of(daemon, id, tcp) == 3);
    daemon.ctl({"kernel", "stop", "--processes", "keep"});
    daemon.start({.program = programs.file("second"), .keep = true});
    CHECK(count_of(daemon, id, tcp) == 3);
  }

  TEST_CASE("who does nothing but denied calls holds up nobody, and takes no descriptors along") {
    if (!sandbox::host().tells) return;
    const Daemon daemon;
    std::vector<std::string> floods;
    for (int i = 0; i < 4; ++i)
      floods.push_back(spawned(daemon, bash({"--allow-read", "/usr", "--allow-write", "/dev/null"},
                                            "while :; do : </dev/tcp/127.0.0.1/1; done 2>/dev/null")));
    // Past what is answered at once, so that they wait for their turns.
    for (const std::string& each : floods)
      eventually([&] { return count_of(daemon, each, tcp) > 1500; }, "a flood of denied calls");
    const Ran ran = daemon.ctl(bash({"run", "--allow-read", "/usr"}, "echo done"));
    CHECK(ran.out == "done\n");
    CHECK(daemon.ctl({"run", "--", "cat"}, pattern(1u << 20)).out == pattern(1u << 20));
    for (const std::string& each : floods) CHECK(daemon.ctl({"kill", "--signal", "SIGKILL", each}).code == 0);
    for (const std::string& each : floods) CHECK(daemon.ctl({"wait", each}).code == 0);
    // The end of the daemon looks after the descriptors.
  }

  TEST_CASE("an ordinary user is told the same") {
    if (::geteuid() != 0) return;  // this is one
    TempDir programs;
    fs::permissions(programs.path(), fs::perms(0755));
    for (const std::string& each :
         {kairod_path(), kairoctl_path(), test_child_path(), fs::read_symlink("/proc/self/exe").string()})
      fs::copy_file(each, programs.file(fs::path(each).filename()));
    StartOptions options;
    options.env = {{"KAIRO_TEST_PROGRAMS", programs.path()},
                   {"KAIRO_TEST_AUDIT", std::nullopt},
                   {"HOME", "/nonexistent"},
                   {"XDG_RUNTIME_DIR", std::nullopt},
                   {"XDG_CONFIG_HOME", std::nullopt}};
    const Ran ran = run({"setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", "--",
                         programs.file("kairo_security_tests"), "--test-suite=denials"},
                        {}, options);
    INFO(ran.out);
    INFO(ran.err);
    CHECK(ran.code == 0);
  }

  TEST_CASE("where the host's audit is on files and ports are told, too") {
    // Set by scripts/test where it has switched the audit on.
    if (!std::getenv("KAIRO_TEST_AUDIT")) return;
    const Daemon daemon;
    const TempDir dir;
    const std::string secret = dir.put("sec\"ret", "");
    REQUIRE(json_at(daemon.ctl({"info"}).out, "/confinement/sources/1") == "landlock");
    const std::string id = "audited";
    const Ran ran =
        daemon.ctl(bash({"run", "--id", id, "--allow-read", "/usr", "--connect-tcp", "1"},
                        ": <'" + secret + "'; : </dev/tcp/127.0.0.1/2; : >/usr/forbidden; exit 3"));
    CHECK(ran.code == 3);
    CHECK(count_of(daemon, id, "read", secret) == 1);
    CHECK(count_of(daemon, id, "connect", "tcp:2") == 1);
    CHECK(count_of(daemon, id, "write", "/usr") == 1);
    CHECK(denied(daemon.ctl({"explain", id}).out, "read", secret, "would") ==
          "--allow-read '" + secret + "'");
    CHECK(daemon.ctl({"explain", id}).out.find("\"--connect-tcp 2\"") != std::string::npos);
  }

  TEST_CASE("names that programs choose have no effect on a terminal or in a shell") {
    const Daemon daemon;
    const std::string name = "/x\xc2\x9b[2J\xe2\x80\xae; touch pwn #";
    const std::string id = spawned(daemon, bash({"--allow-read", "/usr"}, "exit 0"));
    const std::string explained = daemon.ctl({"explain", id, name}).out;
    CHECK(explained.find("\xc2\x9b") == std::string::npos);
    CHECK(explained.find("\xe2\x80\xae") == std::string::npos);
    CHECK(json_at(explained, "/target") == name);
    const std::string word = "$'/x\\xc2\\x9b[2J\\xe2\\x80\\xae; touch pwn #'";
    CHECK(json_at(explained, "/accesses/0/would") == "--allow-read " + word);
    if (!std::getenv("KAIRO_TEST_AUDIT")) return;
    const TempDir dir;
    const std::string there = dir.put(name.substr(1), "");
    const std::string quoted = "$'" + dir.path() + word.substr(2);
    // Asked again, since the audit's thread tells it when it comes to it.
    eventually(
        [&] {
          const Ran ran = daemon.ctl({"run", "--allow-read", "/usr", "--", "cat", there});
          CHECK(ran.err.find("denied: read /x") == std::string::npos);
          return ran.err.find("denied: read " + quoted + "; --allow-read " + quoted + " would allow it\n") !=
                 std::string::npos;
        },
        "a denied file of a hostile name");
  }

  TEST_CASE("what is denied begins a line of its own") {
    if (!sandbox::host().tells) return;
    const Daemon daemon;
    const Ran ran = daemon.ctl(
        bash({"run", "--allow-read", "/usr"}, ": </dev/tcp/127.0.0.1/1; printf unfinished >&2; exit 3"));
    CHECK(ran.code == 3);
    CHECK(ran.err.find("unfinished\nkairoctl: denied: ") != std::string::npos);
  }

  TEST_CASE("explain follows links to what a declaration covers, and refuses a target that is none") {
    const Daemon daemon;
    const TempDir dir;
    fs::create_directories(dir.file("real/x"));
    fs::create_symlink("real", dir.file("link"));
    const auto read_by = [&](const std::string& id, const std::string& target) {
      return json_at(daemon.ctl({"explain", id, target}).out, "/accesses/0/by");
    };
    const std::string id = spawned(
        daemon,
        bash({"--allow-read", "/usr", "--allow-read", dir.file("link"), "--cwd", dir.path()}, "exit 0"));
    const std::string rule = "fs.read " + fs::canonical(dir.file("real")).string();
    CHECK(read_by(id, dir.file("link/x")) == rule);
    CHECK(read_by(id, dir.file("real/x")) == rule);
    CHECK(read_by(id, dir.file("link/not/yet")) == rule);
    CHECK(read_by(id, "link/../real/./x/") == rule);
    CHECK(read_by(id, dir.file("linked")).empty());
    CHECK(daemon.ctl({"explain", id, "link/x"}).err ==
          "kairoctl: link/x leads to " + fs::canonical(dir.file("real/x")).string() + "\n");
    CHECK(daemon.ctl({"explain", id, dir.file("real/x")}).err.empty());
    // One that another program declared by a link's name.
    const std::string profiled =
        spawned(daemon, bash({"--profile", "read-only", "--cwd", dir.file("link")}, "exit 0"));
    CHECK(read_by(profiled, "x") == "fs.read " + dir.file("link"));
    CHECK(read_by(profiled, dir.file("real/x")) == "fs.read " + dir.file("link"));
    CHECK(read_by(profiled, "/proc/self/maps") == "fs.read /proc");
    for (const char* none : {"", "unix:", "TCP:80", "Unix:/x"}) {
      const Ran refused = daemon.ctl({"explain", id, none});
      CHECK(refused.code != 0);
      CHECK(refused.err.find("E_INVALID_PARAMS") != std::string::npos);
    }
  }

  TEST_CASE("where the host's audit is on, a file that took the place of a declared one is listed") {
    if (!std::getenv("KAIRO_TEST_AUDIT")) return;
    const Daemon daemon;
    const TempDir dir;
    const std::string file = dir.put("conf", "");
    const std::string id = "replaced";
    const Ran ran =
        daemon.ctl({"spawn", "--id", id, "--allow-read", "/usr", "--allow-read", file, "--", "bash", "-c",
                    "read -r line; : <'" + file + "'; [ -t 3 ] 3</dev/null; exit 3"});
    REQUIRE(ran.code == 0);
    dir.put("conf.new", "");
    fs::rename(dir.file("conf.new"), file);
    CHECK(daemon.ctl({"write", id}, "\n").code == 0);
    eventually([&] { return count_of(daemon, id, "read", file) == 1; }, "a denied file");
    const std::string explained = daemon.ctl({"explain", id}).out;
    CHECK(denied(explained, "read", file, "would").empty());
    CHECK(denied(explained, "read", file, "note")
              .starts_with("the declaration has the name (fs.read " + file + ")"));
    CHECK(count_of(daemon, id, "write", "/dev/null") == 0);
  }

  TEST_CASE("where the host's audit is on, a list that is cut off says so") {
    if (!std::getenv("KAIRO_TEST_AUDIT")) return;
    const Daemon daemon;
    const TempDir dir;
    for (int i = 0; i < 100; ++i) dir.put("f" + std::to_string(i), "");
    eventually(
        [&] {
          const Ran ran = daemon.ctl(bash({"run", "--allow-read", "/usr"},
                                          "for i in {0..99}; do : <" + dir.path() + "/f$i; done; exit 3"));
          const std::vector<std::string> lines = lines_of(ran.err);
          return ran.err.find("kairoctl: denied: 54 more; kairoctl explain ") != std::string::npos &&
                 lines.back() == "kairoctl: denied: perhaps more, of which there is no list";
        },
        "a list that is cut off");
  }

  TEST_CASE("who fails for a denied file is told at once, although the host's audit is behind") {
    if (!std::getenv("KAIRO_TEST_AUDIT")) return;
    const Daemon daemon;
    for (int i = 0; i < 20; ++i) {
      const Ran ran = daemon.ctl({"run", "--allow-read", "/usr", "--", "cat", "/etc/shadow"});
      CHECK(ran.code == 1);
      CHECK(ran.err.find("kairoctl: denied: read /etc/shadow") != std::string::npos);
    }
  }

  TEST_CASE("a domain that somebody else has made is not the session's that had the process number") {
    if (!std::getenv("KAIRO_TEST_AUDIT")) return;
    if (::access("/proc/sys/kernel/ns_last_pid", W_OK) != 0) {
      MESSAGE("skipped: this kernel does not let numbers be chosen");
      return;
    }
    const Daemon daemon;
    const TempDir dir;
    const std::string id = "gone";
    CHECK(daemon.ctl({"run", "--id", id, "--allow-read", "/usr", "--", "cat", "/etc/shadow"}).code == 1);
    const pid_t number = std::stoi(json_at(daemon.ctl({"status", id}).out, "/pid"));
    for (const uid_t uid : {uid_t{0}, uid_t{12345}}) {
      const std::string path = dir.put("of-" + std::to_string(uid), "");
      if (!open_as(number, uid, path)) {
        MESSAGE("skipped: the number was not to be had");
        return;
      }
      CHECK(count_of(daemon, id, "read", path) == 0);
    }
    const std::string explained = daemon.ctl({"explain", id}).out;
    CHECK(denied(explained, "read", "/etc/shadow", "count") == "1");
    CHECK(json_at(explained, "/complete") == "true");
  }

  TEST_CASE("what the host's audit loses is not told to be all") {
    if (!std::getenv("KAIRO_TEST_AUDIT")) return;
    const Daemon daemon;
    const std::string id = "flood";
    const Ran ran =
        daemon.ctl(bash({"run", "--id", id, "--allow-read", "/usr", "--allow-write", "/dev/null"},
                        "for ((i = 0; i < 20000; i++)); do : </etc/shadow; done 2>/dev/null; exit 3"));
    CHECK(ran.code == 3);
    const std::string explained = daemon.ctl({"explain", id}).out;
    const std::string count = denied(explained, "read", "/etc/shadow", "count");
    CHECK((json_at(explained, "/complete") == "false" || count == "20000"));
    // It is nothing to those that come later.
    CHECK(daemon.ctl({"run", "--id", "later", "--allow-read", "/usr", "--", "cat", "/etc/shadow"}).code == 1);
    CHECK(json_at(daemon.ctl({"explain", "later"}).out, "/complete") == "true");
  }

  TEST_CASE("the host's audit is switched: what is told is as it is at that moment") {
    if (!std::getenv("KAIRO_TEST_AUDIT")) return;
    const Daemon daemon;
    const AuditSwitch audit;
    const std::vector<std::string> words{"--allow-read", "/usr"};
    const std::string runs = spawned(daemon, bash(words, "read -r line"));
    const std::string twice = spawned(daemon, bash(words, "read -r line"));
    CHECK(json_at(daemon.ctl({"explain", runs}).out, "/complete") == "true");
    const auto told = [&] { return !json_at(daemon.ctl({"info"}).out, "/confinement/sources/1").empty(); };
    audit.to(false);
    eventually([&] { return !told(); }, "that it is off is known");
    CHECK(daemon.ctl({"run", "--id", "off", "--allow-read", "/usr", "--", "cat", "/etc/shadow"}).code == 1);
    std::string explained = daemon.ctl({"explain", "off"}).out;
    CHECK(explained.find("the host's audit is off") != std::string::npos);
    CHECK(json_at(explained, "/sources/1").empty());
    CHECK(json_at(daemon.ctl({"explain", runs}).out, "/complete") == "false");
    audit.to(true);
    eventually(told, "that it is on is known");
    CHECK(daemon.ctl({"run", "--id", "on", "--allow-read", "/usr", "--", "cat", "/etc/shadow"}).code == 1);
    explained = daemon.ctl({"explain", "on"}).out;
    CHECK(json_at(explained, "/complete") == "true");
    CHECK(denied(explained, "read", "/etc/shadow", "count") == "1");
    // Off for a moment is off.
    const std::string moment = spawned(daemon, bash(words, "read -r line"));
    audit.to(false);
    audit.to(true);
    CHECK(json_at(daemon.ctl({"explain", moment}).out, "/complete") == "false");
  }

  TEST_CASE("what Landlock denied to a session that goes on outlives the daemon") {
    if (!std::getenv("KAIRO_TEST_AUDIT")) return;
    Daemon daemon({.keep = true});
    const std::string id =
        spawned(daemon, bash({"--allow-read", "/usr", "--allow-write", "/dev/null"},
                             "while read -r line; do : 2>/dev/null <$line || echo out; done"));
    const auto ask_for = [&](const std::string& path, std::size_t before) {
      CHECK(daemon.ctl({"write", id}, path + "\n").code == 0);
      eventually([&] { return lines_of(daemon.ctl({"logs", id}).out).size() == before + 1; }, "an answer");
    };
    ask_for("/etc/shadow", 0);
    CHECK(count_of(daemon, id, "read", "/etc/shadow") == 1);
    ::kill(daemon.pids().daemon, SIGKILL);
    daemon.start({.keep = true});
    CHECK(count_of(daemon, id, "read", "/etc/shadow") == 1);
    CHECK(json_at(daemon.ctl({"explain", id}).out, "/complete") == "false");
    ask_for("/etc/shadow", 1);
    CHECK(count_of(daemon, id, "read", "/etc/shadow") == 2);
    daemon.ctl({"kernel", "stop", "--processes", "keep"});
    {
      const AuditSwitch audit;
      audit.to(false);
      daemon.start({.keep = true});
      const std::string explained = daemon.ctl({"explain", id}).out;
      CHECK(denied(explained, "read", "/etc/shadow", "count") == "2");
      CHECK(explained.find("was off when it was started") == std::string::npos);
    }
    CHECK(daemon.ctl({"close-stdin", id}).code == 0);
    CHECK(daemon.ctl({"wait", id}).code == 0);
    CHECK(count_of(daemon, id, "read", "/etc/shadow") == 2);
  }

  TEST_CASE("a keeper that is killed takes its list along, which is told") {
    if (!sandbox::host().tells) return;
    const Daemon daemon;
    const std::string id = spawned(
        daemon,
        bash({"--allow-read", "/usr", "--allow-write", "/dev/null", "--net", "none"}, asks_on_demand));
    ask(daemon, id, 0);
    ::kill(daemon.pids().keeper, SIGKILL);
    eventually(
        [&] {
          return json_at(daemon.ctl({"status", id}).out, "/outcome/reason") == "lost";
        },
        "the session's end");
    const std::string explained = daemon.ctl({"explain", id}).out;
    CHECK(json_at(explained, "/complete") == "false");
    CHECK(explained.find("the keeper that counted them is lost") != std::string::npos);
  }

}  // TEST_SUITE

}  // namespace kairo::test
