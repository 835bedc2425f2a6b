#include "client/channel.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "client/socket_path.hpp"

namespace kairo::client {
namespace {

/// Room for one read while data streams: what a socket's default send buffer holds comes in few calls, and
/// the buffer stays inside a core's cache.
constexpr std::size_t streaming_read_bytes = 256u << 10;

Error lost(std::string_view path, std::string_view why) {
  return Error(Code::not_running, "the connection to the daemon at " + std::string(path) + " was lost: " +
                                      std::string(why) + "; what was asked and not answered is unknown")
      .with("socket", std::string(path));
}

Result<void> check_server(int socket, const ConnectOptions& options, const std::string& path) {
  if (options.any_owner) return {};
  ucred server{};
  socklen_t size = sizeof server;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &server, &size) != 0)
    return system_error("cannot ask who serves " + path, errno);
  if (server.uid == 0 || server.uid == geteuid()) return {};
  return Error(Code::permission_denied, "the daemon at " + path + " runs as user " +
                                            std::to_string(server.uid) +
                                            ", neither yourself nor root; nothing was sent to it")
      .with("uid", std::int64_t{server.uid})
      .with("socket", path);
}

/// The descriptor that a confined process was given (SPEC 8.1), where it still is what it was; else -1.
int given_descriptor() {
  const char* text = getenv("KAIRO_IPC_FD");
  if (!text || !*text) return -1;
  char* end = nullptr;
  const long number = strtol(text, &end, 10);
  int domain = 0;
  socklen_t size = sizeof domain;
  const bool good = *end == '\0' && number >= 0 && number <= INT_MAX &&
                    getsockopt(static_cast<int>(number), SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
                    domain == AF_UNIX;
  return good ? static_cast<int>(number) : -1;
}

/// A connection of our own by way of one that all processes of a session share: frames of several on one
/// stream would be nobody's. Its end travels with one EVENT, which is sent whole or not at all.
Result<UniqueFd> connect_through(int given) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return system_error("cannot make a pair of sockets", errno);
  UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  api::Event event;
  event.type = api::connect_event;
  event.data.msgpack = "\x80";  // an empty map
  std::string frame;
  api::append_event(frame, event);
  iovec piece{frame.data(), frame.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = theirs.get();
  std::memcpy(CMSG_DATA(head), &fd, sizeof fd);
  long sent;
  do sent = sendmsg(given, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  // Not as a daemon that is merely gone: to start another one is nothing that a confined process can do.
  if (sent < 0)
    return system_error(
        "cannot reach the daemon over the connection that this confined process was given "
        "(KAIRO_IPC_FD), and it may make no other",
        errno, Code::permission_denied);
  return ours;
}

}  // namespace

bool is_unreachable(const Error& error) {
  // A daemon's own E_NOT_RUNNING is about a session and names no socket.
  return error.code == Code::not_running && !error.details.empty() && error.details.back().first == "socket";
}

Result<Channel> Channel::connect(const ConnectOptions& options) {
  std::string path = options.socket.empty() ? resolve_socket() : options.socket;
  if (const int given = options.socket.empty() ? given_descriptor() : -1; given >= 0) {
    auto own = connect_through(given);
    if (!own) return std::move(own).error();
    return Channel(*std::move(own), std::move(path));
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Error(Code::invalid_params, "the socket path " + path + " has " + std::to_string(path.size()) +
                                           " bytes; the system allows " +
                                           std::to_string(sizeof address.sun_path - 1));
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  // The socket itself blocks, so that connect waits for a place in a full backlog; every later call says
  // MSG_DONTWAIT.
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return system_error("cannot make a socket", errno);
  while (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EINTR) continue;
    const int why = errno;
    const std::string attempt = "cannot connect to a daemon at " + path;
    if (why == ENOENT || why == ECONNREFUSED)
      return system_error(attempt, why, Code::not_running).with("socket", path);
    if (why == EACCES || why == EPERM)
      return system_error(attempt, why, Code::permission_denied).with("socket", path);
    return system_error(attempt, why).with("socket", path);
  }
  auto checked = check_server(socket.get(), options, path);
  if (!checked) return std::move(checked).error();
  return Channel(std::move(socket), std::move(path));
}

std::uint64_t Channel::request(std::string_view method, std::string_view params,
                               std::span<const int> descriptors) {
  if (!descriptors.empty()) {
    Attachment attached{out_.size(), {}};
    for (int each : descriptors) attached.descriptors.emplace_back(fcntl(each, F_DUPFD_CLOEXEC, 3));
    attachments_.push_back(std::move(attached));
  }
  const std::uint64_t id = next_id_++;
  api::append_request(out_, id, method, params, trace_.correlation_id, trace_.causation_id);
  return id;
}

long Channel::send_once(std::size_t end, const Attachment* attached) {
  iovec piece{out_.data() + sent_, end - sent_};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))];
  if (attached) {
    const std::size_t count = std::min<std::size_t>(attached->descriptors.size(), 3);
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (std::size_t i = 0; i < count; ++i) {
      const int fd = attached->descriptors[i].get();
      std::memcpy(CMSG_DATA(head) + i * sizeof(int), &fd, sizeof fd);
    }
  }
  return ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

