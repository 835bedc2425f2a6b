// Who may do what (SPEC 7.1, 7.2, 8.2, 3.1): processes inside sessions, several users, the policy. What needs
// root or a second user says so where it cannot run.
#include <csignal>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "api/methods.hpp"
#include "client/client.hpp"
#include "e2e/support.hpp"

using namespace kairo::test;

namespace {

/// kairoctl where every user can execute it, and the words of a shell's command that calls it.
class Ctl {
 public:
  explicit Ctl(const TempDir& dir) : path_(dir.file("kairoctl")) {
    ::chmod(dir.path().c_str(), 0755);
    std::ifstream from(kairoctl_path(), std::ios::binary);
    std::ofstream(path_, std::ios::binary) << from.rdbuf();
    ::chmod(path_.c_str(), 0755);
  }
  [[nodiscard]] const std::string& path() const { return path_; }
  /// kairoctl against the daemon, run by another user.
  [[nodiscard]] Ran as(const Daemon& place, uid_t uid, const std::vector<std::string>& arguments) const {
    const std::string id = std::to_string(uid);
    std::vector<std::string> argv{"setpriv", "--reuid=" + id, "--regid=" + id,
                                  "--groups=" + std::to_string(uid + 1)};
    auto own = place.ctl_argv(arguments);
    own[0] = path_;
    argv.insert(argv.end(), own.begin(), own.end());
    StartOptions options;
    options.env = {{"HOME", "/"}, {"XDG_RUNTIME_DIR", std::nullopt}};
    options.cwd = "/";
    return run(argv, {}, options);
  }

 private:
  std::string path_;
};

constexpr uid_t alice = 12345, bob = 12355;

bool skip_unless_root() {
  if (::geteuid() == 0) return false;
  MESSAGE("skipped: only root can serve, and become, several users");
  return true;
}

/// What a shell script inside a session wrote to its stdout, after its end.
std::string inside(const Daemon& place, const std::string& id, const std::string& script) {
  REQUIRE(place.ctl({"spawn", "--id", id, "--", "sh", "-c", script}).code == 0);
  REQUIRE(place.ctl({"wait", id}).code == 0);
  return place.ctl({"logs", id, "--stream", "stdout"}).out;
}

/// Whether this host can confine a process at all.
bool confines() {
  Daemon place;
  if (json_at(place.ctl({"info"}).out, "/features/permissions") == "true") return true;
  MESSAGE("skipped: this kernel cannot confine a process");
  return false;
}

std::string code_of(const std::string& text) {
  return json_at(text, "/error/code");
}

}  // namespace

TEST_SUITE_BEGIN("security");

TEST_CASE("a process inside a session acts as that session: on what came from it, and on nothing else") {
  Daemon place;
  const Ctl ctl(place.dir());
  const std::string sibling = spawned(place, {"--id", "sibling", "sleep", "1000"});
  const std::string& call = ctl.path();
  const std::string out = inside(place, "outer",
                                 call + " spawn --id made sleep 1000; "  // its own
                                     + call + " status sibling 2>&1; "   // its user's
                                     + call + " kill sibling 2>&1; "     //
                                     + call + " cancel outer 2>&1; "     // itself: not created by it
                                     + call + " kernel stop 2>&1; "      //
                                     + "setsid " + call + " ps; "        // from a session of its own
                                     + "(" + call + " spawn --id deeper -- " + call + " status made)");
  const auto lines = lines_of(out);
  CAPTURE(out);
  REQUIRE(lines.size() == 7);
  CHECK(json_at(lines[0], "/owner") == "process:outer");
  for (int i = 1; i <= 4; ++i) CHECK(code_of(lines[static_cast<std::size_t>(i)]) == "E_PERMISSION_DENIED");
  CHECK(json_at(lines[5], "/id") == "made");  // ps knows nothing else
  CHECK(json_at(lines[6], "/id") == "deeper");
  // What one of its programs started may not reach up to what it has started itself.
  place.ctl({"wait", "deeper"});
  CHECK(json_at(place.ctl({"status", "deeper"}).out, "/exitCode") == "77");
  // The user sees the whole tree.
  CHECK(lines_of(place.ctl({"ps", "--all"}).out).size() == 4);
  CHECK(place.ctl({"kill", "made"}).code == 0);
  const std::string events = place.ctl({"events", "--topic", "kairo.security.denied"}).out;
  CHECK(json_at(lines_of(events).at(0), "/data/principal") == "process:outer");
  CHECK(json_at(lines_of(events).at(0), "/data/method") == "process.status");
  CHECK(json_at(lines_of(events).at(0), "/data/target") == "sibling");
}

