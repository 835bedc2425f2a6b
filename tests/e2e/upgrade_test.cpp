// The daemon is replaced by a newer program, or stopped, at the request of a client.
#include <atomic>
#include <csignal>
#include <filesystem>
#include <memory>
#include <random>
#include <sys/stat.h>
#include <thread>

#include <doctest/doctest.h>

#include "api/methods.hpp"
#include "client/client.hpp"
#include "e2e/support.hpp"

using namespace kairo::test;
namespace api = kairo::api;

namespace {

/// A kairod of another version: the number in its data is another one of the same length.
std::string newer_program() {
  std::string bytes = read_file(kairod_path());
  const std::string from(KAIRO_VERSION "\0", sizeof KAIRO_VERSION), to("9.9.9\0", 6);
  REQUIRE(from.size() == to.size());
  std::size_t count = 0;
  for (std::size_t at = bytes.find(from); at != std::string::npos; at = bytes.find(from, at + 1), ++count)
    bytes.replace(at, to.size(), to);
  REQUIRE(count > 0);
  return bytes;
}

/// A place with a program of its own, which the test may replace.
struct Place {
  TempDir programs;
  std::string program = programs.file("kairod");
  std::unique_ptr<Daemon> daemon;

  explicit Place(const std::vector<std::string>& arguments = {}) {
    std::filesystem::copy_file(kairod_path(), program);
    Daemon::Options options;
    options.program = program;
    options.arguments = arguments;
    daemon = std::make_unique<Daemon>(options);
  }
  /// As a package manager does: aside, then renamed.
  void install(const std::string& bytes, mode_t mode = 0755) const {
    const std::string aside = programs.put("kairod.new", bytes, mode);
    REQUIRE(chmod(aside.c_str(), mode) == 0);
    REQUIRE(rename(aside.c_str(), program.c_str()) == 0);
  }
  [[nodiscard]] std::string info(const char* member) const {
    return json_at(daemon->ctl({"--no-autostart", "info"}).out, member);
  }
};

/// What a refused command says.
std::string code_of(const Ran& ran) {
  CHECK(ran.code != 0);
  return json_at(ran.err, "/error/code");
}

kairo::client::Client connected(const Daemon& daemon) {
  auto client = kairo::client::Client::connect({.socket = daemon.socket()});
  REQUIRE(client.ok());
  return *std::move(client);
}

kairo::SteadyTime soon() {
  return kairo::SteadyClock::now() + patience;
}

}  // namespace

TEST_SUITE_BEGIN("upgrade");

TEST_CASE("an upgrade takes the program that is now at the daemon's path, in the same process") {
  Place place;
  const std::string id = spawned(*place.daemon, {"--id", "kept", "--", "sleep", "600"});
  const std::string before = place.info("/instanceId");
  const std::string keeper = place.info("/keeperId");
  const pid_t pid = place.daemon->pids().daemon;
  const std::string state = read_file("/proc/" + std::to_string(pid) + "/cmdline");
  place.install(newer_program());
  const Ran ran = place.daemon->ctl({"kernel", "upgrade"});
  REQUIRE_MESSAGE(ran.code == 0, ran.err);
  CHECK(json_at(ran.out, "/old/version") == KAIRO_VERSION);
  CHECK(json_at(ran.out, "/new/version") == "9.9.9");
  CHECK(json_at(ran.out, "/old/instanceId") == before);
  CHECK(json_at(ran.out, "/new/instanceId") == place.info("/instanceId"));
  CHECK(json_at(ran.out, "/new/instanceId") != before);
  CHECK(json_at(ran.out, "/program") == place.program);
  CHECK(json_at(ran.out, "/pid") == std::to_string(pid));
  CHECK(place.info("/version") == "9.9.9");
  CHECK(place.info("/keeperId") == keeper);
  CHECK(place.daemon->pids().daemon == pid);
  CHECK(read_file("/proc/" + std::to_string(pid) + "/cmdline") == state);
  CHECK(json_at(place.daemon->ctl({"status", id}).out, "/status") == "running");
  // And again, by way of its handed-over socket; the harness looks for leaked descriptors.
  place.install(read_file(kairod_path()));
  CHECK(json_at(place.daemon->ctl({"kernel", "upgrade"}).out, "/new/version") == KAIRO_VERSION);
  CHECK(place.daemon->ctl({"kernel", "upgrade"}).code == 0);  // the same program once more
  CHECK(json_at(place.daemon->ctl({"status", id}).out, "/status") == "running");
}

