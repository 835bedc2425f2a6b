// Who is at the other end of a connection, by the kernel's word.
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace kairo::ipc {

struct Peer {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
};

/// SO_PEERCRED of a connected Unix socket.
Result<Peer> peer_of(int socket);

/// A pidfd of the process that connected (SO_PEERPIDFD). Empty where the kernel is too old (before 6.5) to
/// give one; E_NOT_FOUND when that process has ended, E_LIMIT_EXCEEDED when this one is out of descriptors.
Result<UniqueFd> peer_process(int socket);

/// Whether the process of a pidfd has ended.
bool has_ended(int process);

/// The supplementary groups that the peer had when it connected (SO_PEERGROUPS).
Result<std::vector<gid_t>> peer_groups(int socket);

/// "pid 12 uid 0 gid 0", for the log.
std::string describe(const Peer& peer);

}  // namespace kairo::ipc
