// Faults from outside, one at a time: what is affected says so by an error with a name or by
// `kairo.kernel.degraded`, everything else goes on, and when the fault is over nothing need be restarted.
//
// Some need rights (mounts, control groups); where the machine does not give them the test says so.
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/resource.h>
#include <sys/stat.h>

#include "rig.hpp"

using namespace kairo;
using namespace kairo::test;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t mebibyte = 1u << 20;

void write(client::Client& client, const std::string& id, const std::string& text) {
  api::StdinWriteParams params;
  params.id = id;
  params.data.data = text;
  must<api::StdinWriteResult>(client, "process.stdin.write", params);
}

/// Hears what the daemon says of itself.
class Degraded {
 public:
  explicit Degraded(const Daemon& daemon) : client_(connect(daemon)) {
    must<api::EventSubscribeResult>(client_, "event.subscribe",
                                    api::EventSubscribeParams{"kairo.kernel.degraded", {}});
  }
  /// Waits for the next one about `what`.
  void await(const std::string& what) {
    const std::string wanted = "\xa4what" + std::string(1, static_cast<char>(0xa0 + what.size())) + what;
    for (;;) {
      auto push = client_.poll_push(SteadyClock::now() + patience);
      REQUIRE(push.ok());
      REQUIRE_MESSAGE(push->has_value(), "no kairo.kernel.degraded about " << what);
      if ((*push)->payload.find(wanted) != std::string::npos) return;
    }
  }

 private:
  client::Client client_;
};

/// A file that takes all the room that is left.
class Filler {
 public:
  explicit Filler(const std::string& path)
      : file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) {
    REQUIRE(file_);
    const std::string piece(4096, 'x');
    while (::write(file_.get(), piece.data(), piece.size()) > 0) {
    }
    REQUIRE(errno == ENOSPC);
  }
  ~Filler() { empty(); }
  void empty() { static_cast<void>(::ftruncate(file_.get(), 0)); }

 private:
  UniqueFd file_;
};

/// Spawns with a lossless reader from the first byte on; its subscription.
std::string spawn_followed(client::Client& client, api::SpawnParams params, const std::string& id) {
  params.id = id;
  const auto spawned = client.send("process.spawn", params);
  const auto attached = client.send("process.attach", attach_to(id, api::Flow::lossless));
  auto session = client.await<api::SpawnResult>(spawned);
  REQUIRE_MESSAGE(session.ok(), (session.ok() ? std::string() : session.error().message));
  auto subscription = client.await<api::SubscriptionResult>(attached);
  REQUIRE(subscription.ok());
  return subscription->subscription_id;
}

void check_whole(client::Client& client, const std::string& subscription, std::uint64_t bytes) {
  const PatternCheck check = read_pattern(client, subscription);
  CHECK(check.problem() == "");
  CHECK(check.offset() == bytes);
  CHECK(check.dropped() == 0);
}

/// Everything that has nothing to do with the fault.
void check_goes_on(client::Client& client) {
  CHECK(client.call_raw("kernel.ping", api::NoParams{}, SteadyClock::now() + patience).ok());
  CHECK(wait(client, spawn(client, child({"exit", "7"})).id).exit_code == 7);
}

/// The limit under which it can open nothing more: its lowest number that is free.
rlim_t no_more_files(pid_t pid) {
  rlim_t number = 0;
  while (fs::is_symlink("/proc/" + std::to_string(pid) + "/fd/" + std::to_string(number))) ++number;
  return number;
}

/// Another limit of a running process, until the end of the scope.
class Limit {
 public:
  Limit(pid_t pid, int resource, rlim_t soft) : pid_(pid), resource_(resource) {
    REQUIRE(::prlimit(pid_, static_cast<__rlimit_resource>(resource_), nullptr, &before_) == 0);
    const rlimit now{soft, before_.rlim_max};
    REQUIRE(::prlimit(pid_, static_cast<__rlimit_resource>(resource_), &now, nullptr) == 0);
  }
  ~Limit() { lift(); }
  void lift() { ::prlimit(pid_, static_cast<__rlimit_resource>(resource_), &before_, nullptr); }

