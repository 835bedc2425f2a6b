#include "executor/unix_pipe_adapter.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>

#include "executor/raw_io.hpp"

namespace kairo::executor {
namespace {

Result<void> assign(Duplex::Stream& stream, UniqueFd fd) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return system_error("cannot make a descriptor of a node non-blocking", errno);
  boost::system::error_code failed;
  stream.assign(fd.get(), failed);
  if (failed) return system_error("cannot watch a descriptor of a node", failed.value());
  (void)fd.release();
  return {};
}

void close(Duplex::Stream& stream) {
  boost::system::error_code ignored;
  stream.close(ignored);
}

/// on_data is called before anything else is read, so that one buffer does for all adapters of a thread.
std::string& shared_buffer() {
  thread_local std::string buffer(read_bytes, '\0');
  return buffer;
}

}  // namespace

UnixPipeAdapter::UnixPipeAdapter(boost::asio::io_context& io, std::size_t high_water)
    : in_(io), out_(io), high_water_(high_water) {}

UnixPipeAdapter::~UnixPipeAdapter() = default;

Result<std::shared_ptr<UnixPipeAdapter>> UnixPipeAdapter::make(boost::asio::io_context& io, UniqueFd socket,
                                                               std::size_t high_water) {
  std::shared_ptr<UnixPipeAdapter> made(new UnixPipeAdapter(io, high_water));
  made->shared_ = true;
  auto taken = assign(made->in_, std::move(socket));
  if (!taken) return std::move(taken).error();
  return made;
}

Result<std::shared_ptr<UnixPipeAdapter>> UnixPipeAdapter::make(boost::asio::io_context& io, UniqueFd in,
                                                               UniqueFd out, std::size_t high_water) {
  std::shared_ptr<UnixPipeAdapter> made(new UnixPipeAdapter(io, high_water));
  made->read_over_ = !in;
  made->write_over_ = made->ending_ = !out;
  if (in) {
    auto taken = assign(made->in_, std::move(in));
    if (!taken) return std::move(taken).error();
  }
  if (out) {
    auto taken = assign(made->out_, std::move(out));
    if (!taken) return std::move(taken).error();
  }
  return made;
}

void UnixPipeAdapter::start(DuplexHandler& handler) {
  handler_ = &handler;
}

Duplex::Stream* UnixPipeAdapter::sink() {
  return ending_ || refused_ || !out().is_open() ? nullptr : &out();
}

// --- reading -------------------------------------------------------------------------------------------

void UnixPipeAdapter::resume() {
  paused_ = false;
  wait_readable();
}

void UnixPipeAdapter::wait_readable() {
  if (reading_ || paused_ || read_over_ || closed_) return;
  reading_ = true;
  in_.async_wait(Stream::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
    self->reading_ = false;
    if (self->closed_ || self->paused_ || self->read_over_ || error) return;
    self->read();
  });
}

void UnixPipeAdapter::read() {
  std::string& buffer = shared_buffer();
  const Moved got = read_some(in_.native_handle(), buffer.data(), buffer.size());
  if (got.error == EAGAIN) return wait_readable();
  // The other side left with bytes of ours unread; what it had sent has been read by now.
  if (got.error == ECONNRESET)
    return take_end(system_error("the other side has closed its end", ECONNRESET, Code::stdin_closed));
  if (got.error != 0) return finish(system_error("cannot read from a node", got.error));
  if (got.bytes == 0) return take_end(std::nullopt);
  handler_->on_data(std::string_view(buffer).substr(0, got.bytes));
  wait_readable();
}

void UnixPipeAdapter::take_end(std::optional<Error> why) {
  read_over_ = true;
  if (!shared_) close(in_);
  handler_->on_end();
  if (closed_) return;
  if (why && !write_over_) return refuse(std::move(*why));
  close_if_over();
}

// --- writing -------------------------------------------------------------------------------------------

