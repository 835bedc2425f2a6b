#include "reflect/encode.hpp"

#include <cstdint>
#include <limits>

#include <doctest/doctest.h>

#include "reflect/decode.hpp"
#include "sample.hpp"

using namespace kairo;
using namespace kairo::reflect;
using namespace std::string_literals;

TEST_CASE("integers take their shortest form") {
  CHECK(to_msgpack(0) == "\0"s);
  CHECK(to_msgpack(127) == "\x7f");
  CHECK(to_msgpack(128) == "\xcc\x80");
  CHECK(to_msgpack(-32) == "\xe0");
  CHECK(to_msgpack(-33) == "\xd0\xdf");
  CHECK(to_msgpack(256u) == "\xcd\x01\0"s);
  CHECK(to_msgpack(std::uint64_t{65536}) == "\xce\0\x01\0\0"s);
  CHECK(to_msgpack(std::numeric_limits<std::uint64_t>::max()) == "\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
  CHECK(to_msgpack(std::numeric_limits<std::int64_t>::min()) == "\xd3\x80\0\0\0\0\0\0\0"s);
}

TEST_CASE("a whole number that no integer can hold is a float") {
  CHECK(to_msgpack(0.5) == "\xcb\x3f\xe0\0\0\0\0\0\0"s);
  CHECK(to_msgpack(0x1p63) == "\xcf\x80\0\0\0\0\0\0\0"s);
  CHECK(to_msgpack(0x1p64) == "\xcb\x43\xf0\0\0\0\0\0\0"s);
  CHECK(to_msgpack(-0x1p64) == "\xcb\xc3\xf0\0\0\0\0\0\0"s);
}

TEST_CASE("texts and bytes take their shortest head") {
  CHECK(to_msgpack("") == "\xa0");
  CHECK(to_msgpack(std::string(31, 'a')).substr(0, 1) == "\xbf");
  CHECK(to_msgpack(std::string(32, 'a')).substr(0, 2) == "\xd9\x20");
  CHECK(to_msgpack(std::string(256, 'a')).substr(0, 3) == "\xda\x01\0"s);
  CHECK(to_msgpack(std::string(65536, 'a')).substr(0, 5) == "\xdb\0\x01\0\0"s);
  CHECK(to_msgpack(Bytes{""}) == "\xc4\0"s);
  CHECK(to_msgpack(Bytes{std::string(256, 'a')}).substr(0, 3) == "\xc5\x01\0"s);
}

TEST_CASE("a char pointer is text and no boolean") {
  CHECK(to_msgpack("x") == "\xa1x");
}

TEST_CASE("absent optional members take no room, and the map says so") {
  sample::Inner inner;
  CHECK(to_msgpack(inner) == "\x81\xabretainBytes\0"s);
  inner.note = "n";
  CHECK(to_msgpack(inner) == "\x82\xabretainBytes\0\xa4note\xa1n"s);
}

TEST_CASE("members stand in the order of the field list") {
  sample::All all;
  all.name = "n";
  const std::string bytes = to_msgpack(all);
  std::size_t last = 0;
  for (const char* name : {"name", "flag", "small", "ratio", "colour", "list", "table", "any"}) {
    const std::size_t at = bytes.find(name);
    REQUIRE(at != std::string::npos);
    CHECK(at > last);
    last = at;
  }
}

TEST_CASE("an empty Any stands for nil, and a full one for its bytes") {
  CHECK(to_msgpack(Any{}) == "\xc0");
  CHECK(to_msgpack(Any{"\x93\x01\x02\x03"}) == "\x93\x01\x02\x03");
}

TEST_CASE("what was encoded is decoded to the same") {
  sample::All all;
  all.name = "n\xc3\xa4me";
  all.flag = true;
  all.small = -2000;
  all.large = std::numeric_limits<std::uint64_t>::max();
  all.ratio = -0.125;
  all.colour = sample::Colour::deep_blue;
  all.list = {"a", std::string(70000, 'b')};
  all.table = {{"", 0}, {"k", std::numeric_limits<std::int64_t>::min()}};
  all.choice = std::int32_t{-1};
  all.bytes = Bytes{"\0\xff"s};
  all.any = Any{"\x81\xa1k\xc2"};
  all.options.emplace().output.retain_bytes = 1;
  const std::string bytes = to_msgpack(all);
  const auto handle = msgpack::unpack(bytes.data(), bytes.size());
  const auto back = from_object<sample::All>(handle.get(), "all", Unknown::refuse);
  REQUIRE(back.ok());
  CHECK(to_msgpack(*back) == bytes);
  CHECK(std::get<std::int32_t>(*back->choice) == -1);
  CHECK(back->list == all.list);
  CHECK(packed(handle.get()) == bytes);
}

TEST_CASE("an error becomes code, message and details") {
  const auto packed_error = [](const Error& error) {
    std::string out;
    Sink sink(out);
    Packer packer(sink);
    encode_error(packer, error);
    return out;
  };
  CHECK(packed_error(Error(Code::timeout, "late")) ==
        "\x82\xa4"
        "code\xa9"
        "E_TIMEOUT\xa7message\xa4late");
  const Error full = Error(Code::internal, "m")
                         .with("n", std::int64_t{-1})
                         .with("s", std::string("t"))
                         .with("raw", Error::Raw{"\x92\xc2\xc3"})
                         .with("none", Error::Raw{});
  CHECK(packed_error(full) ==
        "\x83\xa4"
        "code\xaa"
        "E_INTERNAL\xa7message\xa1m\xa7"
        "details\x84\xa1n\xff\xa1s\xa1t\xa3raw\x92\xc2\xc3\xa4none\xc0");
}