 private:
  pid_t pid_;
  int resource_;
  rlimit before_{};
};

/// A control group of version 1 or 2 for one process, with one limit.
class ControlGroup {
 public:
  explicit ControlGroup(const std::string& controller) {
    for (const std::string& root : {"/sys/fs/cgroup/" + controller, std::string("/sys/fs/cgroup")}) {
      path_ = root + "/kairo-test-" + std::to_string(::getpid());
      if (::mkdir(path_.c_str(), 0755) != 0) continue;
      for (const char* file : {"/pids.max", "/memory.limit_in_bytes", "/memory.max"})
        if (controller == std::string(file + 1).substr(0, controller.size()) &&
            ::access((path_ + file).c_str(), W_OK) == 0)
          limit_ = path_ + file;
      if (!limit_.empty()) return;
      ::rmdir(path_.c_str());
    }
    path_.clear();
  }
  ~ControlGroup() {
    if (path_.empty()) return;
    eventually([&] { return ::rmdir(path_.c_str()) == 0; }, "nothing is left in the control group");
  }
  [[nodiscard]] bool there() const { return !path_.empty(); }
  [[nodiscard]] bool limit(const std::string& to) const { return put(limit_, to); }
  [[nodiscard]] bool take(pid_t pid) const { return put(path_ + "/cgroup.procs", std::to_string(pid)); }
  [[nodiscard]] std::string count(const std::string& file) const { return read_file(path_ + "/" + file); }

 private:
  static bool put(const std::string& file, const std::string& text) {
    std::ofstream out(file);
    out << text << std::flush;
    return out.good();
  }
  std::string path_, limit_;
};

bool has(bool right, const char* what) {
  if (!right) MESSAGE("not run: this machine gives no " << what);
  return right;
}

}  // namespace

TEST_SUITE_BEGIN("fault");

TEST_CASE("a disk that is full holds whom nobody may lose a byte of, and costs the others their oldest") {
  if (!has(can_mount(), "mounts")) return;
  Daemon daemon(
      {.behind = mounting("mkdir -p $STATE/logs; mount -t tmpfs -o size=4m,mode=0700 x $STATE/logs")});
  client::Client client = connect(daemon), reader = connect(daemon);
  Degraded degraded(daemon);
  Filler filler(daemon.inside("logs/filler"));
  const std::string all = spawn_followed(reader, child({"spew", std::to_string(mebibyte)}), "held");
  degraded.await("log");
  const auto held = status(client, "held");
  CHECK(held.status == api::Status::running);
  REQUIRE(held.degraded);
  CHECK(held.degraded->at(0).find("held until there is room") != std::string::npos);

  const std::string dropping = spawn(client, child({"spew", std::to_string(mebibyte)})).id;
  degraded.await("log");
  const auto dropped = wait(client, dropping);
  CHECK(dropped.exit_code == 0);
  CHECK(dropped.streams.standard_output.bytes == mebibyte);
  CHECK(dropped.degraded);
  check_goes_on(client);

  filler.empty();
  check_whole(reader, all, mebibyte);
  CHECK(wait(client, "held").exit_code == 0);
  CHECK_FALSE(wait(client, "held").degraded);
  const std::string later = spawn_followed(reader, child({"spew", std::to_string(mebibyte)}), "later");
  check_whole(reader, later, mebibyte);
}

