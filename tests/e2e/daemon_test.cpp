// The daemon's life as a client sees it: autostart, and whose socket it is.
#include <algorithm>
#include <csignal>
#include <cstring>
#include <memory>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "api/methods.hpp"
#include "client/client.hpp"
#include "e2e/support.hpp"

using namespace kairo::test;

namespace {

kairo::UniqueFd listen_at(const std::string& path) {
  kairo::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd.get(), 8) != 0)
    return {};
  return fd;
}

/// kairod --check-config with no other files than these.
Ran check_config(const TempDir& dir, const std::vector<std::string>& arguments = {}) {
  StartOptions options;
  options.env = {{"XDG_CONFIG_HOME", dir.path()}, {"KAIRO_IPC_SOCKET", std::nullopt}};
  std::vector<std::string> argv{kairod_path(), "--check-config"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return run(argv, {}, options);
}

/// The error of a call that must fail.
template <class P>
kairo::Error refused(const Daemon& daemon, std::string_view method, const P& params) {
  auto client = kairo::client::Client::connect({.socket = daemon.socket()});
  REQUIRE(client.ok());
  auto answer = client->call_raw(method, params, kairo::SteadyClock::now() + patience);
  REQUIRE_FALSE(answer.ok());
  return answer.error();
}

template <class P>
std::string refused_path(const Daemon& daemon, std::string_view method, const P& params) {
  const kairo::Error error = refused(daemon, method, params);
  CHECK(error.code == kairo::Code::invalid_params);
  for (const auto& [name, value] : error.details)
    if (const auto* text = std::get_if<std::string>(&value); text && name == "path") return *text;
  return error.message;
}

}  // namespace

TEST_SUITE_BEGIN("daemon");

TEST_CASE("without a daemon and with --no-autostart the exit code is 69") {
  Daemon place({.start = false});
  const Ran ran = place.ctl({"--no-autostart", "ping"});
  CHECK(ran.code == 69);
  CHECK(json_at(ran.err, "/error/code") == "E_NOT_RUNNING");
  CHECK(place.ctl({"--no-autostart", "run", "--", "true"}).code == 125);
}

TEST_CASE("the first command starts a daemon, which stays") {
  Daemon place({.start = false});
  CHECK(place.ctl({"run", "--", "echo", "hello"}).out == "hello\n");
  CHECK(place.ctl({"--no-autostart", "ping"}).code == 0);
}

TEST_CASE("spawn returns at once, also when it started the daemon: nothing holds its output") {
  Daemon place({.start = false});
  StartOptions options;
  options.env = {{"KAIROD", kairod_path()}};
  // The command substitution ends when the last holder of the pipe is gone.
  const std::string script =
      "id=$(\"$0\" --socket \"$1\" --state-dir \"$2\" spawn -- sleep 600 | jq -r .id); echo \"got $id\"";
  const auto began = std::chrono::steady_clock::now();
  const Ran ran = run({"sh", "-c", script, kairoctl_path(), place.socket(), place.state_dir()}, {}, options);
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(20));
  REQUIRE(ran.out.substr(0, 4) == "got ");
  const std::string id = ran.out.substr(4, ran.out.size() - 5);
  CHECK(json_at(place.ctl({"status", id}).out, "/status") == "running");
}

TEST_CASE("the daemon that was started keeps nothing of its starter") {
  Daemon place({.start = false});
  StartOptions options;
  options.cwd = place.dir().path();
  REQUIRE(place.ctl({"ping"}, {}, options).code == 0);
  const auto pids = place.pids();
  for (const pid_t pid : {pids.daemon, pids.keeper}) {
    CAPTURE(pid);
    const std::string proc = "/proc/" + std::to_string(pid);
    CHECK(getsid(pid) != getsid(0));
    char target[4096];
    for (const std::string name : {"0", "1", "2"}) {
      const ssize_t length = readlink((proc + "/fd/" + name).c_str(), target, sizeof target);
      REQUIRE(length > 0);
      const std::string path(target, static_cast<std::size_t>(length));
      const bool own = path == "/dev/null" || path.starts_with(place.state_dir());
      CHECK_MESSAGE(own, path);
    }
    const ssize_t length = readlink((proc + "/cwd").c_str(), target, sizeof target);
    CHECK(std::string(target, static_cast<std::size_t>(length)) == "/");
  }
}

