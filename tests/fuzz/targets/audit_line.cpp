// Lines of the audit, as whoever has changed the files may have left them, and texts on their way into one.
#include <algorithm>
#include <cstdint>
#include <string>

#include "audit/line.hpp"
#include "audit/redactor.hpp"
#include "audit/text.hpp"
#include "fuzz/check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kairo;
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  const auto inside = [text](std::string_view part) {
    return part.data() >= text.data() && part.data() + part.size() <= text.data() + text.size();
  };
  if (const auto line = audit::read_line(text)) {
    KAIRO_FUZZ_CHECK(line->seq > 0 && line->prev.size() == 64 && line->hash.size() == 64);
    KAIRO_FUZZ_CHECK(inside(line->time) && inside(line->prev) && inside(line->hash));
    audit::is_sound(text, *line);
  }
  for (const char* name : {"principal", "method", "event", "firstSeq"})
    if (const auto member = audit::find_member(text, name)) KAIRO_FUZZ_CHECK(inside(*member));

  // Whatever stands in a record, it is one line, reads back, and is found behind it.
  static const audit::Redactor redactor({"*TOKEN*", "*SECRET*", "*PASSWORD*"});
  std::string made = "{\"seq\":1,\"time\":\"2026-11-20T23:54:34.000123Z\"";
  audit::append_member(made, "principal", text);
  const std::size_t half = size / 2;
  redactor.append_argv(made, {std::string(text.substr(0, half)), std::string(text.substr(half))});
  audit::append_member(made, "last", 7);
  audit::seal(made, 0, audit::no_hash);
  KAIRO_FUZZ_CHECK(made.size() <= limits::audit_line_bytes);
  KAIRO_FUZZ_CHECK(std::none_of(made.begin(), made.end() - 1,
                                [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }));
  made.pop_back();
  const auto read = audit::read_line(made);
  KAIRO_FUZZ_CHECK(read.ok() && audit::is_sound(made, *read));
  KAIRO_FUZZ_CHECK(audit::find_member(made, "last") == "7");
  return 0;
}
