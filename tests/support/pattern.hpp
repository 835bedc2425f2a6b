// The numbered data that kairo-test-child's `spew` writes and every test and benchmark checks. Each byte
// follows from its offset alone:
//
//   record n (n = offset / 16) is the number n as 15 lower-case hexadecimal digits, then '\n'
//   byte(offset) = that record's character at offset % 16
//
// so a lost, repeated or torn byte shows at the place where it happened, the data is valid UTF-8, and line
// mode sees lines of 16 bytes. The last record is cut where the data ends. No library is used but libc.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace kairo::test {

inline constexpr size_t pattern_record_bytes = 16;

/// The byte at `offset`.
inline char pattern_byte(uint64_t offset) {
  const unsigned place = static_cast<unsigned>(offset % pattern_record_bytes);
  if (place == pattern_record_bytes - 1) return '\n';
  return "0123456789abcdef"[offset / pattern_record_bytes >> (4 * (14 - place)) & 15];
}

/// Writes the `size` bytes that begin at `offset`.
inline void pattern_fill(char* to, size_t size, uint64_t offset) {
  constexpr char digits[] = "0123456789abcdef";
  char upper[12];
  uint64_t upper_of = UINT64_MAX;  // 4096 records in a row share all but three digits
  while (size > 0) {
    if (offset % pattern_record_bytes != 0 || size < pattern_record_bytes) {
      *to++ = pattern_byte(offset++);
      --size;
      continue;
    }
    const uint64_t record = offset / pattern_record_bytes;
    if (record >> 12 != upper_of) {
      upper_of = record >> 12;
      for (unsigned i = 0; i < sizeof upper; ++i) upper[i] = pattern_byte(offset + i);
    }
    memcpy(to, upper, sizeof upper);
    to[12] = digits[record >> 8 & 15];
    to[13] = digits[record >> 4 & 15];
    to[14] = digits[record & 15];
    to[15] = '\n';
    to += pattern_record_bytes;
    offset += pattern_record_bytes;
    size -= pattern_record_bytes;
  }
}

/// Index of the first byte that is not what stands at `offset` and after it; `size` when all are right.
inline size_t pattern_mismatch(const char* data, size_t size, uint64_t offset) {
  char wanted[8192];
  for (size_t at = 0; at < size;) {
    const size_t piece = size - at < sizeof wanted ? size - at : sizeof wanted;
    pattern_fill(wanted, piece, offset + at);
    if (memcmp(wanted, data + at, piece) != 0)
      for (size_t i = 0; i < piece; ++i)
        if (wanted[i] != data[at + i]) return at + i;
    at += piece;
  }
  return size;
}

}  // namespace kairo::test