TEST_CASE("eight clients that start at once get one daemon") {
  Daemon place({.start = false});
  StartOptions options;
  options.env = {{"KAIROD", kairod_path()}};
  options.stdin_null = true;
  std::vector<std::unique_ptr<Program>> clients;
  for (int i = 0; i < 8; ++i) clients.push_back(std::make_unique<Program>(place.ctl_argv({"info"}), options));
  std::vector<std::string> instances;
  for (const auto& each : clients) {
    const Ran& ran = each->wait();
    CHECK_MESSAGE(ran.code == 0, ran.err);
    if (ran.code == 0) instances.push_back(json_at(ran.out, "/instanceId"));
  }
  std::sort(instances.begin(), instances.end());
  instances.erase(std::unique(instances.begin(), instances.end()), instances.end());
  CHECK(instances.size() == 1);
}

TEST_CASE("a daemon that cannot start is told with its own words, and at once") {
  Daemon place({.start = false});
  StartOptions options;
  options.env = {{"KAIROD", kairod_path()}};
  const auto began = std::chrono::steady_clock::now();
  const Ran ran =
      run({kairoctl_path(), "--socket", place.socket(), "--state-dir", "/proc/nowhere", "ping"}, {}, options);
  CHECK(ran.code == 69);
  CHECK(json_at(ran.err, "/error/message").find("/proc/nowhere") != std::string::npos);
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(8));
  options.env["KAIROD"] = "/no/such/kairod";
  CHECK(run({kairoctl_path(), "--socket", place.socket(), "ping"}, {}, options).code == 69);
}

TEST_CASE("a stale socket is replaced") {
  Daemon place({.start = false});
  REQUIRE(listen_at(place.socket()));  // closed at once; its file stays
  CHECK(place.ctl({"--no-autostart", "ping"}).code == 69);
  CHECK(place.ctl({"ping"}).code == 0);
}

TEST_CASE("a second daemon on a live socket is refused and harms nothing") {
  Daemon daemon;
  const Ran second =
      run({kairod_path(), "--socket", daemon.socket(), "--state-dir", daemon.dir().file("other")});
  CHECK(second.code == 69);
  CHECK(daemon.ctl({"--no-autostart", "ping"}).code == 0);
}

TEST_CASE("a symbolic link in the socket's place is not followed") {
  Daemon place({.start = false});
  const std::string victim = place.dir().put("victim", "precious");
  REQUIRE(symlink(victim.c_str(), place.socket().c_str()) == 0);
  const Ran ran = place.ctl({"ping"});
  CHECK(ran.code != 0);
  CHECK(read_file(victim) == "precious");
  struct stat status {};
  REQUIRE(lstat(place.socket().c_str(), &status) == 0);
  CHECK(S_ISLNK(status.st_mode));
  unlink(place.socket().c_str());
}

TEST_CASE("a socket of another user is not spoken to") {
  if (geteuid() != 0) {
    MESSAGE("needs root to become another user; left out");
    return;
  }
  TempDir dir;
  REQUIRE(chmod(dir.path().c_str(), 0777) == 0);
  const std::string path = dir.file("theirs.sock");
  const pid_t other = fork();
  if (other == 0) {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(1);
    const kairo::UniqueFd listener = listen_at(path);
    chmod(path.c_str(), 0777);
    for (;;) pause();
  }
  eventually(
      [&] {
        return run({kairoctl_path(), "--socket", path, "--no-autostart", "ping"}).code != 69;
      },
      "the other's socket");
  const Ran ran = run({kairoctl_path(), "--socket", path, "--no-autostart", "ping"});
  CHECK(ran.code == 77);
  CHECK(json_at(ran.err, "/error/code") == "E_PERMISSION_DENIED");
  CHECK(json_at(ran.err, "/error/details/uid") == "65534");
  kill(other, SIGKILL);
  waitpid(other, nullptr, 0);
}

TEST_CASE("KAIRO_IPC_SOCKET names the socket, --socket goes before it") {
  Daemon daemon;
  StartOptions options;
  options.env = {{"KAIRO_IPC_SOCKET", daemon.socket()}};
  CHECK(run({kairoctl_path(), "--no-autostart", "ping"}, {}, options).code == 0);
  CHECK(run({kairoctl_path(), "--socket", daemon.dir().file("none"), "--no-autostart", "ping"}, {}, options)
            .code == 69);
}

