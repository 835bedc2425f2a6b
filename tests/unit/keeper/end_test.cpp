// Exits, and what a session leaves behind.
#include <sys/wait.h>
#include <unistd.h>

#include "harness.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

/// The pid that the test child printed.
pid_t printed_pid(Kairod& kairod, const std::shared_ptr<Kairod::Started>& session) {
  kairod.wait_stream(session->slot, 0, [](auto& each) { return each.tail > 1; });
  return std::atoi(kairod.read_log(session->key, session->slot).c_str());
}

std::int64_t ms_since(SteadyTime begin) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(SteadyClock::now() - begin).count();
}

}  // namespace

TEST_CASE("an exit code and a signal are told apart") {
  const TempDir dir;
  Kairod kairod(dir.path());
  for (const int code : {0, 1, 9, 127, 255}) {
    auto session = kairod.launch({.argv = words({"exit", std::to_string(code)})});
    const Exited exited = kairod.wait_exit(session->key);
    CHECK(WIFEXITED(exited.wait_status));
    CHECK(WEXITSTATUS(exited.wait_status) == code);
    CHECK(exited.exited_us >= (*session->result)->started_us);
    kairod.release(session);
  }
  auto session = kairod.launch({.argv = words({"die", "SIGKILL"})});
  CHECK(WTERMSIG(kairod.wait_exit(session->key).wait_status) == SIGKILL);
  kairod.release(session);
}

TEST_CASE("two thousand programs in flight all end") {
  const TempDir dir;
  Kairod kairod(dir.path());
  const pid_t keeper = kairod.link->keeper_pid();
  const std::size_t descriptors = open_descriptors(keeper);
  std::vector<std::shared_ptr<Kairod::Started>> sessions;
  for (int i = 0; i < 2000; ++i)
    sessions.push_back(kairod.order({.argv = {"/bin/true"}, .standard_input = Stdio::pipe}));
  kairod.run_until([&] { return kairod.exits.size() == 2000; });
  for (const auto& each : sessions) {
    REQUIRE(each->result->ok());
    CHECK(kairod.exits[each->key].wait_status == 0);
    kairod.release(each);
  }
  eventually([&] { return open_descriptors(keeper) == descriptors; });
  CHECK(zombies_of(keeper) == 0);
}

TEST_CASE("a grandchild in the group that keeps stdout is ended with its session") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch({.argv = words({"grandchild-holds-stdout", "1000"}), .grace_ms = 20'000});
  const auto begin = SteadyClock::now();
  CHECK(kairod.wait_exit(session->key).wait_status == 0);
  CHECK(ms_since(begin) < 15'000);  // it heard SIGTERM, nobody waited for the grace
  const pid_t grandchild = printed_pid(kairod, session);
  eventually([&] { return !alive(grandchild); });
  kairod.release(session);
  eventually([&] { return zombies_of(kairod.link->keeper_pid()) == 0; });
}

TEST_CASE("a grandchild that ignores SIGTERM is killed after the grace, and stdout ends") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch(
      {.argv = {"/bin/sh", "-c", "trap '' TERM; sleep 1000 & echo $!; exit 4"}, .grace_ms = 200});
  const auto begin = SteadyClock::now();
  CHECK(WEXITSTATUS(kairod.wait_exit(session->key).wait_status) == 4);
  CHECK(ms_since(begin) >= 150);
  const pid_t grandchild = printed_pid(kairod, session);
  eventually([&] { return !alive(grandchild); });
  kairod.wait_stream(session->slot, 0, [](auto& each) { return (each.flags & stream::log_eof) != 0; });
  kairod.release(session);
}

TEST_CASE("a double-forked descendant is found by its mark and ended") {
  const TempDir dir;
  Kairod kairod(dir.path());
  for (const char* how : {"keep", "close"}) {
    auto session = kairod.launch({.argv = words({"double-fork", "1000", how}),
                                  .env = {"KAIRO_PROCESS_ID=marked"},
                                  .grace_ms = 20'000,
                                  .mark = "marked"});
    CHECK(kairod.wait_exit(session->key).wait_status == 0);
    const pid_t daemon = printed_pid(kairod, session);
    eventually([&] { return !alive(daemon); });
    kairod.release(session);
  }
  eventually([&] { return zombies_of(kairod.link->keeper_pid()) == 0; });
}

TEST_CASE("a double-forked descendant of a living session is left alone until that ends") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto living = kairod.launch({.argv = words({"double-fork", "1000", "close", "sleep", "1000"}),
                               .env = {"KAIRO_PROCESS_ID=living"},
                               .mark = "living"});
  const pid_t daemon = printed_pid(kairod, living);
  // Another session's end makes the keeper look through the orphans.
  auto other = kairod.launch(
      {.argv = words({"double-fork", "1000", "close"}), .env = {"KAIRO_PROCESS_ID=other"}, .mark = "other"});
  kairod.wait_exit(other->key);
  const pid_t other_daemon = printed_pid(kairod, other);
  eventually([&] { return !alive(other_daemon); });
  CHECK(alive(daemon));
  kairod.signal(living->key, SIGKILL, SignalScope::main);
  kairod.wait_exit(living->key);
  eventually([&] { return !alive(daemon); });
  kairod.release(living);
  kairod.release(other);
}

TEST_CASE("what lives below a double-forked descendant goes with it") {
  const TempDir dir;
  Kairod kairod(dir.path());
  // The daemon (of a session of its own) ignores SIGTERM and has a child without the mark.
  auto session = kairod.launch(
      {.argv = {"/bin/sh", "-c",
                "setsid sh -c 'trap \"\" TERM; env -i setsid sleep 1000 & echo $!; exec sleep 1000' "
                "& sleep 0.2; exit 0"},
       .env = {"KAIRO_PROCESS_ID=deep", "PATH=/usr/bin:/bin"},
       .grace_ms = 300,
       .mark = "deep"});
  kairod.wait_exit(session->key);
  const pid_t deep = printed_pid(kairod, session);
  eventually([&] { return !alive(deep); });
  kairod.release(session);
}

TEST_CASE("detached descendants are left alone and their output is recorded to its end") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session =
      kairod.launch({.argv = words({"grandchild-holds-stdout", "1000"}), .grace_ms = 50, .detach = true});
  CHECK(kairod.wait_exit(session->key).wait_status == 0);
  const pid_t grandchild = printed_pid(kairod, session);
  CHECK(alive(grandchild));
  stream::StreamSlot& slot = kairod.slot(session).streams[0];
  CHECK((slot.flags & stream::log_eof) == 0);
  CHECK(kairod.signal(session->key, SIGTERM, SignalScope::group) == 0);
  kairod.wait_stream(session->slot, 0, [](auto& each) { return (each.flags & stream::log_eof) != 0; });
  eventually([&] { return !alive(grandchild); });
  CHECK(kairod.signal(session->key, SIGTERM, SignalScope::all) == ESRCH);
  kairod.release(session);
}

TEST_CASE("a released slot is empty and can be used again") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch({.argv = words({"spew", "5000"})});
  kairod.wait_exit(session->key);
  kairod.release(session);
  SessionSlot& slot = kairod.slot(session);
  kairod.run_until([&] { return slot.key == 0; });
  CHECK(slot.streams[0].tail == 0);
  CHECK(slot.streams[0].flags == 0);
  auto next = kairod.launch({.argv = words({"spew", "16"})});
  CHECK(next->slot == session->slot);
  kairod.wait_exit(next->key);
  CHECK(kairod.slot(next).streams[0].tail == 16);
  kairod.release(next);
}
