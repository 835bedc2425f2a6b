// kairod under a supervisor that speaks sd_notify(3) and passes a listening socket, as systemd does.
#include <algorithm>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <memory>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "client/client.hpp"
#include "e2e/support.hpp"

using namespace kairo::test;

namespace {

kairo::UniqueFd bound(int type, const std::string& path) {
  kairo::UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  REQUIRE(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  return fd;
}

/// The supervisor's end of NOTIFY_SOCKET.
class Notified {
 public:
  [[nodiscard]] std::string path() const { return dir_.file("notify"); }
  /// The next message that has a line with this beginning; others before it are passed over.
  std::string await(const std::string& line) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < deadline) {
      pollfd polled{socket_.get(), POLLIN, 0};
      if (poll(&polled, 1, 100) <= 0) continue;
      char bytes[4096];
      const ssize_t got = recv(socket_.get(), bytes, sizeof bytes, 0);
      REQUIRE(got > 0);
      const std::string message(bytes, static_cast<std::size_t>(got));
      for (const std::string& each : lines_of(message))
        if (each.starts_with(line)) return message;
    }
    throw std::runtime_error("the supervisor was not told " + line);
  }
  /// What a message says of `name`.
  static std::string value(const std::string& message, const std::string& name) {
    for (const std::string& each : lines_of(message))
      if (each.starts_with(name + "=")) return each.substr(name.size() + 1);
    return {};
  }

 private:
  TempDir dir_;
  kairo::UniqueFd socket_ = bound(SOCK_DGRAM, path());
};

std::uint64_t monotonic_us() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

/// RELOADING=1 with its time, then READY=1.
void check_reload(Notified& notified, std::uint64_t since, pid_t pid) {
  const std::string began = notified.await("RELOADING=1");
  const std::string time = Notified::value(began, "MONOTONIC_USEC");
  REQUIRE(!time.empty());
  CHECK(std::stoull(time) >= since);
  CHECK(std::stoull(time) <= monotonic_us());
  const std::string ready = notified.await("READY=1");
  const std::string main = Notified::value(ready, "MAINPID");
  CHECK((main.empty() || main == std::to_string(pid)));
}

/// kairod with a listening socket of ours as descriptor 3, as socket activation passes it.
std::unique_ptr<Program> activated(const kairo::UniqueFd& listener, const std::vector<std::string>& arguments,
                                   const StartOptions& options) {
  // A descriptor that the shell inherits, under a number that it can name.
  const kairo::UniqueFd passed(fcntl(listener.get(), F_DUPFD, 10));
  const std::string from = std::to_string(passed.get());
  const std::string script = "exec 3<&" + from + " " + from +
                             "<&-; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=kernel; exec \"$@\"";
  std::vector<std::string> argv{"bash", "-c", script, "sh", kairod_path()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return std::make_unique<Program>(argv, options);
}

}  // namespace

TEST_SUITE_BEGIN("supervision");

TEST_CASE("the supervisor is told of readiness, of reloads, of upgrades and of the end") {
  Notified notified;
  TempDir dir;
  const std::string config = dir.put("kairod.json", "{}");
  Daemon::Options options;
  options.arguments = {"--config", config};
  options.env = {{"NOTIFY_SOCKET", notified.path()}};
  Daemon daemon(options);
  const pid_t pid = daemon.pids().daemon;
  const std::string ready = notified.await("READY=1");
  CHECK(Notified::value(ready, "MAINPID") == std::to_string(pid));
  CHECK(Notified::value(ready, "STATUS") == "serving " + daemon.socket());

  std::uint64_t now = monotonic_us();
  kill(pid, SIGHUP);
  check_reload(notified, now, pid);
  // A bad file ends a reload as well: the daemon serves as before.
  dir.put("kairod.json", "{");
  now = monotonic_us();
  kill(pid, SIGHUP);
  check_reload(notified, now, pid);
  dir.put("kairod.json", "{}");

  // The next program speaks to the same supervisor; what is started does not.
  for (int i = 0; i < 2; ++i) {
    now = monotonic_us();
    const Ran ran = daemon.ctl({"kernel", "upgrade"});
    REQUIRE_MESSAGE(ran.code == 0, ran.err);
    check_reload(notified, now, pid);
  }
  CHECK(daemon.ctl({"run", "--", "env"}).out.find("NOTIFY_SOCKET") == std::string::npos);

  kill(pid, SIGTERM);
  notified.await("STOPPING=1");
  eventually([&] { return read_file("/proc/" + std::to_string(pid) + "/cmdline").empty(); }, "its end");
}