TEST_CASE("a session finds its kernel by its environment") {
  Daemon daemon;
  const Ran ran =
      daemon.ctl({"run", "--id", "outer", "--", kairoctl_path(), "--no-autostart", "status", "outer"});
  CHECK(ran.code == 0);
  CHECK(json_at(ran.out, "/id") == "outer");
}

TEST_CASE("--check-config prints what files and options come to, a later one winning member by member") {
  TempDir dir;
  REQUIRE(mkdir(dir.file("kairo").c_str(), 0700) == 0);
  dir.put("kairo/kairod.json", "{ // of the user\n \"listPage\": 7, \"retainBytes\": 65536}");
  const std::string file = dir.put("mine.json", R"({"listPage": 8, "onShutdown": "stop"})");
  const Ran user = check_config(dir);
  CHECK(user.code == 0);
  CHECK(json_at(user.out, "/listPage") == "7");
  CHECK(json_at(user.out, "/onShutdown") == "keep");
  const Ran both = check_config(dir, {"--config", file, "--on-shutdown", "keep", "--socket", "/run/x.sock"});
  CHECK(both.code == 0);
  CHECK(json_at(both.out, "/listPage") == "8");
  CHECK(json_at(both.out, "/retainBytes") == "65536");
  CHECK(json_at(both.out, "/onShutdown") == "keep");
  CHECK(json_at(both.out, "/socket") == "/run/x.sock");
}

TEST_CASE("a bad setting is exit code 64, and the message names file, member and range") {
  TempDir dir;
  const std::vector<std::pair<std::string, std::string>> bad = {
      {R"({"frameBytes": 65535})",
       "\"frameBytes\" must be a whole number, 65536 to 268435456 bytes, not 65535"},
      {R"({"killGraceMs": 86400001})", "\"killGraceMs\" must be a whole number, 0 to 86400000 milliseconds"},
      {R"({"liveSessions": 65537})", "\"liveSessions\""},
      {R"({"listPage": 1.5})", "not 1.5"},
      {R"({"listPage": "9"})", "not \"9\""},
      {R"({"retainByte": 1})", "did you mean \"retainBytes\"?"},
      {R"({"retainBytesMax": 1048576})", "retainBytes (67108864) above retainBytesMax (1048576)"},
      {R"({"onShutdown": "die"})", "\"onShutdown\" must be \"keep\" or \"stop\""},
      {R"({"rootReachesAll": 1})", "\"rootReachesAll\" must be true or false"},
      {R"({"socket": "here"})", "\"socket\" must be an absolute path"},
      {R"([])", "must be an object"},
      {R"({)", "is not JSON"}};
  for (const auto& [text, words] : bad) {
    CAPTURE(text);
    const std::string file = dir.put("bad.json", text);
    const Ran ran = check_config(dir, {"--config", file});
    CHECK(ran.code == 64);
    CHECK(ran.out.empty());
    CHECK_MESSAGE(ran.err.find(file) != std::string::npos, ran.err);
    CHECK_MESSAGE(ran.err.find(words) != std::string::npos, ran.err);
  }
  CHECK(check_config(dir, {"--config", dir.file("missing")}).code == 64);
}