Result<void> Channel::send_some() {
  while (wants_to_send()) {
    // Descriptors go with the first byte of their frame, which therefore begins a call of its own.
    const Attachment* attached = nullptr;
    std::size_t end = out_.size();
    if (!attachments_.empty()) {
      if (attachments_.front().position == sent_) attached = &attachments_.front();
      const std::size_t boundary = attached ? 1 : 0;
      if (attachments_.size() > boundary) end = attachments_[boundary].position;
    }
    const long sent = send_once(end, attached);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return {};
      if (errno == EPIPE || errno == ECONNRESET) return lost(path_, describe_errno(errno));
      return system_error("cannot send to the daemon at " + path_, errno);
    }
    sent_ += static_cast<std::size_t>(sent);
    if (attached) attachments_.erase(attachments_.begin());
  }
  cleared_ += out_.size();
  out_.clear();
  sent_ = 0;
  return {};
}

Result<std::size_t> Channel::receive_some() {
  // Small until a first answer shows that there is much to come: a short command touches no large buffer.
  const bool streaming = reader_.pending() > 0 || reader_.capacity() > streaming_read_bytes / 4;
  const std::span<char> room = reader_.writable(streaming ? streaming_read_bytes : 1);
  for (;;) {
    const long got = ::recv(socket_.get(), room.data(), room.size(), MSG_DONTWAIT);
    if (got > 0) {
      reader_.commit(static_cast<std::size_t>(got));
      return static_cast<std::size_t>(got);
    }
    if (got == 0) return lost(path_, "the daemon closed it");
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return std::size_t{0};
    if (errno == ECONNRESET) return lost(path_, describe_errno(errno));
    return system_error("cannot receive from the daemon at " + path_, errno);
  }
}

Result<bool> Channel::wait(std::optional<SteadyTime> deadline) {
  for (;;) {
    auto sent = send_some();
    // What the daemon said before it closed can still be read.
    if (!sent && sent.error().code != Code::not_running) return std::move(sent).error();
    pollfd watch{socket_.get(), static_cast<short>(POLLIN | (sent && wants_to_send() ? POLLOUT : 0)), 0};
    timespec left{};
    if (deadline) {
      const auto now = SteadyClock::now();
      const auto span = std::max(std::chrono::nanoseconds(0),
                                 std::chrono::duration_cast<std::chrono::nanoseconds>(*deadline - now));
      left.tv_sec = static_cast<time_t>(span.count() / 1'000'000'000);
      left.tv_nsec = static_cast<long>(span.count() % 1'000'000'000);
    }
    const int ready = ppoll(&watch, 1, deadline ? &left : nullptr, nullptr);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return system_error("cannot wait for the daemon at " + path_, errno);
    if (ready == 0) return false;
    if (watch.revents & ~POLLOUT) return true;
  }
}

}  // namespace kairo::client
