#include "stream/text.hpp"

#include <string>

#include <doctest/doctest.h>

using namespace kairo;
using namespace kairo::stream;

namespace {

/// RFC 3629 written down once more, as slowly as can be: the length of the code point at the start, 0 when
/// there is none, -1 when it may still become one.
int code_point(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(bytes[i])); };
  if (at(0) < 0x80) return 1;
  const int length = at(0) >= 0xC2 && at(0) <= 0xDF   ? 2
                     : at(0) >= 0xE0 && at(0) <= 0xEF ? 3
                     : at(0) >= 0xF0 && at(0) <= 0xF4 ? 4
                                                      : 0;
  for (int i = 1; i < length; ++i) {
    if (static_cast<std::size_t>(i) >= bytes.size()) return -1;
    unsigned low = 0x80, high = 0xBF;
    if (i == 1 && at(0) == 0xE0) low = 0xA0;
    if (i == 1 && at(0) == 0xED) high = 0x9F;
    if (i == 1 && at(0) == 0xF0) low = 0x90;
    if (i == 1 && at(0) == 0xF4) high = 0x8F;
    if (at(static_cast<std::size_t>(i)) < low || at(static_cast<std::size_t>(i)) > high) return 0;
  }
  return length;
}

Utf8Scan slow_scan(std::string_view bytes) {
  std::size_t valid = 0;
  while (valid < bytes.size()) {
    const int length = code_point(bytes.substr(valid));
    if (length <= 0) return {valid, length < 0};
    valid += static_cast<std::size_t>(length);
  }
  return {valid, false};
}

bool same(const Utf8Scan& a, const Utf8Scan& b) {
  return a.valid == b.valid && a.cut_short == b.cut_short;
}

}  // namespace

TEST_CASE(
    "every two bytes, and every first pair with each kind of continuation, are judged as RFC 3629 says") {
  const std::string edges = {'\x7F', '\x80', '\x8F', '\x90', '\x9F', '\xA0', '\xBF', '\xC0', '\xFF', 'a'};
  int wrong = 0;  // millions of cases: one assertion for all
  for (unsigned first = 0; first < 256; ++first)
    for (unsigned second = 0; second < 256; ++second) {
      std::string text = {static_cast<char>(first), static_cast<char>(second)};
      wrong += !same(scan_utf8(text), slow_scan(text));
      for (const char third : edges)
        for (const char fourth : edges) {
          const std::string longer = text + third + fourth;
          wrong += !same(scan_utf8(longer), slow_scan(longer));
          wrong += !same(scan_utf8(std::string_view(longer).substr(0, 3)), slow_scan(longer.substr(0, 3)));
        }
    }
  CHECK(wrong == 0);
}

TEST_CASE("a code point is found whole, cut or bad at every place of a long text") {
  const std::string samples[] = {"\xC3\xA9", "\xE6\xBC\xA2", "\xF0\x9F\x98\x80",
                                 "\xFF",     "\xED\xA0\x80", "\xC0\xAF"};
  for (const std::string& sample : samples)
    for (std::size_t before = 0; before < 150; ++before)
      for (std::size_t keep = 1; keep <= sample.size(); ++keep)
        for (const std::size_t after : {0u, 1u, 70u}) {
          const std::string text =
              std::string(before, 'x') + sample.substr(0, keep) + std::string(after, 'y');
          REQUIRE(same(scan_utf8(text), slow_scan(text)));
        }
}

TEST_CASE("text without ASCII is scanned whole, whatever its length") {
  for (const std::string unit : {"\xE6\xBC\xA2", "\xF0\x9F\x98\x80", "\xC3\xA9", "\xC3\xA9\xE6\xBC\xA2"}) {
    std::string text;
    for (int i = 0; i < 100; ++i) {
      text += unit;
      REQUIRE(scan_utf8(text).valid == text.size());
      for (std::size_t cut = 1; cut < 4; ++cut)
        REQUIRE(
            same(scan_utf8(text.substr(0, text.size() - cut)), slow_scan(text.substr(0, text.size() - cut))));
    }
  }
}

TEST_CASE("base64 agrees with the vectors of RFC 4648") {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : vectors) {
    std::string out;
    append_base64(out, plain);
    CHECK(out == coded);
    CHECK(base64_length(std::string_view(plain).size()) == out.size());
    CHECK(decode_base64(coded).value() == plain);
  }
}

TEST_CASE("base64 of every byte comes back, also when it is written over its own source") {
  std::string all;
  for (int i = 0; i < 1000; ++i) all.push_back(static_cast<char>(i * 7 + i / 256));
  for (std::size_t size = 0; size < all.size(); ++size) {
    const std::string plain = all.substr(0, size);
    std::string place(base64_length(size), '\0');
    plain.copy(place.data() + place.size() - size, size);
    REQUIRE(write_base64(place.data(), {place.data() + place.size() - size, size}) == place.size());
    REQUIRE(decode_base64(place).value() == plain);
  }
}

TEST_CASE("what is no base64 is refused with the place where it goes wrong") {
  const std::pair<const char*, const char*> bad[] = {
      {"Zm9v!g==", "position 4"}, {"Zg=", "position 3"},  {"Z", "position 1"},    {"Zg==Zg==", "position 2"},
      {"====", "position 0"},     {"Zh==", "position 1"}, {"Zm9=", "position 2"}, {"Zm9v\n", "position 4"},
      {"Z===", "position 1"},     {"Zm 9", "position 2"}};
  for (const auto& [text, place] : bad) {
    const auto decoded = decode_base64(text);
    REQUIRE_FALSE(decoded.ok());
    CHECK(decoded.error().code == Code::invalid_params);
    CHECK_MESSAGE(decoded.error().message.find(place) != std::string::npos, text, ": ",
                  decoded.error().message);
  }
}
