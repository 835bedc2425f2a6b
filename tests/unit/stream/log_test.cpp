#include <atomic>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>

#include <doctest/doctest.h>

#include "base/limits.hpp"
#include "rig.hpp"
#include "support/pattern.hpp"

using namespace kairo;
using namespace kairo::stream;
using kairo::test::Log;
using kairo::test::TempDir;
using State = LogWriter::State;

namespace {

std::string pattern(std::size_t size, std::uint64_t offset = 0) {
  std::string bytes(size, '\0');
  test::pattern_fill(bytes.data(), size, offset);
  return bytes;
}

/// Records the pattern from the log's tail on.
void record_pattern(Log& log, std::size_t size) {
  log.record(pattern(size, log.slot.tail));
}

std::string read_all(Log& log, std::uint64_t offset, std::size_t size) {
  std::string bytes(size, '\0');
  const auto copied = log.reader.copy(offset, bytes.data(), size);
  REQUIRE(copied.ok());
  CHECK(copied->lost == 0);
  bytes.resize(copied->bytes);
  return bytes;
}

std::string path_of(Log& log) {
  return log.dir.path() + "/" + log_file_name(test::test_key, 0);
}

}  // namespace

TEST_CASE("a log's file is named by its key and stream") {
  CHECK(log_file_name(0x4d2, 0) == "00000000000004d2.0");
  CHECK(log_file_name(UINT64_MAX, 1) == "ffffffffffffffff.1");
}

TEST_CASE("a stream that writes nothing has no file, before and after its end") {
  TempDir dir;
  Log log(dir, 1 << 20);
  CHECK(log.pump().state == State::drained);
  CHECK(log.end() == State::ended);
  CHECK(log.pump().state == State::ended);
  CHECK(log.reader.state().eof());
  CHECK_FALSE(std::filesystem::exists(path_of(log)));
  CHECK(*log.reader.file() == -1);
  CHECK(log.reader.times()->empty());
  char byte;
  CHECK(log.reader.copy(0, &byte, 1)->bytes == 0);
}

