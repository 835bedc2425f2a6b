#include "audit/line.hpp"

#include <doctest/doctest.h>

#include "audit/text.hpp"

using namespace kairo;
using namespace kairo::audit;

namespace {

std::string text(std::string_view of, std::size_t most = limits::audit_text_bytes) {
  std::string out;
  append_text(out, of, most);
  return out;
}

std::string sealed(const std::string& members, const Hash& prev = no_hash) {
  std::string out = "{\"seq\":7,\"time\":\"2026-11-20T23:54:34.000123Z\"" + members;
  seal(out, 0, prev);
  out.pop_back();
  return out;
}

}  // namespace

TEST_CASE("sha256 gives the digests of FIPS 180-4's examples") {
  CHECK(text_of(sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(text_of(sha256("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(text_of(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")) ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST_CASE("no text can end itself, its line, or move a terminal's cursor") {
  CHECK(text("user:0") == "\"user:0\"");
  CHECK(text("a\"b\\c") == "\"a\\\"b\\\\c\"");
  CHECK(text("x\",\"seq\":1}\n{") == "\"x\\\",\\\"seq\\\":1}\\u000a{\"");
  CHECK(text(std::string_view("\0\x1b[2J\x7f", 6)) == "\"\\u0000\\u001b[2J\\u007f\"");
  CHECK(text("\xc2\x85\xe2\x80\xa8") == "\"\\u0085\\u2028\"");
  CHECK(text("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80") == "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\"");
  // Not UTF-8: a lone byte, an overlong slash, a surrogate, something cut off.
  CHECK(text("\xff") == "\"\\ufffd\"");
  CHECK(text("\xc0\xaf") == "\"\\ufffd\\ufffd\"");
  CHECK(text("\xed\xa0\x80") == "\"\\ufffd\\ufffd\\ufffd\"");
  CHECK(text("a\xe2\x82") == "\"a\\ufffd\\ufffd\"");
  CHECK(text("\xf5\x80\x80\x80") == "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

TEST_CASE("a long text is cut between characters and tells its whole length") {
  CHECK(text("abcdef", 6) == "\"abcdef\"");
  CHECK(text("abcdefg", 6) == "\"abcdef[7 bytes]\"");
  CHECK(text("ab\xc3\xbc\xc3\xbc", 3) == "\"ab[6 bytes]\"");
  CHECK(text(std::string(100, '\n'), 12) == "\"\\u000a\\u000a[100 bytes]\"");
}

TEST_CASE("times are written as to_iso8601 writes them, also when the second changes back") {
  Stamp stamp;
  for (const std::int64_t us : {1'700'000'000'000'123, 1'700'000'000'999'999, 1'700'000'001'000'000,
                                1'600'000'000'000'000, 1'700'000'001'000'001}) {
    std::string out;
    stamp.append(out, SystemTime(std::chrono::microseconds(us)));
    CHECK(out == to_iso8601(SystemTime(std::chrono::microseconds(us))));
  }
}

TEST_CASE("a sealed line is read again, and proves itself") {
  const std::string line = sealed(",\"method\":\"kernel.ping\"", sha256("before"));
  const auto read = read_line(line);
  REQUIRE(read.ok());
  CHECK(read->seq == 7);
  CHECK(read->time == "2026-11-20T23:54:34.000123Z");
  CHECK(read->prev == text_of(sha256("before")));
  CHECK(read->hash == text_of(sha256(std::string_view(line).substr(0, line.size() - 75))));
  CHECK(is_sound(line, *read));
}

TEST_CASE("another byte anywhere in a line is no record or gives another hash") {
  const std::string line = sealed(",\"method\":\"kernel.ping\",\"principal\":\"user:0\"");
  for (std::size_t at = 0; at < line.size(); ++at)
    for (const char other : {'0', 'f', '"', ' ', 'x'}) {
      if (line[at] == other) continue;
      std::string changed = line;
      changed[at] = other;
      const auto read = read_line(changed);
      CAPTURE(changed);
      CHECK((!read || !is_sound(changed, *read)));
    }
  for (std::size_t length = 0; length < line.size(); ++length) {
    const auto read = read_line(std::string_view(line).substr(0, length));
    CHECK((!read || !is_sound(std::string_view(line).substr(0, length), *read)));
  }
}

TEST_CASE("members of the outermost object are found, and only those") {
  const std::string line =
      R"({"seq":3,"data":{"principal":"user:9","x":["}",{"a":1}]},"principal":"us\"er","durationUs":12})";
  CHECK(find_member(line, "seq") == "3");
  CHECK(find_member(line, "principal") == R"("us\"er")");
  CHECK(find_member(line, "durationUs") == "12");
  CHECK(!find_member(line, "a"));
  CHECK(!find_member(line, "x"));
  for (const char* bad : {"", "{", "{}", "x", "{\"a", "{\"a\"", "{\"a\":", "{\"a\":\"x", "{\"b\":1",
                          "{\"b\":1 \"a\":2}", "[1]"})
    CHECK(!find_member(bad, "a"));
}