TEST_CASE("a supervisor with an abstract socket is told as well, and one that is gone does no harm") {
  const std::string name = "@kairo-test-" + std::to_string(getpid());
  kairo::UniqueFd listener(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data() + 1, name.size() - 1);
  REQUIRE(bind(listener.get(), reinterpret_cast<const sockaddr*>(&address),
               static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())) == 0);
  Daemon::Options options;
  options.env = {{"NOTIFY_SOCKET", name}};
  {
    Daemon daemon(options);
    char bytes[4096];
    std::string all;
    while (all.find("READY=1") == std::string::npos) {
      const ssize_t got = recv(listener.get(), bytes, sizeof bytes, 0);
      REQUIRE(got > 0);
      all.append(bytes, static_cast<std::size_t>(got));
    }
  }
  listener.reset();
  Daemon daemon(options);
  CHECK(daemon.ctl({"ping"}).code == 0);
}

TEST_CASE("a socket that was passed is served, is not removed at the end, and survives an upgrade") {
  TempDir dir;
  Notified notified;
  const std::string path = dir.file("kernel.sock");
  const kairo::UniqueFd listener = bound(SOCK_STREAM, path);
  REQUIRE(listen(listener.get(), 16) == 0);
  StartOptions options;
  options.stdin_null = true;
  options.env = {{"NOTIFY_SOCKET", notified.path()}, {"KAIRO_IPC_SOCKET", std::nullopt}};
  const std::vector<std::string> arguments{"--socket", path, "--state-dir", dir.file("state")};
  const auto ctl = [&](const std::vector<std::string>& words) {
    std::vector<std::string> argv{kairoctl_path(), "--no-autostart", "--socket", path};
    argv.insert(argv.end(), words.begin(), words.end());
    return run(argv);
  };
  // The first connection comes before there is a daemon.
  const auto early = std::make_unique<Program>(
      std::vector<std::string>{kairoctl_path(), "--no-autostart", "--socket", path, "ping"}, StartOptions{});
  auto daemon = activated(listener, arguments, options);
  CHECK(early->wait().code == 0);
  notified.await("READY=1");
  CHECK(json_at(ctl({"info"}).out, "/pid") == std::to_string(daemon->pid()));
  CHECK(ctl({"run", "--", "env"}).out.find("LISTEN_") == std::string::npos);
  const Ran upgraded = ctl({"kernel", "upgrade"});
  CHECK_MESSAGE(upgraded.code == 0, upgraded.err);
  CHECK(json_at(upgraded.out, "/pid") == std::to_string(daemon->pid()));
  notified.await("READY=1");

  // Stopped and activated again, as by the next connection: the file is the supervisor's.
  CHECK(ctl({"kernel", "stop", "--processes", "keep"}).code == 0);
  CHECK(daemon->wait().code == 0);
  CHECK(access(path.c_str(), F_OK) == 0);
  daemon = activated(listener, arguments, options);
  CHECK(ctl({"ping"}).code == 0);
  CHECK(ctl({"kernel", "stop", "--processes", "stop"}).code == 0);
  CHECK(daemon->wait().code == 0);
}

TEST_CASE("activation that is another process's, or brings several sockets, or none that listens") {
  TempDir dir;
  const std::string path = dir.file("kernel.sock");
  const std::vector<std::string> rest{"--socket", path, "--state-dir", dir.file("state")};
  const auto started = [&](const std::string& variables) {
    std::vector<std::string> argv{"bash", "-c", variables + " exec \"$@\"", "sh", kairod_path()};
    argv.insert(argv.end(), rest.begin(), rest.end());
    StartOptions options;
    options.stdin_null = true;
    return std::make_unique<Program>(argv, options);
  };
  auto several = started("export LISTEN_PID=$$ LISTEN_FDS=2;");
  CHECK(several->wait().code == 64);
  CHECK(several->err().find("2 sockets") != std::string::npos);
  auto deaf = started("exec 3</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1;");
  CHECK(deaf->wait().code == 64);
  CHECK(deaf->err().find("no listening socket") != std::string::npos);
  auto others = started("export LISTEN_PID=1 LISTEN_FDS=1;");  // makes a socket of its own
  eventually([&] { return kairo::client::Client::connect({.socket = path}).ok(); }, "the daemon");
  CHECK(run({kairoctl_path(), "--socket", path, "kernel", "stop", "--processes", "stop"}).code == 0);
  CHECK(others->wait().code == 0);
}

TEST_CASE("systemd finds nothing wrong with the units") {
  if (run({"sh", "-c", "command -v systemd-analyze"}).code != 0) {
    MESSAGE("SKIPPED: there is no systemd-analyze here; the units were not verified");
    return;
  }
  for (const std::string kind : {"system", "user"}) {
    CAPTURE(kind);
    const std::string folder = std::string(KAIRO_TEST_UNITS) + "/" + kind;
    TempDir home;
    StartOptions options;
    options.env = {{"XDG_RUNTIME_DIR", home.path()}, {"HOME", home.path()}};
    const Ran ran = run({"systemd-analyze", "--" + kind, "--man=no", "--recursive-errors=no", "verify",
                         folder + "/kairod.service", folder + "/kairod.socket"},
                        {}, options);
    CHECK_MESSAGE(ran.code == 0, ran.err);
    CHECK_MESSAGE(ran.err.find("kairod") == std::string::npos, ran.err);
  }
}

TEST_SUITE_END();
