// MsgPack to JSON, whatever it holds: members that this program does not know are printed as well.
#pragma once

#include <string>
#include <string_view>

#include <msgpack.hpp>

#include "base/error.hpp"
#include "base/result.hpp"

namespace kairo::ctl {

/// Members keep their order; bytes become base64; text that is not UTF-8 has U+FFFD where it is not.
std::string to_json(const msgpack::object& value, bool indented);
std::string to_json(std::string_view msgpack_value, bool indented);

/// The other way: one JSON value as MsgPack bytes. E_INVALID_PARAMS says what is wrong with the text.
Result<std::string> from_json(std::string_view text);

/// {"error": {"code", "message", "details"}}
std::string error_to_json(const Error& error, bool indented);

}  // namespace kairo::ctl
