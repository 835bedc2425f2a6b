// Nothing is left over: descriptors, zombies, files, memory.
#include <dirent.h>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "rig.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

std::size_t descriptors_of(pid_t pid) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& each :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd"))
    ++count;
  return count;
}

std::size_t zombies_of(pid_t parent) {
  std::size_t count = 0;
  for (const auto& each : std::filesystem::directory_iterator("/proc")) {
    std::ifstream stat(each.path() / "stat");
    std::string line;
    if (!std::getline(stat, line)) continue;
    std::istringstream rest(line.substr(line.rfind(')') + 2));
    char state = 0;
    pid_t ppid = 0;
    rest >> state >> ppid;
    if (state == 'Z' && ppid == parent) ++count;
  }
  return count;
}

std::size_t files_in(const std::string& directory) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator(directory)) ++count;
  return count;
}

/// Output, stdin, attach, failures, kills: one of each, and then all of it forgotten.
void round(const Daemon& daemon, int times) {
  client::Client client = connect(daemon);
  for (int i = 0; i < times; ++i) {
    api::SpawnParams params = child({"spew", "5000"});
    params.options->subscribe = true;
    const std::string writer = spawn(client, params).id;
    const std::string reader = spawn(client, child({"cat"})).id;
    api::StdinWriteParams write;
    write.id = reader;
    write.data.data = "some words";
    must<api::StdinWriteResult>(client, "process.stdin.write", write);
    must<api::SubscriptionResult>(client, "process.attach", attach_to(reader, api::Flow::lossless));
    REQUIRE_FALSE(client.call<api::SpawnResult>("process.spawn", command({"/no/such/program"})).ok());
    api::KillParams kill;
    kill.id = reader;
    kill.signal = std::string("KILL");
    must<api::ProcessSession>(client, "process.kill", kill);
    for (const std::string& id : {writer, reader}) {
      wait(client, id);
      must<api::Done>(client, "process.forget", api::IdParams{id});
    }
  }
  while (true) {
    auto push = client.poll_push(SteadyClock::now());
    if (!push.ok() || !push->has_value()) break;
  }
}

}  // namespace

TEST_SUITE_BEGIN("leak");

TEST_CASE("after many sessions of every kind no descriptor, zombie, file or memory is left over") {
  Daemon daemon;
  round(daemon, 50);  // what is kept for reuse is there now
  const Daemon::Pids pids = daemon.pids();
  const std::string logs = daemon.state_dir() + "/logs";
  eventually([&] { return files_in(logs) == 0; }, "the logs were removed");
  const std::size_t daemon_descriptors = descriptors_of(pids.daemon),
                    keeper_descriptors = descriptors_of(pids.keeper);
  round(daemon, 100);
  const std::uint64_t daemon_memory = anonymous_bytes(pids.daemon),
                      keeper_memory = anonymous_bytes(pids.keeper);
  round(daemon, 300);
  eventually([&] { return files_in(logs) == 0; }, "the logs were removed");
  eventually([&] { return descriptors_of(pids.daemon) <= daemon_descriptors; },
             "the daemon closed its descriptors");
  eventually([&] { return descriptors_of(pids.keeper) <= keeper_descriptors; },
             "the keeper closed its descriptors");
  eventually([&] { return zombies_of(pids.keeper) == 0; }, "the keeper reaped everything");
  // A sanitizer keeps freed memory back on purpose.
  if (!sanitized()) {
    CHECK(anonymous_bytes(pids.daemon) <= daemon_memory + (1u << 20));
    CHECK(anonymous_bytes(pids.keeper) <= keeper_memory + (1u << 20));
  } else {
    CHECK(daemon_memory > 0);
    CHECK(keeper_memory > 0);
  }
}

TEST_CASE("descendants that a process leaves are ended with it, in its group or out of it") {
  Daemon daemon;
  client::Client client = connect(daemon);
  for (const char* kind : {"grandchild-holds-stdout", "double-fork"}) {
    CAPTURE(kind);
    const auto session = spawn(client, child({kind, "600"}));
    CHECK(wait(client, session.id).exit_code == 0);
    eventually([&] { return processes_with("KAIRO_PROCESS_ID=" + session.id).empty(); },
               "its descendants are gone");
  }
}

TEST_SUITE_END();
