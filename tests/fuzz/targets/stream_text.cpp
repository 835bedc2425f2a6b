// scan_utf8: its verdict does not depend on what follows, and what it calls cut short can become whole.
// base64: every text that is taken is the one that its bytes give, and all bytes come back.
#include <cstdint>
#include <string>

#include "fuzz/check.hpp"
#include "stream/text.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kairo::stream;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Utf8Scan scan = scan_utf8(bytes);
  KAIRO_FUZZ_CHECK(scan.valid <= size);
  KAIRO_FUZZ_CHECK(!scan.cut_short || (scan.valid < size && size - scan.valid < 4));
  KAIRO_FUZZ_CHECK(scan_utf8(bytes.substr(0, scan.valid)).valid == scan.valid);
  if (scan.valid < size) {
    const Utf8Scan rest = scan_utf8(bytes.substr(scan.valid));
    KAIRO_FUZZ_CHECK(rest.valid == 0 && rest.cut_short == scan.cut_short);
  }
  if (scan.cut_short) {
    bool can_be_whole = false;
    for (int more = 0x80; more < 0xC0; ++more) {
      const std::string longer = std::string(bytes.substr(scan.valid)) + static_cast<char>(more);
      const Utf8Scan again = scan_utf8(longer);
      can_be_whole = can_be_whole || again.valid == longer.size() || again.cut_short;
    }
    KAIRO_FUZZ_CHECK(can_be_whole);
  }

  std::string text;
  append_base64(text, bytes);
  const auto back = decode_base64(text);
  KAIRO_FUZZ_CHECK(back.ok() && *back == bytes);
  if (const auto decoded = decode_base64(bytes); decoded.ok()) {
    std::string again;
    append_base64(again, *decoded);
    KAIRO_FUZZ_CHECK(again == bytes);
  }
  return 0;
}
