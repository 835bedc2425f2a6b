#include "ipc/connection.hpp"

#include <cerrno>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>

namespace kairo::ipc {
namespace {

/// Bytes of one batch; more than a socket buffer holds would only be copied into the outbox.
constexpr std::size_t batch_bytes = 256u << 10;
/// Below this a send is not worth it: the peer's reading will make more room.
constexpr std::size_t worthwhile_bytes = 48u << 10;
constexpr std::size_t descriptors_per_message = 8;

}  // namespace

Connection::Connection(boost::asio::io_context& io, UniqueFd socket, Peer peer, stream::Batch& batch,
                       std::size_t max_frame_bytes, Traffic* traffic)
    : socket_(io), peer_(peer), batch_(batch), reader_(max_frame_bytes), traffic_(traffic) {
  // The kernel doubles it. More would only put more output in front of the next answer.
  const int wanted = batch_bytes;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted);
  int granted = 0;
  socklen_t size = sizeof granted;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &granted, &size);
  send_buffer_bytes_ = static_cast<std::size_t>(granted);
  boost::system::error_code ignored;
  socket_.assign(boost::asio::local::stream_protocol(), socket.release(), ignored);
}

Connection::~Connection() = default;

void Connection::start(std::shared_ptr<Handler> handler) {
  handler_ = std::move(handler);
  wait_readable();
}

void Connection::wait_readable() {
  if (reading_ || closed_) return;
  reading_ = true;
  socket_.async_wait(socket_.wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
    self->reading_ = false;
    if (self->closed_ || error) return;
    self->read();
  });
}

void Connection::wait_writable() {
  if (writing_ || closed_) return;
  writing_ = true;
  socket_.async_wait(socket_.wait_write, [self = shared_from_this()](const boost::system::error_code& error) {
    self->writing_ = false;
    self->blocked_ = false;
    if (self->closed_ || error) return;
    self->flush();
    if (self->closed_ || self->reading_ || self->peer_ended_ ||
        self->outbox_bytes() >= limits::outbox_bytes / 2)
      return;
    self->take_frames();
  });
}

void Connection::read() {
  const auto room = reader_.writable();
  iovec piece{room.data(), room.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(descriptors_per_message * sizeof(int))];
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = ::recvmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return wait_readable();
    return finish(system_error("cannot read from the peer", errno));
  }
  for (cmsghdr* each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each)) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(each) + i * sizeof(int), sizeof descriptor);
      UniqueFd owned(descriptor);
      if (received_.size() < descriptors_per_message)
        received_.push_back(
            {read_position_, read_position_ + static_cast<std::uint64_t>(got), std::move(owned)});
    }
  }
  if (got == 0) return take_end();
  read_position_ += static_cast<std::uint64_t>(got);
  read_at_ = SteadyClock::now();
  if (traffic_) traffic_->received_bytes += static_cast<std::uint64_t>(got);
  reader_.commit(static_cast<std::size_t>(got));
  take_frames();
}

void Connection::take_end() {
  flush();
  if (closed_) return;
  if (reader_.pending() > 0)
    return finish(Error(Code::invalid_request, "the peer left in the middle of a frame"));
  // A peer that has closed its socket hears nothing any more; one that only shut its direction does.
  pollfd socket{socket_.native_handle(), 0, 0};
  if (::poll(&socket, 1, 0) != 0 || !(handler_->owes() || outbox_bytes() > 0)) return finish(std::nullopt);
  peer_ended_ = true;
  wait_hangup();
}

void Connection::wait_hangup() {
  // Not for readability: the end that was read makes the socket readable for ever.
  socket_.async_wait(socket_.wait_error, [self = shared_from_this()](const boost::system::error_code& error) {
    if (!self->closed_ && !error) self->finish(std::nullopt);
  });
}

void Connection::take_frames() {
  do {
    if (!parse()) return;
    flush();
    if (closed_) return;
    if (outbox_bytes() >= limits::outbox_bytes) return wait_writable();
  } while (parse_paused_);
  wait_readable();
}

void Connection::offer_descriptors(std::uint64_t frame_end, std::vector<UniqueFd>& offered) {
  // What the frame before was offered and left: it may be this one's, if it came with the same read.
  if (offered.empty()) offered_until_ = 0;
  if (offered_until_ <= frame_start_) offered.clear();
  while (!received_.empty() && received_.front().position < frame_end) {
    offered_until_ = received_.front().end;
    offered.push_back(std::move(received_.front().descriptor));
    received_.pop_front();
  }
  frame_start_ = frame_end;
}

bool Connection::parse() {
  const auto keep = shared_from_this();
  dispatching_ = true;
  parse_paused_ = false;
  std::vector<UniqueFd>& descriptors = offered_;
  while (!closed_) {
    // Many requests may have come in one read, and each answer may be large.
    if (outbox_bytes() >= limits::outbox_bytes) {
      parse_paused_ = true;
      break;
    }
    auto next = reader_.next();
    if (!next) {
      dispatching_ = false;
      finish(std::move(next).error());
      return false;
    }
    if (!next->has_value()) break;
    offer_descriptors(read_position_ - reader_.pending(), descriptors);
    auto handled = handler_->on_frame(**next, descriptors);
    if (!handled) {
      dispatching_ = false;
      flush();
      finish(std::move(handled).error());
      return false;
    }
  }
  dispatching_ = false;
  if (offered_until_ <= frame_start_) offered_.clear();
  if (!closed_) handler_->parsed();
  if (reader_.pending() == 0) reader_.shrink();
  return !closed_;
}

