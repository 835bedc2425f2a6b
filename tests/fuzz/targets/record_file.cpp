// A file of records with anything in it: it opens, gives exactly its good prefix, which a second, slower
// reader here knows too, and takes further records. The first byte says how much is good to begin with: 0:
// nothing, the rest is the whole file; n: a header and n - 1 records, the rest stands behind them.
#include "storage/record_file.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include "fuzz/check.hpp"
#include "unit/storage/rig.hpp"

namespace {

using namespace kairo;

std::uint32_t number(std::string_view at) {
  std::uint32_t out = 0;
  for (std::size_t i = 4; i-- > 0;) out = out << 8 | static_cast<unsigned char>(at[i]);
  return out;
}

std::uint32_t slow_crc32c(std::string_view bytes) {
  std::uint32_t value = ~0u;
  for (const char each : bytes) {
    value ^= static_cast<unsigned char>(each);
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1u) ? 0x82F63B78u : 0u);
  }
  return ~value;
}

/// The records before the first bad byte; `good_end` is where they end, 0 for a bad header.
std::vector<std::string> good_records(std::string_view file, std::size_t& good_end) {
  std::vector<std::string> out;
  good_end = 0;
  if (file.size() < 64 || file.substr(0, 12) != std::string_view("KAIROFUZ\1\0\0\0", 12)) return out;
  for (good_end = 64; file.size() - good_end >= 8;) {
    const std::uint32_t length = number(file.substr(good_end));
    if (length > (1u << 20) || length > file.size() - good_end - 8) break;
    std::string checked(file.substr(good_end, 4));
    checked.append(file.substr(good_end + 8, length));
    if (slow_crc32c(checked) != number(file.substr(good_end + 4))) break;
    out.push_back(checked.substr(4));
    good_end += 8 + length;
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using storage::RecordFile;
  if (size < 1) return 0;
  static const test::Folder dir;
  const storage::Kind kind{"KAIROFUZ", 1};
  std::string bytes;
  if (data[0] > 0) {
    const auto header = storage::make_header(kind);
    bytes.assign(header.data(), header.size());
    for (unsigned i = 1; i < data[0]; ++i) {
      const std::string payload(i, static_cast<char>(i));
      const auto head = storage::make_record_head(payload);
      bytes.append(head.data(), head.size()).append(payload);
    }
  }
  bytes.append(reinterpret_cast<const char*>(data + 1), size - 1);
  dir.put("x", bytes);
  std::size_t good_end = 0;
  auto expected = good_records(bytes, good_end);
  KAIRO_FUZZ_CHECK(data[0] == 0 || expected.size() + 1 >= data[0]);

  std::vector<std::string> got;
  const auto collect = [&](std::string_view payload) { got.emplace_back(payload); };
  {
    auto opened = RecordFile::open(dir.fd(), "x", kind, collect);
    KAIRO_FUZZ_CHECK(opened.ok());
    KAIRO_FUZZ_CHECK(got == expected);
    KAIRO_FUZZ_CHECK(opened->damage.has_value() == (good_end != bytes.size()));
    if (opened->damage) {
      KAIRO_FUZZ_CHECK(opened->damage->offset == good_end);
      KAIRO_FUZZ_CHECK(dir.get(opened->damage->kept_as) == bytes.substr(good_end));
      dir.remove(opened->damage->kept_as);
    }
    KAIRO_FUZZ_CHECK(opened->file.append("further").ok());
  }
  expected.emplace_back("further");
  got.clear();
  auto again = RecordFile::open(dir.fd(), "x", kind, collect);
  KAIRO_FUZZ_CHECK(again.ok() && !again->damage && got == expected);
  return 0;
}
