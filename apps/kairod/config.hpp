// Configuration (SPEC 3.4): /etc/kairo/kairod.json, then $XDG_CONFIG_HOME/kairo/kairod.json, then --config,
// then flags; a later one wins, member by member. One table (config.cpp, and kernel/settings.hpp for the
// numbers) says what there is.
#pragma once

#include <optional>
#include <string>

#include "base/result.hpp"
#include "ipc/http_address.hpp"
#include "kernel/kernel.hpp"

namespace kairo::daemon {

struct Config {
  std::optional<std::string> socket;
  std::optional<std::string> state_dir;
  kernel::OnShutdown on_shutdown = kernel::OnShutdown::keep;
  ipc::HttpAddress metrics_listen;
  kernel::Settings settings;
};

/// Reads the files that exist, in order; `explicit_file` must. E_INVALID_PARAMS names file, member and
/// problem.
Result<Config> load_config(const std::optional<std::string>& explicit_file);

/// What files, environment and flags (main.cpp) leave open. Also the instance's state directory (SPEC 3.5).
std::string resolve_socket(const Config& config);
std::string resolve_state_dir(const Config& config, const std::string& socket);

/// Every setting with the value that it would have, as JSON.
std::string effective_config(const Config& config);

}  // namespace kairo::daemon
