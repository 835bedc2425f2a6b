// Disks that refuse. A file size limit stands for a full disk, since every user can set one; a small tmpfs
// shows the same with the kernel's own ENOSPC where the tests run as root.
#include <csignal>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <doctest/doctest.h>

#include "rig.hpp"
#include "support/pattern.hpp"

using namespace kairo;
using namespace kairo::stream;
using kairo::test::Log;
using kairo::test::TempDir;
using State = LogWriter::State;

namespace {

/// No file of this process grows past `bytes` as long as this lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(std::uint64_t bytes) : signal_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit now{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, signal_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*signal_)(int);
};

std::string pattern(std::size_t size, std::uint64_t offset) {
  std::string bytes(size, '\0');
  test::pattern_fill(bytes.data(), size, offset);
  return bytes;
}

bool holds_pattern(Log& log) {
  const LogState now = log.reader.state();
  std::string bytes(static_cast<std::size_t>(now.tail - now.floor), '\0');
  const auto copied = log.reader.copy(now.floor, bytes.data(), bytes.size());
  return copied.ok() && copied->bytes == bytes.size() &&
         test::pattern_mismatch(bytes.data(), bytes.size(), now.floor) == bytes.size();
}

bool degraded(Log& log) {
  return (log.reader.state().flags & log_degraded) != 0;
}

}  // namespace

TEST_CASE("a ring that cannot grow goes round in what it has") {
  TempDir dir;
  Log log(dir, 1 << 20);
  const FileSizeLimit limit(ring_start + 100'000);
  for (int i = 0; i < 100; ++i) {
    log.record(pattern(10'000, log.slot.tail));
    REQUIRE(holds_pattern(log));
  }
  CHECK(degraded(log));
  CHECK(log.slot.tail == 1'000'000);
  CHECK(log.slot.capacity == 100'000);
  CHECK(log.slot.tail - log.slot.floor >= 75'000);
  CHECK(log.end() == State::ended);
  CHECK(holds_pattern(log));
}

TEST_CASE("a ring that cannot grow holds the process for its pin") {
  TempDir dir;
  Log log(dir, 1 << 20);
  log.slot.block_pin = 0;
  const FileSizeLimit limit(ring_start + 50'000);
  std::uint64_t written = 0;
  LogWriter::Progress progress{};
  do {
    written += log.offer(pattern(1 << 16, written));
    progress = log.pump();
  } while (progress.state == State::drained);
  CHECK(progress.state == State::held);
  CHECK(log.slot.tail == 50'000);
  CHECK(log.slot.floor == 0);
  CHECK(holds_pattern(log));
  log.slot.block_pin = 50'000;
  log.pump();
  CHECK(log.slot.tail > 50'000);
  CHECK(holds_pattern(log));
}

TEST_CASE("with nothing on disk an unpinned log throws bytes away and takes up again when it can") {
  TempDir dir;
  Log log(dir, 1 << 20);
  {
    const FileSizeLimit limit(0);
    log.record(pattern(150'000, 0));
    CHECK(log.slot.tail == 150'000);
    CHECK(log.slot.floor == 150'000);
    CHECK(degraded(log));
    CHECK(std::filesystem::is_empty(dir.path()));
  }
  log.record(pattern(5'000, 150'000));
  CHECK(log.slot.tail == 155'000);
  CHECK(log.slot.floor == 150'000);
  CHECK(holds_pattern(log));
}

TEST_CASE("with nothing on disk a pinned log stalls and loses nothing") {
  TempDir dir;
  for (const bool block : {false, true}) {
    Log log(dir, 1 << 20, block ? 1 : 2);
    (block ? log.slot.block_pin : log.slot.pin) = 0;
    log.offer(pattern(5'000, 0));
    {
      const FileSizeLimit limit(0);
      CHECK(log.pump().state == State::stalled);
      CHECK(log.pump().state == State::stalled);
      CHECK(log.slot.tail == 0);
    }
    CHECK(log.pump().state == State::drained);
    CHECK(log.slot.tail == 5'000);
    CHECK(holds_pattern(log));
    CHECK_FALSE(degraded(log));
  }
}

TEST_CASE("a log that throws bytes away still sees the end of its pipe") {
  TempDir dir;
  Log log(dir, 1 << 20);
  const FileSizeLimit limit(0);
  log.offer("gone");
  CHECK(log.end() == State::ended);
  CHECK(log.reader.state().eof());
  CHECK(log.reader.state().tail == 4);
  CHECK(log.reader.state().floor == 4);
}

TEST_CASE("a full disk: rings go round, on a file system that is really full") {
  TempDir dir;
  if (::geteuid() != 0 || ::unshare(CLONE_NEWNS) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("kairo-test", dir.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
    MESSAGE("skipped: mounting a small tmpfs needs root");
    return;
  }
  {
    // Descriptors of the directory must be those of what was mounted over it.
    const UniqueFd logs(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    StreamSlot slot{};
    slot.pin = slot.block_pin = no_pin;
    LogWriter writer(logs.get(), 1, 0, 64u << 20, slot);
    LogReader reader(logs.get(), 1, 0, &slot);
    test::Pipe pipe;
    std::uint64_t written = 0;
    while (written < 8u << 20) {
      const std::string bytes = pattern(1 << 16, written);
      const ssize_t n = ::write(pipe.in.get(), bytes.data(), bytes.size());
      if (n > 0) written += static_cast<std::uint64_t>(n);
      writer.pump(pipe.out.get(), test::start_us, 64u << 20);
    }
    const LogState now = reader.state();
    CHECK((now.flags & log_degraded) != 0);
    CHECK(now.tail == written);
    CHECK(now.tail - now.floor > 500'000);
    std::string bytes(static_cast<std::size_t>(now.tail - now.floor), '\0');
    const auto copied = reader.copy(now.floor, bytes.data(), bytes.size());
    REQUIRE(copied.ok());
    CHECK(copied->bytes == bytes.size());
    CHECK(test::pattern_mismatch(bytes.data(), bytes.size(), now.floor) == bytes.size());
  }
  ::umount2(dir.path().c_str(), MNT_DETACH);
}
