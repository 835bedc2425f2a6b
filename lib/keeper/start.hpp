// Finding and starting the keeper of a state directory. Blocking, with a deadline.
#pragma once

#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "keeper/channel.hpp"

namespace kairo::keeper {

/// Connects to STATE_DIR/keeper.sock. A path of any length is possible. Nothing when nobody listens there.
Result<std::optional<UniqueFd>> connect_keeper(int state_dir);

/// Makes STATE_DIR/keeper.sock anew and starts `command` with it: listener 3, state directory 4, /dev/null 0,
/// STATE_DIR/keeper.log 1 and 2, no other descriptor, a session of its own, cwd /. It is no child of the
/// caller.
Result<void> start_keeper(int state_dir, const std::vector<std::string>& command);

/// Waits until the socket is readable, or writable; false when the deadline has passed.
bool wait_readable(const Channel& channel, SteadyTime deadline);
bool wait_writable(const Channel& channel, SteadyTime deadline);

}  // namespace kairo::keeper