TEST_CASE("settings are obeyed, told by info, and changed by SIGHUP; a bad file changes nothing") {
  TempDir dir;
  const std::string file = dir.put("kairod.json", R"({"liveSessions": 2, "listPage": 2, "retainBytes": 65536,
      "retainBytesMax": 131072, "frameBytes": 65536, "killGraceMs": 50})");
  Daemon daemon({.arguments = {"--config", file}});
  const auto limit = [&](const char* name) {
    return json_at(daemon.ctl({"info"}).out, std::string("/limits/") + name);
  };
  CHECK(limit("liveSessions") == "2");
  CHECK(limit("frameBytes") == "65536");
  spawned(daemon, {"--id", "one", "--clean-env", "--", "sleep", "600"});
  spawned(daemon, {"--id", "two", "--clean-env", "--", "sleep", "600"});
  const Ran third = daemon.ctl({"spawn", "--clean-env", "--", "true"});
  CHECK(json_at(third.err, "/error/code") == "E_LIMIT_EXCEEDED");
  kairo::api::ListParams page;
  page.limit = 3;
  CHECK(refused_path(daemon, "process.list", page) == "params.limit");
  kairo::api::SpawnParams large;
  large.command = {"true"};
  large.options.emplace().output = kairo::api::OutputOptions{131073, {}};
  CHECK(refused_path(daemon, "process.spawn", large) == "params.options.output.retainBytes");
  kairo::api::StdinWriteParams write;
  write.id = "one";
  write.data.data.assign(70'000, 'x');
  refused(daemon, "process.stdin.write", write);
  eventually([&] { return daemon.said().find("over the limit of 65536") != std::string::npos; },
             "the log's line about the frame");

  const pid_t pid = daemon.pids().daemon;
  dir.put("kairod.json", R"({"liveSessions": 3})");
  kill(pid, SIGHUP);
  eventually([&] { return limit("liveSessions") == "3"; }, "the new settings");
  CHECK(limit("frameBytes") == "16777216");
  spawned(daemon, {"--id", "three", "--", "sleep", "600"});
  CHECK(daemon.ctl({"write", "one", std::string(70'000, 'x')}).code == 0);

  dir.put("kairod.json", R"({"liveSessions": 0, "listPage": 9})");
  kill(pid, SIGHUP);
  eventually([&] { return daemon.said().find("was not reloaded") != std::string::npos; }, "the log's line");
  CHECK(daemon.said().find("\"liveSessions\" must be") != std::string::npos);
  CHECK(limit("liveSessions") == "3");
  CHECK(limit("listPage") == "500");
}

TEST_CASE("--on-shutdown goes before the files, also after a reload") {
  TempDir dir;
  const std::string file = dir.put("kairod.json", R"({"onShutdown": "keep", "listPage": 3})");
  Daemon daemon({.arguments = {"--config", file}});  // with --on-shutdown stop
  spawned(daemon, {"--", "sleep", "600"});
  dir.put("kairod.json", R"({"onShutdown": "keep", "listPage": 4})");
  const pid_t pid = daemon.pids().daemon;
  kill(pid, SIGHUP);
  eventually([&] { return json_at(daemon.ctl({"info"}).out, "/limits/listPage") == "4"; }, "the reload");
  kill(pid, SIGTERM);
  eventually([&] { return processes_with("KAIRO_IPC_SOCKET=" + daemon.socket()).empty(); },
             "the end of the sessions");
  eventually([&] { return read_file("/proc/" + std::to_string(pid) + "/cmdline").empty(); },
             "the daemon's end");
}

TEST_CASE("what a caller passes out of range is refused by its path, never clamped") {
  Daemon daemon;
  const std::string id = spawned(daemon, {"--", "sleep", "600"});
  constexpr std::uint64_t day = 86'400'000, year = 365 * day;
  namespace api = kairo::api;
  api::ListParams none, many;
  none.limit = 0;
  many.limit = 501;
  CHECK(refused_path(daemon, "process.list", none) == "params.limit");
  CHECK(refused_path(daemon, "process.list", many) == "params.limit");
  CHECK(refused_path(daemon, "process.kill", api::KillParams{id, {}, day + 1, {}}) ==
        "params.escalateAfterMs");
  CHECK(refused_path(daemon, "process.cancel", api::CancelParams{id, {}, day + 1}) == "params.graceMs");
  CHECK(refused_path(daemon, "process.wait", api::WaitParams{id, year + 1}) == "params.timeoutMs");
  api::ReadParams read;
  read.id = id;
  read.wait_ms = 3'600'001;
  CHECK(refused_path(daemon, "process.read", read) == "params.waitMs");
  api::SpawnParams spawn;
  spawn.command = {"true"};
  spawn.options.emplace().kill_grace_ms = day + 1;
  CHECK(refused_path(daemon, "process.spawn", spawn) == "params.options.killGraceMs");
  spawn.options.emplace().timeout_ms = year + 1;
  CHECK(refused_path(daemon, "process.spawn", spawn) == "params.options.timeoutMs");
  CHECK(json_at(daemon.ctl({"status", id}).out, "/status") == "running");
}

TEST_SUITE_END();