Result<bool> UnixPipeAdapter::write(std::string bytes, Accepted accepted) {
  if (closed_ || ending_ || refused_)
    return Error(Code::stdin_closed, refused_ ? refused_->message : "the direction has been ended");
  if (unaccepted_ >= high_water_)
    return Error(Code::limit_exceeded, "the high-water mark is reached: on_drain has to be waited for");
  unaccepted_ += bytes.size();
  waiting_.push_back({std::move(bytes), std::move(accepted)});
  if (waiting_.size() == 1) flush();
  if (unaccepted_ >= high_water_) full_ = true;
  return !full_;
}

void UnixPipeAdapter::end(Accepted accepted) {
  if (closed_) return;
  if (accepted && write_over_) return tell(std::move(accepted), refused_);
  if (accepted) at_end_.push_back(std::move(accepted));
  if (ending_) return;
  ending_ = true;
  if (waiting_.empty()) half_close();
}

void UnixPipeAdapter::flush() {
  while (!waiting_.empty()) {
    Waiting& first = waiting_.front();
    if (sent_ < first.bytes.size()) {
      const Moved put = write_some(out().native_handle(), std::string_view(first.bytes).substr(sent_));
      if (put.error == EAGAIN) return wait_writable();
      if (put.error != 0)
        return refuse(system_error("cannot write to a node", put.error,
                                   is_refusal(put.error) ? Code::stdin_closed : Code::internal));
      sent_ += put.bytes;
      unaccepted_ -= put.bytes;
      if (sent_ < first.bytes.size()) continue;
    }
    tell(std::move(first.accepted), std::nullopt);
    waiting_.pop_front();
    sent_ = 0;
  }
  if (ending_ && !write_over_) half_close();
}

void UnixPipeAdapter::wait_writable() {
  if (writing_ || closed_) return;
  writing_ = true;
  out().async_wait(Stream::wait_write, [self = shared_from_this()](const boost::system::error_code& error) {
    self->writing_ = false;
    if (self->closed_ || error) return;
    self->flush();
    if (self->closed_ || !self->full_ || self->unaccepted_ > self->high_water_ / 2) return;
    self->full_ = false;
    if (!self->ending_ && !self->refused_) self->handler_->on_drain();
  });
}

void UnixPipeAdapter::half_close() {
  write_over_ = true;
  if (shared_)
    ::shutdown(in_.native_handle(), SHUT_WR);
  else
    close(out_);
  for (Accepted& each : at_end_) tell(std::move(each), std::nullopt);
  at_end_.clear();
  close_if_over();
}

void UnixPipeAdapter::refuse(Error why) {
  refused_ = why;
  write_over_ = true;
  unaccepted_ = sent_ = 0;
  for (Waiting& each : waiting_) tell(std::move(each.accepted), why);
  waiting_.clear();
  for (Accepted& each : at_end_) tell(std::move(each), why);
  at_end_.clear();
  if (!shared_) close(out_);
  close_if_over();
}

/// From the loop, so that nobody is called from within a call of his own.
void UnixPipeAdapter::tell(Accepted accepted, std::optional<Error> why) {
  if (!accepted) return;
  boost::asio::post(in_.get_executor(),
                    [self = shared_from_this(), accepted = std::move(accepted), why = std::move(why)] {
                      if (self->destroyed_) return;
                      accepted(why ? Result<void>(*why) : Result<void>());
                    });
}

// --- the end -------------------------------------------------------------------------------------------

void UnixPipeAdapter::destroy(std::optional<Error> why) {
  if (closed_) return;
  destroyed_ = true;
  finish(std::move(why));
}

void UnixPipeAdapter::close_if_over() {
  if (read_over_ && write_over_ && !closed_) finish(refused_);
}

void UnixPipeAdapter::finish(std::optional<Error> why) {
  if (closed_) return;
  if (why && !destroyed_) {
    for (Waiting& each : waiting_) tell(std::move(each.accepted), why);
    for (Accepted& each : at_end_) tell(std::move(each), why);
  }
  closed_ = true;
  close(in_);
  close(out_);
  waiting_.clear();
  at_end_.clear();
  unaccepted_ = 0;
  boost::asio::post(in_.get_executor(), [self = shared_from_this(), why = std::move(why)] {
    DuplexHandler* handler = std::exchange(self->handler_, nullptr);
    if (handler) handler->on_close(why ? &*why : nullptr);
  });
}

}  // namespace kairo::executor
