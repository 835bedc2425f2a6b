// Configuration (SPEC 3.4): /etc/kairo/kairod.json, then $XDG_CONFIG_HOME/kairo/kairod.json, then --config,
// then flags; a later one wins, member by member. One table (config.cpp, and kernel/settings.hpp for the
// numbers) says what there is.
#pragma once

#include <optional>
#include <string>

#include "access/policy.hpp"
#include "base/result.hpp"
#include "ipc/http_address.hpp"
#include "kernel/kernel.hpp"

namespace kairo::daemon {

struct Config {
  std::optional<std::string> socket;
  std::optional<std::string> state_dir;
  kernel::OnShutdown on_shutdown = kernel::OnShutdown::keep;
  ipc::HttpAddress metrics_listen;
  /// Of the socket's file. One that others may open makes a daemon for several users (SPEC 3.1), root's
  /// alone.
  struct SocketMode {
    mode_t bits = 0600;
    [[nodiscard]] bool serves_users() const { return (bits & 077) != 0; }
  } socket_mode;
  access::Policy policy;
  kernel::Settings settings;
};

/// Reads the files that exist, in order; `explicit_file` must. E_INVALID_PARAMS names file, member and
/// problem.
Result<Config> load_config(const std::optional<std::string>& explicit_file);

/// "0660", an octal number of permission bits; nothing where it is none.
std::optional<Config::SocketMode> parse_socket_mode(const std::string& text);

/// What files, environment and flags (main.cpp) leave open. Also the instance's state directory (SPEC 3.5).
std::string resolve_socket(const Config& config);
std::string resolve_state_dir(const Config& config, const std::string& socket);

/// Every setting with the value that it would have, as JSON.
std::string effective_config(const Config& config);

}  // namespace kairo::daemon