TEST_CASE("what a client says of itself gives it nothing") {
  Daemon place;
  const Ctl ctl(place.dir());
  spawned(place, {"--id", "other", "sleep", "1000"});
  const std::string& call = ctl.path();
  const std::string out = inside(place, "liar",
                                 "KAIRO_PROCESS_ID=other " + call + " status other 2>&1; env -i " + call +
                                     " --socket " + place.socket() + " status other 2>&1; env -i " + call +
                                     " --socket " + place.socket() + " spawn --id child true");
  const auto lines = lines_of(out);
  CAPTURE(out);
  REQUIRE(lines.size() == 3);
  CHECK(code_of(lines[0]) == "E_PERMISSION_DENIED");
  CHECK(code_of(lines[1]) == "E_PERMISSION_DENIED");
  CHECK(json_at(lines[2], "/owner") == "process:liar");
}

TEST_CASE("a client that misbehaves on and on does not fill the log") {
  Daemon place;
  auto client = kairo::client::Client::connect({.socket = place.socket()});
  REQUIRE(client.ok());
  constexpr std::size_t sent = 2000;  // a hundred times what a second may have
  kairo::api::Event event;
  event.type = "kairo.forged";
  event.data.msgpack = "\x80";
  for (std::size_t i = 0; i < sent; ++i) client->send_event(event);
  REQUIRE(client->call_raw("kernel.ping", kairo::api::NoParams{}, kairo::SteadyClock::now() + patience).ok());
  std::size_t told = 0;
  eventually(
      [&] {
        told = 0;
        std::size_t left_out = 0;
        for (const std::string& each : lines_of(place.said())) {
          if (each.find(" was ignored: ") != std::string::npos) ++told;
          const std::size_t at = each.find(" more lines about clients were left out");
          if (at == std::string::npos) continue;
          const std::size_t space = each.rfind(' ', at - 1);
          left_out += std::stoull(each.substr(space == std::string::npos ? 0 : space + 1));
        }
        return told + left_out == sent;
      },
      "a word about each");
  CHECK(told < sent / 2);
}

TEST_CASE("an orphan is its session's, or nobody's: never its user") {
  Daemon place;
  const Ctl ctl(place.dir());
  spawned(place, {"--id", "other", "sleep", "1000"});
  const std::string answer = place.dir().file("answer"), go = place.dir().file("go");
  // Two forks and a setsid: the shell in between has ended, the keeper is its parent.
  const std::string script = "(setsid sh -c 'while [ ! -e " + go + " ]; do sleep 0.05; done; " + ctl.path() +
                             " kill other > " + answer + ".part 2>&1; mv " + answer + ".part " + answer +
                             "' &) ; sleep 1000";
  spawned(place, {"--id", "parent", "sh", "-c", script});
  place.dir().put("go", "");
  eventually([&] { return ::access(answer.c_str(), F_OK) == 0; }, "the orphan has its answer");
  CHECK(code_of(read_file(answer)) == "E_PERMISSION_DENIED");
  CHECK(json_at(place.ctl({"status", "other"}).out, "/status") == "running");
}

TEST_CASE("who a process is outlives the daemon, and so does what it owns") {
  Daemon place({.start = false});
  const Ctl ctl(place.dir());
  REQUIRE(place.ctl({"ping"}).code == 0);
  const std::string go = place.dir().file("go");
  spawned(place, {"--id", "lasting", "sh", "-c",
                  ctl.path() + " spawn --id before sleep 1000; while [ ! -e " + go +
                      " ]; do sleep 0.05; done; " + ctl.path() + " spawn --id after true; " + ctl.path() +
                      " kill before; " + ctl.path() + " kernel stop 2>&1"});
  eventually([&] { return place.ctl({"status", "before"}).code == 0; }, "it has started one");
  ::kill(place.pids().daemon, SIGKILL);
  eventually([&] { return place.ctl({"ping"}).code == 0; }, "another daemon answers");
  place.dir().put("go", "");
  REQUIRE(place.ctl({"wait", "lasting"}).code == 0);
  const auto lines = lines_of(place.ctl({"logs", "lasting", "--stream", "stdout"}).out);
  REQUIRE(lines.size() == 4);
  CHECK(json_at(lines[1], "/owner") == "process:lasting");
  CHECK(json_at(lines[2], "/id") == "before");
  CHECK(code_of(lines[3]) == "E_PERMISSION_DENIED");
  CHECK(json_at(place.ctl({"status", "before"}).out, "/owner") == "process:lasting");
}

