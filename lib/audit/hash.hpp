// SHA-256 (FIPS 180-4) as 64 hexadecimal digits, as the audit's lines have it.
//
// libcrypto's plain functions and not EVP: one record is hashed for every request, and fetching, resetting
// and finishing an EVP context costs more than the four blocks of a record do.
#pragma once

#include <array>
#include <string_view>

namespace kairo::audit {

using Hash = std::array<char, 64>;

Hash sha256(std::string_view bytes);

inline std::string_view text_of(const Hash& hash) {
  return {hash.data(), hash.size()};
}

/// What stands where there is no record before: 64 zeros.
inline constexpr Hash no_hash = [] {
  Hash out{};
  out.fill('0');
  return out;
}();

}  // namespace kairo::audit
