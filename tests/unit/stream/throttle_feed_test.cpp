#include <doctest/doctest.h>

#include "rig.hpp"
#include "support/pattern.hpp"

using namespace kairo;
using namespace kairo::stream;
using namespace std::chrono_literals;
using api::Encoding;
using kairo::test::Chunk;
using kairo::test::Log;
using kairo::test::Reader;
using kairo::test::TempDir;
using State = Feed::State;

namespace {

constexpr std::uint64_t rate = 100'000;
constexpr std::size_t chunk = 10'000;

FeedOptions throttled(api::Mode mode = api::Mode::chunk, Encoding encoding = Encoding::utf8) {
  FeedOptions out;
  out.mode = mode;
  out.encoding = encoding;
  out.flow = api::Flow::throttle;
  out.max_chunk_bytes = chunk;
  out.max_bytes_per_second = rate;
  return out;
}

void record_pattern(Log& log, std::size_t size) {
  std::string bytes(size, '\0');
  test::pattern_fill(bytes.data(), size, log.slot.tail);
  log.record(bytes);
}

void check_accounts(const Reader& reader) {
  std::uint64_t position = 0;
  for (std::size_t i = 0; i < reader.chunks.size(); ++i) {
    const Chunk& each = reader.chunks[i];
    REQUIRE(each.seq == i);
    REQUIRE(each.truncated == (each.dropped > 0));
    REQUIRE(each.offset == position + each.dropped);
    REQUIRE(test::pattern_mismatch(each.bytes.data(), each.bytes.size(), each.offset) == each.bytes.size());
    position = each.offset + each.bytes.size();
  }
}

}  // namespace

TEST_CASE("what the rate allows is given at once and whole") {
  TempDir dir;
  Log log(dir, 4u << 20);
  Reader reader(log, throttled());
  for (int i = 0; i < 50; ++i) {
    record_pattern(log, rate / 10);
    CHECK(reader.drain() == State::idle);
    reader.now += 100ms;
  }
  CHECK(reader.dropped() == 0);
  CHECK(reader.episodes.empty());
  CHECK(reader.feed.position() == rate * 5);
}

