// The form of a file of records, and the walk over one. Numbers are little-endian.
//
//   header, 64 bytes:  0  magic, 8 bytes: what the records are
//                      8  u32 version of what the records say
//                     12  boot id of when the file was begun (/proc/sys/kernel/random/boot_id), 36 bytes, NUL
//                     49  zeros
//   record:            0  u32 bytes of the payload, at most limits::record_bytes
//                      4  u32 CRC-32C of the four bytes of the length and of the payload
//                      8  payload
//
// The header has no check of its own: a flipped bit of the magic or the version makes it another kind of
// file, one of the boot id makes it a file of another boot; neither is worth giving up good records for. The
// length is within the check so that zeros, which power losses leave behind, are no records.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/limits.hpp"

namespace kairo::storage {

inline constexpr std::size_t header_bytes = 64;
inline constexpr std::size_t boot_id_at = 12;
inline constexpr std::size_t boot_id_chars = 36;
inline constexpr std::size_t record_head_bytes = 8;

/// What a file of records is of.
struct Kind {
  std::string magic;          ///< exactly eight bytes
  std::uint32_t version = 1;  ///< of what the records say; another one is another kind of file
  std::string boot_id = {};   ///< what a new header says; empty: the present boot id of this machine
};

/// The boot id of this machine; empty where it has none to read.
const std::string& machine_boot_id();

std::array<char, header_bytes> make_header(const Kind& kind);
std::array<char, record_head_bytes> make_record_head(std::string_view payload);

struct HeaderCheck {
  const char* problem = nullptr;  ///< why it is no header of that kind; nullptr: it is one
  std::string boot_id;
};
HeaderCheck check_header(std::string_view bytes, const Kind& kind);

/// Where a walk ended, and why there.
struct ScanEnd {
  std::uint64_t end = header_bytes;  ///< just behind the last good record
  std::uint64_t records = 0;
  const char* problem = nullptr;  ///< what is wrong with the bytes at `end`; nullptr: nothing up to `size`
  int error = 0;                  ///< errno of a read that failed there
};

/// Calls `each` for the records of `file` from behind the header up to byte `size`, until one is not good or
/// `each` returns false. Reads with pread, 64 KiB at a time; keeps no more than one record.
ScanEnd scan_records(int file, std::uint64_t size, const std::function<bool(std::string_view payload)>& each);

}  // namespace kairo::storage
