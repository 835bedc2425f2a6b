// CRC-32C (Castagnoli), the check of what stands in a file. Polynomial 0x1EDC6F41 as in RFC 3720,
// section 12.1; here reflected (0x82F63B78), with all ones before and an inversion after. "123456789" gives
// 0xE3069283.
#pragma once

#include <cstdint>
#include <string_view>

namespace kairo::storage {

/// The check of `bytes`, or of what `before` was the check of with `bytes` behind it.
std::uint32_t crc32c(std::string_view bytes, std::uint32_t before = 0) noexcept;

}  // namespace kairo::storage
