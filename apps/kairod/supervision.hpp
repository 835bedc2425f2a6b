// How the daemon gets along with what started it: systemd (readiness, socket activation) or a shell
// (--daemonize).
#pragma once

#include <string>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace kairo::daemon {

/// Sends one state of sd_notify(3), such as "READY=1", to $NOTIFY_SOCKET; without one it does nothing.
void notify_supervisor(const std::string& state);

/// "RELOADING=1" with the time that systemd wants beside it; READY=1 is to follow.
std::string reloading_state();

/// The listening socket of sd_listen_fds(3), if exactly one was passed to this process; closed when there is
/// none. Takes the variables out of the environment, so that children do not see them.
Result<UniqueFd> take_activation_socket();

/// The daemon's half of --daemonize: in a session of its own, 0 on /dev/null, cwd /, every other descriptor
/// closed. In the parent it does not return: it waits for ready() or for the child's end and exits
/// accordingly.
class Background {
 public:
  /// To be called before any thread or descriptor of the daemon exists.
  static Background enter();
  /// 1 and 2 go to `log_file` from now on, and the waiting parent exits with 0.
  Result<void> ready(const std::string& log_file);

 private:
  UniqueFd parent_;
};

}  // namespace kairo::daemon
