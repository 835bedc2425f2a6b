#include <algorithm>
#include <cerrno>
#include <sys/stat.h>

#include <boost/asio/post.hpp>

#include "executor/flow_bodies.hpp"
#include "executor/raw_io.hpp"

namespace kairo::executor {
namespace {

/// One write to a duplex without descriptors.
constexpr std::size_t write_bytes = 256 * 1024;

}  // namespace

IntakeBody::IntakeBody(boost::asio::io_context& io, Intake::Hooks hooks)
    : io_(io), hooks_(std::move(hooks)) {}

void IntakeBody::open(std::shared_ptr<Life> life, std::string first, Unaccepted unaccepted) {
  take_out_of_pipes();
  if (life_) life_->set_writer({});
  // In the order of the stream: what the last life had taken and not read, what it had not taken, the rest.
  if (unaccepted == Unaccepted::follows)
    for (const std::string& each : in_flight_) first += each;
  in_flight_.clear();
  kept_.replace(0, kept_at_, first);
  kept_at_ = 0;
  life_ = std::move(life);
  ++life_number_;
  life_bytes = 0;
  refused_ = ending_ = ended_ = waiting_ = false;
  Duplex::Stream* stream = life_->duplex().sink();
  struct stat status {};
  sink_is_pipe_ = stream && ::fstat(stream->native_handle(), &status) == 0 && S_ISFIFO(status.st_mode);
  life_->set_writer(weak_from_this());
  release();
}

void IntakeBody::close() {
  hooks_ = {};
  on_held_ = {};
  ++hold_number_;
  if (life_) life_->set_writer({});
  life_.reset();
  ++life_number_;
  current_ = nullptr;
  edges.clear();
}

void IntakeBody::stop() {
  if (std::exchange(stopped_, true)) return;
  kept_.clear();
  kept_at_ = 0;
  current_ = nullptr;
  if (hold_ == Hold::wanted) reach();
  const auto present = edges;
  for (const auto& each : present) {
    each->waiting = {};
    each->piped = 0;
    each->pipe_in.reset();
    each->pipe_out.reset();
    each->line.clear();
    each->from->update();
  }
}

bool IntakeBody::wants() const {
  // A merge keeps an unfinished line of each edge, whatever the life does.
  if (edges.size() > 1) return true;
  return life_ && !refused_ && !ending_ && hold_ != Hold::reached && !has_kept();
}

std::uint64_t IntakeBody::waiting() const {
  std::uint64_t sum = has_kept() ? kept_.size() - kept_at_ : 0;
  for (const auto& each : edges)
    sum +=
        each->waiting.size() + each->piped + each->line.size() - std::min(each->line.size(), each->line_at);
  return sum;
}

Duplex::Stream* IntakeBody::sink() {
  return life_ ? life_->duplex().sink() : nullptr;
}

// --- holds ---------------------------------------------------------------------------------------------

void IntakeBody::hold(api::Boundary boundary, Intake::Held held) {
  boundary_ = boundary;
  on_held_ = std::move(held);
  ++hold_number_;
  if (hold_ == Hold::reached) return tell_held();
  hold_ = Hold::wanted;
  take_out_of_pipes();
  wake();
}

void IntakeBody::release() {
  hold_ = Hold::none;
  ++hold_number_;
  on_held_ = {};
  wake();
}

void IntakeBody::end_life() {
  if (!life_ || ending_) return;
  ending_ = true;
  life_->duplex().end();
}

bool IntakeBody::at_border() const {
  if (!life_ || refused_ || stopped_ || ending_ || boundary_ == api::Boundary::bytes) return true;
  return (last_known_ && last_ == '\n') || exhausted();
}

void IntakeBody::reach() {
  hold_ = Hold::reached;
  tell_held();
}

void IntakeBody::tell_held() {
  if (!held() || !on_held_) return;
  boost::asio::post(io_, [self = shared_from_this(), number = hold_number_] {
    if (number == self->hold_number_ && self->on_held_) std::exchange(self->on_held_, {})();
  });
}

/// What is in an edge's pipe has not been accepted: it is kept, where a border can be looked for in it and
/// the next life can have it.
void IntakeBody::take_out_of_pipes() {
  for (const auto& each : edges) {
    std::string taken(each->piped, '\0');
    std::size_t at = 0;
    while (at < taken.size()) {
      const Moved got = read_some(each->pipe_out.get(), taken.data() + at, taken.size() - at);
      if (got.bytes == 0) break;
      at += got.bytes;
    }
    keep(std::string_view(taken).substr(0, at));
    each->piped = 0;
  }
}

// --- giving --------------------------------------------------------------------------------------------

bool IntakeBody::may_give() {
  if (hold_ == Hold::wanted && at_border()) reach();
  return life_ && !refused_ && !stopped_ && !ending_ && hold_ != Hold::reached;
}

std::size_t IntakeBody::take(std::string_view given) {
  std::size_t taken = 0;
  while (taken < given.size() && may_give()) {
    std::string_view piece = given.substr(taken);
    if (hold_ == Hold::wanted) piece = piece.substr(0, piece.find('\n') + (piece.find('\n') != piece.npos));
    const std::size_t put_now = put(piece);
    if (put_now == 0) break;
    last_ = piece[put_now - 1];
    last_known_ = true;
    taken += put_now;
    if (put_now < piece.size()) break;
  }
  if (hold_ == Hold::wanted) (void)may_give();
  return taken;
}

std::size_t IntakeBody::put(std::string_view given) {
  if (Duplex::Stream* stream = sink()) return put_raw(*stream, given);
  return put_duplex(given);
}

std::size_t IntakeBody::put_raw(Duplex::Stream& stream, std::string_view given) {
  std::size_t done = 0;
  while (done < given.size()) {
    const Moved moved = write_some(stream.native_handle(), given.substr(done));
    done += moved.bytes;
    if (moved.error == 0) continue;
    if (moved.error == EAGAIN)
      wait_writable();
    else
      refuse(system_error("cannot write to a node", moved.error, Code::stdin_closed));
    break;
  }
  bytes += done;
  life_bytes += done;
  return done;
}

std::size_t IntakeBody::put_duplex(std::string_view given) {
  Duplex& duplex = life_->duplex();
  std::size_t done = 0;
  while (done < given.size() && duplex.unaccepted() < duplex.high_water()) {
    const std::string_view piece = given.substr(done, write_bytes);
    auto written = duplex.write(std::string(piece),
                                [weak = weak_from_this(), number = life_number_](const Result<void>& result) {
                                  if (const auto self = weak.lock()) self->accepted(number, result);
                                });
    if (!written) {
      if (written.error().code == Code::stdin_closed) refuse(written.error());
      break;
    }
    // A copy stays here until it is accepted, for the next life should this one break before.
    in_flight_.emplace_back(piece);
    done += piece.size();
    if (!*written) break;
  }
  return done;
}

void IntakeBody::accepted(std::uint64_t life_number, const Result<void>& result) {
  if (life_number != life_number_ || in_flight_.empty()) return;
  if (!result) return refuse(result.error());
  bytes += in_flight_.front().size();
  life_bytes += in_flight_.front().size();
  in_flight_.pop_front();
  if (!in_flight_.empty()) return;
  if (hold_ == Hold::reached) tell_held();
  wake();
}

void IntakeBody::keep(std::string_view given) {
  if (given.empty() || stopped_) return;
  if (!has_kept()) {
    kept_.clear();
    kept_at_ = 0;
  }
  kept_ += given;
}

void IntakeBody::count_spliced(std::size_t moved) {
  last_known_ = false;
  bytes += moved;
  life_bytes += moved;
}

void IntakeBody::refuse(const Error& why) {
  if (std::exchange(refused_, true)) return;
  if (hold_ == Hold::wanted) reach();
  boost::asio::post(io_, [self = shared_from_this(), number = life_number_, why] {
    if (number == self->life_number_ && self->hooks_.on_refused) self->hooks_.on_refused(why);
  });
}

void IntakeBody::on_close(const Error* why) {
  if (!ended_ && !ending_)
    refuse(why ? *why : Error(Code::stdin_closed, "the node's input was closed before it had ended"));
}

void IntakeBody::wait_writable() {
  Duplex::Stream* stream = sink();
  if (waiting_ || !stream) return;
  waiting_ = true;
  stream->async_wait(Duplex::Stream::wait_write, [weak = weak_from_this(), number = life_number_](
                                                     const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!self || self->life_number_ != number) return;
    self->waiting_ = false;
    if (!error) self->wake();
  });
}

