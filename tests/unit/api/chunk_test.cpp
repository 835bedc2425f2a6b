#include <cstdint>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "api/envelope.hpp"
#include "wire/payload.hpp"

using namespace kairo;
using namespace kairo::api;
using namespace std::string_literals;

namespace {

std::string payload_of(const std::string& frame) {
  const auto head = wire::parse_head(frame.data());
  REQUIRE(head.ok());
  CHECK(head->type == wire::FrameType::stream_chunk);
  REQUIRE(frame.size() == wire::head_bytes + head->length);
  return frame.substr(wire::head_bytes);
}

}  // namespace

TEST_CASE("what the writer writes the reader reads, with every combination of members") {
  for (unsigned bits = 0; bits < 64; ++bits) {
    for (const Encoding encoding : {Encoding::utf8, Encoding::base64, Encoding::binary}) {
      CAPTURE(bits);
      ChunkHead head;
      head.seq = bits & 1 ? std::numeric_limits<std::uint64_t>::max() : 0;
      head.offset = bits & 2 ? 1ull << 40 : 0;
      head.encoding = encoding;
      head.dropped = bits & 4 ? 70'000 : 0;
      head.truncated = bits & 8;
      head.partial = bits & 16;
      head.eof = bits & 32;
      const std::string correlation = bits & 1 ? "corr" : "";
      const auto stream = bits & 2 ? StreamName::standard_error : StreamName::standard_output;
      const ChunkWriter writer("process", stream, "subscription", correlation);
      const std::string text = bits & 8 ? "" : "bytes\n";
      std::string frame;
      writer.append_head(frame, head, text.size());
      CHECK(frame.size() <= writer.max_head_bytes());
      frame += text;
      const std::string payload = payload_of(frame);
      CHECK(wire::check_payload(payload).ok());
      const auto view = read_chunk(payload);
      REQUIRE(view.ok());
      CHECK(view->stream == stream);
      CHECK(view->encoding == encoding);
      CHECK(view->seq == head.seq);
      CHECK(view->offset == head.offset);
      CHECK(view->dropped == head.dropped);
      CHECK(view->truncated == head.truncated);
      CHECK(view->partial == head.partial);
      CHECK(view->eof == head.eof);
      CHECK(view->process_id == "process");
      CHECK(view->subscription_id == "subscription");
      CHECK(view->correlation_id == correlation);
      CHECK(view->chunk == text);
    }
  }
}

TEST_CASE("the head stays within its bound for the longest names and largest numbers") {
  const ChunkWriter writer(std::string(128, 'p'), StreamName::standard_output, std::string(64, 's'),
                           std::string(256, 'c'));
  ChunkHead head;
  head.seq = head.offset = head.dropped = std::numeric_limits<std::uint64_t>::max();
  head.truncated = head.partial = head.eof = true;
  head.encoding = Encoding::base64;
  std::string out;
  writer.append_head(out, head, 1u << 20);
  CHECK(out.size() <= writer.max_head_bytes());
}

TEST_CASE("chunks of every length of a length are told right") {
  const ChunkWriter writer("p", StreamName::standard_output, "s", "");
  for (const std::size_t size : {0u, 31u, 32u, 255u, 256u, 65'535u, 65'536u, 1u << 20}) {
    for (const Encoding encoding : {Encoding::utf8, Encoding::binary}) {
      CAPTURE(size);
      ChunkHead head;
      head.encoding = encoding;
      std::string frame = "what stood before";
      const std::size_t start = frame.size();
      writer.append_head(frame, head, size);
      frame.append(size, 'x');
      const std::string payload = payload_of(frame.substr(start));
      const auto view = read_chunk(payload);
      REQUIRE(view.ok());
      CHECK(view->chunk.size() == size);
    }
  }
}

TEST_CASE("the bytes of a chunk are the last of its frame") {
  const ChunkWriter writer("p", StreamName::standard_output, "s", "");
  std::string frame;
  writer.append_head(frame, {}, 3);
  frame += "abc";
  const std::string payload = payload_of(frame);
  const auto view = read_chunk(payload);
  REQUIRE(view.ok());
  CHECK(view->chunk.data() + view->chunk.size() == payload.data() + payload.size());
}

TEST_CASE("members that are not known are ignored, whatever stands in them") {
  const std::string view_bytes =
      "\x85\xa6stream\xa6stderr\xa3new\x92\x81\xa5"
      "chunk\xa2no\x81\xa3seq\x05\xa5"
      "chunk\xa3yes\x07\xc0\xa3"
      "eof\xc2"s;
  const auto view = read_chunk(view_bytes);
  REQUIRE(view.ok());
  CHECK(view->stream == StreamName::standard_error);
  CHECK(view->chunk == "yes");
  CHECK(view->seq == 0);
  CHECK_FALSE(view->eof);
}

TEST_CASE("a key that is no text does not name the member before it again") {
  const std::string view_bytes =
      "\x84\xa6stream\xa6stdout\xa5"
      "chunk\xa1"
      "a\xa3"
      "eof\xc2\x05\xc3"s;
  const auto view = read_chunk(view_bytes);
  REQUIRE(view.ok());
  CHECK_FALSE(view->eof);
  const std::string nested_bytes =
      "\x84\xa6stream\xa6stdout\xa5"
      "chunk\xa1"
      "a\xa3seq\x01\x81\xa1x\xa3"
      "eof\xa3two"s;
  const auto nested = read_chunk(nested_bytes);
  REQUIRE(nested.ok());
  CHECK(nested->chunk == "a");
  CHECK(nested->seq == 1);
}

TEST_CASE("a chunk that is cut short at any byte, or has bytes behind it, is refused") {
  const ChunkWriter writer("p", StreamName::standard_output, "s", "c");
  ChunkHead head;
  head.eof = true;
  std::string frame;
  writer.append_head(frame, head, 4);
  const std::string payload = payload_of(frame + "data");
  REQUIRE(read_chunk(payload).ok());
  for (std::size_t size = 0; size < payload.size(); ++size)
    CHECK_FALSE(read_chunk(std::string_view(payload).substr(0, size)).ok());
  CHECK_FALSE(read_chunk(payload + "\xc0").ok());
}

TEST_CASE("what lacks a stream or a chunk, or names a stream that is none, is refused") {
  CHECK_FALSE(read_chunk("\x80").ok());
  CHECK_FALSE(read_chunk("\xc0").ok());
  CHECK_FALSE(read_chunk("\x81\xa6stream\xa6stdout").ok());
  CHECK_FALSE(read_chunk("\x81\xa5"
                         "chunk\xa1"
                         "a")
                  .ok());
  CHECK_FALSE(read_chunk("\x82\xa6stream\xa5stdin\xa5"
                         "chunk\xa1"
                         "a")
                  .ok());
  CHECK_FALSE(read_chunk("\x83\xa6stream\xa6stdout\xa8"
                         "encoding\xa4gzip\xa5"
                         "chunk\xa1"
                         "a")
                  .ok());
  CHECK_FALSE(read_chunk("\x94\xa6stream\xa6stdout\xa5"
                         "chunk\xa1"
                         "a")
                  .ok());
}

TEST_CASE("a chunk nested beyond the limit is refused without recursion") {
  CHECK_FALSE(read_chunk("\x83\xa6stream\xa6stdout\xa5"
                         "chunk\xa1"
                         "a\xa1x" +
                         std::string(200'000, '\x91') + "\xc0")
                  .ok());
}
