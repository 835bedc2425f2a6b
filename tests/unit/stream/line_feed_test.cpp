#include <doctest/doctest.h>

#include "rig.hpp"

using namespace kairo;
using namespace kairo::stream;
using api::Encoding;
using kairo::test::Chunk;
using kairo::test::Log;
using kairo::test::Reader;
using kairo::test::TempDir;
using State = Feed::State;

namespace {

FeedOptions lines(std::size_t max_chunk = 64u << 10, Encoding encoding = Encoding::utf8) {
  FeedOptions out;
  out.mode = api::Mode::line;
  out.encoding = encoding;
  out.max_chunk_bytes = max_chunk;
  return out;
}

std::vector<std::string> texts(const Reader& reader) {
  std::vector<std::string> out;
  for (const Chunk& chunk : reader.chunks) out.push_back(chunk.bytes);
  return out;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("each line is a chunk of its own, empty ones and carriage returns kept") {
  for (const Encoding encoding : {Encoding::utf8, Encoding::base64, Encoding::binary}) {
    TempDir dir;
    Log log(dir, 1 << 20);
    Reader reader(log, lines(1000, encoding));
    log.record("one\n\n\r\ntwo\r\n\nthree\n");
    CHECK(reader.drain() == State::idle);
    CHECK(texts(reader) == Texts{"one\n", "\n", "\r\n", "two\r\n", "\n", "three\n"});
    for (const Chunk& chunk : reader.chunks) CHECK_FALSE(chunk.partial);
    log.end();
    CHECK(reader.drain() == State::finished);
    CHECK(reader.chunks.back().bytes.empty());
    CHECK(reader.chunks.back().eof);
  }
}

TEST_CASE("a line is given when it has ended, byte by byte too, and an unterminated last one at the end") {
  TempDir dir;
  Log log(dir, 1 << 20);
  Reader reader(log, lines());
  const std::string text = "first line\nsecond\nlast";
  for (const char c : text) {
    log.record({&c, 1});
    CHECK(reader.feed.has_pending());
    CHECK(reader.drain() == State::idle);
    CHECK_FALSE(reader.feed.has_pending());
  }
  CHECK(texts(reader) == Texts{"first line\n", "second\n"});
  log.end();
  CHECK(reader.drain() == State::finished);
  CHECK(texts(reader) == Texts{"first line\n", "second\n", "last"});
  CHECK(reader.chunks.back().eof);
  CHECK_FALSE(reader.chunks.back().partial);
}

TEST_CASE("the last line carries the end when it is known in time") {
  TempDir dir;
  Log log(dir, 1 << 20);
  Reader reader(log, lines());
  log.record("a\nb\n");
  log.end();
  CHECK(reader.drain() == State::finished);
  REQUIRE(reader.chunks.size() == 2);
  CHECK(reader.chunks[1].eof);
}

TEST_CASE("a line as long as a chunk is whole; a longer one is split, all pieces but the last marked") {
  for (const std::size_t max_chunk : {16u, 100u, 65'536u, 300'000u}) {
    TempDir dir;
    Log log(dir, 4u << 20);
    Reader reader(log, lines(max_chunk), std::nullopt, 2u << 20);
    const std::string fits(max_chunk - 1, 'a'), longer(max_chunk * 2 + 5, 'b');
    log.record("\n" + fits + "\n" + longer + "\nend\n");
    CHECK(reader.drain() == State::idle);
    CHECK(texts(reader) == Texts{"\n", fits + "\n", std::string(max_chunk, 'b'), std::string(max_chunk, 'b'),
                                 "bbbbb\n", "end\n"});
    std::string partial;
    for (const Chunk& chunk : reader.chunks) {
      partial += chunk.partial ? 'p' : '-';
      CHECK_FALSE(chunk.truncated);
    }
    CHECK(partial == "--pp--");
  }
}

TEST_CASE("the pieces of a long line never cut a code point, unless the piece is no text") {
  TempDir dir;
  Log log(dir, 1 << 20);
  Reader reader(log, lines(16));
  log.record(
      "0123456789abcd\xE6\xBC\xA2\xE6\xBC\xA2\n"
      "0123\xFF"
      "6789abcdefghij\n");
  log.end();
  reader.drain();
  CHECK(texts(reader) == Texts{"0123456789abcd", "\xE6\xBC\xA2\xE6\xBC\xA2\n",
                               "0123\xFF"
                               "6789abcdefg",
                               "hij\n"});
  CHECK(reader.chunks[0].encoding == Encoding::utf8);
  CHECK(reader.chunks[1].encoding == Encoding::utf8);
  CHECK(reader.chunks[2].encoding == Encoding::base64);
  CHECK(reader.chunks[3].encoding == Encoding::utf8);
}

TEST_CASE("a bad line goes as base64, the lines around it do not") {
  TempDir dir;
  Log log(dir, 1 << 20);
  Reader reader(log, lines());
  log.record(
      "good\n\xE6\xBC\xA2\n"
      "bad\xE6\n\xFF\ngood again\n");
  reader.drain();
  std::string kinds;
  for (const Chunk& chunk : reader.chunks) kinds += chunk.encoding == Encoding::utf8 ? 'u' : 'b';
  CHECK(kinds == "uubbu");
}

TEST_CASE("many lines arrive whole through small batches") {
  TempDir dir;
  Log log(dir, 4u << 20);
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += std::string(static_cast<std::size_t>(i) % 173, 'x') + "\n";
  log.record(text);
  log.end();
  for (const std::size_t arena : {4096u, 64u << 10, 1u << 20}) {
    Reader reader(log, lines(), std::nullopt, arena);
    CHECK(reader.drain() == State::finished);
    CHECK(reader.chunks.size() == 20'000);
    CHECK(reader.bytes() == text);
    std::uint64_t position = 0;
    for (std::size_t i = 0; i < reader.chunks.size(); ++i) {
      REQUIRE(reader.chunks[i].seq == i);
      REQUIRE(reader.chunks[i].offset == position);
      REQUIRE(reader.chunks[i].bytes.size() == i % 173 + 1);
      position += reader.chunks[i].bytes.size();
    }
  }
}

TEST_CASE("a line that no batch can hold is split") {
  for (const Encoding encoding : {Encoding::utf8, Encoding::base64, Encoding::binary}) {
    TempDir dir;
    Log log(dir, 1 << 20);
    Reader reader(log, lines(1 << 20, encoding), std::nullopt, 8192);
    const std::string text =
        "short\n" + std::string(50'000, 'x') + "\n" + std::string(6'500, '\xFF') + "\nend\n";
    log.record(text);
    log.end();
    CHECK(reader.drain() == State::finished);
    CHECK(reader.bytes() == text);
    for (const Chunk& chunk : reader.chunks) CHECK(chunk.partial == (chunk.bytes.back() != '\n'));
  }
}

TEST_CASE("a line is given whole when there is any credit") {
  TempDir dir;
  Log log(dir, 1 << 20);
  Reader reader(log, lines(), 12);
  log.record("0123456789\nabcdefghi\nlast\n");
  CHECK(reader.drain() == State::credit);
  CHECK(texts(reader) == Texts{"0123456789\n", "abcdefghi\n"});
  reader.credit.add(9);
  CHECK(reader.drain() == State::credit);
  reader.credit.add(1);
  CHECK(reader.drain() == State::idle);
  CHECK(reader.chunks.size() == 3);
}

TEST_CASE("the bytes of a turn bound its lines, but one is always given") {
  TempDir dir;
  Log log(dir, 1 << 20);
  Reader reader(log, lines());
  log.record("0123456789\n0123456789\n0123456789\n");
  CHECK(reader.give(1) == State::full);
  CHECK(reader.chunks.size() == 1);
  CHECK(reader.give(21) == State::full);
  CHECK(reader.chunks.size() == 2);
  CHECK(reader.give(22) == State::idle);
  CHECK(reader.chunks.size() == 3);
}

TEST_CASE("a follower that was lapped goes on with a whole line") {
  TempDir dir;
  Log log(dir, 1 << 16);
  Reader reader(log, lines());
  log.record("begin\n");
  reader.drain();
  std::string text;
  for (int i = 0; text.size() < 1'000'000; ++i) text += "line " + std::to_string(i) + "\n";
  log.record(text);
  log.end();
  CHECK(reader.drain() == State::finished);
  CHECK(reader.chunks[1].dropped > 0);
  CHECK(reader.bytes().size() + reader.dropped() == text.size() + 6);
  for (std::size_t i = 1; i < reader.chunks.size(); ++i) REQUIRE(reader.chunks[i].bytes.starts_with("line "));
}

TEST_CASE("a follower that was lapped within an over-long line goes on with its pieces") {
  TempDir dir;
  Log log(dir, 1 << 16);
  Reader reader(log, lines(1000));
  log.record("begin\n");
  reader.drain();
  std::string text;
  while (text.size() < 600'000) text += "\xE6\xBC\xA2";
  log.record(text);
  CHECK(reader.drain() == State::idle);
  REQUIRE(reader.chunks.size() > 2);
  for (std::size_t i = 1; i < reader.chunks.size(); ++i) {
    REQUIRE(reader.chunks[i].encoding == Encoding::utf8);
    REQUIRE(reader.chunks[i].partial);
  }
  log.end();
  CHECK(reader.drain() == State::finished);
  CHECK(reader.bytes().size() + reader.dropped() == text.size() + 6);
}
