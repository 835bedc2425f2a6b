#include "base/shown.hpp"

#include <algorithm>
#include <array>

namespace kairo {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};
/// Controls; marks of direction; what has no width of its own; separators of lines; tags.
constexpr std::array unprintable{
    Range{0x00, 0x1F},     Range{0x7F, 0x9F},     Range{0xAD, 0xAD},     Range{0x61C, 0x61C},
    Range{0x115F, 0x1160}, Range{0x180B, 0x180F}, Range{0x200B, 0x200F}, Range{0x2028, 0x202E},
    Range{0x2060, 0x206F}, Range{0x3164, 0x3164}, Range{0xFE00, 0xFE0F}, Range{0xFEFF, 0xFEFF},
    Range{0xFFA0, 0xFFA0}, Range{0xFFF0, 0xFFFB}, Range{0xFFFE, 0xFFFF}, Range{0xE0000, 0xE0FFF}};

bool is_printable(char32_t code) {
  if (code >= 0x20 && code < 0x7F) return true;
  return std::none_of(unprintable.begin(), unprintable.end(),
                      [&](const Range& each) { return each.first <= code && code <= each.last; });
}

/// A byte as it is written in a shell's $'...'.
std::string hexadecimal(char byte) {
  constexpr std::string_view digits = "0123456789abcdef";
  const auto value = static_cast<unsigned char>(byte);
  return {'\\', 'x', digits[value >> 4], digits[value & 15]};
}

bool is_plain(char c) {
  constexpr std::string_view others = "_@%+=:,./-";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         others.find(c) != std::string_view::npos;
}

/// Each character that is no text, or no printable one, by its bytes; the others as `write` has them.
template <class Write>
std::string written(std::string_view text, Write write) {
  std::string out;
  while (!text.empty()) {
    const Character first = first_character(text);
    const std::string_view bytes = text.substr(0, first.bytes);
    if (first.printable)
      out += write(bytes);
    else
      for (const char byte : bytes) out += hexadecimal(byte);
    text.remove_prefix(first.bytes);
  }
  return out;
}

bool all_printable(std::string_view text) {
  while (!text.empty()) {
    const Character first = first_character(text);
    if (!first.printable) return false;
    text.remove_prefix(first.bytes);
  }
  return true;
}

}  // namespace

Character first_character(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  Character out;
  out.code = lead;
  if (lead >= 0x80) {
    const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() < bytes) return out;
    char32_t code = lead & (0x7Fu >> bytes);
    for (std::size_t i = 1; i < bytes; ++i) {
      if ((at(i) & 0xC0) != 0x80) return out;
      code = code << 6 | (at(i) & 0x3Fu);
    }
    // Over-long forms, surrogates, and what lies beyond the last character.
    const char32_t least = bytes == 2 ? 0x80 : bytes == 3 ? 0x800 : 0x10000;
    if (code < least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return out;
    out.bytes = bytes;
    out.code = code;
  }
  out.is_text = true;
  out.printable = is_printable(out.code);
  return out;
}

std::string shown(std::string_view text) {
  return written(text, [](std::string_view bytes) { return bytes; });
}

std::string shell_word(std::string_view word) {
  if (!word.empty() && std::all_of(word.begin(), word.end(), is_plain)) return std::string(word);
  const bool quotes_suffice = all_printable(word);
  const std::string inside = written(word, [&](std::string_view bytes) -> std::string {
    if (bytes == "'") return quotes_suffice ? "'\\''" : "\\'";
    if (bytes == "\\" && !quotes_suffice) return "\\\\";
    return std::string(bytes);
  });
  return (quotes_suffice ? "'" : "$'") + inside + "'";
}

}  // namespace kairo
