#include "storage/crc32c.hpp"

#include <array>

namespace kairo::storage {
namespace {

using Table = std::array<std::array<std::uint32_t, 256>, 8>;

/// tables[0] advances the check by one byte; tables[k] by that byte and k zero bytes, so that eight bytes are
/// eight independent look-ups ("slicing by eight").
constexpr Table make_tables() {
  Table out{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1u) ? 0x82F63B78u : 0u);
    out[0][byte] = value;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t byte = 0; byte < 256; ++byte)
      out[k][byte] = (out[k - 1][byte] >> 8) ^ out[0][out[k - 1][byte] & 0xffu];
  return out;
}

constexpr Table tables = make_tables();

constexpr std::uint32_t load(const unsigned char* at) {
  return std::uint32_t{at[0]} | std::uint32_t{at[1]} << 8 | std::uint32_t{at[2]} << 16 |
         std::uint32_t{at[3]} << 24;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes, std::uint32_t before) noexcept {
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t left = bytes.size();
  std::uint32_t value = ~before;
  for (; left >= 8; at += 8, left -= 8) {
    const std::uint32_t low = load(at) ^ value, high = load(at + 4);
    value = tables[7][low & 0xffu] ^ tables[6][low >> 8 & 0xffu] ^ tables[5][low >> 16 & 0xffu] ^
            tables[4][low >> 24] ^ tables[3][high & 0xffu] ^ tables[2][high >> 8 & 0xffu] ^
            tables[1][high >> 16 & 0xffu] ^ tables[0][high >> 24];
  }
  for (; left > 0; ++at, --left) value = (value >> 8) ^ tables[0][(value ^ *at) & 0xffu];
  return ~value;
}

}  // namespace kairo::storage