TEST_CASE("a process number that is used again is not the session that had it") {
  if (skip_unless_root()) return;
  if (::access("/proc/sys/kernel/ns_last_pid", W_OK) != 0) {
    MESSAGE("skipped: this kernel does not let numbers be chosen");
    return;
  }
  Daemon place;
  const Ctl ctl(place.dir());
  const std::string& call = ctl.path();
  // "gone" leaves something behind that only it may act on.
  inside(place, "gone", call + " spawn --id left sleep 1000");
  const std::string number = json_at(place.ctl({"status", "gone"}).out, "/pid");
  const std::string before = std::to_string(std::stol(number) - 1);
  // A session leader with the number of the session that has ended, inside another session.
  const std::string script = "i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo " + before +
                             " > /proc/sys/kernel/ns_last_pid; setsid sh -c '[ $$ = " + number +
                             " ] || exit 9; echo got; " + call + " kill left 2>&1; " + call +
                             " spawn --id stolen true' ; [ $? = 9 ] || break; done";
  const auto lines = lines_of(inside(place, "thief", script));
  if (lines.empty()) {
    MESSAGE("skipped: the number was not to be had");
    return;
  }
  REQUIRE(lines.size() == 3);
  CHECK(code_of(lines[1]) == "E_PERMISSION_DENIED");
  CHECK(json_at(lines[2], "/owner") == "process:thief");
}

TEST_CASE(
    "two users of one daemon: each its own processes, environment and view, and nothing of the other's") {
  if (skip_unless_root()) return;
  Daemon place({.arguments = {"--socket-mode", "0666"}, .env = {{"ROOTS_SECRET", "hidden"}}});
  const Ctl ctl(place.dir());
  const Ran mine =
      ctl.as(place, alice, {"run", "--", "sh", "-c", "id -u; id -g; id -G; echo ${ROOTS_SECRET:-none}"});
  CAPTURE(mine.err);
  CHECK(mine.out == "12345\n12345\n12345 12346\nnone\n");
  REQUIRE(ctl.as(place, alice,
                 {"spawn", "--clean-env", "--id", "hers", "--", "sh", "-c",
                  "echo secret; echo ${ROOTS_SECRET:-none}; sleep 1000"})
              .code == 0);
  CHECK(json_at(ctl.as(place, alice, {"status", "hers"}).out, "/owner") == "user:12345");
  for (const std::vector<std::string>& each : {std::vector<std::string>{"status", "hers"},
                                               {"logs", "hers"},
                                               {"kill", "hers"},
                                               {"write", "hers", "x"},
                                               {"attach", "hers"},
                                               {"cancel", "hers"},
                                               {"forget", "hers"},
                                               {"wait", "hers"},
                                               {"kernel", "stop"}}) {
    CAPTURE(each[0]);
    const Ran refused = ctl.as(place, bob, each);
    CHECK(refused.code == 77);
    CHECK(code_of(refused.err) == "E_PERMISSION_DENIED");
  }
  CHECK(ctl.as(place, bob, {"ps"}).out.empty());
  CHECK(ctl.as(place, bob, {"spawn", "--id", "hers", "true"}).err.find("sleep 1000") == std::string::npos);
  const std::string seen = ctl.as(place, bob, {"events"}).out;
  CHECK(seen.find("sleep") == std::string::npos);
  CHECK(seen.find("user:12345") == std::string::npos);
  CHECK(ctl.as(place, alice, {"events"}).out.find("kairo.process.spawned") != std::string::npos);
  // Root sees all; its own processes run as root.
  CHECK(json_at(place.ctl({"ps"}).out, "/id") == "hers");
  CHECK(place.ctl({"run", "--", "id", "-u"}).out == "0\n");
  eventually([&] { return place.ctl({"logs", "hers"}).out == "secret\nnone\n"; }, "both lines are there");
  // A user's process inside is bound like any other.
  const Ran nested = ctl.as(place, alice, {"run", "--", ctl.path(), "kill", "hers"});
  CHECK(code_of(nested.err) == "E_PERMISSION_DENIED");
}

