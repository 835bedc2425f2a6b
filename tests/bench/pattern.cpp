#include "bench/pattern.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/pattern.hpp"

namespace kairo::bench {
namespace {

/// 4096 records in a row differ in their last three digits alone: the last four bytes of each.
constexpr std::size_t span_records = 4096;
constexpr std::size_t span_bytes = span_records * test::pattern_record_bytes;

std::array<std::uint32_t, span_records> make_tails() {
  std::array<std::uint32_t, span_records> tails{};
  for (std::size_t i = 0; i < span_records; ++i) {
    char record[test::pattern_record_bytes];
    test::pattern_fill(record, sizeof record, i * sizeof record);
    std::memcpy(&tails[i], record + 12, 4);
  }
  return tails;
}
const std::array<std::uint32_t, span_records> tails = make_tails();

/// Goes over `size` bytes at `offset`: edge(at, length) where no whole record stands, and block(at, first,
/// count, head, middle) for whole records that share their first twelve bytes (`head` and `middle`).
template <class Edge, class Block>
void walk_records(std::size_t size, std::uint64_t offset, Edge&& edge, Block&& block) {
  constexpr std::size_t record = test::pattern_record_bytes;
  std::size_t at = 0;
  while (at < size) {
    const std::size_t into = (offset + at) % record;
    if (into != 0 || size - at < record) {
      const std::size_t length = std::min(size - at, record - into);
      if (!edge(at, length)) return;
      at += length;
      continue;
    }
    const std::uint64_t here = offset + at;
    const std::size_t first = here % span_bytes / record;
    const std::size_t count = std::min((size - at) / record, span_records - first);
    char shared[12];
    test::pattern_fill(shared, sizeof shared, here);
    std::uint64_t head = 0;
    std::uint32_t middle = 0;
    std::memcpy(&head, shared, 8);
    std::memcpy(&middle, shared + 8, 4);
    if (!block(at, first, count, head, middle)) return;
    at += count * record;
  }
}

void fill_records(char* to, std::size_t size, std::uint64_t offset) {
  walk_records(
      size, offset,
      [&](std::size_t at, std::size_t length) {
        test::pattern_fill(to + at, length, offset + at);
        return true;
      },
      [&](std::size_t at, std::size_t first, std::size_t count, std::uint64_t head, std::uint32_t middle) {
        char* place = to + at;
        for (std::size_t i = 0; i < count; ++i, place += 16) {
          const std::uint64_t rest = middle | std::uint64_t{tails[first + i]} << 32;
          std::memcpy(place, &head, 8);
          std::memcpy(place + 8, &rest, 8);
        }
        return true;
      });
}

bool records_are_right(const char* data, std::size_t size, std::uint64_t offset) {
  bool right = true;
  walk_records(
      size, offset,
      [&](std::size_t at, std::size_t length) {
        right = test::pattern_mismatch(data + at, length, offset + at) == length;
        return right;
      },
      [&](std::size_t at, std::size_t first, std::size_t count, std::uint64_t head, std::uint32_t middle) {
        const char* place = data + at;
        std::uint64_t difference = 0;
        for (std::size_t i = 0; i < count; ++i, place += 16) {
          std::uint64_t one = 0, two = 0;
          std::memcpy(&one, place, 8);
          std::memcpy(&two, place + 8, 8);
          difference |= one ^ head;
          difference |= two ^ (middle | std::uint64_t{tails[first + i]} << 32);
        }
        right = difference == 0;
        return right;
      });
  return right;
}

void make_line(char* to, std::uint64_t number) {
  for (int digit = 15; digit >= 0; --digit, number >>= 4) to[digit] = "0123456789abcdef"[number & 15];
  std::memset(to + 16, '.', line_bytes - 17);
  to[line_bytes - 1] = '\n';
}

/// Eight hexadecimal digits as they stand in memory, by the value of 16 bits each.
std::vector<std::uint32_t> make_digits() {
  std::vector<std::uint32_t> digits(1u << 16);
  for (std::uint32_t i = 0; i < digits.size(); ++i) {
    char text[4];
    for (int digit = 0; digit < 4; ++digit) text[digit] = "0123456789abcdef"[i >> (12 - 4 * digit) & 15];
    std::memcpy(&digits[i], text, 4);
  }
  return digits;
}

/// The next line of many, made out of the one before.
class LineSource {
 public:
  explicit LineSource(std::uint64_t number) : number_(number) { make_line(line_, number); }
  [[nodiscard]] const char* line() const { return line_; }
  void next() {
    static const std::vector<std::uint32_t> digits = make_digits();
    ++number_;
    std::memcpy(line_ + 12, &digits[number_ & 0xffff], 4);
    if ((number_ & 0xffff) == 0) make_line(line_, number_);
  }

 private:
  std::uint64_t number_;
  char line_[line_bytes];
};

/// Calls piece(at, line's bytes, length) for every piece of a line in turn, until it gives false.
template <class Piece>
void walk_lines(std::size_t size, std::uint64_t offset, Piece&& piece) {
  LineSource source(offset / line_bytes);
  std::size_t into = offset % line_bytes;
  for (std::size_t at = 0; at < size; source.next()) {
    const std::size_t length = std::min(size - at, line_bytes - into);
    if (!piece(at, source.line() + into, length)) return;
    at += length;
    into = 0;
  }
}

}  // namespace

void fill(Content content, char* to, std::size_t size, std::uint64_t offset) {
  if (content == Content::records) return fill_records(to, size, offset);
  walk_lines(size, offset, [&](std::size_t at, const char* line, std::size_t length) {
    std::memcpy(to + at, line, length);
    return true;
  });
}

bool is_right(Content content, const char* data, std::size_t size, std::uint64_t offset) {
  if (content == Content::records) return records_are_right(data, size, offset);
  bool right = true;
  walk_lines(size, offset, [&](std::size_t at, const char* line, std::size_t length) {
    right = std::memcmp(data + at, line, length) == 0;
    return right;
  });
  return right;
}

void check_pattern() {
  std::string data(3 * span_bytes, '\0');
  for (const std::uint64_t offset : {0ull, 5ull, 16ull * 4095 + 3, (16ull << 32) - 40, 1ull << 44}) {
    fill(Content::records, data.data(), data.size(), offset);
    if (test::pattern_mismatch(data.data(), data.size(), offset) != data.size() ||
        !is_right(Content::records, data.data(), data.size(), offset))
      throw std::runtime_error("the fast pattern differs from support/pattern.hpp");
    for (const std::size_t wrong : {std::size_t{0}, std::size_t{span_bytes + 9}, data.size() - 1}) {
      data[wrong] ^= 1;
      if (is_right(Content::records, data.data(), data.size(), offset))
        throw std::runtime_error("the fast check overlooks a wrong byte");
      data[wrong] ^= 1;
    }
  }
}

}  // namespace kairo::bench
