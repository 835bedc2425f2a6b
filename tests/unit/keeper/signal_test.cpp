// Orders to signal.
#include <sys/wait.h>

#include "harness.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

void wait_output(Kairod& kairod, const std::shared_ptr<Kairod::Started>& session) {
  kairod.wait_stream(session->slot, 0, [](auto& each) { return each.tail > 1; });
}

}  // namespace

TEST_CASE("main reaches the main process, group its children too") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch({.argv = {"/bin/sh", "-c", "sleep 1000 & echo $!; wait"}});
  wait_output(kairod, session);
  const pid_t inner = std::atoi(kairod.read_log(session->key, session->slot).c_str());
  CHECK(kairod.signal(session->key, 0, SignalScope::main) == 0);
  CHECK(alive(inner));
  CHECK(kairod.signal(session->key, SIGTERM, SignalScope::group) == 0);
  kairod.wait_exit(session->key);
  eventually([&] { return !alive(inner); });
  CHECK(kairod.signal(session->key, SIGTERM, SignalScope::main) == ESRCH);
  CHECK(kairod.signal(session->key, SIGTERM, SignalScope::group) == ESRCH);
  kairod.release(session);
}

TEST_CASE("all reaches what left the group") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch({.argv = words({"double-fork", "1000", "close", "sleep", "1000"}),
                                .env = {"KAIRO_PROCESS_ID=everybody"},
                                .mark = "everybody"});
  wait_output(kairod, session);
  const pid_t daemon = std::atoi(kairod.read_log(session->key, session->slot).c_str());
  CHECK(kairod.signal(session->key, SIGKILL, SignalScope::all) == 0);
  CHECK(WTERMSIG(kairod.wait_exit(session->key).wait_status) == SIGKILL);
  eventually([&] { return !alive(daemon); });
  kairod.release(session);
}

TEST_CASE("a stopped process hears a terminating signal") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch({.argv = words({"sleep", "1000"})});
  CHECK(kairod.signal(session->key, SIGSTOP, SignalScope::group) == 0);
  CHECK(kairod.signal(session->key, SIGTERM, SignalScope::group) == 0);
  CHECK(WTERMSIG(kairod.wait_exit(session->key).wait_status) == SIGTERM);
  kairod.release(session);
}

TEST_CASE("an unknown key and a number that is no signal are told") {
  const TempDir dir;
  Kairod kairod(dir.path());
  CHECK(kairod.signal(123'456'789, SIGTERM, SignalScope::group) == ESRCH);
  auto session = kairod.launch({.argv = words({"sleep", "1000"})});
  CHECK(kairod.signal(session->key, 99, SignalScope::group) == EINVAL);
  CHECK(kairod.signal(session->key, -1, SignalScope::main) == EINVAL);
  kairod.signal(session->key, SIGKILL, SignalScope::group);
  kairod.wait_exit(session->key);
  kairod.release(session);
}
