#include "keeper/channel.hpp"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>

namespace kairo::keeper {
namespace {

constexpr std::size_t receive_bytes = 64u << 10;
/// The kernel's own bound for one message (SCM_MAX_FD).
constexpr std::size_t descriptors_max = 253;
/// A buffer that one large message has made larger than this is given back.
constexpr std::size_t keep_bytes = 256u << 10;

}  // namespace

Channel::Received Channel::receive() {
  if (begin_ > 0) {
    in_.erase(0, begin_);
    begin_ = 0;
    if (in_.empty() && in_.capacity() > keep_bytes) std::string().swap(in_);
  }
  char bytes[receive_bytes];  // not in_ itself: growing a string first fills it with zeros
  iovec piece{bytes, sizeof bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(descriptors_max * sizeof(int))];
  msghdr head{};
  head.msg_iov = &piece;
  head.msg_iovlen = 1;
  head.msg_control = control;
  head.msg_controllen = sizeof control;
  ssize_t got;
  do {
    got = ::recvmsg(socket_.get(), &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? Received::nothing : Received::closed;
  for (cmsghdr* each = CMSG_FIRSTHDR(&head); each; each = CMSG_NXTHDR(&head, each)) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(each) + i * sizeof fd, sizeof fd);
      descriptors_.emplace_back(fd);
    }
  }
  if (head.msg_flags & MSG_CTRUNC) descriptors_lost_ = true;
  if (got == 0) return Received::closed;
  in_.append(bytes, static_cast<std::size_t>(got));
  return Received::some;
}

Result<std::optional<Message>> Channel::next() {
  auto message = next_message(std::string_view(in_).substr(begin_));
  if (message && *message) begin_ += (*message)->bytes;
  return message;
}

Result<std::vector<UniqueFd>> Channel::take_descriptors(std::size_t count) {
  std::vector<UniqueFd> out;
  if (count == 0) return out;
  if (descriptors_lost_ || descriptors_.size() < count) {
    descriptors_.clear();
    descriptors_lost_ = false;
    return system_error("cannot take the descriptors of a message", EMFILE);
  }
  for (std::size_t i = 0; i < count; ++i) {
    out.push_back(std::move(descriptors_.front()));
    descriptors_.pop_front();
  }
  return out;
}

std::string& Channel::plain_piece() {
  if (out_.empty() || !out_.back().descriptors.empty() || out_.back().bytes.size() > receive_bytes)
    out_.emplace_back();
  return out_.back().bytes;
}

std::size_t Channel::waiting() const {
  std::size_t sum = 0;
  for (const Piece& each : out_) sum += each.bytes.size() - each.sent;
  return sum;
}

bool Channel::flush() {
  while (!out_.empty()) {
    Piece& piece = out_.front();
    if (piece.sent == piece.bytes.size()) {
      if (out_.size() == 1 && piece.bytes.capacity() <= keep_bytes) {  // its memory serves the next message
        piece.bytes.clear();
        piece.sent = 0;
        return true;
      }
      out_.pop_front();
      continue;
    }
    iovec bytes{piece.bytes.data() + piece.sent, piece.bytes.size() - piece.sent};
    alignas(cmsghdr) char control[CMSG_SPACE(descriptors_max * sizeof(int))];
    msghdr head{};
    head.msg_iov = &bytes;
    head.msg_iovlen = 1;
    if (!piece.descriptors.empty()) {
      const std::size_t size = piece.descriptors.size() * sizeof(int);
      head.msg_control = control;
      head.msg_controllen = CMSG_SPACE(size);
      cmsghdr* rights = CMSG_FIRSTHDR(&head);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(size);
      for (std::size_t i = 0; i < piece.descriptors.size(); ++i) {
        const int fd = piece.descriptors[i].get();
        std::memcpy(CMSG_DATA(rights) + i * sizeof fd, &fd, sizeof fd);
      }
    }
    const ssize_t put = ::sendmsg(socket_.get(), &head, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    piece.sent += static_cast<std::size_t>(put);
    piece.descriptors.clear();  // they went with the first byte
  }
  return true;
}

}  // namespace kairo::keeper
