// The data that streams are made of, written and checked at memory speed: eight bytes at a time, so that the
// writer and the check take little of what is measured.
//
// `records` is the numbered data of support/pattern.hpp (16 bytes each); `lines` has lines of 100 bytes: the
// line's number as 16 hexadecimal digits, 83 dots, a newline. Both follow from the offset alone.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kairo::bench {

enum class Content { records, lines };

inline constexpr std::size_t line_bytes = 100;

/// Writes the `size` bytes that stand at `offset`.
void fill(Content content, char* to, std::size_t size, std::uint64_t offset);

/// Whether `data` is what stands at `offset`.
bool is_right(Content content, const char* data, std::size_t size, std::uint64_t offset);

/// Checks the fast code against support/pattern.hpp; throws when they differ.
void check_pattern();

}  // namespace kairo::bench
