// Whether a POSIX extended regular expression (filter-lines) can be compiled, and at a bearable cost: glibc
// writes every repetition out, so that ((a{999}){999}){999} takes all memory there is. The daemon compiles
// what its clients send, so the cost is counted first.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace kairo::topology {

/// Bytes of a pattern, and its atoms once repetitions are written out; each costs regcomp about 100 bytes.
inline constexpr std::size_t pattern_bytes = 1024;
inline constexpr std::size_t pattern_atoms = 20'000;

/// Atoms of the pattern once its repetitions are written out; more than pattern_atoms are not counted on.
std::size_t count_atoms(std::string_view pattern);

/// Why the pattern cannot be used, if it cannot.
std::optional<std::string> find_pattern_fault(const std::string& pattern);

}  // namespace kairo::topology
