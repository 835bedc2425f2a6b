// MsgPack to JSON, whatever it holds: members that this program does not know are printed as well.
#pragma once

#include <string>
#include <string_view>

#include <msgpack.hpp>

#include "base/error.hpp"

namespace kairo::ctl {

/// Members keep their order; bytes become base64; text that is not UTF-8 has U+FFFD where it is not.
std::string to_json(const msgpack::object& value, bool indented);
std::string to_json(std::string_view msgpack_value, bool indented);

/// {"error": {"code", "message", "details"}}
std::string error_to_json(const Error& error, bool indented);

}  // namespace kairo::ctl
