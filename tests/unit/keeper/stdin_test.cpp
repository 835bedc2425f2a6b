// From the ring into the child.
#include <sys/wait.h>

#include "harness.hpp"
#include "support/pattern.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

/// Writes `size` bytes of the pattern, as fast as the ring takes them.
void write_pattern(Kairod& kairod, Ring& ring, std::uint64_t key, StdinSlot& slot, std::size_t size) {
  std::string data(size, '\0');
  pattern_fill(data.data(), size, 0);
  for (std::size_t done = 0; done < size;) {
    kairod.run_until([&] {
      slot.wake.store(1);
      return slot.tail - slot.head < limits::stdin_bytes || slot.state != 0;
    });
    REQUIRE(slot.state == 0);
    done += ring.write(*kairod.link, key, slot, std::string_view(data).substr(done, 200'000));
  }
}

}  // namespace

TEST_CASE("8 MiB go through cat and come back whole") {
  const TempDir dir;
  Kairod kairod(dir.path());
  const std::size_t size = 8u << 20;
  auto session = kairod.launch({.argv = {"/bin/cat"}, .standard_input = Stdio::pipe});
  StdinSlot& slot = kairod.slot(session).standard_input;
  Ring ring;
  write_pattern(kairod, ring, session->key, slot, size);
  ring.close(*kairod.link, session->key, slot);
  CHECK(kairod.wait_exit(session->key).wait_status == 0);
  CHECK(slot.head == size);
  CHECK(slot.state == stdin_closed);
  const std::string out = kairod.read_log(session->key, session->slot);
  REQUIRE(out.size() == size);
  CHECK(pattern_mismatch(out.data(), size, 0) == size);
  kairod.release(session);
}

TEST_CASE("small writes with and without a doorbell all arrive") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch({.argv = words({"verify-stdin"}), .standard_input = Stdio::pipe});
  StdinSlot& slot = kairod.slot(session).standard_input;
  Ring ring;
  std::string data(40'000, '\0');
  pattern_fill(data.data(), data.size(), 0);
  for (std::size_t done = 0; done < data.size(); done += 8) {
    ring.write(*kairod.link, session->key, slot, std::string_view(data).substr(done, 8));
    if (done % 4096 == 0) kairod.io.poll();
  }
  ring.close(*kairod.link, session->key, slot);
  kairod.wait_exit(session->key);
  CHECK(kairod.read_log(session->key, session->slot) == "ok 40000\n");
  kairod.release(session);
}

TEST_CASE("a close without a byte is the end of file") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch({.argv = {"/bin/cat"}, .standard_input = Stdio::pipe});
  kairod.slot(session).standard_input.close = stdin_close;
  CHECK(kairod.slot(session).standard_input.idle.exchange(0) == 1);
  kairod.link->stdin_ready(session->key);
  CHECK(kairod.wait_exit(session->key).wait_status == 0);
  CHECK(kairod.slot(session).standard_input.state == stdin_closed);
  kairod.release(session);
}

TEST_CASE("a slow reader gets everything") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch({.argv = words({"read-slowly", "8192", "1"}), .standard_input = Stdio::pipe});
  StdinSlot& slot = kairod.slot(session).standard_input;
  Ring ring;
  write_pattern(kairod, ring, session->key, slot, 1'500'000);
  ring.close(*kairod.link, session->key, slot);
  kairod.wait_exit(session->key);
  CHECK(kairod.read_log(session->key, session->slot) == "read 1500000\n");
  kairod.release(session);
}

TEST_CASE("a child that ends without reading leaves stdin broken, and the keeper alive") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch({.argv = words({"exit-without-reading", "5"}), .standard_input = Stdio::pipe});
  StdinSlot& slot = kairod.slot(session).standard_input;
  Ring ring;
  ring.write(*kairod.link, session->key, slot, std::string(300'000, 'x'));
  CHECK(WEXITSTATUS(kairod.wait_exit(session->key).wait_status) == 5);
  CHECK(slot.state == (stdin_closed | stdin_broken));
  CHECK(slot.head < slot.tail);
  kairod.release(session);
  CHECK(kairod.output_of({.argv = {"/bin/echo", "alive"}}) == "alive\n");
}

TEST_CASE("a child killed with stdin pending leaves it broken") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch({.argv = words({"sleep", "1000"}), .standard_input = Stdio::pipe});
  StdinSlot& slot = kairod.slot(session).standard_input;
  Ring ring;
  ring.write(*kairod.link, session->key, slot, std::string(1u << 20, 'x'));
  kairod.run_until([&] {
    slot.wake.store(1);
    return slot.head > 0;
  });
  kairod.signal(session->key, SIGKILL, SignalScope::group);
  CHECK(kairod.wait_exit(session->key).wait_status == SIGKILL);
  CHECK(slot.state == (stdin_closed | stdin_broken));
  kairod.release(session);
}

TEST_CASE("a child that closes its stdin is noticed while it runs") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch({.argv = words({"close-stdin-then-sleep"}), .standard_input = Stdio::pipe});
  StdinSlot& slot = kairod.slot(session).standard_input;
  kairod.run_until([&] {
    slot.wake.store(1);
    return slot.state == stdin_closed;
  });
  CHECK_FALSE(kairod.exits.contains(session->key));
  kairod.signal(session->key, SIGKILL, SignalScope::group);
  kairod.wait_exit(session->key);
  kairod.release(session);
}

TEST_CASE("a ring that was cut short closes that stdin and nothing else") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch({.argv = {"/bin/cat"}, .standard_input = Stdio::pipe});
  StdinSlot& slot = kairod.slot(session).standard_input;
  Ring ring;
  REQUIRE(::ftruncate(ring.file.get(), 0) == 0);
  slot.tail.store(100);
  REQUIRE(kairod.link->stdin_ring(session->key, ring.file.get(), [] {}).ok());
  CHECK(kairod.wait_exit(session->key).wait_status == 0);
  CHECK(slot.state == (stdin_closed | stdin_broken));
  kairod.release(session);
}