TEST_CASE("events that the disk refuses are pushed without a number; numbers go on afterwards") {
  if (!has(can_mount(), "mounts")) return;
  Daemon daemon(
      {.behind = mounting("mkdir -p $STATE/journal; mount -t tmpfs -o size=1m,mode=0700 x $STATE/journal")});
  client::Client client = connect(daemon);
  Degraded degraded(daemon);
  api::PublishParams params;
  params.type = "test.fact";
  params.data.msgpack = "\x81\xa1x\x01";
  const std::uint64_t before = must<api::PublishResult>(client, "event.publish", params).seq;
  {
    const Filler filler(daemon.inside("journal/filler"));
    // What is left of the last block takes a few more.
    std::uint64_t last = before;
    auto published = client.call<api::PublishResult>("event.publish", params);
    for (; published; published = client.call<api::PublishResult>("event.publish", params)) {
      CHECK(published->seq > last);
      last = published->seq;
      REQUIRE(last < before + 1000);
    }
    CHECK_MESSAGE(published.error().message.find("ENOSPC") != std::string::npos, published.error().message);
    degraded.await("journal");
    check_goes_on(client);
  }
  CHECK(must<api::PublishResult>(client, "event.publish", params).seq > before);
}

TEST_CASE("with the whole state on a full disk a killed daemon's successor still knows every end") {
  if (!has(can_mount(), "mounts")) return;
  Daemon daemon(
      {.behind = mounting("mkdir -p $STATE; mount -t tmpfs -o size=64m,mode=0700 x $STATE"), .keep = true});
  std::vector<std::string> ended;
  Filler filler(daemon.inside("filler"));
  {
    client::Client client = connect(daemon);
    Degraded degraded(daemon);
    for (int i = 0; i < 60; ++i) {
      ended.push_back(spawn(client, child({"exit", std::to_string(i)})).id);
      CHECK(wait(client, ended.back()).exit_code == i);
    }
    degraded.await("sessions");
  }
  const auto check = [&] {
    client::Client client = connect(daemon);
    for (std::size_t i = 0; i < ended.size(); ++i)
      CHECK(wait(client, ended[i]).exit_code == static_cast<int>(i));
  };
  const auto next = [&](bool with_keeper) {
    const Daemon::Pids pids = daemon.pids();
    const UniqueFd mounts(::open(("/proc/" + std::to_string(pids.daemon) + "/ns/mnt").c_str(), O_RDONLY));
    // Somebody must be in the namespace meanwhile.
    std::vector<std::string> staying = beside(pids.daemon);
    staying.insert(staying.end(), {"sleep", "1000"});
    const Program stays(staying, {.stdin_null = true});
    const auto is_there = [&] {
      std::error_code gone;
      return fs::read_symlink("/proc/" + std::to_string(stays.pid()) + "/ns/mnt", gone) ==
             fs::read_symlink("/proc/" + std::to_string(pids.daemon) + "/ns/mnt", gone);
    };
    eventually(is_there, "it is there");
    REQUIRE(::kill(pids.daemon, SIGKILL) == 0);
    if (with_keeper) REQUIRE(::kill(pids.keeper, SIGKILL) == 0);
    daemon.start({.behind = beside(stays.pid()), .keep = !with_keeper});
  };
  next(false);
  check();
  filler.empty();
  // Now they are put on record, and the keeper is told to forget them: the disk alone knows.
  eventually([&] { return daemon.said().find("the list of sessions is written again") != std::string::npos; },
             "the list is written again");
  next(true);
  check();
  // One list was enough for all that had been refused.
  std::size_t segments = 0;
  for (const auto& each : fs::directory_iterator(daemon.inside("sessions"))) {
    CHECK(each.path().filename() < "00000000000000000010");
    ++segments;
  }
  CHECK(segments > 0);
}

TEST_CASE("a daemon without descriptors serves those it has, and takes the others when it can") {
  if (sanitized()) {
    // UBSan opens a pipe to look at memory, and takes its failure for a wrong object.
    MESSAGE("not run: the sanitizer needs descriptors itself");
    return;
  }
  Daemon daemon;
  client::Client client = connect(daemon);
  const std::string echo = spawn(client, child({"cat"})).id;
  write(client, echo, "one");
  eventually([&] { return read_log(client, echo) == "one"; }, "it answers");
  const pid_t pid = daemon.pids().daemon;
  Limit limit(pid, RLIMIT_NOFILE, no_more_files(pid));
  client::Client waiting = connect(daemon);
  const auto ping = waiting.send("kernel.ping", api::NoParams{});
  REQUIRE(waiting.pump().ok());
  eventually([&] { return daemon.said().find("cannot accept a connection") != std::string::npos; },
             "it says so");
  write(client, echo, "two");
  eventually([&] { return read_log(client, echo) == "onetwo"; }, "it answers still");
  check_goes_on(client);
  limit.lift();
  CHECK(waiting.await_raw(ping, SteadyClock::now() + patience).ok());
}

