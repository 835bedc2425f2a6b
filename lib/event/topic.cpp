#include "event/topic.hpp"

#include <algorithm>
#include <string>

#include "base/limits.hpp"

namespace kairo::event {
namespace {

std::string_view take_segment(std::string_view& rest) {
  const std::size_t dot = rest.find('.');
  const std::string_view segment = rest.substr(0, dot);
  rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  return segment;
}

bool is_word(std::string_view segment) {
  return !segment.empty() && std::all_of(segment.begin(), segment.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

Result<void> check(std::string_view text, bool wildcards) {
  const std::string what = wildcards ? "topic" : "event type";
  const auto bad = [&](const char* why) {
    return Error(Code::invalid_params, what + " \"" + std::string(text.substr(0, 64)) + "\": " + why);
  };
  if (text.empty()) return bad("it is empty");
  if (text.size() > limits::tag_bytes) return bad("it is longer than 256 bytes");
  if (text.back() == '.') return bad("it ends with a dot");
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view segment = take_segment(rest);
    if (wildcards && segment == "*") continue;
    if (wildcards && segment == ">") {
      if (!rest.empty()) return bad("\">\" must be the last segment");
      continue;
    }
    if (!is_word(segment)) return bad("segments are letters, digits, _ and -, with dots between them");
  }
  return {};
}

}  // namespace

Result<void> check_pattern(std::string_view pattern) {
  return check(pattern, true);
}
Result<void> check_type(std::string_view type) {
  return check(type, false);
}

bool matches(std::string_view pattern, std::string_view type) {
  while (!pattern.empty() && !type.empty()) {
    const std::string_view wanted = take_segment(pattern);
    if (wanted == ">") return true;
    const std::string_view got = take_segment(type);
    if (wanted != "*" && wanted != got) return false;
  }
  return pattern.empty() && type.empty();
}

}  // namespace kairo::event
