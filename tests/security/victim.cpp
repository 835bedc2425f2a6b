// What the attempts are made on.
#include <arpa/inet.h>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <stdexcept>
#include <string>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "break_in.hpp"

namespace kairo::break_in {
namespace {

int require(int result, const char* what) {
  if (result < 0) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
  return result;
}

int listen_loopback(int type) {
  const int socket = require(::socket(AF_INET, type, 0), "socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  require(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind");
  if (type == SOCK_STREAM) {
    const int fast_open = 16;
    ::setsockopt(socket, IPPROTO_TCP, 23, &fast_open, sizeof fast_open);
    require(::listen(socket, 64), "listen");
  }
  socklen_t size = sizeof address;
  require(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  return ntohs(address.sin_port);
}

void listen_unix(int type, const std::string& path) {
  const int socket = require(::socket(AF_UNIX, type, 0), "socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  require(::bind(socket, reinterpret_cast<const sockaddr*>(&address), size), "bind");
  if (type == SOCK_STREAM) require(::listen(socket, 64), "listen");
}

char attacked = 'v';

}  // namespace

int victim(const std::string& dir) {
  const std::string own = std::to_string(::getpid());
  const std::string abstract = "kairo-break-in-" + own;
  const std::string queue = "/kairo-break-in-" + own;
  const std::string datagram = dir + "/" + own + ".datagram";
  const std::string stream = dir + "/" + own + ".stream";
  std::printf("VICTIM=%s\nTCP=%d\nOPEN_TCP=%d\nUDP=%d\n", own.c_str(), listen_loopback(SOCK_STREAM),
              listen_loopback(SOCK_STREAM), listen_loopback(SOCK_DGRAM));
  listen_unix(SOCK_STREAM, stream);
  listen_unix(SOCK_DGRAM, datagram);
  listen_unix(SOCK_STREAM, std::string(1, '\0') + abstract);
  const int memory = require(::shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600), "shmget");
  const int semaphore = require(::semget(IPC_PRIVATE, 1, IPC_CREAT | 0600), "semget");
  const int messages = require(::msgget(IPC_PRIVATE, IPC_CREAT | 0600), "msgget");
  const mqd_t made = ::mq_open(queue.c_str(), O_RDWR | O_CREAT, 0600, nullptr);
  std::printf("STREAM_SOCKET=%s\nDATAGRAM_SOCKET=%s\nABSTRACT=%s\n", stream.c_str(), datagram.c_str(),
              abstract.c_str());
  std::printf("DBUS_SESSION_BUS_ADDRESS=unix:path=%s\n", stream.c_str());
  std::printf("SHM=%d\nSEM=%d\nMSG=%d\nQUEUE=%s\n", memory, semaphore, messages, queue.c_str());
  std::printf("VICTIM_ADDRESS=%ld\nready\n", reinterpret_cast<long>(&attacked));
  std::fflush(stdout);
  char byte;
  while (::read(0, &byte, 1) > 0) {
  }
  ::shmctl(memory, IPC_RMID, nullptr);
  ::semctl(semaphore, 0, IPC_RMID);
  ::msgctl(messages, IPC_RMID, nullptr);
  if (made >= 0) ::mq_unlink(queue.c_str());
  return 0;
}

}  // namespace kairo::break_in
