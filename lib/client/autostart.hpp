// Starts a daemon when none answers (SPEC 3.3).
#pragma once

#include <chrono>
#include <string>

#include "client/channel.hpp"

namespace kairo::client {

struct AutostartOptions {
  ConnectOptions connect = {};
  std::string state_dir = {};  ///< Handed to the daemon as --state-dir; empty: its own default.
  std::chrono::milliseconds patience{10'000};
};

/// Runs `kairod --daemonize --socket PATH` and connects to it. The program is $KAIROD where that is set, else
/// `kairod` beside this process's own executable, else the first on PATH. The daemon inherits no descriptor,
/// no blocked signal and no working directory from here.
///
/// Of several clients that do this at once one daemon wins; the others' clients connect to the winner. Fails
/// with E_NOT_RUNNING, and with what kairod said, when no daemon answers in the end.
Result<Channel> autostart(const AutostartOptions& options);

/// The program that autostart() runs; empty when there is none.
std::string find_daemon();

/// Channel::connect, and autostart where that says E_NOT_RUNNING.
Result<Channel> connect_or_start(const AutostartOptions& options);

}  // namespace kairo::client
