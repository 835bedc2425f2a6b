// Starting a session on behalf of a request, whatever method it came by (process.spawn, topology.up).
#pragma once

#include <functional>
#include <string>

#include "kernel/handlers.hpp"

namespace kairo::kernel {

/// Called once: before the session's first event, or with what prevented it.
using Spawned = std::function<void(Result<api::SpawnResult>)>;

/// `topology`: the session is the executor of that topology; empty for all others. The rights are those of
/// the call's client.
void spawn_session(Kernel& kernel, Call& call, api::SpawnParams params, const std::string& topology,
                   Spawned spawned);

}  // namespace kairo::kernel
