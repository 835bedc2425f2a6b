#include "wire/payload.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace kairo;
using namespace kairo::wire;
using namespace std::string_literals;

namespace {

std::string repeated(std::string_view unit, std::size_t times) {
  std::string out;
  out.reserve(unit.size() * times);
  for (std::size_t i = 0; i < times; ++i) out += unit;
  return out;
}

std::string big_endian(std::uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

/// A payload that must be refused by the check and by the decoder, both saying `reason`.
void refused(const std::string& payload, const char* reason) {
  CAPTURE(reason);
  CAPTURE(payload.size());
  const auto checked = check_payload(payload);
  REQUIRE_FALSE(checked.ok());
  CHECK(checked.error().code == Code::invalid_request);
  CAPTURE(checked.error().message);
  CHECK(checked.error().message.find(reason) != std::string::npos);
  PayloadDecoder decoder;
  const auto decoded = decoder.decode(payload);
  REQUIRE_FALSE(decoded.ok());
  CHECK(decoded.error().message == checked.error().message);
}

}  // namespace

TEST_CASE("a map is taken, an empty one too") {
  CHECK(check_payload("\x80").ok());
  CHECK(check_payload("\x82\xa1"
                      "a\x01\xa1"
                      "b\x93\xc0\xc2\xcb\0\0\0\0\0\0\0\0"s)
            .ok());
  CHECK(check_payload("\xde\0\0"s).ok());
  CHECK(check_payload("\xdf\0\0\0\0"s).ok());
}

TEST_CASE("what is no map is refused as a payload and taken as a value") {
  for (const std::string& payload :
       {"\xc0"s, "\x01"s, "\xa1x"s, "\x90"s, "\xc4\x01x"s, "\xca\0\0\0\0"s, "\x91\x80"s}) {
    refused(payload, "not a map");
    CHECK(check_payload(payload, Shape::any).ok());
  }
}

TEST_CASE("no bytes at all are no value") {
  refused("", "cut short");
  CHECK_FALSE(check_payload("", Shape::any).ok());
}

TEST_CASE("a value that is cut short at any byte is refused") {
  const std::string whole =
      "\x86\xa2id\xcd\x01\x02\xa1s\xd9\x03xyz\xa1"
      "b\xc5\0\x02zz\xa1"
      "f\xcb\x3f\xf0\0\0\0\0\0\0\xa1"
      "e\xc7\x01\x05!\xa1"
      "a\x92\xc0\xc3"s;
  REQUIRE(check_payload(whole).ok());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(check_payload(std::string_view(whole).substr(0, size)).ok());
  }
}

TEST_CASE("bytes behind the value are refused") {
  refused("\x80\x80", "bytes follow the value (at byte 1)");
  refused("\x80\xc0", "bytes follow");
}

TEST_CASE("the byte that MsgPack never uses is refused") {
  refused("\x81\xa1x\xc1", "malformed");
}

TEST_CASE("five bytes that claim four gibibytes are refused before anything is reserved") {
  for (const char head : {'\xdd', '\xdf'})
    refused(std::string(1, head) + big_endian(0xffffffff), "claims more members");
  for (const char head : {'\xdb', '\xc6'})
    refused(std::string(1, head) + big_endian(0xffffffff), "cut short");
  refused("\xc9" + big_endian(0xffffffff), "cut short");
  refused("\x81\xa1x\xdd" + big_endian(0xffffffff), "claims more members");
}

TEST_CASE("a container that claims a little more than the bytes can hold is refused") {
  refused("\x81\xa1x\xdc\0\x10\xc0"s, "claims more members");
  refused("\x83\xa1x\x01", "claims more members");
}

TEST_CASE("nesting is taken to 32 and refused at 33") {
  const auto nested = [](std::size_t depth) {
    // The map is the first level; the innermost array is empty.
    return "\x81\xa1x" + repeated("\x91", depth - 2) + "\x90";
  };
  CHECK(check_payload(nested(32)).ok());
  PayloadDecoder decoder;
  CHECK(decoder.decode(nested(32)).ok());
  refused(nested(33), "nested deeper");
  refused(repeated("\x81\xa1x", 33) + "\xc0", "nested deeper");
  CHECK(check_payload(repeated("\x81\xa1x", 32) + "\xc0").ok());
}

TEST_CASE("two hundred thousand nested arrays are refused without recursion") {
  refused("\x81\xa1x" + repeated("\x91", 200'000) + "\xc0", "nested deeper");
  refused(repeated("\x91", 200'000) + "\xc0", "nested deeper");
  refused(repeated("\x81", 200'000) + "\xc0", "nested deeper");  // maps whose keys are maps
}

TEST_CASE("sixteen mebibytes of nils are refused, whatever they stand in") {
  const std::size_t many = (16u << 20) - 8;
  refused("\x81\xa1x\xdd" + big_endian(static_cast<std::uint32_t>(many)) + std::string(many, '\xc0'),
          "claims more members");
  // In many small arrays no single count is too large.
  const std::string small = "\x9f" + std::string(15, '\xc0');
  std::string arrays = "\x81\xa1x\xdd" + big_endian(200'000) + repeated(small, 200'000);
  refused(arrays, "more");
}

TEST_CASE("as many values as the limit allows are taken") {
  const std::uint32_t members = static_cast<std::uint32_t>(limits::payload_values) - 3;  // map, key, array
  const std::string payload = "\x81\xa1x\xdd" + big_endian(members) + std::string(members, '\xc0');
  CHECK(check_payload(payload).ok());
  PayloadDecoder decoder;
  const auto value = decoder.decode(payload);
  REQUIRE(value.ok());
  CHECK(find_member(*value, "x")->via.array.size == members);
  const std::string over = "\x81\xa1x\xdd" + big_endian(members + 1) + std::string(members + 1, '\xc0');
  CHECK_FALSE(check_payload(over).ok());
}

TEST_CASE("a text of nearly sixteen mebibytes is taken, and not copied") {
  const std::uint32_t size = (16u << 20) - 16;
  const std::string payload = "\x81\xa1x\xdb" + big_endian(size) + std::string(size, 't');
  PayloadDecoder decoder;
  const auto value = decoder.decode(payload);
  REQUIRE(value.ok());
  const msgpack::object* text = find_member(*value, "x");
  REQUIRE(text != nullptr);
  CHECK(text->via.str.size == size);
  CHECK(text->via.str.ptr == payload.data() + 8);
}

TEST_CASE("a decoder is used again after success and after failure") {
  PayloadDecoder decoder;
  for (int round = 0; round < 3; ++round) {
    const auto value = decoder.decode(
        "\x81\xa1"
        "a\x93\x01\x02\x03");
    REQUIRE(value.ok());
    CHECK(find_member(*value, "a")->via.array.ptr[2].via.u64 == 3);
    CHECK_FALSE(decoder.decode("\x81\xa1").ok());
  }
}

TEST_CASE("a member is found by its name, and only in a map") {
  PayloadDecoder decoder;
  const auto map = decoder.decode(
      "\x83\x01\x02\xa1"
      "a\x03\xa2"
      "ab\x04");
  REQUIRE(map.ok());
  CHECK(find_member(*map, "a")->via.u64 == 3);
  CHECK(find_member(*map, "ab")->via.u64 == 4);
  CHECK(find_member(*map, "b") == nullptr);
  CHECK(find_member(*map, "") == nullptr);
  PayloadDecoder other;
  const auto array = other.decode(
      "\x91\xa1"
      "a",
      Shape::any);
  REQUIRE(array.ok());
  CHECK(find_member(*array, "a") == nullptr);
}
