#include "wire/frame.hpp"

#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace kairo;
using namespace kairo::wire;
using namespace std::string_literals;

namespace {

std::string frame(FrameType type, std::string_view payload) {
  std::string out;
  append_frame(out, type, [&](std::string& to) { to.append(payload); });
  return out;
}

void give(FrameReader& reader, std::string_view bytes) {
  const auto room = reader.writable(bytes.size());
  REQUIRE(room.size() >= bytes.size());
  std::memcpy(room.data(), bytes.data(), bytes.size());
  reader.commit(bytes.size());
}

struct Seen {
  FrameType type;
  std::string payload;
  bool operator==(const Seen&) const = default;
};

/// Every frame that is complete by now; an error ends the test.
void take(FrameReader& reader, std::vector<Seen>& out) {
  for (;;) {
    auto next = reader.next();
    REQUIRE(next.ok());
    if (!*next) return;
    out.push_back({(*next)->type, std::string((*next)->payload)});
  }
}

}  // namespace

TEST_CASE("a frame's head is magic, version, type and length, big-endian") {
  CHECK(frame(FrameType::event, "abc") ==
        "\x4b\x41\x01\x03\0\0\0\x03"
        "abc"s);
  char head[head_bytes];
  put_head(head, FrameType::stream_chunk, 0x01020304);
  CHECK(std::string(head, 8) == "\x4b\x41\x01\x04\x01\x02\x03\x04");
}

TEST_CASE("append_frame leaves what stood before it") {
  std::string out = "before";
  append_frame(out, FrameType::request, [](std::string& to) { to += "\x80"; });
  CHECK(out == "before\x4b\x41\x01\x01\0\0\0\x01\x80"s);
}

TEST_CASE("a head is read back") {
  for (const auto type :
       {FrameType::request, FrameType::response, FrameType::event, FrameType::stream_chunk}) {
    char bytes[head_bytes];
    put_head(bytes, type, 0xfffefd);
    const auto head = parse_head(bytes);
    REQUIRE(head.ok());
    CHECK(head->type == type);
    CHECK(head->length == 0xfffefd);
  }
}

TEST_CASE("a bad magic, version, type or length is refused with a reason") {
  const std::pair<std::string, const char*> cases[] = {
      {"\x41\x4b\x01\x01\0\0\0\x01"s, "magic"},
      {"\x4b\x42\x01\x01\0\0\0\x01"s, "magic"},
      {"GET / HT"s, "magic"},
      {"\0\0\0\0\0\0\0\0"s, "magic"},
      {"\x4b\x41\0\x01\0\0\0\x01"s, "version 0"},
      {"\x4b\x41\x02\x01\0\0\0\x01"s, "version 2"},
      {"\x4b\x41\x01\0\0\0\0\x01"s, "type 0"},
      {"\x4b\x41\x01\x05\0\0\0\x01"s, "type 5"},
      {"\x4b\x41\x01\xff\0\0\0\x01"s, "type 255"},
      {"\x4b\x41\x01\x01\x01\0\0\x01"s, "16777217 bytes"},
      {"\x4b\x41\x01\x01\xff\xff\xff\xff"s, "4294967295 bytes"}};
  for (const auto& [bytes, reason] : cases) {
    CAPTURE(reason);
    const auto head = parse_head(bytes.data());
    REQUIRE_FALSE(head.ok());
    CHECK(head.error().code == Code::invalid_request);
    CHECK(head.error().message.find(reason) != std::string::npos);
  }
}

TEST_CASE("a length of exactly the limit is taken, one more is not") {
  char bytes[head_bytes];
  put_head(bytes, FrameType::request, 100);
  CHECK(parse_head(bytes, 100).ok());
  CHECK_FALSE(parse_head(bytes, 99).ok());
  put_head(bytes, FrameType::request, limits::frame_payload_bytes);
  CHECK(parse_head(bytes).ok());
}