TEST_CASE("a keeper without descriptors refuses to launch with the reason, and follows what it has") {
  Daemon daemon;
  client::Client client = connect(daemon);
  const std::string echo = spawn(client, child({"cat"})).id;
  write(client, echo, "one");
  eventually([&] { return read_log(client, echo) == "one"; }, "it answers");
  // Its threads have been started: UBSan looks at what they are made of with a pipe.
  check_goes_on(client);
  const pid_t pid = daemon.pids().keeper;
  {
    const Limit limit(pid, RLIMIT_NOFILE, no_more_files(pid));
    const auto refused = client.call<api::SpawnResult>("process.spawn", child({"exit", "0"}));
    REQUIRE_FALSE(refused.ok());
    CHECK_MESSAGE(refused.error().message.find("EMFILE") != std::string::npos, refused.error().message);
    write(client, echo, "two");
    eventually([&] { return read_log(client, echo) == "onetwo"; }, "it answers still");
    CHECK(client.call<api::ProcessSession>("process.status", api::IdParams{echo}).ok());
  }
  check_goes_on(client);
}

TEST_CASE("where no process can be made a spawn says why, and nothing else notices") {
  ControlGroup group("pids");
  if (!has(group.there(), "control group for pids")) return;
  Daemon daemon;
  client::Client client = connect(daemon);
  const std::string echo = spawn(client, child({"cat"})).id;
  REQUIRE(group.take(daemon.pids().keeper));
  REQUIRE(group.limit("1"));
  const auto refused = client.call<api::SpawnResult>("process.spawn", child({"exit", "0"}));
  REQUIRE_FALSE(refused.ok());
  CHECK_MESSAGE(refused.error().message.find("EAGAIN") != std::string::npos, refused.error().message);
  write(client, echo, "still there");
  eventually([&] { return read_log(client, echo) == "still there"; }, "it answers still");
  REQUIRE(group.limit("max"));
  check_goes_on(client);
}

TEST_CASE("without its state directory the daemon starts nothing and follows what runs to its end") {
  Daemon daemon;
  client::Client client = connect(daemon), reader = connect(daemon);
  Degraded degraded(daemon);
  const std::string echo = spawn_followed(reader, child({"cat"}), "echo");
  const std::string mute = spawn_followed(reader, child({"cat"}), "mute");
  const auto take = [&](const std::string& wanted) {
    std::string got;
    while (got.size() < wanted.size()) {
      auto push = reader.poll_push(SteadyClock::now() + patience);
      REQUIRE(push.ok());
      REQUIRE(push->has_value());
      if ((*push)->type != wire::FrameType::stream_chunk) continue;
      auto chunk = api::read_chunk((*push)->payload);
      REQUIRE(chunk.ok());
      if (chunk->subscription_id == echo) got += chunk->chunk;
    }
    CHECK(got == wanted);
  };
  write(client, "echo", "before");
  take("before");
  fs::remove_all(daemon.state_dir());

  const auto refused = client.call<api::SpawnResult>("process.spawn", child({"exit", "0"}));
  REQUIRE_FALSE(refused.ok());
  CHECK_MESSAGE(refused.error().message.find(daemon.state_dir() + "/logs was removed") != std::string::npos,
                refused.error().message);
  degraded.await("state-directory");
  write(client, "echo", "after");
  take("after");
  // It has no log yet, and can get none: it is not held for ever.
  write(client, "mute", "nobody will read this");
  degraded.await("log");
  for (const char* id : {"echo", "mute"}) {
    must<api::Done>(client, "process.stdin.close", api::IdParams{id});
    CHECK(wait(client, id).exit_code == 0);
  }
  CHECK(status(client, "mute").streams.standard_output.bytes == 21);
}

