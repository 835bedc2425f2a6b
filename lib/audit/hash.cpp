#define OPENSSL_SUPPRESS_DEPRECATED  // hash.hpp says why these

#include "audit/hash.hpp"

#include <cstdint>
#include <openssl/sha.h>

namespace kairo::audit {
namespace {

/// Both digits of every byte.
constexpr auto digits = [] {
  std::array<char, 512> out{};
  for (std::size_t i = 0; i < 256; ++i) {
    out[2 * i] = "0123456789abcdef"[i >> 4];
    out[2 * i + 1] = "0123456789abcdef"[i & 15];
  }
  return out;
}();

}  // namespace

Hash sha256(std::string_view bytes) {
  std::uint8_t raw[SHA256_DIGEST_LENGTH];
  SHA256_CTX state;
  SHA256_Init(&state);
  SHA256_Update(&state, bytes.data(), bytes.size());
  SHA256_Final(raw, &state);
  Hash out;
  for (std::size_t i = 0; i < sizeof raw; ++i) {
    out[2 * i] = digits[2 * std::size_t{raw[i]}];
    out[2 * i + 1] = digits[2 * std::size_t{raw[i]} + 1];
  }
  return out;
}

}  // namespace kairo::audit
