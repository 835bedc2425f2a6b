#include "base/shown.hpp"

#include <cstdio>
#include <memory>

#include <doctest/doctest.h>

using namespace kairo;

namespace {

/// What bash makes of a word.
std::string read_by_bash(const std::string& word) {
  std::string script = "bash -c \"$(cat <<'END'\nprintf %s " + word + "\nEND\n)\"";
  const std::unique_ptr<FILE, int (*)(FILE*)> shell(::popen(script.c_str(), "r"), &::pclose);
  std::string out(256, '\0');
  out.resize(std::fread(out.data(), 1, out.size(), shell.get()));
  return out;
}

}  // namespace

TEST_CASE("text of others is shown without its effects") {
  CHECK(shown("/tmp/a b;'c") == "/tmp/a b;'c");
  CHECK(shown("/tmp/\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80") == "/tmp/\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK(shown("a\n\x1b[2J\x7f") == "a\\x0a\\x1b[2J\\x7f");
  CHECK(shown("\xc2\x9b") == "\\xc2\\x9b");           // U+009B begins a sequence, as ESC [ does
  CHECK(shown("\xe2\x80\xae") == "\\xe2\\x80\\xae");  // U+202E turns what follows around
  CHECK(shown("\xe2\x81\xa6\xe2\x80\x8f") == "\\xe2\\x81\\xa6\\xe2\\x80\\x8f");
  CHECK(shown("\xff"
              "a\xc3") == "\\xffa\\xc3");  // no UTF-8, and one that is cut short
  CHECK(shown("\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80") ==
        "\\xc0\\xaf\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80");  // over-long, a surrogate, beyond the last
}

TEST_CASE("a word of a shell is one word, and printable") {
  CHECK(shell_word("/usr/lib/x86_64-linux-gnu,a+b=c:d@e%f.so") == "/usr/lib/x86_64-linux-gnu,a+b=c:d@e%f.so");
  CHECK(shell_word("") == "''");
  CHECK(shell_word("/a b") == "'/a b'");
  CHECK(shell_word("/a'b") == "'/a'\\''b'");
  CHECK(shell_word("/~*?[$`\\") == "'/~*?[$`\\'");
  CHECK(shell_word("/a\n'\\") == "$'/a\\x0a\\'\\\\'");
  for (const std::string each : {"/x; touch pwn #", "/a'b\"c`id`$(id)\\", "/n\nl;'\\x41\\",
                                 "/c\xc2\x9b\xc2\x9d; touch pwn #", "/\xff\xfe!",
                                 "/\xe2\x80\xae"
                                 "a1",
                                 "/\xc3\xa4 \xe2\x82\xac"}) {
    const std::string word = shell_word(each);
    CHECK(read_by_bash(word) == each);
    CHECK(shown(word) == word);
  }
}