TEST_CASE("logs on a disk that cannot be written to hold or drop; a state directory is refused by name") {
  if (!has(can_mount(), "mounts")) return;
  {
    Daemon daemon({.behind = mounting("mkdir -p $STATE/logs; mount -t tmpfs -o ro,mode=0700 x $STATE/logs")});
    client::Client client = connect(daemon), reader = connect(daemon);
    Degraded degraded(daemon);
    const std::string dropping = spawn(client, child({"spew", std::to_string(mebibyte)})).id;
    degraded.await("log");
    CHECK(wait(client, dropping).exit_code == 0);
    const std::string all = spawn_followed(reader, child({"spew", std::to_string(mebibyte)}), "held");
    degraded.await("log");
    check_goes_on(client);
    std::vector<std::string> remount = beside(daemon.pids().daemon);
    remount.insert(remount.end(), {"mount", "-o", "remount,rw", daemon.state_dir() + "/logs"});
    REQUIRE(run(remount).code == 0);
    check_whole(reader, all, mebibyte);
  }
  const TempDir dir;
  std::vector<std::string> start = mounting("mount -t tmpfs -o ro,mode=0700 x " + dir.path());
  start.insert(start.end(), {kairod_path(), "--socket", dir.path() + ".sock", "--state-dir", dir.path()});
  const Ran refused = run(start);
  CHECK(refused.code == 70);
  CHECK_MESSAGE(refused.err.find(dir.path()) != std::string::npos, refused.err);
  CHECK_MESSAGE(refused.err.find("EROFS") != std::string::npos, refused.err);
}

TEST_CASE("a log that is cut while it is written gives no byte that was not written") {
  Daemon daemon;
  client::Client client = connect(daemon);
  Degraded degraded(daemon);
  const std::string id = spawn(client, child({"cat"})).id;
  write(client, id, std::string(5000, 'a'));
  eventually([&] { return read_log(client, id).size() == 5000; }, "it has written");
  for (const auto& each : fs::directory_iterator(daemon.state_dir() + "/logs"))
    REQUIRE(::truncate(each.path().c_str(), 0) == 0);
  write(client, id, "b");
  degraded.await("log");
  const auto now = status(client, id).streams.standard_output;
  CHECK(now.bytes == 5001);
  CHECK(now.first_offset == 5000);
  api::ReadParams params;
  params.id = id;
  params.offset = 5000;
  CHECK(std::get<std::string>(must<api::ReadResult>(client, "process.read", params).chunk) == "b");
}

TEST_CASE("a keeper that is upgraded where no thread can be made keeps its sessions, and launches later") {
  ControlGroup group("pids");
  if (!has(group.there(), "control group for pids")) return;
  const TempDir next;
  fs::copy_file(kairod_path(), next.file("kairod"));
  Daemon daemon({.keep = true});
  std::string echo;
  const Daemon::Pids before = daemon.pids();
  {
    client::Client client = connect(daemon);
    echo = spawn(client, child({"cat"})).id;
    REQUIRE(group.take(before.keeper));
    REQUIRE(group.limit("1"));
  }
  // Another program: the keeper becomes it.
  REQUIRE(::kill(before.daemon, SIGKILL) == 0);
  daemon.start({.program = next.file("kairod")});
  CHECK(daemon.pids().keeper == before.keeper);
  CHECK(fs::read_symlink("/proc/" + std::to_string(before.keeper) + "/exe") == next.file("kairod"));
  client::Client client = connect(daemon);
  const auto refused = client.call<api::SpawnResult>("process.spawn", child({"exit", "0"}));
  REQUIRE_FALSE(refused.ok());
  CHECK_MESSAGE(refused.error().message.find("EAGAIN") != std::string::npos, refused.error().message);
  write(client, echo, "still there");
  eventually([&] { return read_log(client, echo) == "still there"; }, "it answers");
  REQUIRE(group.limit("max"));
  eventually(
      [&] {
        return client.call<api::SpawnResult>("process.spawn", child({"exit", "0"})).ok();
      },
      "it launches again");
  check_goes_on(client);
}

