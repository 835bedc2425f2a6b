// The one error type of the libraries: a stable code for programs, a message for people, and what a
// program may want to know besides (`details`). Libraries return it and never log it.
//
// A message names the attempt, its object, the cause and the consequence.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace kairo {

/// The stable error codes of the protocol (SPEC 2.5).
enum class Code : std::uint8_t {
  invalid_request,
  invalid_params,
  unknown_method,
  not_found,
  already_exists,
  permission_denied,
  spawn_failed,
  not_running,
  stdin_closed,
  timeout,
  limit_exceeded,
  unsupported,
  shutting_down,
  internal,
};

/// "E_NOT_FOUND" and its like.
std::string_view code_name(Code code) noexcept;

/// The reverse of code_name; `internal` for a name that is not known.
Code code_from_name(std::string_view name) noexcept;

struct Error {
  /// MsgPack bytes of one value that goes into `details` as it is.
  struct Raw {
    std::string msgpack;
  };
  using Detail = std::variant<std::int64_t, std::string, Raw>;

  Code code = Code::internal;
  std::string message;
  std::vector<std::pair<std::string, Detail>> details = {};

  Error(Code c, std::string text) : code(c), message(std::move(text)) {}

  /// Adds a member of `details`.
  Error&& with(std::string key, Detail value) && {
    details.emplace_back(std::move(key), std::move(value));
    return std::move(*this);
  }
};

/// "no such file or directory (ENOENT)".
std::string describe_errno(int error_number);

/// "ENOENT"; "errno 4242" for a number without a name.
std::string errno_name(int error_number);

/// An `E_INTERNAL` (or `code`) that says what was attempted and why the system refused it.
Error system_error(std::string_view attempt, int error_number, Code code = Code::internal);

}  // namespace kairo
