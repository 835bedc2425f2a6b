// The break-in suite: every attempt of kairo-break-in without confinement, where it is to succeed, and under
// each of several declarations, where it is to fail; as the user that runs the tests, and where that is root,
// as an ordinary user as well.
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <unistd.h>

#include <doctest/doctest.h>

#include "e2e/support.hpp"
#include "sandbox/host.hpp"
#include "support/harness.hpp"

namespace kairo::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* ordinary_user = "12345";

enum class Free {
  yes,     ///< Succeeds without confinement.
  no,      ///< Fails: the system or the daemon refuse it to everybody; shown all the same.
  perhaps  ///< Depends on how this host is set up.
};

struct Row {
  std::string name;
  Free root;
  Free user;
  std::set<std::string> allowed =
      {};  ///< Declarations that allow it, or of which docs/security.md says that it stays open.
};

const std::set<std::string> writers{"writer", "ports", "kernel", "sockets", "online", "private"};
const std::set<std::string> nets{"online", "private"};
constexpr Free y = Free::yes, n = Free::no, p = Free::perhaps;

const std::vector<Row> rows{
    // files
    {"read-path", y, y},
    {"read-dot-dot", y, y},
    {"read-relative", y, y},
    {"read-symlink", y, y},
    {"read-planted-symlink", y, y},
    {"read-hard-link", y, y},
    {"read-self-root", y, y},
    {"read-self-cwd", y, y},
    {"read-victim-root", y, y},
    {"read-at-directory", y, y},
    {"reopen-descriptor", y, y},
    {"read-by-handle", y, n},
    {"list-directory", y, y},
    {"write-path", y, y},
    {"append-path", y, y},
    {"write-readable", y, y},
    {"create-file", y, y},
    {"create-unnamed", p, p},
    {"make-directory", y, y},
    {"make-symlink", y, y},
    {"make-fifo", y, y},
    {"make-device", p, n},
    {"remove-file", y, y},
    {"remove-directory", y, y},
    {"rename-out", y, y},
    {"rename-in", y, y},
    {"rename-exchange", y, y},
    {"link-out", y, y},
    {"truncate-path", y, y},
    {"truncate-open", y, y},
    {"execute-file", y, y},
    {"execute-by-loader", p, p},
    {"change-mode", y, y, writers},
    {"change-mode-descriptor", y, y, writers},
    {"change-mode-flags", p, p, writers},
    {"change-owner", y, y, writers},
    {"change-owner-at", y, y, writers},
    {"change-times", y, y, writers},
    {"change-attribute", p, p, writers},
    {"change-flags", p, p, writers},
    {"change-flags-high-bits", p, p, writers},
    {"change-generation", p, p, writers},
    {"lease-file", p, p},
    {"bind-mount", p, n},
    {"bind-mount-own-namespace", p, p},
    {"clone-tree", p, n},
    {"open-file-system", p, n},
    {"change-root", p, n},
    {"write-core-pattern", p, n},
    {"write-kernel-log", p, n},
    {"read-shadow", y, n},
    {"widen-ruleset", y, y},
    // network
    {"tcp-connect", y, y, {"online"}},
    {"tcp-connect-mapped", p, p, {"online"}},
    {"tcp-connect-high-bits", y, y, {"online"}},
    {"tcp-fast-open", y, y, nets},
    {"tcp-fast-open-message", y, y, nets},
    {"tcp-bind", y, y, nets},
    {"tcp-listen-unbound", y, y, nets},
    {"tcp-other-protocol", y, y, nets},
    {"multipath-connect", p, p, {"online"}},
    {"udp-send", y, y, nets},
    {"udp-bind", y, y, nets},
    {"raw-socket", p, n},
    {"packet-socket", p, n},
    {"netlink-socket", y, y, nets},
    {"vsock-socket", p, p, {"online"}},
    {"router-socket", p, p, {"online"}},
    {"crypto-socket", p, p, {"online"}},
    // Unix sockets, System V IPC
    {"unix-connect", y, y, {"sockets"}},
    {"unix-abstract", y, y, {"sockets"}},
    {"unix-datagram", y, y, {"sockets"}},
    {"unix-pair-reconnected", y, y, {"sockets"}},
    {"unix-raw-pair", y, y, {"sockets"}},
    {"unix-bind-outside", y, y},
    {"session-bus", y, y, {"sockets"}},
    {"kernel-socket", y, y, {"sockets"}},
    {"shared-memory", y, y, {"sockets"}},
    {"semaphore", y, y, {"sockets"}},
    {"message-queue", y, y, {"sockets"}},
    {"posix-queue", p, p, {"sockets"}},
    // other processes
    {"signal-kill", y, y},
    {"signal-thread", y, y},
    {"signal-queue", y, y},
    {"signal-descriptor", y, y},
    {"signal-starter", y, y},
    {"trace-attach", p, p},
    {"read-memory", p, p},
    {"write-memory", p, p},
    {"take-descriptor", p, p},
    {"compare-descriptors", p, p},
    {"read-environment", y, y},
    {"open-memory", p, p},
    {"open-command-line", y, y},
    {"open-descriptor-of-victim", y, y},
    {"change-limits", y, y},
    // namespaces and the kernel's doors
    {"unshare-user", p, p},
    {"unshare-network", p, n},
    {"unshare-mounts", p, n},
    {"clone-user", p, p},
    {"clone3-user", p, p},
    {"clone-sibling", y, y},
    {"join-namespace", p, n},
    {"ring", p, p},
    {"key-add", p, p},
    {"key-ring", p, p},
    {"program-kernel", p, p},
    {"performance-events", p, p},
    {"user-faults", p, p},
    {"load-module", p, n},
    {"restart-machine", p, n},
    {"swap-on", p, n},
    {"name-host", p, n},
    {"set-clock", p, p},
    {"watch-files", p, p},
    {"type-on-terminal", y, y},
    {"type-on-terminal-high-bits", y, y},
    {"console-selection", y, y},
    {"other-abi", p, p},
    // rights
    {"capabilities", y, n},
    {"capabilities-by-exec", y, n},
    {"set-user-id-program", n, p},
    {"become-other-user", p, n},
    {"inherited-descriptors", n, n},
    // the kernel's own connection
    {"spawn-undeclared", y, y},
    {"spawn-clean-environment", y, y},
    {"spawn-unconfined", y, y},
    {"spawn-wider", y, y},
    {"spawn-by-dot-dot", y, y},
    {"spawn-by-symlink", y, y},
    {"spawn-with-network", y, y},
    {"spawn-with-sockets", y, y},
    {"spawn-as-orphan", p, p},  // its control group may tell whose it is
    {"forge-event", n, n},
    {"forge-identity", n, n},
};