TEST_CASE(
    "who becomes another user inside a session shares nothing with that session's user, nor with a third") {
  if (skip_unless_root()) return;
  Daemon place({.arguments = {"--socket-mode", "0666"}});
  const Ctl ctl(place.dir());
  const std::string& call = ctl.path();
  const auto as = [](uid_t uid) {
    return "setpriv --reuid " + std::to_string(uid) + " --regid " + std::to_string(uid) + " --clear-groups ";
  };
  // A service of root's that lets users in.
  const std::string out =
      inside(place, "login",
             "cd /; " + as(alice) + call + " spawn --id hers -- sleep 1000; " + as(bob) + call + " ps; " +
                 as(bob) + call + " kill hers 2>&1; " + as(alice) + call + " status hers");
  const auto lines = lines_of(out);
  CAPTURE(out);
  REQUIRE(lines.size() == 3);
  CHECK(code_of(lines[1]) == "E_PERMISSION_DENIED");
  CHECK(json_at(lines[2], "/id") == "hers");
  CHECK(ctl.as(place, bob, {"status", "hers"}).code == 77);
  CHECK(ctl.as(place, alice, {"status", "hers"}).code == 0);  // she is who made it
}

TEST_CASE("a user cannot start what only another may execute, nor in a directory that is closed to it") {
  if (skip_unless_root()) return;
  Daemon place({.arguments = {"--socket-mode", "0666"}});
  const Ctl ctl(place.dir());
  const std::string closed = place.dir().file("closed");
  REQUIRE(::mkdir(closed.c_str(), 0700) == 0);
  const Ran refused = ctl.as(place, alice, {"run", "--cwd", closed, "--", "true"});
  CHECK(json_at(refused.err, "/error/details/errnoName") == "EACCES");
  place.dir().put("mine", "#!/bin/sh\n", 0700);
  CHECK(ctl.as(place, alice, {"run", "--", place.dir().file("mine")}).code == 126);
}

TEST_CASE("without --socket-mode another user is not served, and only root can serve others") {
  if (skip_unless_root()) return;
  Daemon place;
  const Ctl ctl(place.dir());
  CHECK(ctl.as(place, alice, {"--no-autostart", "ping"}).code != 0);
  TempDir dir;
  ::chmod(dir.path().c_str(), 0777);
  const Ran ran = run({"setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", kairod_path(),
                       "--socket", dir.file("s"), "--state-dir", dir.file("st"), "--socket-mode", "0666"});
  CHECK(ran.code == 64);
  CHECK(ran.err.find("root") != std::string::npos);
}

TEST_CASE("the policy refuses by a rule that it names, and a reload changes it") {
  TempDir files;
  const std::string uid = std::to_string(::geteuid());
  const auto policy = [&](const std::string& text) {
    return files.put("kairod.json", "{\"policy\": " + text + "}");
  };
  const std::string file = policy(R"({"rules": [
    {"principal": "user:)" + uid + R"(/agent*", "methods": ["process.*", "kernel.info", "event.query"],
     "limits": {"memory": 1000000}},
    {"principal": "process:*", "methods": ["process.list", "process.status", "event.publish"]}]})");
  Daemon place({.arguments = {"--config", file}});
  const Ctl ctl(place.dir());
  CHECK(place.ctl({"metrics"}).code == 0);  // no rule binds a plain user
  const std::string refusal = inside(place, "bound", ctl.path() + " spawn true 2>&1");
  CHECK(code_of(refusal) == "E_PERMISSION_DENIED");
  CHECK(json_at(refusal, "/error/details/rule") == "policy.rules[1] (\"process:*\")");
  CHECK(inside(place, "lists", ctl.path() + " ps").empty());
  const std::string events = place.ctl({"events", "--topic", "kairo.security.denied"}).out;
  CHECK(json_at(lines_of(events).at(0), "/data/rule") == "policy.rules[1] (\"process:*\")");

  const auto test = [&](const std::string& who, const std::string& method) {
    return place.ctl({"policy", "test", who, method});
  };
  CHECK(test("user:" + uid + "/agent-7", "process.kill").code == 0);
  const Ran no = test("user:" + uid + "/agent-7", "device.claim");
  CHECK(no.code == 77);
  CHECK(json_at(no.out, "/allowed") == "false");
  CHECK(json_at(no.out, "/rule") == "policy.rules[0] (\"user:" + uid + "/agent*\")");
  CHECK(json_at(test("user:" + uid + "/agent-7", "process.spawn").out, "/limits/memory") == "1000000");
  CHECK(test("process:bound", "process.spawn").code == 77);
  CHECK(code_of(test("user:" + uid, "proces.spawn").err) == "E_INVALID_PARAMS");
  CHECK(code_of(test("nobody", "process.spawn").err) == "E_INVALID_PARAMS");

  policy(R"({"rules": []})");
  ::kill(place.pids().daemon, SIGHUP);
  eventually([&] { return test("process:bound", "process.spawn").code == 0; }, "the new policy holds");
  CHECK(json_at(inside(place, "free", ctl.path() + " spawn true 2>&1"), "/owner") == "process:free");
}

