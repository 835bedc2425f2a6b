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

TEST_SUITE_END();
