#include <doctest/doctest.h>

#include "rig.hpp"
#include "support/pattern.hpp"

using namespace kairo;
using namespace kairo::stream;
using api::Encoding;
using api::Flow;
using kairo::test::Chunk;
using kairo::test::Log;
using kairo::test::Reader;
using kairo::test::TempDir;
using State = Feed::State;

namespace {

std::string pattern(std::size_t size, std::uint64_t offset = 0) {
  std::string bytes(size, '\0');
  test::pattern_fill(bytes.data(), size, offset);
  return bytes;
}

FeedOptions options(Encoding encoding, Flow flow = Flow::follow, std::size_t max_chunk = 64u << 10) {
  FeedOptions out;
  out.encoding = encoding;
  out.flow = flow;
  out.max_chunk_bytes = max_chunk;
  return out;
}

/// seq from 0 without a gap; offset and dropped account for every byte; eof once, at the end.
void check_accounts(const std::vector<Chunk>& chunks, std::uint64_t from, bool ended) {
  std::uint64_t position = from;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    REQUIRE(chunks[i].seq == i);
    REQUIRE(chunks[i].offset == position + chunks[i].dropped);
    position = chunks[i].offset + chunks[i].bytes.size();
    REQUIRE(chunks[i].eof == (ended && i + 1 == chunks.size()));
  }
}

}  // namespace

