// The small parsers of text: times, signals, ids, names.
#include <array>
#include <cstdint>
#include <string>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/signals.hpp"
#include "check.hpp"
#include "reflect/decode.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kairo;
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  SystemTime time;
  if (from_iso8601(text, time)) {
    SystemTime again;
    const auto year = std::chrono::year_month_day(std::chrono::floor<std::chrono::days>(time)).year();
    // An offset can carry a time out of the years that have four digits.
    if (year >= std::chrono::year(0) && year <= std::chrono::year(9999)) {
      KAIRO_FUZZ_CHECK(from_iso8601(to_iso8601(time), again));
      KAIRO_FUZZ_CHECK(again == time);
    }
  }

  if (const auto number = signal_number(text)) {
    KAIRO_FUZZ_CHECK(*number >= 1 && *number <= 64);
    const std::string name = signal_name(*number);
    if (name.rfind("SIG", 0) == 0) KAIRO_FUZZ_CHECK(signal_number(name) == number);
  }

  if (is_valid_session_id(text))
    KAIRO_FUZZ_CHECK(text.size() <= 128 && text.find('/') == std::string_view::npos);

  const std::string quoted = reflect::quotable(text);
  KAIRO_FUZZ_CHECK(quoted.size() <= 67);
  if (text.size() <= 64) KAIRO_FUZZ_CHECK(reflect::quotable(quoted) == quoted);

  static constexpr std::array<std::string_view, 4> names = {"id", "timeoutMs", "env", "retainBytes"};
  reflect::nearest_name(text, names.data(), names.size());
  return 0;
}