std::string break_in_path() {
  if (const char* programs = std::getenv("KAIRO_TEST_PROGRAMS"))
    if (const std::string copy = std::string(programs) + "/kairo-break-in"; fs::exists(copy)) return copy;
  return KAIRO_TEST_BREAK_IN;
}

/// Directories and a victim, made anew for every run, since many attempts leave traces.
class Scene {
 public:
  Scene() : victim_({break_in_path(), "victim", dir_.path()}) {
    fs::permissions(dir_.path(), fs::perms(0755));
    for (const char* each :
         {"inside", "inside/mountpoint", "readable", "outside", "outside/doomed-dir", "tools"})
      fs::create_directory(dir_.file(each));
    for (const char* each : {"inside/mine", "inside/mine2", "inside/mine3", "outside/written",
                             "outside/doomed", "outside/wanted", "readable/file"})
      dir_.put(each, "plain\n");
    dir_.put("outside/secret", "secret\n");
    fs::create_symlink(dir_.file("outside/secret"), dir_.file("inside/planted"));
    for (const char* each : {"tools/kairo-break-in", "outside/tool"})
      fs::copy_file(break_in_path(), dir_.file(each));
    victim_.await_out("ready\n");
    for (const std::string& line : lines_of(victim_.out()))
      if (const std::size_t equals = line.find('='); equals != std::string::npos)
        variables_[line.substr(0, equals)] = line.substr(equals + 1);
    variables_["SCENE"] = dir_.path();
    variables_["SELF"] = tool();
  }
  ~Scene() {
    victim_.close_stdin();
    victim_.wait();
  }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;

