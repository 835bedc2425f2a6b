// The network, Unix sockets and System V IPC.
#include <arpa/inet.h>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "break_in.hpp"

namespace kairo::break_in {
namespace {

constexpr int multipath_tcp = 262;

sockaddr_in loopback(long port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(static_cast<std::uint16_t>(port));
  out.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return out;
}

template <class Address>
int connects(int socket, const Address& address, std::size_t size = sizeof(Address)) {
  if (socket < 0) return errno;
  return outcome(
      ::connect(socket, reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size)));
}

std::size_t unix_address(sockaddr_un& address, const std::string& path) {
  address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return offsetof(sockaddr_un, sun_path) + path.size() + (path.empty() || path[0] == '\0' ? 0 : 1);
}

int connects_unix(int type, const std::string& path) {
  sockaddr_un address;
  const std::size_t size = unix_address(address, path);
  return connects(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0), address, size);
}

// --- TCP -----------------------------------------------------------------------------------------------

int tcp_connect() {
  return connects(::socket(AF_INET, SOCK_STREAM, 0), loopback(number("TCP")));
}
int tcp_connect_mapped() {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(static_cast<std::uint16_t>(number("TCP")));
  ::inet_pton(AF_INET6, "::ffff:127.0.0.1", &address.sin6_addr);
  const int socket = ::socket(AF_INET6, SOCK_STREAM, 0);
  return socket < 0 && errno == EAFNOSUPPORT ? moot : connects(socket, address);
}
int tcp_connect_high_bits() {
  return connects(static_cast<int>(::syscall(SYS_socket, AF_INET | 1ul << 40, SOCK_STREAM, 0)),
                  loopback(number("TCP")));
}
/// A connection that connect() never makes.
int tcp_fast_open() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  if (socket < 0) return errno;
  const sockaddr_in address = loopback(number("TCP"));
  return outcome(
      ::sendto(socket, "x", 1, MSG_FASTOPEN, reinterpret_cast<const sockaddr*>(&address), sizeof address));
}
int tcp_fast_open_message() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  if (socket < 0) return errno;
  sockaddr_in address = loopback(number("TCP"));
  char byte = 'x';
  iovec piece{&byte, 1};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = sizeof address;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  return outcome(::sendmsg(socket, &message, MSG_FASTOPEN));
}
int tcp_bind() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  if (socket < 0) return errno;
  const sockaddr_in address = loopback(0);
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return errno;
  return outcome(::listen(socket, 1));
}
int tcp_listen_unbound() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  return socket < 0 ? errno : outcome(::listen(socket, 1));
}
int tcp_other_protocol() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  if (socket < 0) return errno;
  return reached(::setsockopt(socket, IPPROTO_TCP, TCP_ULP, "smc", 3));
}
int multipath_connect() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, multipath_tcp);
  if (socket < 0 && (errno == EPROTONOSUPPORT || errno == ENOPROTOOPT)) return moot;
  return connects(socket, loopback(number("TCP")));
}

// --- other protocols -------------------------------------------------------------------------------------

