#include "sandbox/denial.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <linux/seccomp.h>
#include <memory>
#include <netinet/in.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/declaration.hpp"
#include "sandbox/filter.hpp"
#include "sandbox/hint.hpp"

namespace kairo::sandbox {
namespace {

/// Of a socket's type: what is not SOCK_CLOEXEC and SOCK_NONBLOCK.
constexpr std::uint32_t type_mask = 0xf;
constexpr int mptcp = 262;

bool makes_sockets(std::uint32_t call) {
  return call == SYS_socket || call == SYS_socketpair;
}

std::string name_of(std::uint32_t call) {
  const std::unique_ptr<char, decltype(&std::free)> name(
      ::seccomp_syscall_resolve_num_arch(::seccomp_arch_native(), static_cast<int>(call)), &std::free);
  return name ? name.get() : "system call " + std::to_string(call);
}

std::string name_of_type(std::uint32_t type) {
  switch (type) {
    case SOCK_STREAM: return "stream";
    case SOCK_DGRAM: return "datagram";
    case SOCK_RAW: return "raw";
    case SOCK_SEQPACKET: return "seqpacket";
    default: return "type " + std::to_string(type);
  }
}

bool is_internet(const Denial& denial) {
  return denial.family == AF_INET || denial.family == AF_INET6;
}

bool is_tcp(const Denial& denial) {
  return is_internet(denial) && denial.type == SOCK_STREAM &&
         (denial.protocol == 0 || denial.protocol == IPPROTO_TCP);
}

std::string internet_socket(const Denial& denial) {
  const std::string family = denial.family == AF_INET ? "IPv4" : "IPv6";
  if (is_tcp(denial)) return "TCP socket (" + family + ")";
  if (denial.type == SOCK_DGRAM && (denial.protocol == 0 || denial.protocol == IPPROTO_UDP))
    return "UDP socket (" + family + ")";
  if (denial.type == SOCK_STREAM && denial.protocol == mptcp) return "MPTCP socket (" + family + ")";
  return name_of_type(denial.type) + " socket (" + family + ", protocol " + std::to_string(denial.protocol) +
         ")";
}

std::string socket_name(const Denial& denial) {
  switch (denial.family) {
    case AF_INET:
    case AF_INET6: return internet_socket(denial);
    case AF_UNIX: return "Unix socket (" + name_of_type(denial.type) + ")";
    case AF_NETLINK: return "netlink socket (protocol " + std::to_string(denial.protocol) + ")";
    case AF_PACKET: return "packet socket (" + name_of_type(denial.type) + ")";
    case AF_VSOCK: return "vsock socket (" + name_of_type(denial.type) + ")";
    default:
      return "socket of family " + std::to_string(denial.family) + " (" + name_of_type(denial.type) + ")";
  }
}

std::string socket_would(const Denial& denial, const Hints& hints) {
  if (denial.family == AF_UNIX) return hints.all_ipc();
  // Where ports are listed TCP is there, and what was asked for is something else.
  return is_tcp(denial) ? hints.any_tcp() : hints.all_net();
}

NamedDenial named_pair(const Denial& denial, const api::Permissions& permissions, const Hints& hints) {
  // Of pairs it is the datagrams that can be connected anew.
  if (denial.family == AF_UNIX)
    return {"pair of Unix " + name_of_type(denial.type) + " sockets", hints.all_ipc(), {}};
  const auto* net = permissions.net ? std::get_if<api::NetAccess>(&*permissions.net) : nullptr;
  const bool apart = net && *net == api::NetAccess::private_;
  std::string would = permissions.ipc == api::IpcAccess::all ? hints.all_net()
                      : apart                                ? hints.all_net_and_ipc()
                                                             : hints.all_ipc();
  return {"pair of sockets of family " + std::to_string(denial.family), std::move(would), {}};
}

}  // namespace

Denial denial_of(int call, const std::uint64_t* arguments) {
  Denial out;
  out.call = static_cast<std::uint32_t>(call);
  if (makes_sockets(out.call)) {
    out.family = static_cast<std::uint32_t>(arguments[0]);
    out.type = static_cast<std::uint32_t>(arguments[1]) & type_mask;
    out.protocol = static_cast<std::uint32_t>(arguments[2]);
  } else if (out.call == SYS_ioctl) {
    out.type = static_cast<std::uint32_t>(arguments[1]) & 0xffff;
  }
  return out;
}

int refusal_of(const Denial& denial) {
  return changes_metadata(static_cast<int>(denial.call)) ? EPERM : EACCES;
}

NamedDenial named(const Denial& denial, const api::Permissions& permissions, const std::string& cwd) {
  const Hints hints(permissions, cwd);
  switch (denial.call) {
    case SYS_socket: return {socket_name(denial), socket_would(denial, hints), {}};
    case SYS_socketpair: return named_pair(denial, permissions, hints);
    case SYS_listen: return {"listen", hints.bind("PORT"), {}};
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendmmsg: return {name_of(denial.call) + " with TCP fast open", hints.all_net(), {}};
    case SYS_setsockopt: return {"another protocol on a TCP socket", hints.all_net(), {}};
    case SYS_ioctl:
      return {"ioctl that changes a file (request " + std::to_string(denial.type) + ")",
              hints.write_somewhere(),
              {}};
    default: break;
  }
  const bool metadata = changes_metadata(static_cast<int>(denial.call));
  return {name_of(denial.call), metadata ? hints.write_somewhere() : hints.all_ipc(), {}};
}

NamedDenial named(const AccessAsked& access, const api::Permissions& permissions, const std::string& cwd) {
  if (access.what == "scope.signal") return {"signal to a process outside", {}, {}};
  if (access.what == "ptrace") return {"look into a process outside", {}, {}};
  if (access.what == "scope.abstract_unix_socket")
    return {"abstract Unix socket", Hints(permissions, cwd).all_ipc(), {}};
  NamedDenial out{access.what, {}, {}};
  if (access.target.empty()) return out;
  if (access.target.ends_with(" (deleted)")) {
    out.note = "it was removed before it was asked for";
    return out;
  }
  const auto explained = explain(permissions, access.target, cwd);
  if (!explained) return out;
  for (const api::AccessExplained& each : *explained) {
    if (each.access != access.what) continue;
    out.would = each.would.value_or("");
    if (each.allowed)
      out.note = "the declaration has the name (" + each.by.value_or("") +
                 "), but a rule holds for the file or directory that was there at the launch, wherever it is "
                 "now, and not for one that took its place";
  }
  return out;
}

bool host_tells() {
  static const bool tells = [] {
    const unsigned action = SECCOMP_RET_USER_NOTIF;
    seccomp_notif_sizes sizes{};
    // Later systems may say more in a message; a listener gives them room (keeper/denials.cpp).
    return ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 &&
           ::syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) == 0;
  }();
  return tells;
}

}  // namespace kairo::sandbox