TEST_CASE("a wrong policy is refused by name, and a reload keeps the one that holds") {
  TempDir dir;
  const auto check = [&](const std::string& text) {
    StartOptions options;
    options.env = {{"XDG_CONFIG_HOME", dir.path()}, {"KAIRO_IPC_SOCKET", std::nullopt}};
    return run({kairod_path(), "--check-config", "--config", dir.put("c.json", text)}, {}, options);
  };
  const std::pair<const char*, const char*> wrong[] = {
      {R"({"policy": {"rules": [{"principal": "root"}]}})", "policy.rules[0].principal must be user:UID"},
      {R"({"policy": {"rules": [{"principal": "*", "metods": []}]}})", "methods"},
      {R"({"policy": {"rules": [{"principal": "*"}, {"principal": "*", "limits": {"memory": "1G"}}]}})",
       "policy.rules[1].limits.memory"},
      {R"({"policy": {"undeclared": "stric"}})", "policy.undeclared names no profile"},
      {R"({"policy": {"profiles": {"offline": {}}}})", "policy.profiles.offline"},
      {R"({"policy": {"profiles": {"p": {"net": "some"}}}})", "policy.profiles.p.net"},
      {R"({"policy": []})", "\"policy\" must be an object"},
      {R"({"socketMode": "0066"})", "\"socketMode\" must be"},
      {R"({"socketMode": 438})", "\"socketMode\" must be"},
  };
  for (const auto& [text, words] : wrong) {
    CAPTURE(text);
    const Ran ran = check(text);
    CAPTURE(ran.err);
    CHECK(ran.code == 64);
    CHECK(ran.err.find(words) != std::string::npos);
  }
  const Ran good = check(R"({"policy": {"profiles": {"p": {"net": "none"}}, "undeclared": "p"}})");
  CHECK(good.code == 0);
  CHECK(json_at(good.out, "/policy/undeclared") == "p");

  const std::string file =
      dir.put("kairod.json", R"({"policy": {"rules": [{"principal": "process:*", "methods": []}]}})");
  Daemon place({.arguments = {"--config", file}});
  const Ctl ctl(place.dir());
  dir.put("kairod.json", R"({"policy": {"rules": 1}})");
  ::kill(place.pids().daemon, SIGHUP);
  eventually([&] { return place.said().find("was not reloaded") != std::string::npos; },
             "the refusal is told");
  CHECK(code_of(inside(place, "bound", ctl.path() + " ps 2>&1")) == "E_PERMISSION_DENIED");
}

