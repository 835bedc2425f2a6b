#include "bench/connection.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "bench/bench.hpp"

namespace kairo::bench {
namespace {

UniqueFd connect_to(const std::string& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) throw_errno("cannot make a socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw std::runtime_error(path + " is too long for a socket");
  std::memcpy(address.sun_path, path.data(), path.size());
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw NoServer("nobody listens on " + path);
  set_patience(socket.get());
  return socket;
}

}  // namespace

void set_patience(int socket) {
  const timeval limit{patience.count(), 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

Connection::Connection(const std::string& socket, std::size_t buffer_bytes)
    : socket_(connect_to(socket)), buffer_(buffer_bytes) {}

void Connection::flush() {
  write_all(fd(), out_.data(), out_.size());
  out_.clear();
}

void Connection::fill() {
  // A frame that was cut goes to the front only when there is no room behind it that makes a read worthwhile.
  if (begin_ == end_) begin_ = end_ = 0;
  if (begin_ > 0 && buffer_.size() - end_ < buffer_.size() / 4) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) throw std::runtime_error("a frame is larger than the benchmark's buffer");
  const ssize_t got = ::recv(fd(), buffer_.data() + end_, buffer_.size() - end_, 0);
  if (got > 0) {
    end_ += static_cast<std::size_t>(got);
    return;
  }
  if (got == 0) throw std::runtime_error("kairod closed the connection");
  if (errno == EAGAIN) throw std::runtime_error("kairod said nothing for a minute");
  if (errno != EINTR) throw_errno("cannot read from kairod");
}

std::optional<wire::Frame> Connection::next_arrived() {
  if (end_ - begin_ < wire::head_bytes) return std::nullopt;
  const auto head = wire::parse_head(buffer_.data() + begin_);
  if (!head) throw std::runtime_error(head.error().message);
  if (end_ - begin_ < wire::head_bytes + head->length) return std::nullopt;
  const wire::Frame frame{head->type, {buffer_.data() + begin_ + wire::head_bytes, head->length}};
  begin_ += wire::head_bytes + head->length;
  return frame;
}

wire::Frame Connection::next() {
  for (;;) {
    if (const auto frame = next_arrived()) return *frame;
    fill();
  }
}

msgpack::object Connection::decode(const wire::Frame& frame) {
  auto payload = decoder_.decode(frame.payload);
  if (!payload) throw std::runtime_error("unreadable frame: " + payload.error().message);
  return *payload;
}

std::uint64_t Connection::answered(const msgpack::object& payload) {
  const auto response = api::read_response(payload);
  if (!response) throw std::runtime_error(response.error().message);
  if (response->error) {
    const Error error = api::read_error(*response->error);
    throw std::runtime_error(std::string(code_name(error.code)) + ": " + error.message);
  }
  return std::get<std::uint64_t>(response->id);
}

}  // namespace kairo::bench
