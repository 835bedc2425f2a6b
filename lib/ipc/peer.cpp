#include "ipc/peer.hpp"

#include <cerrno>
#include <sys/socket.h>

namespace kairo::ipc {

Result<Peer> peer_of(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return system_error("cannot read the peer's credentials", errno);
  return Peer{credentials.uid, credentials.gid, credentials.pid};
}

std::string describe(const Peer& peer) {
  return "pid " + std::to_string(peer.pid) + " uid " + std::to_string(peer.uid) + " gid " +
         std::to_string(peer.gid);
}

}  // namespace kairo::ipc