int udp_send() {
  const int socket = ::socket(AF_INET, SOCK_DGRAM, 0);
  if (socket < 0) return errno;
  const sockaddr_in address = loopback(number("UDP"));
  return outcome(::sendto(socket, "x", 1, 0, reinterpret_cast<const sockaddr*>(&address), sizeof address));
}
int udp_bind() {
  const int socket = ::socket(AF_INET, SOCK_DGRAM, 0);
  if (socket < 0) return errno;
  const sockaddr_in address = loopback(0);
  return outcome(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address));
}
int raw_socket() {
  return outcome(::socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}
int packet_socket() {
  const int socket = ::socket(AF_PACKET, SOCK_RAW, 0);
  return socket < 0 && errno == EAFNOSUPPORT ? moot : outcome(socket);
}
int netlink_socket() {
  return outcome(::socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
}
int vsock_socket() {
  const int socket = ::socket(AF_VSOCK, SOCK_STREAM, 0);
  return socket < 0 && errno == EAFNOSUPPORT ? moot : outcome(socket);
}
/// Qualcomm's router, which has one address space for the whole machine.
int router_socket() {
  const int socket = ::socket(AF_QIPCRTR, SOCK_DGRAM, 0);
  return socket < 0 && errno == EAFNOSUPPORT ? moot : outcome(socket);
}
int crypto_socket() {
  const int socket = ::socket(AF_ALG, SOCK_SEQPACKET, 0);
  return socket < 0 && errno == EAFNOSUPPORT ? moot : outcome(socket);
}

// --- Unix sockets ------------------------------------------------------------------------------------------

int unix_connect() {
  return connects_unix(SOCK_STREAM, text("STREAM_SOCKET"));
}
int unix_abstract() {
  return connects_unix(SOCK_STREAM, std::string(1, '\0') + text("ABSTRACT"));
}
int unix_datagram() {
  return connects_unix(SOCK_DGRAM, text("DATAGRAM_SOCKET"));
}
/// A pair is no way out, unless it can be connected anew.
int unix_pair_reconnected() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0) return errno;
  sockaddr_un address;
  const std::size_t size = unix_address(address, text("DATAGRAM_SOCKET"));
  return outcome(::sendto(ends[0], "x", 1, 0, reinterpret_cast<const sockaddr*>(&address),
                          static_cast<socklen_t>(size)));
}
int unix_raw_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_RAW, 0, ends) != 0) return errno;
  sockaddr_un address;
  const std::size_t size = unix_address(address, text("DATAGRAM_SOCKET"));
  return outcome(::sendto(ends[0], "x", 1, 0, reinterpret_cast<const sockaddr*>(&address),
                          static_cast<socklen_t>(size)));
}
int unix_bind_outside() {
  sockaddr_un address;
  const std::size_t size = unix_address(address, scene("outside/socket"));
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  if (socket < 0) return errno;
  return outcome(::bind(socket, reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size)));
}
/// As D-Bus's session bus is reached: by the address in the environment.
int session_bus() {
  const std::string address = text("DBUS_SESSION_BUS_ADDRESS");
  return connects_unix(SOCK_STREAM, address.substr(std::string("unix:path=").size()));
}
int kernel_socket() {
  return connects_unix(SOCK_STREAM, text("KAIRO_IPC_SOCKET"));
}

// --- System V IPC and queues -------------------------------------------------------------------------------

int shared_memory() {
  void* at = ::shmat(static_cast<int>(number("SHM")), nullptr, SHM_RDONLY);
  return at == reinterpret_cast<void*>(-1) ? errno : in;
}
int semaphore() {
  return outcome(::semctl(static_cast<int>(number("SEM")), 0, GETVAL));
}
int message_queue() {
  return outcome(::msgsnd(static_cast<int>(number("MSG")), "\1\0\0\0\0\0\0\0x", 1, IPC_NOWAIT));
}
int posix_queue() {
  const mqd_t queue = ::mq_open(text("QUEUE").c_str(), O_RDONLY | O_CLOEXEC);
  return queue == -1 && errno == ENOSYS ? moot : outcome(queue);
}

constexpr Attempt attempts[] = {
    {"tcp-connect", tcp_connect},
    {"tcp-connect-mapped", tcp_connect_mapped},
    {"tcp-connect-high-bits", tcp_connect_high_bits},
    {"tcp-fast-open", tcp_fast_open},
    {"tcp-fast-open-message", tcp_fast_open_message},
    {"tcp-bind", tcp_bind},
    {"tcp-listen-unbound", tcp_listen_unbound},
    {"tcp-other-protocol", tcp_other_protocol},
    {"multipath-connect", multipath_connect},
    {"udp-send", udp_send},
    {"udp-bind", udp_bind},
    {"raw-socket", raw_socket},
    {"packet-socket", packet_socket},
    {"netlink-socket", netlink_socket},
    {"vsock-socket", vsock_socket},
    {"router-socket", router_socket},
    {"crypto-socket", crypto_socket},
    {"unix-connect", unix_connect},
    {"unix-abstract", unix_abstract},
    {"unix-datagram", unix_datagram},
    {"unix-pair-reconnected", unix_pair_reconnected},
    {"unix-raw-pair", unix_raw_pair},
    {"unix-bind-outside", unix_bind_outside},
    {"session-bus", session_bus},
    {"kernel-socket", kernel_socket},
    {"shared-memory", shared_memory},
    {"semaphore", semaphore},
    {"message-queue", message_queue},
    {"posix-queue", posix_queue},
};

}  // namespace

std::span<const Attempt> network_attempts() {
  return attempts;
}

}  // namespace kairo::break_in
