// From the pipe into the log.
#include "harness.hpp"
#include "support/pattern.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

void check_pattern(const std::string& data, std::size_t size) {
  REQUIRE(data.size() == size);
  CHECK(pattern_mismatch(data.data(), data.size(), 0) == data.size());
}

bool ended(stream::StreamSlot& slot) {
  return (slot.flags & stream::log_eof) != 0;
}

}  // namespace

TEST_CASE("60 KiB and an exit arrive whole, 1,000 times") {
  const TempDir dir;
  Kairod kairod(dir.path());
  const std::size_t size = 60u << 10;
  const std::size_t descriptors = open_descriptors(kairod.link->keeper_pid());
  for (int i = 0; i < 1000; ++i) {
    const std::string out =
        kairod.output_of({.argv = words({"spew", std::to_string(size)}), .standard_error = Stdio::null});
    REQUIRE(out.size() == size);
    REQUIRE(pattern_mismatch(out.data(), out.size(), 0) == size);
  }
  eventually([&] { return open_descriptors(kairod.link->keeper_pid()) == descriptors; });
  CHECK(zombies_of(kairod.link->keeper_pid()) == 0);
}

TEST_CASE("both streams are recorded apart") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session =
      kairod.launch({.argv = words({"spew", "100000", "stdout", "spew", "50000", "stderr", "exit", "3"})});
  CHECK(kairod.wait_exit(session->key).wait_status == 3 << 8);
  check_pattern(kairod.read_log(session->key, session->slot, 0), 100'000);
  check_pattern(kairod.read_log(session->key, session->slot, 1), 50'000);
  kairod.release(session);
}

TEST_CASE("a stream without a byte has no file, and ends") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch({.argv = {"/bin/true"}});
  kairod.wait_exit(session->key);
  for (auto& each : kairod.slot(session).streams) {
    CHECK(ended(each));
    CHECK((each.flags & stream::log_has_file) == 0);
  }
  kairod.release(session);
}

TEST_CASE("64 MiB at full speed arrive whole") {
  const TempDir dir;
  Kairod kairod(dir.path());
  const std::size_t size = 64u << 20;
  check_pattern(kairod.output_of({.argv = words({"spew", std::to_string(size)})}), size);
}

TEST_CASE("whoever set wake is told of bytes and of the end") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch({.argv = words({"await-line", "spew", "16"}), .standard_input = Stdio::pipe});
  Ring ring;
  SessionSlot& slot = kairod.slot(session);
  slot.streams[0].wake.store(1);
  const std::size_t before = kairod.changes;
  ring.write(*kairod.link, session->key, slot.standard_input, "\n");
  kairod.run_until([&] { return kairod.changes > before; });
  CHECK(slot.streams[0].wake == 0);
  kairod.wait_stream(session->slot, 0, ended);
  CHECK(slot.streams[0].tail == 16);
  kairod.wait_exit(session->key);
  kairod.release(session);
}

TEST_CASE("a pin holds the process back, and moving it lets the process go on") {
  const TempDir dir;
  Kairod kairod(dir.path());
  const std::size_t size = 4u << 20;
  const std::size_t retain = 64u << 10;
  auto session = kairod.launch({.argv = words({"spew", std::to_string(size)}),
                                .standard_error = Stdio::null,
                                .retain_bytes = retain,
                                .pin = 0});
  stream::StreamSlot& slot = kairod.slot(session).streams[0];
  kairod.wait_stream(session->slot, 0, [](auto& each) { return (each.flags & stream::log_held) != 0; });
  CHECK(slot.tail <= retain);
  CHECK_FALSE(kairod.exits.contains(session->key));
  std::uint64_t seen = 0;
  while (!ended(slot) || seen < slot.tail) {
    const std::uint64_t tail = slot.tail;
    CHECK(slot.floor <= seen);  // nothing that the pin covers was given up
    seen = tail;
    slot.pin.store(seen);
    if (slot.flags & stream::log_held) kairod.link->resume_pump(session->key);
    kairod.wait_stream(session->slot, 0, [&](auto& each) { return ended(each) || each.tail > seen; });
  }
  CHECK(slot.tail == size);
  CHECK(kairod.wait_exit(session->key).wait_status == 0);
  kairod.release(session);
}

TEST_CASE("a held stream delays the exit by the grace and loses nothing") {
  const TempDir dir;
  Kairod kairod(dir.path());
  const std::size_t size =
      100u << 10;  // more than the log may hold, and little enough to fit into log and pipe
  auto session = kairod.launch({.argv = words({"spew", std::to_string(size)}),
                                .standard_error = Stdio::null,
                                .retain_bytes = 64u << 10,
                                .grace_ms = 100,
                                .pin = 0});
  CHECK(kairod.wait_exit(session->key).wait_status == 0);
  stream::StreamSlot& slot = kairod.slot(session).streams[0];
  CHECK_FALSE(ended(slot));
  slot.pin.store(stream::no_pin);
  kairod.link->resume_pump(session->key);
  kairod.wait_stream(session->slot, 0, ended);
  CHECK(slot.tail == size);
  kairod.release(session);
}

TEST_CASE("many writers at once are all served") {
  const TempDir dir;
  Kairod kairod(dir.path());
  const std::size_t size = 1u << 20;
  std::vector<std::shared_ptr<Kairod::Started>> sessions;
  for (int i = 0; i < 50; ++i)
    sessions.push_back(
        kairod.launch({.argv = words({"spew", std::to_string(size)}), .retain_bytes = 2u << 20}));
  for (const auto& each : sessions) {
    kairod.wait_exit(each->key);
    check_pattern(kairod.read_log(each->key, each->slot), size);
    kairod.release(each);
  }
}