TEST_CASE("frames that come byte by byte are read like those that come at once") {
  const std::vector<Seen> sent = {{FrameType::request, "\x80"},
                                  {FrameType::response, ""},
                                  {FrameType::event, std::string(300, 'e')},
                                  {FrameType::stream_chunk, "\x4b\x41\x01\x01\0\0\0\x01"s}};
  std::string bytes;
  for (const Seen& each : sent) bytes += frame(each.type, each.payload);

  SUBCASE("at once") {
    FrameReader reader;
    std::vector<Seen> seen;
    give(reader, bytes);
    take(reader, seen);
    CHECK(seen == sent);
    CHECK(reader.pending() == 0);
  }
  SUBCASE("byte by byte") {
    FrameReader reader;
    std::vector<Seen> seen;
    for (const char byte : bytes) {
      give(reader, {&byte, 1});
      take(reader, seen);
    }
    CHECK(seen == sent);
  }
  SUBCASE("split in two at every byte") {
    for (std::size_t at = 0; at <= bytes.size(); ++at) {
      FrameReader reader;
      std::vector<Seen> seen;
      give(reader, std::string_view(bytes).substr(0, at));
      take(reader, seen);
      give(reader, std::string_view(bytes).substr(at));
      take(reader, seen);
      CHECK(seen == sent);
    }
  }
}

TEST_CASE("two and a half frames in one read give two now and one later") {
  FrameReader reader;
  std::vector<Seen> seen;
  const std::string last = frame(FrameType::event, "third");
  give(reader, frame(FrameType::request, "one") + frame(FrameType::response, "two") + last.substr(0, 10));
  take(reader, seen);
  CHECK(seen.size() == 2);
  CHECK(reader.pending() == 10);
  give(reader, last.substr(10));
  take(reader, seen);
  REQUIRE(seen.size() == 3);
  CHECK(seen[2].payload == "third");
}

TEST_CASE("a wrong head is noticed with its eighth byte, without waiting for the payload") {
  FrameReader reader;
  give(reader, "\x4b\x41\x01\x01\xff\xff\xff"s);
  CHECK(reader.next().ok());
  give(reader, "\xff");
  CHECK_FALSE(reader.next().ok());
  CHECK_FALSE(reader.next().ok());  // final
}

TEST_CASE("good frames before a wrong one are still given") {
  FrameReader reader;
  give(reader, frame(FrameType::request, "good") + "NONSENSE");
  auto first = reader.next();
  REQUIRE(first.ok());
  CHECK((*first)->payload == "good");
  CHECK_FALSE(reader.next().ok());
}

TEST_CASE("memory follows what came, not what a head claims") {
  FrameReader reader;
  give(reader, frame(FrameType::request, "").substr(0, 4) + "\x01\0\0\0"s);  // claims 16 MiB
  REQUIRE(reader.next().ok());
  CHECK(reader.writable().size() > 0);
  CHECK(reader.capacity() <= 32u << 10);
  std::size_t came = 8;
  while (came < 1u << 20) {
    const auto room = reader.writable();
    came += room.size();
    reader.commit(room.size());
    REQUIRE(reader.next().ok());
    CHECK(reader.capacity() <= 2 * came + (32u << 10));
  }
}

TEST_CASE("memory that a large frame took is given back when nothing is pending") {
  FrameReader reader;
  give(reader, frame(FrameType::request, std::string(1u << 20, 'x')));
  CHECK(reader.capacity() >= 1u << 20);
  reader.shrink();  // the frame is still to be read
  CHECK(reader.capacity() >= 1u << 20);
  auto next = reader.next();
  REQUIRE(next.ok());
  CHECK((*next)->payload.size() == 1u << 20);
  reader.shrink();
  CHECK(reader.capacity() <= 32u << 10);
  std::vector<Seen> seen;
  give(reader, frame(FrameType::event, "after"));
  take(reader, seen);
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].payload == "after");
}

TEST_CASE("many small frames do not make the buffer grow") {
  FrameReader reader;
  const std::string one = frame(FrameType::request, std::string(1000, 'x'));
  std::vector<Seen> seen;
  for (int i = 0; i < 1000; ++i) {
    give(reader, one.substr(0, 700));
    take(reader, seen);
    give(reader, one.substr(700));
    take(reader, seen);
  }
  CHECK(seen.size() == 1000);
  CHECK(reader.capacity() <= 32u << 10);
}

TEST_CASE("a frame of the largest size is read whole") {
  FrameReader reader(4096);
  std::vector<Seen> seen;
  give(reader, frame(FrameType::request, std::string(4096, 'x')));
  take(reader, seen);
  REQUIRE(seen.size() == 1);
  give(reader, frame(FrameType::request, std::string(4097, 'x')));
  CHECK_FALSE(reader.next().ok());
}
