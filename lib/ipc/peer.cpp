#include "ipc/peer.hpp"

#include <cerrno>
#include <poll.h>
#include <sys/socket.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace kairo::ipc {

Result<Peer> peer_of(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return system_error("cannot read the peer's credentials", errno);
  return Peer{credentials.uid, credentials.gid, credentials.pid};
}

Result<UniqueFd> peer_process(int socket) {
  int process = -1;
  socklen_t size = sizeof process;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &process, &size) == 0) return UniqueFd(process);
  if (errno == ENOPROTOOPT) return UniqueFd();
  if (errno == EMFILE || errno == ENFILE)
    return system_error("cannot get hold of the peer's process", errno, Code::limit_exceeded);
  return system_error("cannot get hold of the peer's process", errno,
                      errno == ESRCH || errno == EINVAL ? Code::not_found : Code::internal);
}

bool has_ended(int process) {
  pollfd look{process, POLLIN, 0};
  return ::poll(&look, 1, 0) > 0;
}

Result<std::vector<gid_t>> peer_groups(int socket) {
  std::vector<gid_t> groups(32);
  for (;;) {
    auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) == 0) {
      groups.resize(size / sizeof(gid_t));
      return groups;
    }
    if (errno != ERANGE || size <= groups.size() * sizeof(gid_t))
      return system_error("cannot read the peer's groups", errno);
    groups.resize(size / sizeof(gid_t));
  }
}

std::string describe(const Peer& peer) {
  return "pid " + std::to_string(peer.pid) + " uid " + std::to_string(peer.uid) + " gid " +
         std::to_string(peer.gid);
}

}  // namespace kairo::ipc
