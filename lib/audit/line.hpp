// One line of the audit:
//
//   {"seq":N,"time":"2026-11-20T23:54:34.000123Z",MEMBERS,"prev":"HASH","hash":"HASH"}\n
//
// `hash` is the SHA-256 of the line's bytes in front of `,"hash":`, which are all but its last 76 (the
// newline included); `prev` is the `hash` of the line before, or zeros in the first line of all. So each line
// proves itself, and with the one behind it that nothing was changed, left out or put in between. Nothing is
// hashed but bytes as they stand in the file: there is no other canonical form.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "audit/hash.hpp"
#include "base/result.hpp"

namespace kairo::audit {

/// Number and hash of a record.
struct Head {
  std::uint64_t seq = 0;  ///< 0 before the first.
  Hash hash = no_hash;
};

/// What every line has; the views point into it.
struct Line {
  std::uint64_t seq = 0;
  std::string_view time;
  std::string_view prev;
  std::string_view hash;
};

/// Completes the record that begins at `begin` of `out` and lacks `prev` and all behind it; gives its hash.
Hash seal(std::string& out, std::size_t begin, const Hash& prev);

/// Reads a line without its newline. E_INVALID_PARAMS says what is wrong with its form; whether the hash is
/// right is left to is_sound().
Result<Line> read_line(std::string_view line);

/// Whether its hash is that of its bytes.
bool is_sound(std::string_view line, const Line& read);

/// The member `name` of the outermost object, as it stands there: a text with its quotes. Nothing where it is
/// not, or where the line is no JSON up to there.
std::optional<std::string_view> find_member(std::string_view line, std::string_view name);

}  // namespace kairo::audit