TEST_CASE("a clock that is set makes nothing old, late or double, and is told") {
  const TempDir dir;
  const std::string shift = dir.put("shift", "0");
  const auto set_clock = [&](long days) {
    dir.put("next", std::to_string(days * 86400));
    fs::rename(dir.file("next"), shift);
  };
  Daemon::Options options;
  options.keep = true;
  options.env = {{"LD_PRELOAD", KAIRO_TEST_CLOCK_SHIFT}, {"KAIRO_CLOCK_SHIFT", shift}};
  if (sanitized()) options.env.emplace("ASAN_OPTIONS", "verify_asan_link_order=0");
  Daemon daemon(options);
  std::string ended, limited;
  std::uint64_t seq = 0;
  const auto newest = [](client::Client& client) {
    return must<api::EventSubscribeResult>(client, "event.subscribe", api::EventSubscribeParams{">", {}}).seq;
  };
  {
    client::Client client = connect(daemon);
    Degraded degraded(daemon);
    ended = spawn(client, child({"exit", "3"})).id;
    CHECK(wait(client, ended).exit_code == 3);
    api::SpawnParams params = child({"cat"});
    params.options->timeout_ms = 3'600'000;
    limited = spawn(client, params).id;
    set_clock(400);
    check_goes_on(client);
    degraded.await("clock");
    // Looks after what is old.
    REQUIRE(::kill(daemon.pids().daemon, SIGHUP) == 0);
    check_goes_on(client);
    CHECK(status(client, ended).exit_code == 3);
    CHECK(status(client, limited).status == api::Status::running);
    set_clock(-400);
    check_goes_on(client);
    degraded.await("clock");
    // Its end is asked for and comes long before, as people count.
    const std::string canceled = spawn(client, child({"cat"})).id;
    set_clock(-800);
    must<api::ProcessSession>(client, "process.cancel", api::CancelParams{canceled, {}, {}});
    set_clock(-900);
    CHECK(wait(client, canceled).outcome->reason == api::EndReason::canceled);
    seq = newest(client);
  }
  // What ended in this run of the machine is as old as it is, whatever the clock says to the next daemon.
  set_clock(-800);
  REQUIRE(::kill(daemon.pids().daemon, SIGKILL) == 0);
  daemon.start(options);
  {
    client::Client client = connect(daemon);
    REQUIRE(::kill(daemon.pids().daemon, SIGHUP) == 0);
    check_goes_on(client);
    CHECK(status(client, ended).exit_code == 3);
  }
  set_clock(-3000);
  REQUIRE(::kill(daemon.pids().daemon, SIGKILL) == 0);
  options.keep = false;
  daemon.start(options);
  client::Client client = connect(daemon);
  CHECK(newest(client) > seq);
  CHECK(status(client, ended).exit_code == 3);
  CHECK(status(client, limited).status == api::Status::running);
  const std::string last = spawn(client, child({"cat"})).id;
  const auto listed = must<api::ListResult>(client, "process.list", api::ListParams{});
  CHECK(listed.sessions.back().id == last);  // keys go on
}