TEST_CASE("permissions: what nobody declares is the policy's, and no declaration goes beyond a rule's") {
  if (!confines()) return;
  TempDir files;
  ::chmod(files.path().c_str(), 0755);
  const std::string uid = std::to_string(::geteuid());
  const std::string file = files.put("kairod.json", R"({"policy": {
    "rules": [{"principal": "user:)" + uid + R"(",
               "permissions": {"fs": {"read": ["/"], "write": [")" +
                                                        files.path() +
                                                        R"("]}, "net": "none", "ipc": "kernel"}}],
    "profiles": {"small": {"fs": {"read": ["/usr"]}}},
    "undeclared": "small"}})");
  Daemon place({.arguments = {"--config", file}});
  // Undeclared: the profile, which is shown and holds.
  const Ran made = place.ctl({"spawn", "--id", "small", "--", "/bin/cat", "/etc/passwd"});
  CHECK(json_at(made.out, "/permissions/fs/read/0") == "/usr");
  CHECK(json_at(place.ctl({"wait", "small"}).out, "/exitCode") == "1");
  CHECK(place.ctl({"run", "--", "/bin/true"}).code == 0);
  const auto refused = [&](std::vector<std::string> options) {
    options.insert(options.begin(), "spawn");
    options.insert(options.end(), {"--", "/bin/true"});
    const Ran ran = place.ctl(options);
    CAPTURE(ran.out);
    CHECK(ran.code == 77);
    return json_at(ran.err, "/error/details/rule") == "policy.rules[0] (\"user:" + uid + "\")";
  };
  CHECK_FALSE(refused({"--profile", "unconfined"}));  // not by the rule: what is undeclared is not unconfined
  CHECK(refused({"--allow-read", "/usr", "--net", "all"}));
  CHECK(refused({"--allow-read", "/usr", "--allow-write", "/etc"}));
  CHECK(refused({"--allow-read", "/usr", "--ipc", "all"}));
  // A link below what is allowed leads nowhere else: the launch follows none.
  REQUIRE(::symlink("/etc", files.file("link").c_str()) == 0);
  kairo::api::SpawnParams by_link;
  by_link.command = {"/bin/true"};
  by_link.options.emplace();
  by_link.options->permissions.emplace();
  by_link.options->permissions->fs.emplace();
  by_link.options->permissions->fs->read = {{"/usr"}};
  by_link.options->permissions->fs->write = {{files.file("link")}};
  auto client = kairo::client::Client::connect({.socket = place.socket()});
  REQUIRE(client.ok());
  CHECK_FALSE(client->call_raw("process.spawn", by_link).ok());
  CHECK(place
            .ctl({"run", "--allow-read", "/usr", "--allow-write", files.path(), "--", "/bin/sh", "-c",
                  "echo yes > " + files.file("made")})
            .code == 0);
  CHECK(read_file(files.file("made")) == "yes\n");
  const Ran no = place.ctl({"spawn", "--profile", "smal", "--", "true"});
  CHECK(code_of(no.err) == "E_INVALID_PARAMS");
  CHECK(no.err.find("small") != std::string::npos);
  const Ran told =
      place.ctl({"policy", "test", "user:" + uid, "process.spawn", "--allow-read", "/usr", "--net", "all"});
  CHECK(told.code == 77);
  CHECK(json_at(told.out, "/rule") == "policy.rules[0] (\"user:" + uid + "\")");
  CHECK(json_at(place.ctl({"policy", "test", "user:" + uid, "process.spawn"}).out, "/permissions/net") ==
        "none");

  files.put("kairod.json", R"({"policy": {"undeclared": "deny"}})");
  ::kill(place.pids().daemon, SIGHUP);
  eventually([&] { return place.ctl({"spawn", "true"}).code == 77; }, "what is undeclared is denied");
  CHECK(place.ctl({"spawn", "--profile", "unconfined", "--", "/bin/true"}).code == 77);
  CHECK(place.ctl({"run", "--allow-read", "/usr", "--", "/bin/true"}).code == 0);
}

TEST_CASE("a process inside cannot grant what it lacks: neither permissions nor limits") {
  if (!confines()) return;
  Daemon place;
  const Ctl ctl(place.dir());
  const std::string& call = ctl.path();
  const auto confined = [&](const std::string& id, const std::string& script) {
    // A kairoctl under sanitizers looks at its own memory map.
    const Ran ran = place.ctl({"run", "--id", id, "--allow-read", "/usr", "--allow-read", place.dir().path(),
                               "--allow-read", "/proc", "--ipc", "kernel", "--limit", "openFiles=64", "--",
                               "/bin/sh", "-c", script});
    INFO(ran.err);
    return lines_of(ran.out);
  };
  const auto lines =
      confined("inside", call + " spawn --id same -- /bin/true; " +                             //
                             call + " spawn --allow-read /usr --net all -- /bin/true 2>&1; " +  //
                             call + " spawn --profile unconfined -- /bin/true 2>&1; " +         //
                             call + " spawn --allow-read / -- /bin/true 2>&1; " +               //
                             call + " spawn --limit openFiles=65 -- /bin/true 2>&1; " +         //
                             call + " spawn --id less --limit openFiles=32 --allow-read /usr -- /bin/true");
  REQUIRE(lines.size() == 6);
  CHECK(json_at(lines[0], "/owner") == "process:inside");
  // What it does not declare it hands on.
  CHECK(json_at(lines[0], "/permissions/net") == "none");
  CHECK(json_at(lines[0], "/limits/openFiles") == "64");
  for (const std::size_t i : {1, 2, 3, 4}) {
    CAPTURE(lines[i]);
    CHECK(code_of(lines[i]) == "E_PERMISSION_DENIED");
  }
  CHECK(json_at(lines[5], "/limits/openFiles") == "32");
}

TEST_SUITE_END();
