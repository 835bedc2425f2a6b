#include "base/clock.hpp"

#include <array>
#include <charconv>
#include <ctime>
#include <fcntl.h>
#include <string_view>
#include <unistd.h>

#include "base/unique_fd.hpp"

namespace kairo {
namespace {

void put_digits(char* at, unsigned value, int count) {
  for (int i = count - 1; i >= 0; --i, value /= 10) at[i] = static_cast<char>('0' + value % 10);
}

bool take_digits(std::string_view& text, std::size_t count, int& out) {
  if (text.size() < count) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + count, out);
  if (error != std::errc{} || end != text.data() + count || text[0] == '-') return false;
  text.remove_prefix(count);
  return true;
}

bool take_char(std::string_view& text, char wanted) {
  if (text.empty() || text[0] != wanted) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::uint64_t boot_clock_us() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec / 1000);
}

std::uint64_t boot_mark() {
  static const std::uint64_t mark = [] {
    std::array<char, 64> text{};
    const UniqueFd file(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
    if (file && ::read(file.get(), text.data(), text.size() - 1) < 0) text[0] = '\0';
    std::uint64_t out = 0;
    int digits = 0;
    for (const char* at = text.data(); *at != '\0' && digits < 16; ++at) {
      unsigned value = 0;
      if (std::from_chars(at, at + 1, value, 16).ec != std::errc{}) continue;  // a hyphen
      out = out << 4 | value;
      ++digits;
    }
    return out;
  }();
  return mark;
}

SystemTime even_time(std::uint64_t boot_us) {
  static const SystemTime begun = system_now() - std::chrono::microseconds(boot_clock_us());
  return begun + std::chrono::microseconds(boot_us);
}

SystemTime even_now() {
  return even_time(boot_clock_us());
}

std::chrono::microseconds ClockWatch::look(SystemTime now, std::uint64_t boot_us) {
  const std::int64_t offset = now.time_since_epoch().count() - static_cast<std::int64_t>(boot_us);
  const std::chrono::microseconds moved(offset - offset_.value_or(offset));
  const std::chrono::microseconds drift((boot_us - looked_boot_us_) / 1000);
  offset_ = offset;
  looked_boot_us_ = boot_us;
  return std::chrono::abs(moved) <= tolerance_ + drift ? std::chrono::microseconds(0) : moved;
}

std::string to_iso8601(SystemTime time) {
  using namespace std::chrono;
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss clock(time - day);
  std::string out = "0000-00-00T00:00:00.000000Z";
  put_digits(&out[0], static_cast<unsigned>(static_cast<int>(date.year())), 4);
  put_digits(&out[5], static_cast<unsigned>(date.month()), 2);
  put_digits(&out[8], static_cast<unsigned>(date.day()), 2);
  put_digits(&out[11], static_cast<unsigned>(clock.hours().count()), 2);
  put_digits(&out[14], static_cast<unsigned>(clock.minutes().count()), 2);
  put_digits(&out[17], static_cast<unsigned>(clock.seconds().count()), 2);
  put_digits(&out[20], static_cast<unsigned>(clock.subseconds().count()), 6);
  return out;
}

bool from_iso8601(std::string_view text, SystemTime& out) {
  using namespace std::chrono;
  int y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0;
  if (!take_digits(text, 4, y) || !take_char(text, '-') || !take_digits(text, 2, mo) ||
      !take_char(text, '-') || !take_digits(text, 2, d) || !take_char(text, 'T') ||
      !take_digits(text, 2, h) || !take_char(text, ':') || !take_digits(text, 2, mi) ||
      !take_char(text, ':') || !take_digits(text, 2, s))
    return false;
  const year_month_day date(year(y), month(static_cast<unsigned>(mo)), day(static_cast<unsigned>(d)));
  if (!date.ok() || h > 23 || mi > 59 || s > 60) return false;
  microseconds fraction{0};
  if (take_char(text, '.')) {
    int digits = 0;
    std::int64_t unit = 100000;
    while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
      if (++digits > 9) return false;
      fraction += microseconds((text[0] - '0') * unit);
      unit /= 10;
      text.remove_prefix(1);
    }
    if (digits == 0) return false;
  }
  minutes offset{0};
  if (!take_char(text, 'Z')) {
    const int sign = take_char(text, '+') ? 1 : take_char(text, '-') ? -1 : 0;
    int oh = 0, om = 0;
    if (sign == 0 || !take_digits(text, 2, oh) || !take_char(text, ':') || !take_digits(text, 2, om) ||
        oh > 23 || om > 59)
      return false;
    offset = minutes(sign * (oh * 60 + om));
  }
  if (!text.empty()) return false;
  out =
      SystemTime(sys_days(date).time_since_epoch() + hours(h) + minutes(mi) + seconds(s) + fraction - offset);
  return true;
}

}  // namespace kairo