void IntakeBody::wake() {
  const auto keep_alive = shared_from_this();
  pump();
  const auto present = edges;
  for (const auto& each : present) each->from->update();
}

// --- what the edges bring ------------------------------------------------------------------------------

void IntakeBody::pump() {
  if (stopped_ || std::exchange(pumping_, true)) return;
  const auto keep_alive = shared_from_this();
  (void)may_give();
  if (pump_kept()) {
    if (edges.size() == 1)
      pump_single(*edges.front());
    else
      pump_merge();
  }
  (void)may_give();
  pumping_ = false;
  end_input();
}

bool IntakeBody::pump_kept() {
  if (has_kept()) kept_at_ += take(std::string_view(kept_).substr(kept_at_));
  if (has_kept()) return false;
  if (kept_.capacity() > write_bytes) kept_ = {};
  return true;
}

void IntakeBody::pump_single(Edge& edge) {
  if (edge.waiting.empty()) return;
  const std::size_t taken = take(edge.waiting);
  edge.waiting.remove_prefix(taken);
  edge.bytes += taken;
  if (edge.waiting.empty()) edge.from->update();
}

bool IntakeBody::exhausted() const {
  return !has_kept() && !current_ && std::all_of(edges.begin(), edges.end(), [](const auto& each) {
    return each->ended && each->waiting.empty() && each->piped == 0 && each->line.empty();
  });
}

void IntakeBody::end_input() {
  if (!life_ || refused_ || stopped_ || ending_ || hold_ != Hold::none) return;
  if (!exhausted() || !in_flight_.empty()) return;
  ending_ = true;
  life_->duplex().end([weak = weak_from_this(), number = life_number_](const Result<void>& result) {
    const auto self = weak.lock();
    if (!self || number != self->life_number_) return;
    if (!result) return self->refuse(result.error());
    self->ended_ = true;
    if (self->hooks_.on_end) self->hooks_.on_end();
  });
}

}  // namespace kairo::executor