TEST_CASE("a stream arrives whole, in every encoding and flow") {
  for (const Encoding encoding : {Encoding::utf8, Encoding::base64, Encoding::binary})
    for (const Flow flow : {Flow::follow, Flow::lossless})
      for (const std::size_t max_chunk : {100u, 4096u, 65'536u, 1u << 20}) {
        TempDir dir;
        Log log(dir, 1 << 20);
        log.slot.pin = 0;
        Reader reader(log, options(encoding, flow, max_chunk), std::nullopt, 256u << 10);
        log.record(pattern(300'000));
        CHECK(reader.drain() == State::idle);
        CHECK_FALSE(reader.feed.has_pending());
        log.record(pattern(10, 300'000));
        CHECK(reader.feed.has_pending());
        log.end();
        CHECK(reader.drain() == State::finished);
        CHECK(reader.feed.finished());
        CHECK_FALSE(reader.feed.has_pending());
        CHECK(reader.bytes() == pattern(300'010));
        CHECK(reader.chunks.back().bytes == pattern(10, 300'000));
        check_accounts(reader.chunks, 0, true);
        for (const Chunk& chunk : reader.chunks) {
          CHECK(chunk.encoding == encoding);
          CHECK(chunk.bytes.size() <= max_chunk);
          CHECK(chunk.dropped == 0);
        }
        CHECK(reader.give() == State::finished);
        CHECK(reader.batch.empty());
      }
}

TEST_CASE("an end that comes after the last byte was given is an empty chunk, even without credit") {
  TempDir dir;
  Log log(dir, 1 << 20);
  Reader reader(log, options(Encoding::binary), 5);
  log.record("hello");
  CHECK(reader.drain() == State::idle);
  CHECK(reader.credit.left() == 0);
  log.end();
  CHECK(reader.feed.has_pending());
  CHECK(reader.drain() == State::finished);
  REQUIRE(reader.chunks.size() == 2);
  CHECK(reader.chunks[1].bytes.empty());
  CHECK(reader.chunks[1].offset == 5);
  CHECK(reader.chunks[1].eof);
}

TEST_CASE("a stream that says nothing has one chunk, its end") {
  TempDir dir;
  Log log(dir, 1 << 20);
  Reader reader(log, options(Encoding::utf8));
  CHECK(reader.drain() == State::idle);
  log.end();
  CHECK(reader.drain() == State::finished);
  REQUIRE(reader.chunks.size() == 1);
  CHECK(reader.chunks[0].eof);
  CHECK(reader.chunks[0].offset == 0);
  CHECK(reader.chunks[0].encoding == Encoding::utf8);
}

TEST_CASE("a reader may begin anywhere, at the end and behind it too") {
  TempDir dir;
  Log log(dir, 1 << 20);
  log.record(pattern(1000));
  for (const std::uint64_t from : {500u, 1000u, 2000u}) {
    FeedOptions wanted = options(Encoding::binary);
    wanted.from = from;
    Reader reader(log, wanted);
    reader.drain();
    CHECK(reader.bytes() == pattern(from < 1000 ? 1000 - from : 0, from));
  }
  log.end();
  FeedOptions behind = options(Encoding::binary);
  behind.from = 2000;
  Reader reader(log, behind);
  CHECK(reader.drain() == State::finished);
  REQUIRE(reader.chunks.size() == 1);
  CHECK(reader.chunks[0].offset == 1000);
}

TEST_CASE("credit is kept to the byte and shared") {
  TempDir dir;
  Log log(dir, 1 << 20);
  Reader reader(log, options(Encoding::binary, Flow::lossless, 100), 250);
  log.record(pattern(1000));
  CHECK(reader.drain() == State::credit);
  CHECK(reader.bytes() == pattern(250));
  CHECK(reader.feed.has_pending());
  reader.credit.add(1);
  CHECK(reader.drain() == State::credit);
  CHECK(reader.bytes() == pattern(251));
  reader.credit.add(UINT64_MAX);
  CHECK(reader.drain() == State::idle);
  CHECK(reader.bytes() == pattern(1000));
}

TEST_CASE("credit saturates, and a debt is paid first") {
  Credit credit(10);
  credit.spend(15);
  CHECK(credit.left() == 0);
  credit.add(3);
  CHECK(credit.left() == 0);
  credit.add(5);
  CHECK(credit.left() == 3);
  credit.add(UINT64_MAX);
  CHECK(credit.left() == UINT64_MAX);
  Credit uncounted(std::nullopt);
  uncounted.spend(100);
  CHECK(uncounted.left() == UINT64_MAX);
  CHECK_FALSE(uncounted.counted());
}

TEST_CASE("a batch is filled as far as the turn's bytes and its room go") {
  TempDir dir;
  Log log(dir, 4u << 20);
  log.slot.pin = 0;
  log.record(pattern(2'000'000));
  for (const Encoding encoding : {Encoding::utf8, Encoding::binary, Encoding::base64}) {
    Reader reader(log, options(encoding, Flow::lossless), std::nullopt, 128u << 10);
    CHECK(reader.give(1000) == State::full);
    CHECK(reader.bytes() == pattern(1000));
    CHECK(reader.give(0) == State::full);
    // What is referred to takes no room but for its heads.
    CHECK(reader.give() == (encoding == Encoding::binary ? State::idle : State::full));
    if (encoding != Encoding::binary) CHECK(reader.batch.bytes() <= 128u << 10);
    CHECK(reader.drain() == State::idle);
    CHECK(reader.bytes() == pattern(2'000'000));
    check_accounts(reader.chunks, 0, false);
  }
}

TEST_CASE("a chunk longer than the arena is cut") {
  TempDir dir;
  Log log(dir, 4u << 20);
  log.record(pattern(1'000'000));
  for (const Encoding encoding : {Encoding::utf8, Encoding::binary, Encoding::base64}) {
    Reader reader(log, options(encoding, Flow::follow, 1u << 20), std::nullopt, 64u << 10);
    CHECK(reader.drain() == State::idle);
    CHECK(reader.bytes() == pattern(1'000'000));
  }
}

TEST_CASE("lossless binary chunks are referred to, not copied, and a batch keeps what it refers to") {
  TempDir dir;
  constexpr std::size_t total = 20u << 20;
  Log log(dir, 32u << 20);
  log.slot.pin = 0;
  log.record(pattern(total));
  Reader reader(log, options(Encoding::binary, Flow::lossless), std::nullopt, 64u << 10);
  reader.batch.clear();
  // Many turns into one batch: the window may not slide under it.
  for (int i = 0; i < 100; ++i) REQUIRE(reader.feed.give(reader.batch, 1u << 20, reader.now).ok());
  std::uint64_t position = 0;
  for (const Chunk& chunk : test::chunks_of(reader.batch)) {
    REQUIRE(test::pattern_mismatch(chunk.bytes.data(), chunk.bytes.size(), position) == chunk.bytes.size());
    position += chunk.bytes.size();
  }
  CHECK(position == reader.feed.position());
  CHECK(position >= 7u << 20);
  CHECK(reader.batch.room() > 0);
  CHECK(reader.batch.pieces().size() <= 1024);
  CHECK(reader.drain() == State::idle);
  CHECK(reader.feed.position() == total);
  reader.feed.release_mapping();
}

TEST_CASE("a pinned reader with a slow pace reads a stream many times the ring without loss") {
  TempDir dir;
  constexpr std::uint64_t retain = 1 << 18, total = 8u << 20;
  for (const Encoding encoding : {Encoding::binary, Encoding::utf8}) {
    Log log(dir, retain, encoding == Encoding::binary ? 1 : 2);
    log.slot.pin = 0;
    Reader reader(log, options(encoding, Flow::lossless), std::nullopt, 128u << 10);
    std::uint64_t written = 0, seen = 0;
    while (!reader.feed.finished()) {
      if (written < total)
        written += log.offer(pattern(std::min<std::uint64_t>(1 << 16, total - written), written));
      if (written == total) log.pipe.in.reset();
      log.pump();
      reader.give(100'000);
      for (const Chunk& chunk : reader.chunks) {
        REQUIRE(chunk.offset == seen);
        REQUIRE(test::pattern_mismatch(chunk.bytes.data(), chunk.bytes.size(), seen) == chunk.bytes.size());
        seen += chunk.bytes.size();
      }
      reader.chunks.clear();
      log.slot.pin = reader.feed.position();
    }
    CHECK(seen == total);
  }
}

TEST_CASE("a follower that was lapped finds the gap in its next chunk") {
  TempDir dir;
  Log log(dir, 1 << 16);
  Reader reader(log, options(Encoding::binary));
  log.record(pattern(1000));
  reader.drain();
  log.record(pattern(2'000'000, 1000));
  log.end();
  CHECK(reader.drain() == State::finished);
  check_accounts(reader.chunks, 0, true);
  CHECK(reader.dropped() == log.slot.floor - 1000);
  CHECK(reader.chunks[1].dropped > 0);
  CHECK_FALSE(reader.chunks[1].truncated);
  CHECK(reader.chunks[1].bytes == pattern(reader.chunks[1].bytes.size(), reader.chunks[1].offset));
}

TEST_CASE("valid UTF-8 stays utf8 wherever chunks are cut") {
  std::string text;
  for (int i = 0; text.size() < 5000; ++i)
    text += i % 3 == 0 ? "\xE6\xBC\xA2" : i % 3 == 1 ? "\xF0\x9F\x98\x80" : "a\xC3\xA9";
  for (const std::size_t max_chunk : {16u, 17u, 18u, 19u, 100u, 4096u})
    for (const std::size_t step : {1u, 2u, 5u, 64u, 5000u}) {
      TempDir dir;
      Log log(dir, 1 << 20);
      Reader reader(log, options(Encoding::utf8, Flow::follow, max_chunk));
      for (std::size_t at = 0; at < text.size(); at += step) {
        log.record(std::string_view(text).substr(at, step));
        REQUIRE(reader.drain() == State::idle);
        REQUIRE_FALSE(reader.feed.has_pending());
      }
      log.end();
      CHECK(reader.drain() == State::finished);
      CHECK(reader.bytes() == text);
      for (const Chunk& chunk : reader.chunks) {
        REQUIRE(chunk.encoding == Encoding::utf8);
        REQUIRE(scan_utf8(chunk.bytes).valid == chunk.bytes.size());
      }
      check_accounts(reader.chunks, 0, true);
    }
}

TEST_CASE("a code point is given whole when there is any credit, and the debt is paid later") {
  TempDir dir;
  Log log(dir, 1 << 20);
  Reader reader(log, options(Encoding::utf8), 1);
  log.record("\xE6\xBC\xA2\xE5\xAD\x97");
  CHECK(reader.drain() == State::credit);
  CHECK(reader.bytes() == "\xE6\xBC\xA2");
  reader.credit.add(2);
  CHECK(reader.drain() == State::credit);
  reader.credit.add(1);
  CHECK(reader.drain() == State::idle);
  CHECK(reader.bytes() == "\xE6\xBC\xA2\xE5\xAD\x97");
}

TEST_CASE("a chunk with a bad byte in it goes as base64, its neighbours do not") {
  TempDir dir;
  Log log(dir, 1 << 20);
  Reader reader(log, options(Encoding::utf8, Flow::follow, 16));
  // The second chunk of 16 has a bad byte, and its end would cut the code point that begins the third.
  const std::string first = "0123456789abcdef",
                    second =
                        "0123\xFF"
                        "56789abcd\xE6\xBC",
                    third = "\xA2-rest";
  log.record(first + second + third);
  log.end();
  reader.drain();
  REQUIRE(reader.chunks.size() == 3);
  CHECK(reader.chunks[0].encoding == Encoding::utf8);
  CHECK(reader.chunks[1].encoding == Encoding::base64);
  CHECK(reader.chunks[1].bytes.size() == 14);
  CHECK(reader.chunks[2].encoding == Encoding::utf8);
  CHECK(reader.chunks[2].bytes == "\xE6\xBC\xA2-rest");
  CHECK(reader.bytes() == first + second + third);
}

TEST_CASE("a code point that never becomes whole goes as base64 at the end") {
  TempDir dir;
  Log log(dir, 1 << 20);
  Reader reader(log, options(Encoding::utf8));
  log.record("text\xE6\xBC");
  CHECK(reader.drain() == State::idle);
  CHECK(reader.bytes() == "text");
  CHECK_FALSE(reader.feed.has_pending());
  log.end();
  CHECK(reader.drain() == State::finished);
  REQUIRE(reader.chunks.size() == 2);
  CHECK(reader.chunks[1].encoding == Encoding::base64);
  CHECK(reader.chunks[1].bytes == "\xE6\xBC");
  CHECK(reader.chunks[1].eof);
}

TEST_CASE("bytes that are no text at all arrive whole by the default encoding") {
  std::string bytes;
  for (unsigned i = 0; i < 300'000; ++i) bytes.push_back(static_cast<char>(i * i >> 3));
  TempDir dir;
  Log log(dir, 1 << 20);
  for (const std::size_t arena : {8u << 10, 1u << 20}) {
    Reader reader(log, options(Encoding::utf8), std::nullopt, arena);
    if (arena == 8u << 10) log.record(bytes);
    reader.drain();
    log.end();
    reader.drain();
    CHECK(reader.bytes() == bytes);
    check_accounts(reader.chunks, 0, true);
  }
}

TEST_CASE("after a gap the rest of a code point that is gone is dropped with it") {
  TempDir dir;
  Log log(dir, 1 << 16);
  std::string text;
  while (text.size() < 999'999) text += "\xE6\xBC\xA2";
  Reader reader(log, options(Encoding::utf8));
  log.record("x");
  reader.drain();
  log.record(text);
  log.end();
  reader.drain();
  check_accounts(reader.chunks, 0, true);
  CHECK(reader.dropped() > 0);
  for (const Chunk& chunk : reader.chunks) CHECK(chunk.encoding == Encoding::utf8);
  CHECK(reader.bytes().size() + reader.dropped() == 1'000'000);
}

TEST_CASE("a log that cannot be read is an error once, and then the end with all of it dropped") {
  TempDir dir;
  Log log(dir, 1 << 20);
  log.record(pattern(1000));
  REQUIRE(::unlink((dir.path() + "/" + log_file_name(test::test_key, 0)).c_str()) == 0);
  for (const api::Mode mode : {api::Mode::chunk, api::Mode::line}) {
    FeedOptions wanted;
    wanted.mode = mode;
    Reader reader(log, wanted);
    CHECK_FALSE(reader.feed.give(reader.batch, 1000, reader.now).ok());
    CHECK(reader.feed.has_pending());
    const auto end = reader.feed.give(reader.batch, 1000, reader.now);
    REQUIRE(end.ok());
    CHECK(end->state == State::finished);
    CHECK(reader.feed.position() == 1000);
  }
}