TEST_CASE("what is started after an upgrade knows nothing of it, and has the limits of the first start") {
  Place place;
  const std::vector<std::string> look = {"run", "--", "sh", "-c",
                                         "ulimit -n; ulimit -Hn; env; ls /proc/self/fd"};
  const auto tidy = [](const std::string& text) {
    std::string out;
    for (const std::string& line : lines_of(text))
      if (line.find("KAIRO_PROCESS_ID") == std::string::npos) out += line + "\n";
    return out;
  };
  const std::string before = tidy(place.daemon->ctl(look).out);
  REQUIRE(place.daemon->ctl({"kernel", "upgrade"}).code == 0);
  CHECK(tidy(place.daemon->ctl(look).out) == before);
  CHECK(before.find("KAIRO_HANDOVER") == std::string::npos);
}

TEST_CASE("no connection is refused during upgrades, and no request of a patient client fails") {
  Place place;
  std::atomic<bool> done = false;
  std::atomic<std::size_t> refused = 0, made = 0;
  std::thread knocking([&] {
    while (!done) {
      auto client = kairo::client::Client::connect({.socket = place.daemon->socket()});
      ++(client ? made : refused);
    }
  });
  const auto run = std::make_unique<Program>(
      place.daemon->ctl_argv({"run", "--", "sh", "-c", "seq 1 200000; read line; exit 5"}), StartOptions{});
  for (int i = 0; i < 5; ++i) {
    const Ran ran = place.daemon->ctl({"kernel", "upgrade"});
    CHECK_MESSAGE(ran.code == 0, ran.err);
    CHECK(place.daemon->ctl({"--no-autostart", "ping"}).code == 0);
  }
  done = true;
  knocking.join();
  CHECK(refused == 0);
  CHECK(made > 0);
  REQUIRE(run->write("go\n"));
  const Ran& ran = run->wait();
  CHECK_MESSAGE(ran.code == 5, ran.err);
  std::string numbers;
  for (int i = 1; i <= 200000; ++i) numbers += std::to_string(i) + "\n";
  CHECK(difference(ran.out, numbers) == "");
}