TEST_CASE("what goes into the pipe comes out of the log, from any offset") {
  TempDir dir;
  Log log(dir, 1 << 20);
  record_pattern(log, 100'000);
  CHECK(log.reader.state().tail == 100'000);
  CHECK(read_all(log, 0, 200'000) == pattern(100'000));
  CHECK(read_all(log, 99'999, 10) == pattern(1, 99'999));
  CHECK(read_all(log, 100'000, 10).empty());
  CHECK(log.end() == State::ended);
  CHECK(read_all(log, 12'345, 100) == pattern(100, 12'345));
}

TEST_CASE("the file is private to its owner and no larger than what was written, index and header aside") {
  TempDir dir;
  Log log(dir, 64 << 20);
  log.record("hello\n");
  struct stat info;
  REQUIRE(::stat(path_of(log).c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0600);
  CHECK(info.st_size == static_cast<off_t>(ring_start + 6));
  CHECK(info.st_blocks * 512 <= 3 * 4096);
}

TEST_CASE("a file that stands in the log's place, a link above all, is not written to") {
  TempDir dir;
  Log log(dir, 1 << 20);
  REQUIRE(::symlink("victim", path_of(log).c_str()) == 0);
  log.offer("hello");
  log.pump();
  CHECK_FALSE(std::filesystem::exists(dir.path() + "/victim"));
  CHECK((log.reader.state().flags & log_degraded) != 0);
}

TEST_CASE("a ring that went round many times keeps at least the retention, and all of it right") {
  TempDir dir;
  constexpr std::uint64_t retain = 100'000;  // not a whole number of pages
  Log log(dir, retain);
  std::uint64_t step = 1;
  while (log.slot.tail < 5'000'000) {
    step = step * 7 % 60'000 + 1;
    record_pattern(log, step);
    const LogState now = log.reader.state();
    REQUIRE(now.floor <= now.tail);
    REQUIRE((now.tail <= retain || now.floor <= now.tail - retain));
    const std::size_t held = static_cast<std::size_t>(now.tail - now.floor);
    const std::string bytes = read_all(log, now.floor, held);
    REQUIRE(bytes.size() == held);
    REQUIRE(test::pattern_mismatch(bytes.data(), held, now.floor) == held);
  }
  struct stat info;
  REQUIRE(::stat(path_of(log).c_str(), &info) == 0);
  CHECK(static_cast<std::uint64_t>(info.st_size) <= ring_start + log.slot.capacity);
}

TEST_CASE("a reader below the floor is told how much is gone and gets what follows") {
  TempDir dir;
  Log log(dir, 1 << 16);
  record_pattern(log, 2'000'000);
  const std::uint64_t floor = log.slot.floor;
  REQUIRE(floor > 1000);
  std::string bytes(500, '\0');
  const auto copied = log.reader.copy(1000, bytes.data(), bytes.size());
  CHECK(copied->lost == floor - 1000);
  CHECK(copied->bytes == 500);
  CHECK(bytes == pattern(500, floor));
}

TEST_CASE("the budget of a pump is kept, and full pipes are told") {
  TempDir dir;
  Log log(dir, 1 << 20);
  CHECK(log.offer(pattern(1 << 17)) == 1 << 16);
  auto progress = log.pump(1000);
  CHECK(progress.state == State::more);
  CHECK(progress.bytes == 1000);
  CHECK_FALSE(progress.pipe_was_full);
  progress = log.pump();
  CHECK(progress.state == State::drained);
  CHECK(progress.bytes == (1 << 16) - 1000);
  log.offer(pattern(1 << 17));
  CHECK(log.pump().pipe_was_full);
}

TEST_CASE("a pin keeps its byte and all after it, and the log goes on when it moves") {
  TempDir dir;
  constexpr std::uint64_t retain = 1 << 16;
  for (const bool block : {false, true}) {
    Log log(dir, retain, block ? 1 : 2);
    std::atomic<std::uint64_t>& pin = block ? log.slot.block_pin : log.slot.pin;
    pin = 10;
    std::uint64_t written = 0;
    LogWriter::Progress progress{};
    do {
      written += log.offer(pattern(1 << 16, written));
      progress = log.pump();
    } while (progress.state != State::held);
    CHECK(log.slot.tail == 10 + retain);
    CHECK((log.reader.state().flags & log_held) != 0);
    CHECK(log.slot.floor <= 10);
    CHECK(read_all(log, 10, retain) == pattern(retain, 10));
    CHECK(log.pump().state == State::held);

    pin = 110;
    progress = log.pump();
    CHECK(progress.state == State::held);
    CHECK(progress.bytes == 100);
    CHECK(read_all(log, 110, retain) == pattern(retain, 110));

    pin = no_pin;
    CHECK(log.pump().state == State::drained);
    CHECK((log.reader.state().flags & log_held) == 0);
    CHECK(log.slot.tail == written);
  }
}

TEST_CASE("a log that is to grow no further goes round in what it has, and is not degraded") {
  TempDir dir;
  Log log(dir, 4 << 20);
  record_pattern(log, 300'000);
  log.slot.no_growth = 1;
  for (int i = 0; i < 50; ++i) {
    record_pattern(log, 70'000);
    const LogState now = log.reader.state();
    REQUIRE(now.tail - now.floor >= 225'000);
    REQUIRE(read_all(log, now.floor, 400'000) == pattern(now.tail - now.floor, now.floor));
  }
  CHECK(log.slot.tail == 3'800'000);
  CHECK(log.slot.capacity == 300'000);
  CHECK((log.slot.flags & log_degraded) == 0);
  CHECK(std::filesystem::file_size(path_of(log)) == ring_start + 300'000);
  CHECK(log.end() == State::ended);
  const LogState last = log.reader.state();
  CHECK(read_all(log, last.floor, 400'000) == pattern(last.tail - last.floor, last.floor));
}

TEST_CASE("a log that is told before its first byte to grow no further still gets the least that a log is") {
  TempDir dir;
  Log log(dir, 4 << 20);
  log.slot.no_growth = 1;
  record_pattern(log, 1'000'000);
  CHECK(log.slot.capacity == limits::retain_bytes_min);
  CHECK(std::filesystem::file_size(path_of(log)) == ring_start + limits::retain_bytes_min);
  const LogState now = log.reader.state();
  CHECK(now.tail == 1'000'000);
  CHECK(now.tail - now.floor >= limits::retain_bytes_min / 2);
  CHECK(read_all(log, now.floor, 100'000) == pattern(now.tail - now.floor, now.floor));
}

TEST_CASE(
    "a ring that has gone round already is as large as it gets: it stays when it is to grow no further") {
  TempDir dir;
  Log log(dir, 64 << 10);
  record_pattern(log, 1'000'000);
  const std::uint64_t before = log.slot.capacity;
  log.slot.no_growth = 1;
  record_pattern(log, 1'000'000);
  CHECK(log.slot.capacity == before);
  const LogState now = log.reader.state();
  CHECK(now.tail - now.floor >= 64 << 10);
  CHECK(read_all(log, now.floor, 1 << 20) == pattern(now.tail - now.floor, now.floor));
}

TEST_CASE("pins hold in a log that is to grow no further") {
  TempDir dir;
  for (const bool block : {false, true}) {
    Log log(dir, 4 << 20, block ? 1 : 2);
    std::atomic<std::uint64_t>& pin = block ? log.slot.block_pin : log.slot.pin;
    record_pattern(log, 200'000);
    pin = 50'000;
    log.slot.no_growth = 1;
    std::uint64_t written = 200'000;
    LogWriter::Progress progress{};
    do {
      written += log.offer(pattern(1 << 16, written));
      progress = log.pump();
    } while (progress.state == State::drained);
    CHECK(progress.state == State::held);
    CHECK(log.slot.capacity == 200'000);
    CHECK(log.slot.tail == 250'000);
    CHECK(log.slot.floor <= 50'000);
    CHECK(read_all(log, 50'000, 300'000) == pattern(200'000, 50'000));
    pin = no_pin;
    CHECK(log.pump().state == State::drained);
    CHECK(log.slot.tail == written);
    CHECK((log.slot.flags & log_held) == 0);
  }
}

TEST_CASE("a lossless reader that binary chunks are mapped for loses nothing when the log stops growing") {
  TempDir dir;
  Log log(dir, 4 << 20);
  record_pattern(log, 600'000);
  log.slot.pin = 0;
  FeedOptions options;
  options.flow = api::Flow::lossless;
  options.encoding = api::Encoding::binary;
  test::Reader reader(log, options);
  std::uint64_t written = 600'000;
  log.slot.no_growth = 1;
  while (reader.feed.position() < 5'000'000) {
    written += log.offer(pattern(1 << 16, written));
    log.pump();
    reader.give(200'000);
    log.slot.pin = reader.feed.position();
  }
  CHECK(log.slot.capacity == 600'000);
  CHECK(reader.dropped() == 0);
  CHECK(reader.bytes() == pattern(reader.feed.position()));
}

TEST_CASE("the end of a held log is seen only after its bytes, unless it is sealed") {
  TempDir dir;
  Log log(dir, 1 << 16);
  log.slot.pin = 0;
  std::uint64_t written = 0;
  do written += log.offer(pattern(1 << 16, written));
  while (log.pump().state != State::held);
  log.pipe.in.reset();
  CHECK(log.pump().state == State::held);
  CHECK_FALSE(log.reader.state().eof());
  log.writer.seal();
  CHECK(log.reader.state().eof());
  CHECK((log.reader.state().flags & log_held) == 0);
  CHECK(log.pump().state == State::ended);
}

TEST_CASE("a sealed file says what it holds") {
  TempDir dir;
  Log log(dir, 1 << 16);
  record_pattern(log, 1'000'000);
  log.end();
  const UniqueFd file(::open(path_of(log).c_str(), O_RDONLY | O_CLOEXEC));
  LogFileHeader header{};
  REQUIRE(::pread(file.get(), &header, sizeof header, 0) == sizeof header);
  CHECK(std::string_view(header.magic, 8) == "KAIROLOG");
  CHECK(header.version == log_format_version);
  CHECK(header.key == test::test_key);
  CHECK(header.retain == 1 << 16);
  CHECK(header.created_us == test::start_us);
  CHECK(std::string_view(header.boot_id).size() == 36);
  CHECK(header.sealed == 1);
  CHECK(header.tail == 1'000'000);
  CHECK(header.floor == log.slot.floor);
  CHECK(header.capacity == log.slot.capacity);
}

TEST_CASE("a frozen reader works on when the slot is somebody else's") {
  TempDir dir;
  Log log(dir, 1 << 16);
  record_pattern(log, 1000);
  log.end();
  log.reader.freeze();
  log.slot.tail = 5;
  log.slot.floor = 5;
  log.slot.flags = 0;
  CHECK(log.reader.state().eof());
  CHECK(read_all(log, 0, 5000) == pattern(1000));
  CHECK(log.reader.times()->size() == 1);
}

TEST_CASE("a writer that takes up a log in use goes on where it stood") {
  TempDir dir;
  Log log(dir, 1 << 16);
  record_pattern(log, 400'000);
  const std::uint64_t capacity = log.slot.capacity;
  log.writer = LogWriter::resume(dir.fd(), test::test_key, 0, 1 << 16, log.slot, UniqueFd());
  CHECK(log.slot.capacity == capacity);
  record_pattern(log, 400'000);
  const std::uint64_t floor = log.slot.floor;
  CHECK(read_all(log, floor, 65'536) == pattern(65'536, floor));
  CHECK(log.end() == State::ended);
}

TEST_CASE("what cannot be spliced is copied") {
  // A socket in the pipe's place: splice between it and a file is refused with EINVAL, as some file systems
  // do.
  TempDir dir;
  Log log(dir, 1 << 16);
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
  log.pipe.out.reset(ends[0]);
  log.pipe.in.reset(ends[1]);
  record_pattern(log, 1'000'000);
  CHECK(log.slot.tail == 1'000'000);
  CHECK(read_all(log, log.slot.floor, 70'000) == pattern(70'000, log.slot.floor));
  CHECK(log.end() == State::ended);
}

TEST_CASE("a log that cannot be read is an error that names it") {
  TempDir dir;
  Log log(dir, 1 << 16);
  record_pattern(log, 1000);
  REQUIRE(::truncate(path_of(log).c_str(), ring_start) == 0);
  char bytes[10];
  const auto copied = log.reader.copy(0, bytes, sizeof bytes);
  REQUIRE_FALSE(copied.ok());
  CHECK(copied.error().code == Code::internal);
  CHECK(copied.error().message.find(log_file_name(test::test_key, 0)) != std::string::npos);
}

TEST_CASE("a reader of a log that is overwritten under it sees gaps and never torn bytes") {
  TempDir dir;
  Log log(dir, 1 << 16);
  constexpr std::uint64_t total = 64u << 20;
  std::thread writing([&] {
    std::uint64_t written = 0;
    while (written < total) {
      const std::string bytes = pattern(1 << 16, written);
      written += log.offer(bytes);
      log.pump();
    }
    log.end();
  });
  std::string bytes(200'000, '\0');
  std::uint64_t position = 0, taken = 0, lost = 0;
  bool right = true;
  for (;;) {
    const LogState now = log.reader.state();
    const auto copied = log.reader.copy(position, bytes.data(), bytes.size());
    if (!copied.ok()) {
      right = false;
      break;
    }
    lost += copied->lost;
    position += copied->lost;
    right = right && test::pattern_mismatch(bytes.data(), copied->bytes, position) == copied->bytes;
    position += copied->bytes;
    taken += copied->bytes;
    if (now.eof() && position == now.tail) break;
  }
  writing.join();
  CHECK(right);
  CHECK(taken + lost == log.slot.tail);
}

TEST_CASE("no wake-up is lost between a pin that moves and a log that is held") {
  // The two sides of the contract, each in a thread: the writer may wait only when the flag makes the reader
  // call.
  TempDir dir;
  Log log(dir, 4096);
  log.slot.pin = 0;
  constexpr std::uint64_t total = 4u << 20;
  std::atomic<int> doorbell{0};
  std::thread writing([&] {
    std::uint64_t written = 0;
    while (log.slot.tail < total) {
      const int heard = doorbell.load();
      if (written < total)
        written += log.offer(pattern(std::min<std::uint64_t>(1 << 16, total - written), written));
      if (log.pump().state == State::held) doorbell.wait(heard);
    }
    log.end();
  });
  std::string bytes(1000, '\0');
  std::uint64_t position = 0;
  bool right = true;
  while (right && position < total) {
    const auto copied = log.reader.copy(position, bytes.data(), bytes.size());
    right = copied.ok() && copied->lost == 0 &&
            test::pattern_mismatch(bytes.data(), copied->bytes, position) == copied->bytes;
    if (!right) break;
    position += copied->bytes;
    log.slot.pin.store(position, std::memory_order_seq_cst);
    if (log.slot.flags.load(std::memory_order_seq_cst) & log_held) {
      doorbell.fetch_add(1);
      doorbell.notify_one();
    }
  }
  log.slot.pin = no_pin;
  doorbell.fetch_add(1);
  doorbell.notify_one();
  writing.join();
  CHECK(right);
}

TEST_CASE("the time index has an entry for each 10 ms in which something came") {
  TempDir dir;
  Log log(dir, 1 << 20);
  log.record("first");
  log.now_us += 5'000;
  log.record("soon after");
  log.now_us += 5'000;
  log.record("ten milliseconds later");
  log.now_us += 1'000'000;
  log.record("a second later");
  const auto times = log.reader.times();
  REQUIRE(times->size() == 3);
  CHECK((*times)[0].offset == 0);
  CHECK((*times)[0].time_us == test::start_us);
  CHECK((*times)[1].offset == 15);
  CHECK((*times)[1].time_us == test::start_us + 10'000);
  CHECK((*times)[2].offset == 37);
  const auto since = [&](std::uint64_t us) {
    return *log.reader.offset_since(SystemTime(std::chrono::microseconds(us)));
  };
  CHECK(since(0) == 0);
  CHECK(since(test::start_us + 9'999) == 0);
  CHECK(since(test::start_us + 10'000) == 15);
  CHECK(since(test::start_us + 500'000) == 15);
  CHECK(since(test::start_us + 5'000'000) == 37);
}

TEST_CASE("a full index is thinned out, stays in order and never says too late an offset") {
  TempDir dir;
  Log log(dir, 1 << 20);
  constexpr std::uint64_t writes = 20'000;
  for (std::uint64_t i = 0; i < writes; ++i) {
    log.record("12345678");
    log.now_us += 10'000;
  }
  const auto times = log.reader.times();
  REQUIRE(times.ok());
  CHECK(times->size() <= index_entries + 1);
  CHECK(times->size() > index_entries / 4);
  for (std::size_t i = 1; i < times->size(); ++i) {
    REQUIRE((*times)[i].offset > (*times)[i - 1].offset);
    REQUIRE((*times)[i].time_us == test::start_us + (*times)[i].offset / 8 * 10'000);
  }
  for (std::uint64_t i = 0; i < writes; i += 997) {
    const std::uint64_t offset =
        *log.reader.offset_since(SystemTime(std::chrono::microseconds(test::start_us + i * 10'000)));
    REQUIRE(offset <= i * 8);
    REQUIRE(i * 8 - offset <= writes * 8 / 512);
  }
}

TEST_CASE("the index of a ring that goes round stays fine, for it forgets what is gone") {
  TempDir dir;
  Log log(dir, 1 << 16);
  const std::string line = pattern(1000);
  for (int i = 0; i < 20'000; ++i) {
    log.record(line);
    log.now_us += 10'000;
  }
  const auto times = log.reader.times();
  REQUIRE(times->size() > 100);
  CHECK(times->back().time_us - (*times)[times->size() - 2].time_us == 10'000);
}

TEST_CASE("a mapped window gives every byte of the ring, also across its end") {
  TempDir dir;
  constexpr std::uint64_t retain = 20u << 20;
  Log log(dir, retain);
  record_pattern(log, 30u << 20);
  MappedWindow window;
  std::uint64_t position = log.slot.floor;
  while (position < log.slot.tail) {
    const auto piece = window.at(log.reader, position, 3'000'000);
    REQUIRE(piece.ok());
    REQUIRE(piece->bytes > 0);
    REQUIRE(test::pattern_mismatch(piece->data, piece->bytes, position) == piece->bytes);
    const auto again = window.at(log.reader, position, piece->bytes, false);
    REQUIRE(again->data == piece->data);
    position += piece->bytes;
  }
  CHECK(window.at(log.reader, position, 1)->bytes == 0);
  CHECK(window.at(log.reader, 0, 1)->bytes == 0);
}
