// Identifiers: the ids of sessions (SPEC 4.2) and random ids of instances.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace kairo {

inline constexpr std::size_t session_id_bytes = 128;

/// `[A-Za-z0-9][A-Za-z0-9._-]{0,127}` (SPEC 4.2).
bool is_valid_session_id(std::string_view id) noexcept;

/// A random lower-case id of `length` letters and digits, from the system's entropy (getrandom).
std::string random_id(std::size_t length);

}  // namespace kairo
