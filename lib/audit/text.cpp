#include "audit/text.hpp"

#include <algorithm>

namespace kairo::audit {
namespace {

bool plain(unsigned char c) {
  return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/// Length of the character at the beginning, 0 where it is no UTF-8 (RFC 3629: nothing overlong, no
/// surrogates).
std::size_t utf8_length(std::string_view text, std::uint32_t& code) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (length == 0 || first > 0xf4 || length > text.size()) return 0;
  code = length == 1 ? first : first & (0xffu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3fu);
  }
  if ((length == 3 && code < 0x800) || (length == 4 && code < 0x10000) || code > 0x10ffff) return 0;
  return code >= 0xd800 && code < 0xe000 ? 0 : length;
}

void append_escape(std::string& out, std::uint32_t code) {
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += "0123456789abcdef"[code >> shift & 15u];
}

}  // namespace

void append_text(std::string& out, std::string_view text, std::size_t most) {
  out += '"';
  const std::size_t begin = out.size();
  if (text.size() <= most &&
      std::all_of(text.begin(), text.end(), [](char c) { return plain(static_cast<unsigned char>(c)); })) {
    out.append(text).append(1, '"');
    return;
  }
  for (std::string_view rest = text; !rest.empty();) {
    std::uint32_t code = 0;
    const std::size_t length = utf8_length(rest, code);
    const std::size_t before = out.size();
    if (length == 0)
      append_escape(out, 0xfffd);
    else if (code == '"' || code == '\\')
      out.append(1, '\\').append(1, static_cast<char>(code));
    else if (code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029)
      append_escape(out, code);
    else
      out.append(rest.substr(0, length));
    if (out.size() - begin > most) {
      out.resize(before);
      out += '[';
      append_number(out, text.size());
      out += " bytes]";
      break;
    }
    rest.remove_prefix(std::max<std::size_t>(length, 1));
  }
  out += '"';
}

void append_member(std::string& out, std::string_view name, std::string_view text) {
  out.append(",\"").append(name).append("\":");
  append_text(out, text);
}

void append_member(std::string& out, std::string_view name, std::uint64_t number) {
  out.append(",\"").append(name).append("\":");
  append_number(out, number);
}

void Stamp::append(std::string& out, SystemTime time) {
  const auto second = std::chrono::floor<std::chrono::seconds>(time);
  if (second.time_since_epoch().count() != second_ || prefix_.empty()) {
    second_ = second.time_since_epoch().count();
    prefix_ = to_iso8601(second);
    prefix_.resize(prefix_.find('.') + 1);
  }
  auto micros = static_cast<std::uint32_t>((time - second).count());
  char digits[7] = {'0', '0', '0', '0', '0', '0', 'Z'};
  for (int i = 5; i >= 0; --i, micros /= 10) digits[i] = static_cast<char>('0' + micros % 10);
  out.append(prefix_).append(digits, sizeof digits);
}

}  // namespace kairo::audit
