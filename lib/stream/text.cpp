#include "stream/text.hpp"

#include <array>
#include <cstdint>
#include <cstring>

namespace kairo::stream {
namespace {

using Byte = unsigned char;

/// Length of the ASCII run at the start. Words are tested in blocks that compilers turn into vector code.
std::size_t ascii_run(const char* from, std::size_t size) {
  constexpr std::uint64_t high_bits = 0x8080808080808080u;
  std::size_t i = 0;
  for (; i + 64 <= size; i += 64) {
    std::uint64_t words[8];
    std::memcpy(words, from + i, 64);
    std::uint64_t any = 0;
    for (const std::uint64_t word : words) any |= word;
    if (any & high_bits) break;
  }
  for (; i + 8 <= size; i += 8) {
    std::uint64_t word;
    std::memcpy(&word, from + i, 8);
    if (word & high_bits) break;
  }
  while (i < size && static_cast<Byte>(from[i]) < 0x80) ++i;
  return i;
}

/// What the second byte of a sequence may be, by its first (RFC 3629 §4); later ones are 80..BF.
struct Lead {
  std::uint8_t length;  ///< 0: no sequence begins so
  Byte low, high;
};
constexpr Lead lead_of(Byte first) {
  if (first < 0xC2) return {0, 0, 0};
  if (first < 0xE0) return {2, 0x80, 0xBF};
  if (first == 0xE0) return {3, 0xA0, 0xBF};
  if (first == 0xED) return {3, 0x80, 0x9F};
  if (first < 0xF0) return {3, 0x80, 0xBF};
  if (first == 0xF0) return {4, 0x90, 0xBF};
  if (first < 0xF4) return {4, 0x80, 0xBF};
  if (first == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}
constexpr std::array<Lead, 256> leads = [] {
  std::array<Lead, 256> table{};
  for (unsigned i = 0; i < 256; ++i) table[i] = lead_of(static_cast<Byte>(i));
  return table;
}();

constexpr bool continues(Byte byte) {
  return (byte & 0xC0) == 0x80;
}

constexpr char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Twelve bits to two letters: half the look-ups of six bits to one.
constexpr auto pairs = [] {
  std::array<std::array<char, 2>, 4096> table{};
  for (unsigned i = 0; i < 4096; ++i) table[i] = {alphabet[i >> 6], alphabet[i & 63]};
  return table;
}();

constexpr auto values = [] {
  std::array<std::uint8_t, 256> table{};
  table.fill(0xFF);
  for (unsigned i = 0; i < 64; ++i) table[static_cast<Byte>(alphabet[i])] = static_cast<std::uint8_t>(i);
  return table;
}();

Error bad_base64(std::size_t position, const char* why) {
  return Error(Code::invalid_params,
               "cannot decode base64: " + std::string(why) + " at position " + std::to_string(position));
}

}  // namespace

Utf8Scan scan_utf8(std::string_view bytes) {
  const char* const text = bytes.data();
  const std::size_t size = bytes.size();
  std::size_t i = 0;
  while (i < size) {
    const Byte first = static_cast<Byte>(text[i]);
    if (first < 0x80) {
      i += ascii_run(text + i, size - i);
      continue;
    }
    const Lead lead = leads[first];
    if (lead.length == 0) return {i, false};
    const std::size_t there = size - i;
    if (there < 2) return {i, true};
    const Byte second = static_cast<Byte>(text[i + 1]);
    if (second < lead.low || second > lead.high) return {i, false};
    if (lead.length > 2) {
      if (there < 3) return {i, true};
      if (!continues(static_cast<Byte>(text[i + 2]))) return {i, false};
      if (lead.length > 3) {
        if (there < 4) return {i, true};
        if (!continues(static_cast<Byte>(text[i + 3]))) return {i, false};
      }
    }
    i += lead.length;
  }
  return {size, false};
}

std::size_t write_base64(char* to, std::string_view bytes) {
  const char* from = bytes.data();
  std::size_t left = bytes.size();
  char* out = to;
  for (; left >= 3; left -= 3, from += 3, out += 4) {
    const unsigned group = static_cast<unsigned>(static_cast<Byte>(from[0])) << 16 |
                           static_cast<unsigned>(static_cast<Byte>(from[1])) << 8 |
                           static_cast<Byte>(from[2]);
    std::memcpy(out, pairs[group >> 12].data(), 2);
    std::memcpy(out + 2, pairs[group & 0xFFF].data(), 2);
  }
  if (left > 0) {
    const unsigned second = left == 2 ? static_cast<Byte>(from[1]) : 0u;
    const unsigned group = static_cast<unsigned>(static_cast<Byte>(from[0])) << 16 | second << 8;
    out[0] = alphabet[group >> 18];
    out[1] = alphabet[group >> 12 & 63];
    out[2] = left == 2 ? alphabet[group >> 6 & 63] : '=';
    out[3] = '=';
    out += 4;
  }
  return static_cast<std::size_t>(out - to);
}

void append_base64(std::string& out, std::string_view bytes) {
  const std::size_t start = out.size();
  out.resize(start + base64_length(bytes.size()));
  write_base64(out.data() + start, bytes);
}

Result<std::string> decode_base64(std::string_view text) {
  std::size_t letters = text.size();
  while (letters > 0 && text.size() - letters < 2 && text[letters - 1] == '=') --letters;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  std::uint32_t group = 0;
  for (std::size_t i = 0; i < letters; ++i) {
    const std::uint8_t value = values[static_cast<Byte>(text[i])];
    if (value == 0xFF) return bad_base64(i, "a character outside of the alphabet");
    group = group << 6 | value;
    if (i % 4 == 3) {
      out.push_back(static_cast<char>(group >> 16));
      out.push_back(static_cast<char>(group >> 8));
      out.push_back(static_cast<char>(group));
      group = 0;
    }
  }
  if (text.size() % 4 != 0)
    return bad_base64(text.size(), "the end of a text whose length is no multiple of four");
  const std::size_t rest = letters % 4;
  // Bits that no byte takes must be zero, or two texts would mean the same bytes.
  if (rest == 2) {
    if (group & 0xF) return bad_base64(letters - 1, "a last character with stray bits");
    out.push_back(static_cast<char>(group >> 4));
  } else if (rest == 3) {
    if (group & 0x3) return bad_base64(letters - 1, "a last character with stray bits");
    out.push_back(static_cast<char>(group >> 10));
    out.push_back(static_cast<char>(group >> 2));
  }
  return out;
}

}  // namespace kairo::stream
