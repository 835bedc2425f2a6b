#include "base/error.hpp"

#include <array>
#include <cctype>
#include <cstring>

namespace kairo {
namespace {
constexpr std::array<std::string_view, 14> names = {
    "E_INVALID_REQUEST",   "E_INVALID_PARAMS", "E_UNKNOWN_METHOD", "E_NOT_FOUND",    "E_ALREADY_EXISTS",
    "E_PERMISSION_DENIED", "E_SPAWN_FAILED",   "E_NOT_RUNNING",    "E_STDIN_CLOSED", "E_TIMEOUT",
    "E_LIMIT_EXCEEDED",    "E_UNSUPPORTED",    "E_SHUTTING_DOWN",  "E_INTERNAL"};
}

std::string_view code_name(Code code) noexcept {
  return names[static_cast<std::size_t>(code)];
}

Code code_from_name(std::string_view name) noexcept {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return static_cast<Code>(i);
  return Code::internal;
}

std::string errno_name(int error_number) {
  const char* name = strerrorname_np(error_number);
  return name ? std::string(name) : "errno " + std::to_string(error_number);
}

std::string describe_errno(int error_number) {
  const char* text = strerrordesc_np(error_number);
  std::string out = text ? text : "unknown error";
  if (!out.empty()) out[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(out[0])));
  return out + " (" + errno_name(error_number) + ")";
}

Error system_error(std::string_view attempt, int error_number, Code code) {
  return Error(code, std::string(attempt) + ": " + describe_errno(error_number))
      .with("errno", std::int64_t{error_number})
      .with("errnoName", errno_name(error_number));
}

}  // namespace kairo
