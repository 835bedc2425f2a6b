// The edge between two descriptors. A round is what one read can give: it is spliced into the edge's pipe and
// out of it again before the next one (where one of the two descriptors is a pipe itself, at once from one to
// the other), so that the source alone decides whether there is something to read, and the sink alone
// whether it can go on.
//
// The last 4 KiB that wait to be read are never spliced but copied, when nothing more comes behind them. So
// the last byte given is known whenever the source has run dry. While a hold is due everything is copied,
// because the border has to be looked for.
#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/post.hpp>

#include "executor/flow_bodies.hpp"
#include "executor/pipe_ends.hpp"
#include "executor/raw_io.hpp"

namespace kairo::executor {
namespace {

constexpr std::size_t round_bytes = 256 * 1024;
/// What is left in the source for its last byte to be seen.
constexpr std::size_t tail_bytes = 4 * 1024;
/// Below this a copy costs less than a splice.
constexpr std::size_t worthwhile_bytes = 16 * 1024;
/// What one flow moves before the others have their turn.
constexpr std::size_t turn_bytes = 1024 * 1024;
constexpr std::size_t copy_bytes = 64 * 1024;

bool make_pipe(Edge& edge) {
  if (edge.pipe_in) return true;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return false;
  edge.pipe_out = UniqueFd(ends[0]);
  edge.pipe_in = UniqueFd(ends[1]);
  // A bonus where the user's budget for pipes has it.
  (void)::fcntl(edge.pipe_in.get(), F_SETPIPE_SZ, static_cast<int>(round_bytes));
  return true;
}

}  // namespace

void OutletBody::splice(Edge& edge) {
  IntakeBody& to = *edge.to;
  const std::uint64_t before = bytes;
  for (;;) {
    to.pump();
    if (!spliced() || to.has_kept() || !to.may_give()) return;
    if (bytes - before > turn_bytes) return go_on_later();
    const int source = life_->duplex().source()->native_handle(), sink = to.sink()->native_handle();
    if (edge.piped > 0 ? !drain(edge, sink) : !fill(edge, source, sink)) return;
  }
}

/// One step from the source. False: it has to be waited for something.
bool OutletBody::fill(Edge& edge, int source, int sink) {
  IntakeBody& to = *edge.to;
  const std::uint64_t waiting = to.holding() ? 0 : unread_bytes(source);
  if (waiting < tail_bytes + worthwhile_bytes) return copy(edge, source);
  const std::size_t size = std::min<std::size_t>(waiting - tail_bytes, round_bytes);
  const bool straight = source_is_pipe_ || to.sink_is_pipe();
  if (!straight && !make_pipe(edge)) return copy(edge, source);
  const Moved moved = splice_some(source, straight ? sink : edge.pipe_in.get(), size);
  if (moved.bytes > 0) {
    count(edge, moved.bytes);
    if (straight)
      to.count_spliced(moved.bytes);
    else
      edge.piped = moved.bytes;
    return true;
  }
  if (straight && moved.error == EAGAIN) {
    to.wait_writable();
    return false;
  }
  // What cannot be spliced, whatever the reason, can be read, or says why not.
  return copy(edge, source);
}

bool OutletBody::drain(Edge& edge, int sink) {
  IntakeBody& to = *edge.to;
  const Moved moved = splice_some(edge.pipe_out.get(), sink, edge.piped);
  if (moved.bytes > 0) {
    edge.piped -= moved.bytes;
    to.count_spliced(moved.bytes);
    return true;
  }
  if (moved.error == EAGAIN) {
    to.wait_writable();
    return false;
  }
  // What cannot be spliced can be written, or that says why not.
  to.take_out_of_pipes();
  return true;
}

bool OutletBody::copy(Edge& edge, int source) {
  thread_local std::string buffer(copy_bytes, '\0');
  const Moved got = read_some(source, buffer.data(), buffer.size());
  if (got.error == EAGAIN) {
    wait_readable();
    return false;
  }
  if (got.bytes == 0) {
    // The duplex finds the end, or the error, itself, and says so.
    at_end_ = true;
    life_->duplex().resume();
    return false;
  }
  count(edge, got.bytes);
  const std::string_view all(buffer.data(), got.bytes);
  edge.to->keep(all.substr(edge.to->take(all)));
  return true;
}

void OutletBody::count(Edge& edge, std::size_t moved) {
  bytes += moved;
  life_bytes += moved;
  edge.bytes += moved;
}

void OutletBody::wait_readable() {
  if (waiting_) return;
  waiting_ = true;
  life_->duplex().source()->async_wait(
      Duplex::Stream::wait_read,
      [weak = weak_from_this(), number = life_number_](const boost::system::error_code& error) {
        const auto self = weak.lock();
        if (!self || self->life_number_ != number) return;
        self->waiting_ = false;
        if (!error) self->update();
      });
}

void OutletBody::go_on_later() {
  if (std::exchange(posted_, true)) return;
  boost::asio::post(io_, [self = shared_from_this()] {
    self->posted_ = false;
    self->update();
  });
}

}  // namespace kairo::executor
