// Which socket a client talks to (SPEC 3.1).
#pragma once

#include <string>
#include <string_view>

namespace kairo::client {

inline constexpr std::string_view default_socket = "/tmp/kairo-kernel.sock";

/// The first of these: `named` (--socket) when it is not empty; KAIRO_IPC_SOCKET when that is set and not
/// empty; $XDG_RUNTIME_DIR/kairo-kernel.sock when another user owns `default_socket`; `default_socket`.
std::string resolve_socket(std::string_view named = {});

}  // namespace kairo::client
