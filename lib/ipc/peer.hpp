// Who is at the other end of a connection, by the kernel's word.
#pragma once

#include <string>
#include <sys/types.h>

#include "base/result.hpp"

namespace kairo::ipc {

struct Peer {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
};

/// SO_PEERCRED of a connected Unix socket.
Result<Peer> peer_of(int socket);

/// "pid 12 uid 0 gid 0", for the log.
std::string describe(const Peer& peer);

}  // namespace kairo::ipc