  [[nodiscard]] std::string tool() const { return dir_.file("tools/kairo-break-in"); }
  [[nodiscard]] std::string path(const std::string& name) const { return dir_.file(name); }
  [[nodiscard]] const std::map<std::string, std::string>& variables() const { return variables_; }
  [[nodiscard]] std::string variable(const std::string& name) const { return variables_.at(name); }

 private:
  TempDir dir_;
  Program victim_;
  std::map<std::string, std::string> variables_;
};

std::vector<std::string> declaration(const Scene& scene, const std::string& name) {
  if (name == "none") return {};
  std::vector<std::string> out{"--allow-read",      "/usr",         "--allow-read",
                               scene.path("tools"), "--allow-read", scene.path("readable")};
  if (const char* programs = std::getenv("KAIRO_TEST_PROGRAMS"))
    out.insert(out.end(), {"--allow-read", programs});
  if (name != "reader") out.insert(out.end(), {"--allow-write", scene.path("inside")});
  if (name == "ports") out.insert(out.end(), {"--connect-tcp", scene.variable("OPEN_TCP")});
  if (name == "kernel") out.insert(out.end(), {"--ipc", "kernel"});
  if (name == "sockets") out.insert(out.end(), {"--ipc", "all"});
  if (name == "online") out.insert(out.end(), {"--net", "all"});
  if (name == "private") out.insert(out.end(), {"--net", "private"});
  return out;
}

/// "in", "moot" or "kept WHY" by attempt.
std::map<std::string, std::string> results(const Daemon& daemon, const std::string& name,
                                           const std::string& attempt = "all") {
  const Scene scene;
  std::vector<std::string> words{"run", "--rm", "--cwd", scene.path("inside")};
  for (const auto& [key, value] : scene.variables()) words.insert(words.end(), {"-e", key + "=" + value});
  words.insert(words.end(), {"-e", "KEEPER=" + std::to_string(daemon.pids().keeper)});
  if (const char* set_user_id = std::getenv("SET_USER_ID"))
    words.insert(words.end(), {"-e", std::string("SET_USER_ID=") + set_user_id});
  for (const std::string& each : declaration(scene, name)) words.push_back(each);
  words.insert(words.end(), {"--", scene.tool(), attempt});
  const Ran ran = daemon.ctl(words);
  INFO(ran.err);
  std::map<std::string, std::string> out;
  for (const std::string& line : lines_of(ran.out))
    if (const std::size_t space = line.find(' '); space != std::string::npos)
      out[line.substr(0, space)] = line.substr(space + 1);
  REQUIRE_MESSAGE(out.size() >= (attempt == "all" ? rows.size() : 1), ran.out << ran.err);
  return out;
}

bool is_root() {
  return ::geteuid() == 0;
}

}  // namespace

TEST_SUITE_BEGIN("break-in");

TEST_CASE("without confinement the attempts succeed, so that their failure means something") {
  REQUIRE(rows.size() >= 60);
  const Daemon daemon;
  auto found = results(daemon, "none");
  CHECK(found.size() == rows.size());  // none of the program's is without a row
  std::size_t succeeded = 0;
  for (const Row& row : rows) {
    const std::string result = found[row.name];
    CAPTURE(row.name);
    CAPTURE(result);
    const Free free = is_root() ? row.root : row.user;
    if (free == Free::yes) CHECK(result == "in");
    if (free == Free::no) CHECK(result != "in");
    succeeded += result == "in";
  }
  MESSAGE(succeeded << " of " << rows.size() << " succeed without confinement");
  CHECK(succeeded >= 60);
}

TEST_CASE("under each declaration nothing succeeds that it does not allow") {
  const Daemon daemon;
  for (const std::string name : {"reader", "writer", "ports", "kernel", "sockets", "online", "private"}) {
    if (name == "private" && !sandbox::host().private_network) continue;
    CAPTURE(name);
    auto found = results(daemon, name);
    for (const Row& row : rows) {
      const std::string result = found[row.name];
      CAPTURE(row.name);
      CAPTURE(result);
      bool allowed = row.allowed.contains(name);
      if (row.name == "spawn-with-network") allowed = name == "online";
      if (row.name == "spawn-with-sockets") allowed = name == "sockets";
      if (!allowed) CHECK(result != "in");
      if (!allowed) CHECK(result != "");
    }
  }
}