TEST_CASE("a client that is stopped delays nobody and finds everything when it goes on") {
  Daemon daemon;
  const std::uint64_t bytes = 64 * mebibyte;
  Program stopped(daemon.ctl_argv({"run", "--", test_child_path(), "spew", std::to_string(bytes)}));
  stopped.await([&] { return stopped.out().size() > mebibyte; }, "it reads");
  stopped.signal(SIGSTOP);
  client::Client client = connect(daemon);
  check_goes_on(client);
  check_whole(client, spawn_followed(client, child({"spew", std::to_string(bytes)}), "other"), bytes);
  stopped.signal(SIGCONT);
  const Ran& ran = stopped.wait();
  CHECK(ran.code == 0);
  REQUIRE(ran.out.size() == bytes);
  CHECK(pattern_mismatch(ran.out.data(), ran.out.size(), 0) == bytes);
}

TEST_CASE("a daemon that is stopped holds up no process, and misses nothing when it goes on") {
  Daemon daemon;
  client::Client client = connect(daemon);
  const std::uint64_t bytes = 32 * mebibyte;
  const std::string go = daemon.dir().file("go");
  const auto writer = spawn(client, command({"sh", "-c",
                                             "until [ -e " + go + " ]; do sleep 0.01; done; exec " +
                                                 test_child_path() + " spew " + std::to_string(bytes)}));
  std::vector<api::SpawnResult> many;
  for (int i = 0; i < 200; ++i) many.push_back(spawn(client, child({"sleep", "1000"})));
  std::vector<std::uint64_t> waits;
  for (const auto& each : many) waits.push_back(client.send("process.wait", api::WaitParams{each.id, {}}));
  REQUIRE(client.pump().ok());
  const pid_t pid = daemon.pids().daemon;
  REQUIRE(::kill(pid, SIGSTOP) == 0);
  daemon.dir().put("go", "");
  for (const auto& each : many) REQUIRE(::kill(each.pid, SIGKILL) == 0);
  eventually([&] { return ::kill(writer.pid, 0) != 0; }, "the writer has ended, and was reaped");
  for (const auto& each : many) eventually([&] { return ::kill(each.pid, 0) != 0; }, "it was reaped");
  REQUIRE(::kill(pid, SIGCONT) == 0);
  for (const std::uint64_t each : waits) {
    auto ended = client.await<api::ProcessSession>(each, SteadyClock::now() + patience);
    REQUIRE(ended.ok());
    CHECK(ended->signal == "SIGKILL");
  }
  CHECK(wait(client, writer.id).exit_code == 0);
  const auto subscription =
      must<api::SubscriptionResult>(client, "process.attach", attach_to(writer.id, api::Flow::lossless));
  check_whole(client, subscription.subscription_id, bytes);
}

TEST_CASE("a daemon that the system kills for memory costs its sessions nothing") {
  ControlGroup group("memory");
  if (!has(group.there(), "control group for memory")) return;
  Daemon daemon(Daemon::Options{.start = false});
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  std::string ended, echo;
  const Daemon::Pids pids = daemon.pids();
  {
    client::Client client = connect(daemon);
    ended = spawn(client, child({"exit", "5"})).id;
    CHECK(wait(client, ended).exit_code == 5);
    echo = spawn(client, child({"cat"})).id;
    write(client, echo, "before ");
    REQUIRE(group.take(pids.daemon));
    REQUIRE(group.limit(std::to_string(mebibyte)));
    // Large requests, until it has no place for one.
    api::PublishParams large;
    large.type = "test.large";
    large.data.msgpack = "\xdb" + std::string("\x00\x60\x00\x00", 4) + std::string(6 * mebibyte, 'x');
    const auto fill = [&] {
      const auto answer = client.call_raw("event.publish", large, SteadyClock::now() + patience);
      return !answer && client::is_unreachable(answer.error());
    };
    eventually(fill, "it was killed");
  }
  eventually([&] { return ::kill(pids.daemon, 0) != 0; }, "it is gone");
  REQUIRE(daemon.ctl({"ping"}).code == 0);
  CHECK(daemon.pids().keeper == pids.keeper);
  client::Client client = connect(daemon);
  CHECK(wait(client, ended).exit_code == 5);
  write(client, echo, "after");
  eventually([&] { return read_log(client, echo) == "before after"; }, "it answers");
}
