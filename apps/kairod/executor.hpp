// `kairod executor`: the process in which a topology's data moves. Started by the daemon, as a session.
#pragma once

namespace kairo::daemon {

/// Not for people: without the daemon's socket at descriptor 0 it says so and ends.
int run_executor_command();

}  // namespace kairo::daemon