TEST_CASE("the same as an ordinary user") {
  if (!is_root()) return;  // this is one
  TempDir programs;
  fs::permissions(programs.path(), fs::perms(0755));
  for (const std::string& each :
       {kairod_path(), kairoctl_path(), test_child_path(), std::string(KAIRO_TEST_BREAK_IN),
        fs::read_symlink("/proc/self/exe").string()})
    fs::copy_file(each, programs.file(fs::path(each).filename()));
  const std::string privileged = programs.file("set-user-id");
  fs::copy_file(KAIRO_TEST_BREAK_IN, privileged);
  fs::permissions(privileged, fs::perms(04755));
  StartOptions options;
  options.env = {{"KAIRO_TEST_PROGRAMS", programs.path()},
                 {"SET_USER_ID", privileged},
                 {"HOME", "/nonexistent"},
                 {"XDG_RUNTIME_DIR", std::nullopt},
                 {"XDG_CONFIG_HOME", std::nullopt}};
  const Ran ran = run({"setpriv", "--reuid", ordinary_user, "--regid", ordinary_user, "--clear-groups", "--",
                       programs.file("kairo_security_tests"), "--test-suite=break-in"},
                      {}, options);
  INFO(ran.out);
  INFO(ran.err);
  CHECK(ran.code == 0);
  CHECK(ran.out.find("succeed without confinement") != std::string::npos);  // it did run
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("confinement");

TEST_CASE("what a declaration names can be used") {
  const Daemon daemon;
  const Scene scene;
  const auto go = [&](std::vector<std::string> declared, std::vector<std::string> program) {
    std::vector<std::string> words{"run", "--rm", "--cwd", scene.path("inside"), "--allow-read", "/usr"};
    words.insert(words.end(), declared.begin(), declared.end());
    words.push_back("--");
    words.insert(words.end(), program.begin(), program.end());
    return daemon.ctl(words, "piped\n");
  };
  CHECK(go({}, {"sh", "-c", "cat > /dev/null && echo fine"}).out == "fine\n");
  CHECK(go({"--allow-read", "../readable"}, {"cat", "../readable/file"}).out == "plain\n");
  CHECK(go({"--allow-write", "."}, {"sh", "-c", "echo x > a && mkdir d && mv a d/b && cat d/b && rm -r d"})
            .out == "x\n");
  CHECK(go({"--allow-write", "."}, {"sh", "-c", "cat; chmod 600 mine && echo done"}).out == "piped\ndone\n");
  CHECK(go({}, {"cat", "mine"}).code == 1);
}

TEST_CASE("a session shows what is in force, also when the next daemon has it") {
  Daemon daemon({.keep = true});
  const Scene scene;
  const std::string id = spawned(daemon, {"--cwd", scene.path("inside"), "--allow-read", "/usr",
                                          "--allow-write", ".", "--bind-tcp", "8080", "--", "sleep", "1000"});
  const auto check = [&] {
    const std::string session = daemon.ctl({"status", id}).out;
    CHECK(json_at(session, "/permissions/fs/read/0") == "/usr");
    CHECK(json_at(session, "/permissions/fs/write/0") == scene.path("inside"));
    CHECK(json_at(session, "/permissions/net/bindTcp/0") == "8080");
    CHECK(json_at(session, "/permissions/ipc") == "none");
  };
  check();
  daemon.ctl({"kernel", "stop", "--processes", "keep"});
  daemon.start({.keep = true});
  check();
  const auto explained = [&](const std::string& target) { return daemon.ctl({"explain", id, target}).out; };
  CHECK(json_at(explained("/usr/bin/sh"), "/accesses/0/by") == "fs.read /usr");
  CHECK(json_at(explained("mine"), "/accesses/1/by") == "fs.write " + scene.path("inside"));
  CHECK(json_at(explained("/etc/shadow"), "/accesses/0/allowed") == "false");
  CHECK(json_at(explained("/etc/shadow"), "/accesses/0/would") == "--allow-read /etc/shadow");
  CHECK(json_at(explained("tcp:8080"), "/accesses/0/would") == "--connect-tcp 8080");
  CHECK(json_at(explained("tcp:8080"), "/accesses/1/by") == "net.bindTcp 8080");
  CHECK(daemon.ctl({"explain", id, "tcp:x"}).code == 1);
}

TEST_CASE("a declaration that cannot be had is refused before anything starts") {
  const Daemon daemon;
  const auto error = [&](std::vector<std::string> words) {
    words.insert(words.begin(), "spawn");
    words.insert(words.end(), {"--", "true"});
    const Ran ran = daemon.ctl(words);
    CHECK(ran.code == 1);
    return ran.err;
  };
  const std::string absent = error({"--allow-read", "/usr", "--allow-read", "/nonexistent"});
  CHECK(json_at(absent, "/error/code") == "E_SPAWN_FAILED");
  CHECK(json_at(absent, "/error/details/object") == "/nonexistent");
  CHECK(json_at(absent, "/error/details/step") == "permissions");
  CHECK(json_at(error({"--profile", "readonly"}), "/error/details/path") == "params.options.profile");
  CHECK(json_at(error({"--allow-read", "/usr", "--connect-tcp", "80", "--ipc", "all"}), "/error/code") ==
        "E_UNSUPPORTED");
  // The program itself is outside of the declaration.
  const std::string program = error({"--allow-read", "/etc"});
  CHECK(json_at(program, "/error/details/step") == "exec");
  CHECK(json_at(program, "/error/details/errnoName") == "EACCES");
  CHECK(daemon.ctl({"ps", "--all"}).out == "");
}

TEST_CASE("a private network has a loopback of its own and nothing else") {
  if (!sandbox::host().private_network) return;
  const Daemon daemon;
  const Ran ran = daemon.ctl({"run", "--allow-read", "/usr", "--allow-read", "/proc", "--net", "private",
                              "--", "sh", "-c", "tail -n +3 /proc/net/dev | cut -d: -f1; id -u"});
  CHECK(lines_of(ran.out).size() == 2);
  CHECK(ran.out.find("lo\n") != std::string::npos);
  CHECK(lines_of(ran.out).back() == std::to_string(::geteuid()));
}

TEST_CASE("a confined process reaches the daemon by its descriptor, several of its processes at once") {
  const Daemon daemon;
  const std::string ctl = kairoctl_path();
  const Ran ran =
      daemon.ctl({"run", "--allow-read", "/usr", "--allow-read", ctl, "--ipc", "kernel", "--", "sh", "-c",
                  "for i in 1 2 3 4; do " + ctl + " ping > /dev/null || echo failed & done; wait; " + ctl +
                      " run -- echo nested"});
  INFO(ran.err);
  CHECK(ran.out == "nested\n");
  CHECK(ran.code == 0);
}

TEST_CASE("profiles start programs and keep their promises") {
  const Daemon daemon;
  const TempDir outside("/tmp");  // whatever $TMPDIR says
  const auto go = [&](const char* profile, const std::string& script) {
    return daemon.ctl({"run", "--rm", "--cwd", "/usr/share", "--profile", profile, "--", "sh", "-c", script});
  };
  CHECK(go("read-only", "id -u").out == std::to_string(::geteuid()) + "\n");
  CHECK(go("read-only", "touch " + outside.file("x")).code != 0);
  CHECK(go("workspace", "touch " + outside.file("x") + " && echo made").out == "made\n");
  CHECK(go("workspace", "cat /etc/shadow").code != 0);
  CHECK(go("offline", "touch " + outside.file("y") + " && echo made").out == "made\n");
  CHECK(go("unconfined", "cat /proc/self/status | grep -c NoNewPrivs:.0").out == "1\n");
  CHECK(go("workspace", "cat /proc/self/status | grep -c NoNewPrivs:.1").out == "1\n");
}

TEST_SUITE_END();

}  // namespace kairo::test
