// Start-up and end of the daemon: state directory, locks, limits, signals; then the kernel runs.
#pragma once

#include <optional>
#include <string>

#include "config.hpp"
#include "upgrade.hpp"

namespace kairo::daemon {

struct Invocation {
  Config config;
  std::optional<std::string> config_file;  ///< Named by --config; read again on SIGHUP.
  std::optional<kernel::OnShutdown>
      on_shutdown;  ///< Named by --on-shutdown: goes before the files, also on SIGHUP.
  std::optional<ipc::HttpAddress> metrics_listen;  ///< Named by --metrics-listen, likewise.
  std::string host_root = "/";
  bool daemonize = false;
  Origin origin;
};

/// Exit codes of kairod (kairod(8)).
enum ExitCode : int {
  exit_ok = 0,
  exit_usage = 64,
  exit_unavailable = 69,
  exit_internal = 70,
  exit_permission = 77
};

/// Serves until it is stopped. Errors go to stderr.
int run_daemon(Invocation invocation);

/// `kairod keeper`: what the daemon starts to own the children; not for people.
int run_keeper_command(int argc, char** argv);

}  // namespace kairo::daemon