TEST_CASE(
    "the keeper becomes the new program as well: same process, same id, no byte and no exit code lost") {
  Place place;
  const std::string keeper_id = place.info("/keeperId");
  const pid_t keeper = place.daemon->pids().keeper;
  const auto keeper_program = [&] {
    return std::filesystem::read_symlink("/proc/" + std::to_string(keeper) + "/exe").string();
  };
  const std::string gate = place.daemon->dir().file("gate");
  const auto counter = std::make_unique<Program>(
      place.daemon->ctl_argv(
          {"run", "--", "sh", "-c",
           "n=1; until [ -e \"$0\" ]; do seq $n $((n + 4999)); n=$((n + 5000)); done; exit 7", gate}),
      StartOptions{.stdin_null = true});
  const auto echo =
      std::make_unique<Program>(place.daemon->ctl_argv(child({"run"}, {"cat"})), StartOptions{});
  std::string fed;
  for (int i = 0; i < 10; ++i) {
    const std::size_t wanted = counter->out().size() + 200'000;
    counter->await([&] { return counter->out().size() >= wanted; }, "output");
    const std::string piece = pattern(100'000 + static_cast<std::size_t>(i));
    REQUIRE(echo->write(piece));
    fed += piece;
    place.install(i % 2 == 0 ? newer_program() : read_file(kairod_path()));
    const Ran ran = place.daemon->ctl({"kernel", "upgrade"});
    REQUIRE_MESSAGE(ran.code == 0, ran.err);
    CHECK(place.info("/keeperId") == keeper_id);
    CHECK(place.daemon->pids().keeper == keeper);
    CHECK(keeper_program() == place.program);  // not "... (deleted)"
  }
  CHECK(place.daemon->said().find("goes on as the program that it was") == std::string::npos);
  CHECK(read_file("/proc/" + std::to_string(keeper) + "/comm") == "kairo-keeper\n");
  place.daemon->dir().put("gate", "");
  const Ran& counted = counter->wait();
  CHECK_MESSAGE(counted.code == 7, counted.err);
  std::string numbers;
  for (std::size_t i = 1; numbers.size() < counted.out.size(); ++i) numbers += std::to_string(i) + "\n";
  CHECK(difference(counted.out, numbers) == "");
  echo->close_stdin();
  CHECK(echo->wait().code == 0);
  CHECK(echo->out() == fed);
}

TEST_CASE("a daemon that is killed in the middle of upgrades of itself and the keeper costs nothing") {
  Daemon daemon({.start = false});  // each kairoctl starts another one
  StartOptions options;
  options.stdin_null = true;
  options.env = {{"KAIROD", kairod_path()}, {"KAIRO_IPC_SOCKET", std::nullopt}};
  const std::string gate = daemon.dir().file("gate");
  const auto counter = std::make_unique<Program>(
      daemon.ctl_argv({"run", "--", "sh", "-c",
                       "n=1; until [ -e \"$0\" ]; do seq $n $((n + 4999)); n=$((n + 5000)); done; exit 7",
                       gate}),
      options);
  counter->await_out("5000\n");
  const Daemon::Pids first = daemon.pids();
  std::mt19937 random{std::random_device{}()};
  for (int i = 0; i < 60; ++i) {
    REQUIRE(daemon.ctl({"ping"}).code == 0);
    const pid_t pid = daemon.pids().daemon;
    auto client = connected(daemon);
    client.send("kernel.upgrade", api::NoParams{});
    static_cast<void>(client.pump());
    // From before the check of the program until well after the next one serves.
    usleep(std::uniform_int_distribution<useconds_t>(0, 15'000)(random));
    kill(pid, SIGKILL);
    const std::size_t wanted = counter->out().size() + 50'000;
    counter->await([&] { return counter->out().size() >= wanted; }, "output across the kill");
  }
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  CHECK(daemon.pids().keeper == first.keeper);
  daemon.dir().put("gate", "");
  const Ran& counted = counter->wait();
  CHECK_MESSAGE(counted.code == 7, counted.err);
  std::string numbers;
  for (std::size_t i = 1; numbers.size() < counted.out.size(); ++i) numbers += std::to_string(i) + "\n";
  CHECK(difference(counted.out, numbers) == "");
}

TEST_CASE("a program that cannot take the daemon's place changes nothing") {
  TempDir dir;
  const std::string config = dir.put("kairod.json", "{}");
  Place place({"--config", config});
  const std::string before = place.info("/instanceId");
  const auto refused = [&](const std::string& words) {
    const Ran ran = place.daemon->ctl({"kernel", "upgrade"});
    CHECK(code_of(ran) == "E_SPAWN_FAILED");
    const std::string message = json_at(ran.err, "/error/message");
    CHECK_MESSAGE(message.find(words) != std::string::npos, message);
    CHECK(message.find(place.program) != std::string::npos);
    CHECK(place.info("/instanceId") == before);
  };
  place.install("no program");
  refused("ENOEXEC");
  place.install(newer_program(), 0644);
  refused("EACCES");
  place.install("#!/bin/sh\necho broken >&2; exit 3\n");
  refused("exit code 3, saying: broken");
  place.install("#!/bin/sh\necho Hello, world\n");
  refused("which is none");
  place.install("#!/bin/sh\nkill -SEGV $$\n");
  refused("signal 11");
  REQUIRE(unlink(place.program.c_str()) == 0);
  refused("ENOENT");
  place.install(newer_program());
  dir.put("kairod.json", R"({"listPages": 3})");
  refused("did you mean \"listPage\"?");
  dir.put("kairod.json", R"({"listPage": 3})");
  CHECK(place.daemon->ctl({"kernel", "upgrade"}).code == 0);
  CHECK(place.info("/limits/listPage") == "3");
}

TEST_CASE("a symbolic link that the daemon was started by may be moved") {
  TempDir dir;
  std::filesystem::copy_file(kairod_path(), dir.file("one"));
  chmod(dir.put("two", newer_program(), 0755).c_str(), 0755);
  REQUIRE(symlink("one", dir.file("current").c_str()) == 0);
  Daemon::Options options;
  options.program = dir.file("current");
  Daemon daemon(options);
  REQUIRE(symlink("two", dir.file("next").c_str()) == 0);
  REQUIRE(rename(dir.file("next").c_str(), dir.file("current").c_str()) == 0);
  CHECK(json_at(daemon.ctl({"kernel", "upgrade"}).out, "/new/version") == "9.9.9");
}

TEST_CASE("a daemon in the background, with relative paths, is upgraded as well") {
  TempDir dir;
  std::filesystem::copy_file(kairod_path(), dir.file("kairod"));
  StartOptions options;
  options.cwd = dir.path();
  options.env = {{"KAIRO_IPC_SOCKET", std::nullopt}};
  REQUIRE(run({"./kairod", "--socket", "my.sock", "--state-dir", "state", "--daemonize"}, {}, options).code ==
          0);
  const auto ctl = [&](const std::vector<std::string>& words) {
    std::vector<std::string> argv{kairoctl_path(), "--no-autostart", "--socket", dir.file("my.sock")};
    argv.insert(argv.end(), words.begin(), words.end());
    return run(argv);
  };
  const std::string pid = json_at(ctl({"info"}).out, "/pid");
  const Ran ran = ctl({"kernel", "upgrade"});
  CHECK_MESSAGE(ran.code == 0, ran.err);
  CHECK(json_at(ran.out, "/pid") == pid);
  CHECK(json_at(ctl({"info"}).out, "/stateDir") == dir.file("state"));
  CHECK(std::filesystem::read_symlink("/proc/" + pid + "/cwd") == "/");
  CHECK(read_file(dir.file("state/kairod.log")).find("making room") != std::string::npos);
  CHECK(ctl({"kernel", "stop", "--processes", "stop"}).code == 0);
}

TEST_CASE("SIGTERM during an upgrade is not lost") {
  Place place;
  const pid_t pid = place.daemon->pids().daemon;
  auto client = connected(*place.daemon);
  REQUIRE(client.call_raw("kernel.upgrade", api::NoParams{}, soon()).ok());
  kill(pid, SIGTERM);
  eventually([&] { return place.daemon->said().find("kairod: stopped") != std::string::npos; },
             "its last word");
  eventually([&] { return read_file("/proc/" + std::to_string(pid) + "/cmdline").empty(); }, "its end");
  CHECK(access(place.daemon->socket().c_str(), F_OK) != 0);
}

TEST_CASE("kernel stop keeps the programs or ends them, and returns when the daemon is gone") {
  Daemon daemon({.start = false});
  const std::string id = spawned(daemon, {"--", "sleep", "600"});
  const pid_t child = static_cast<pid_t>(std::stol(json_at(daemon.ctl({"status", id}).out, "/pid")));
  const pid_t first = daemon.pids().daemon;
  const Ran kept = daemon.ctl({"kernel", "stop", "--processes", "keep"});
  CHECK_MESSAGE(kept.code == 0, kept.err);
  CHECK(json_at(kept.out, "/processes") == "keep");
  CHECK(read_file("/proc/" + std::to_string(first) + "/cmdline").empty());
  CHECK(kill(child, 0) == 0);
  CHECK(daemon.ctl({"--no-autostart", "kernel", "stop"}).code == 69);
  CHECK(daemon.ctl({"kernel", "upgrade"}).code == 69);
  CHECK(json_at(daemon.ctl({"status", id}).out, "/status") == "running");  // starts the next one, at once
  const Ran stopped = daemon.ctl({"kernel", "stop", "--processes", "stop"});
  CHECK(json_at(stopped.out, "/processes") == "stop");
  CHECK(read_file("/proc/" + std::to_string(child) + "/cmdline").empty());
  CHECK(json_at(daemon.ctl({"status", id}).out, "/outcome/reason") == "kernel-shutdown");
  // As configured, where nothing is said: by default they are kept.
  CHECK(json_at(daemon.ctl({"kernel", "stop"}).out, "/processes") == "keep");
}

TEST_CASE("a connection that acts under a name may neither stop nor upgrade the daemon") {
  Daemon daemon;
  auto client = connected(daemon);
  REQUIRE(client.call_raw("identify", api::IdentifyParams{"agent"}, soon()).ok());
  for (const char* method : {"kernel.stop", "kernel.upgrade"}) {
    auto answer = client.call_raw(method, api::NoParams{}, soon());
    REQUIRE_FALSE(answer.ok());
    CHECK(answer.error().code == kairo::Code::permission_denied);
  }
  CHECK(daemon.ctl({"--no-autostart", "ping"}).code == 0);
}

TEST_SUITE_END();