void Connection::wrote() {
  if (flush_posted_ || dispatching_ || closed_) return;
  flush_posted_ = true;
  boost::asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->flush_posted_ = false;
    self->flush();
  });
}

void Connection::flush() {
  if (closed_ || blocked_) return;
  const bool had = outbox_bytes() > 0;
  if (!send_outbox()) return;
  if (had) handler_->on_drained();
  if (closed_) return;
  if (outbox_bytes() > 0 && !send_outbox()) return;
  if (close_when_sent_) return finish(std::nullopt);
  if (end_when_sent_ && outbox_bytes() == 0) ::shutdown(socket_.native_handle(), SHUT_WR);
  if (!writing_) send_chunks();
  if (!closed_ && peer_ended_ && outbox_bytes() == 0 && !handler_->owes()) finish(std::nullopt);
}

bool Connection::send_outbox() {
  if (outbox_bytes() > 0) handler_->sending();
  while (outbox_bytes() > 0) {
    const ssize_t put =
        ::send(socket_.native_handle(), outbox_.data() + sent_, outbox_bytes(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {
        if (sent_ > outbox_.size() / 2) {
          outbox_.erase(0, sent_);
          sent_ = 0;
        }
        blocked_ = true;
        wait_writable();
        return false;
      }
      const int error = errno;
      finish(error == EPIPE || error == ECONNRESET
                 ? std::nullopt
                 : std::optional(system_error("cannot write to the peer", error)));
      return false;
    }
    sent_ += static_cast<std::size_t>(put);
    count_sent(static_cast<std::size_t>(put));
  }
  outbox_.clear();
  sent_ = 0;
  if (outbox_.capacity() > limits::outbox_event_bytes) outbox_.shrink_to_fit();
  return true;
}

void Connection::count_sent(std::size_t bytes) {
  sent_bytes_ += bytes;
  if (traffic_) traffic_->sent_bytes += bytes;
}

std::size_t Connection::socket_room() {
  int queued = 0;
  if (::ioctl(socket_.native_handle(), SIOCOUTQ, &queued) != 0) return batch_bytes;
  const auto used = static_cast<std::size_t>(queued);
  // A quarter stays free: the socket counts its own book-keeping too.
  const std::size_t usable = send_buffer_bytes_ - send_buffer_bytes_ / 4;
  return used >= usable ? 0 : usable - used;
}

bool Connection::send_chunks() {
  while (handler_->has_output()) {
    const std::size_t room = std::min(socket_room(), batch_bytes);
    batch_.clear();
    if (room < worthwhile_bytes) {
      // Only wait if there is something to give; an empty batch would wait for nothing.
      wait_writable();
      return true;
    }
    handler_->fill(batch_, room);
    if (batch_.empty()) handler_->filled();
    if (closed_ || batch_.empty()) return !closed_;
    const auto& pieces = batch_.pieces();
    std::size_t first = 0, sent = 0;
    bool full = false;
    while (sent < batch_.bytes()) {
      // A short send is the socket saying that it is full; only IOV_MAX makes several calls of one batch.
      msghdr message{};
      message.msg_iov = const_cast<iovec*>(pieces.data()) + first;
      message.msg_iovlen = std::min<std::size_t>(pieces.size() - first, 1024);
      std::size_t asked = 0;
      for (std::size_t i = 0; i < message.msg_iovlen; ++i) asked += message.msg_iov[i].iov_len;
      const ssize_t put = ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0 && errno != EAGAIN) {
        const int error = errno;
        finish(error == EPIPE || error == ECONNRESET
                   ? std::nullopt
                   : std::optional(system_error("cannot write to the peer", error)));
        return false;
      }
      const std::size_t got = put < 0 ? 0 : static_cast<std::size_t>(put);
      sent += got;
      count_sent(got);
      full = got < asked;
      if (full) break;
      first += message.msg_iovlen;
    }
    if (sent < batch_.bytes()) {
      auto copied = batch_.copy_rest(sent, outbox_);
      if (!copied) {
        finish(std::move(copied).error());
        return false;
      }
    }
    handler_->filled();
    if (closed_) return false;
    if (full) {
      blocked_ = true;
      wait_writable();
      return true;
    }
  }
  return true;
}

void Connection::close() {
  if (closed_) return;
  finish(std::nullopt);
}

void Connection::close_when_sent() {
  close_when_sent_ = true;
  wrote();
}

void Connection::end_when_sent() {
  end_when_sent_ = true;
  wrote();
}

void Connection::finish(std::optional<Error> why) {
  if (closed_) return;
  closed_ = true;
  boost::system::error_code ignored;
  socket_.close(ignored);
  received_.clear();
  if (!dispatching_) offered_.clear();
  boost::asio::post(socket_.get_executor(), [self = shared_from_this(), why = std::move(why)] {
    const auto handler = std::move(self->handler_);
    if (handler) handler->on_closed(why ? &*why : nullptr);
  });
}

}  // namespace kairo::ipc