TEST_CASE("a burst that the next tokens pay for is late, not dropped") {
  TempDir dir;
  Log log(dir, 4u << 20);
  Reader reader(log, throttled());
  record_pattern(log, rate + 5'000);
  CHECK(reader.drain() == State::paced);
  CHECK(reader.feed.position() == rate);
  CHECK(reader.last.when > reader.now);
  CHECK(reader.last.when <= reader.now + 101ms);
  CHECK(reader.feed.has_pending());
  reader.now = reader.last.when;
  CHECK(reader.drain() == State::idle);
  CHECK(reader.dropped() == 0);
  CHECK(reader.episodes.empty());
  check_accounts(reader);
}

TEST_CASE("what exceeds the rate is dropped, the newest bytes are given, and it is told once") {
  TempDir dir;
  Log log(dir, 4u << 20);
  Reader reader(log, throttled());
  record_pattern(log, 1'000'000);
  CHECK(reader.drain() == State::paced);
  CHECK(reader.feed.position() == rate);
  CHECK(reader.episodes.empty());
  reader.now = reader.last.when;
  CHECK(reader.drain() == State::idle);
  CHECK(reader.feed.position() == 1'000'000);
  REQUIRE(reader.episodes.size() == 1);
  CHECK(reader.episodes[0].offset == rate);
  CHECK(reader.episodes[0].dropped == 1'000'000 - rate - chunk);
  CHECK(reader.chunks.back().truncated);
  CHECK(reader.chunks.back().dropped == 1'000'000 - rate - chunk);
  CHECK(reader.chunks.back().bytes.size() == chunk);
  check_accounts(reader);
}

TEST_CASE("a flood is one episode, keeps to the rate, and a quiet time ends it") {
  TempDir dir;
  Log log(dir, 4u << 20);
  Reader reader(log, throttled());
  const SteadyTime start = reader.now;
  for (int i = 0; i < 1000; ++i) {
    record_pattern(log, 20'000);
    reader.drain();
    reader.now += 10ms;
  }
  while (reader.drain() == State::paced) reader.now = reader.last.when;
  CHECK(reader.episodes.size() == 1);
  const double seconds = std::chrono::duration<double>(reader.now - start).count();
  const auto given = static_cast<double>(reader.bytes().size());
  CHECK(given <= rate * (seconds + 1));
  CHECK(given >= rate * (seconds - 1));
  CHECK(reader.bytes().size() + reader.dropped() == 20'000'000);
  check_accounts(reader);

  reader.now += 2s;
  record_pattern(log, 100);
  CHECK(reader.drain() == State::idle);
  CHECK(reader.episodes.size() == 1);
  record_pattern(log, 1'000'000);
  while (reader.drain() == State::paced) reader.now = reader.last.when;
  CHECK(reader.episodes.size() == 2);
}

TEST_CASE("the end of a flood says what was dropped and comes once") {
  TempDir dir;
  Log log(dir, 4u << 20);
  Reader reader(log, throttled());
  record_pattern(log, 1'000'000);
  log.end();
  while (reader.drain() == State::paced) reader.now = reader.last.when;
  CHECK(reader.last.state == State::finished);
  CHECK(reader.chunks.back().eof);
  CHECK(reader.chunks.back().dropped > 0);
  CHECK(reader.bytes().size() + reader.dropped() == 1'000'000);
  CHECK(reader.now <= SteadyTime(std::chrono::hours(1)) + 101ms);
  check_accounts(reader);
}

TEST_CASE("a throttled reader that the log has lapped tells that as its own loss") {
  TempDir dir;
  Log log(dir, 1 << 16);
  Reader reader(log, throttled());
  record_pattern(log, 2'000'000);
  reader.drain();
  REQUIRE(reader.episodes.size() == 1);
  CHECK(reader.chunks[0].truncated);
  CHECK(reader.chunks[0].dropped == log.slot.floor);
  check_accounts(reader);
}

TEST_CASE("throttled lines are whole on both sides of a gap") {
  TempDir dir;
  Log log(dir, 4u << 20);
  Reader reader(log, throttled(api::Mode::line));
  for (int i = 0; i < 100; ++i) {
    record_pattern(log, 50'000);
    reader.drain();
    reader.now += 50ms;
  }
  log.end();
  while (reader.drain() == State::paced) reader.now = reader.last.when;
  CHECK(reader.last.state == State::finished);
  CHECK(reader.dropped() > 0);
  CHECK(reader.episodes.size() == 1);
  CHECK(reader.bytes().size() + reader.dropped() == 5'000'000);
  for (const Chunk& each : reader.chunks)
    if (!each.bytes.empty()) {
      REQUIRE(each.bytes.size() == test::pattern_record_bytes);
      REQUIRE(each.offset % test::pattern_record_bytes == 0);
    }
  check_accounts(reader);
}

TEST_CASE("a line that begins exactly where the tokens reach is not dropped") {
  TempDir dir;
  Log log(dir, 4u << 20);
  FeedOptions wanted = throttled(api::Mode::line);
  wanted.max_chunk_bytes = 16 * 100;
  wanted.max_bytes_per_second = 16'000;
  Reader reader(log, wanted);
  record_pattern(log, 160'000);
  CHECK(reader.drain() == State::paced);
  reader.now = reader.last.when;
  const std::size_t before = reader.chunks.size();
  reader.drain();
  CHECK(reader.chunks.size() == before + 100);
  CHECK(reader.feed.position() == 160'000);
}

TEST_CASE("a flood without any line end still arrives in pieces") {
  TempDir dir;
  Log log(dir, 4u << 20);
  Reader reader(log, throttled(api::Mode::line));
  for (int i = 0; i < 100; ++i) {
    log.record(std::string(50'000, 'x'));
    reader.drain();
    reader.now += 100ms;
  }
  log.end();
  while (reader.drain() == State::paced) reader.now = reader.last.when;
  CHECK(reader.last.state == State::finished);
  CHECK(reader.bytes().size() > 3 * rate);
  CHECK(reader.bytes().size() + reader.dropped() == 5'000'000);
}

TEST_CASE("rates below a code point and lines above the rate still move on") {
  for (const api::Mode mode : {api::Mode::chunk, api::Mode::line}) {
    TempDir dir;
    Log log(dir, 4u << 20);
    FeedOptions wanted = throttled(mode);
    wanted.max_bytes_per_second = 1;
    Reader reader(log, wanted);
    log.record("\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2\n");
    log.end();
    for (int i = 0; i < 100 && reader.drain() == State::paced; ++i) reader.now = reader.last.when;
    CHECK(reader.last.state == State::finished);
    CHECK(reader.bytes().size() + reader.dropped() == 10);
    for (const Chunk& each : reader.chunks) CHECK(each.encoding == Encoding::utf8);
  }
}
