#include "stream/text.hpp"

#include <algorithm>
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

/// Where one stands within a code point (RFC 3629 §4), as shift counts into a Row.
enum Place : unsigned {
  border = 0,
  bad = 6,
  one_more = 12,
  two_more = 18,
  three_more = 24,
  after_e0 = 30,  ///< A0..BF follows, or the form would be over-long.
  after_ed = 36,  ///< 80..9F, or it would be a surrogate.
  after_f0 = 42,  ///< 90..BF, over-long else.
  after_f4 = 48,  ///< 80..8F, beyond U+10FFFF else.
};

/// For one byte: six bits for each Place, the Place that follows it. A step is a look-up and a shift,
/// whatever the text.
using Row = std::uint64_t;
constexpr Row row_of(unsigned byte) {
  Row row = 0;
  const auto leads = [&](Place from, Place to) { row |= static_cast<Row>(to) << from; };
  for (unsigned from = border; from <= after_f4; from += 6) {
    const auto in = [byte](unsigned low, unsigned high) { return byte >= low && byte <= high; };
    Place to = bad;
    switch (from) {
      case border:
        if (in(0x00, 0x7F)) to = border;
        if (in(0xC2, 0xDF)) to = one_more;
        if (in(0xE1, 0xEF)) to = two_more;
        if (byte == 0xE0) to = after_e0;
        if (byte == 0xED) to = after_ed;
        if (in(0xF1, 0xF3)) to = three_more;
        if (byte == 0xF0) to = after_f0;
        if (byte == 0xF4) to = after_f4;
        break;
      case one_more: to = in(0x80, 0xBF) ? border : bad; break;
      case two_more: to = in(0x80, 0xBF) ? one_more : bad; break;
      case three_more: to = in(0x80, 0xBF) ? two_more : bad; break;
      case after_e0: to = in(0xA0, 0xBF) ? one_more : bad; break;
      case after_ed: to = in(0x80, 0x9F) ? one_more : bad; break;
      case after_f0: to = in(0x90, 0xBF) ? two_more : bad; break;
      case after_f4: to = in(0x80, 0x8F) ? two_more : bad; break;
      default: break;
    }
    leads(static_cast<Place>(from), to);
  }
  return row;
}
constexpr std::array<Row, 256> rows = [] {
  std::array<Row, 256> table{};
  for (unsigned i = 0; i < 256; ++i) table[i] = row_of(i);
  return table;
}();

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
  constexpr std::size_t block = 64;
  const char* const text = bytes.data();
  const std::size_t size = bytes.size();
  std::size_t valid = 0;  // always a border
  for (;;) {
    valid += ascii_run(text + valid, size - valid);
    const std::size_t end = std::min(size, valid + block);
    Row place = border;
    for (std::size_t i = valid; i < end; ++i) place = rows[static_cast<Byte>(text[i])] >> (place & 63);
    place &= 63;
    if (place == border) {
      valid = end;
      if (end == size) return {size, false};
      continue;
    }
    if (place != bad) {
      // The block's end cut a code point: on from its first byte, or no further at the end of all.
      std::size_t first = end - 1;
      while ((static_cast<Byte>(text[first]) & 0xC0) == 0x80) --first;
      valid = first;
      if (end == size) return {valid, true};
      continue;
    }
    place = border;
    for (std::size_t i = valid;; ++i) {
      place = rows[static_cast<Byte>(text[i])] >> (place & 63) & 63;
      if (place == bad) return {valid, false};
      if (place == border) valid = i + 1;
    }
  }
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
