// JSON by hand, for one line per request: texts, numbers and times as they stand in the audit. What comes
// from outside can neither end a text nor a line: quotes, backslashes and every control character (those of
// C1 and the separators of lines included) are escaped, and bytes that are no UTF-8 become U+FFFD.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/limits.hpp"

namespace kairo::audit {

/// Appends the text in quotes. One that takes more than `most` bytes as it is written is cut, and ends with
/// "[N bytes]", its whole length.
void append_text(std::string& out, std::string_view text, std::size_t most = limits::audit_text_bytes);

inline void append_number(std::string& out, std::uint64_t number) {
  char digits[20];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

/// Appends ,"name":"text".
void append_member(std::string& out, std::string_view name, std::string_view text);
/// Appends ,"name":number.
void append_member(std::string& out, std::string_view name, std::uint64_t number);

/// Writes times as to_iso8601 does, the date and the second once for all that happens in it.
class Stamp {
 public:
  void append(std::string& out, SystemTime time);

 private:
  std::int64_t second_ = -1;
  std::string prefix_;  ///< "2026-11-20T23:54:34."
};

}  // namespace kairo::audit
