#include "executor/worker_pipe_adapter.hpp"

#include <array>
#include <mutex>

#include <boost/asio/post.hpp>

namespace kairo::executor {
namespace {

/// Writes handed over in one turn of the loop: others wait for it, too.
constexpr int turn = 64;

Result<void> closed_error() {
  return Error(Code::stdin_closed, "the other side of the worker's pipe takes nothing more");
}

}  // namespace

struct WorkerPipeAdapter::Channel {
  /// What flows to one seat.
  struct Direction {
    std::deque<std::string> queue;
    std::string returned;     ///< Taken, and given back.
    std::size_t waiting = 0;  ///< Bytes of `queue`.
    std::uint64_t taken = 0;  ///< Writes of the other seat that have left `queue`.
    bool ended = false;
    bool abandoned = false;  ///< The writer was destroyed: `queue` is not delivered.
  };
  struct Seat {
    boost::asio::io_context* io = nullptr;  ///< Null while nobody sits there.
    std::weak_ptr<WorkerPipeAdapter> who;
    bool woken = false;
    bool destroyed = false;
    Direction to;
  };

  /// Under the mutex: an io_context that still has its seat is alive.
  void wake(int seat) {
    Seat& at = seats[seat];
    if (!at.io || at.woken) return;
    at.woken = true;
    boost::asio::post(*at.io, [who = at.who] {
      if (const auto side = who.lock()) side->run();
    });
  }

  /// Under the mutex: what that seat wrote and nobody took is not written.
  void abandon(int seat) {
    seats[seat].destroyed = true;
    seats[1 - seat].to.abandoned = true;
    wake(1 - seat);
  }

  std::mutex mutex;
  std::array<Seat, 2> seats;
};

WorkerPipeAdapter::WorkerPipeAdapter(std::shared_ptr<Channel> channel, int seat, boost::asio::io_context& io,
                                     std::size_t high_water)
    : channel_(std::move(channel)), seat_(seat), io_(io), high_water_(high_water) {}

WorkerPipeAdapter::~WorkerPipeAdapter() {
  if (closed_) return;
  const std::lock_guard lock(channel_->mutex);
  channel_->seats[seat_].io = nullptr;
  channel_->abandon(seat_);
}

WorkerPipeAdapter::Pair WorkerPipeAdapter::make(boost::asio::io_context& first,
                                                boost::asio::io_context& second, std::size_t high_water) {
  return make(first, second, high_water, false);
}

WorkerPipeAdapter::Pair WorkerPipeAdapter::make_one_way(boost::asio::io_context& writer,
                                                        boost::asio::io_context& reader,
                                                        std::size_t high_water) {
  return make(writer, reader, high_water, true);
}

WorkerPipeAdapter::Pair WorkerPipeAdapter::make(boost::asio::io_context& first,
                                                boost::asio::io_context& second, std::size_t high_water,
                                                bool one_way) {
  const auto channel = std::make_shared<Channel>();
  Pair made{std::shared_ptr<WorkerPipeAdapter>(new WorkerPipeAdapter(channel, 0, first, high_water)),
            std::shared_ptr<WorkerPipeAdapter>(new WorkerPipeAdapter(channel, 1, second, high_water))};
  if (one_way) {
    made.first->end_heard_ = true;
    made.second->ended_ = made.second->end_told_ = true;
    channel->seats[0].to.ended = true;
  }
  made.first->sit();
  made.second->sit();
  return made;
}

void WorkerPipeAdapter::sit() {
  const std::lock_guard lock(channel_->mutex);
  Channel::Seat& own = channel_->seats[seat_];
  own.io = &io_;
  own.who = weak_from_this();
  own.woken = false;
}

void WorkerPipeAdapter::start(DuplexHandler& handler) {
  handler_ = &handler;
  wake_self();
}

Result<bool> WorkerPipeAdapter::write(std::string bytes, Accepted accepted) {
  if (ended_ || refused_ || is_over()) return closed_error().error();
  if (unaccepted_ >= high_water_)
    return Error(Code::limit_exceeded, "the high-water mark is reached: on_drain has to be waited for");
  const std::size_t size = bytes.size();
  {
    const std::lock_guard lock(channel_->mutex);
    Channel::Seat& other = channel_->seats[1 - seat_];
    // To one that is gone it is refused from the loop, as every other write that nobody takes.
    if (!other.destroyed) {
      other.to.queue.push_back(std::move(bytes));
      other.to.waiting += size;
    }
    channel_->wake(other.destroyed ? seat_ : 1 - seat_);
  }
  unaccepted_ += size;
  pending_.push_back({size, std::move(accepted)});
  if (unaccepted_ >= high_water_) full_ = true;
  return !full_;
}

void WorkerPipeAdapter::end(Accepted accepted) {
  if (is_over()) return;
  if (accepted) at_end_.push_back(std::move(accepted));
  ended_ = true;
  const std::lock_guard lock(channel_->mutex);
  channel_->seats[1 - seat_].to.ended = true;
  channel_->wake(1 - seat_);
  channel_->wake(seat_);
}

void WorkerPipeAdapter::pause() {
  paused_ = true;
}

void WorkerPipeAdapter::resume() {
  if (!paused_ || is_over()) return;
  paused_ = false;
  wake_self();
}

void WorkerPipeAdapter::destroy(std::optional<Error> why) {
  if (is_over()) return;
  destroyed_ = true;
  why_ = std::move(why);
  pending_.clear();
  at_end_.clear();
  unaccepted_ = 0;
  const std::lock_guard lock(channel_->mutex);
  channel_->abandon(seat_);
  channel_->wake(seat_);
}

std::string WorkerPipeAdapter::own(std::string_view bytes) {
  if (bytes.data() == current_.data() && bytes.size() == current_.size()) return std::exchange(current_, {});
  return std::string(bytes);
}

void WorkerPipeAdapter::wake_self() {
  const std::lock_guard lock(channel_->mutex);
  channel_->wake(seat_);
}

void WorkerPipeAdapter::run() {
  const auto self = shared_from_this();
  {
    const std::lock_guard lock(channel_->mutex);
    channel_->seats[seat_].woken = false;
  }
  if (closed_ || !handler_) return;
  if (!destroyed_) settle();
  if (!destroyed_) deliver();
  close_when_over();
}

void WorkerPipeAdapter::settle() {
  std::uint64_t taken = 0;
  {
    const std::lock_guard lock(channel_->mutex);
    const Channel::Seat& other = channel_->seats[1 - seat_];
    taken = other.to.taken;
    refused_ = refused_ || (other.destroyed && !end_told_);
  }
  while (!is_over() && !pending_.empty() && (told_ < taken || refused_)) {
    const Pending each = std::move(pending_.front());
    pending_.pop_front();
    unaccepted_ -= each.bytes;
    const bool was_taken = told_ < taken;
    if (was_taken) ++told_;
    if (each.accepted) each.accepted(was_taken ? Result<void>() : closed_error());
  }
  if (is_over()) return;
  if ((ended_ || refused_) && pending_.empty()) {
    end_told_ = end_told_ || !refused_;
    for (const Accepted& each : std::exchange(at_end_, {}))
      if (!is_over()) each(refused_ ? closed_error() : Result<void>());
  }
  if (full_ && unaccepted_ <= high_water_ / 2 && !ended_ && !refused_ && !is_over()) {
    full_ = false;
    handler_->on_drain();
  }
}

void WorkerPipeAdapter::deliver() {
  std::size_t unknown = 0;  // bytes taken since the writer was last woken
  for (int i = 0; !paused_ && !is_over(); ++i) {
    {
      const std::lock_guard lock(channel_->mutex);
      Channel::Direction& in = channel_->seats[seat_].to;
      if (i == turn) {
        channel_->wake(seat_);
        break;
      }
      if (!in.returned.empty()) {
        current_ = std::exchange(in.returned, {});
      } else if (!in.queue.empty() && !in.abandoned) {
        current_ = std::move(in.queue.front());
        in.queue.pop_front();
        in.waiting -= current_.size();
        ++in.taken;
        // At once where there is much, so that the writer goes on beside on_data; else once for many.
        unknown += current_.size() + 1;
        if (unknown > high_water_ / 4) {
          channel_->wake(1 - seat_);
          unknown = 0;
        }
      } else {
        break;
      }
    }
    if (!current_.empty()) handler_->on_data(current_);
  }
  bool over = false;
  {
    const std::lock_guard lock(channel_->mutex);
    if (unknown > 0) channel_->wake(1 - seat_);
    const Channel::Direction& in = channel_->seats[seat_].to;
    over = in.returned.empty() && (in.abandoned || (in.queue.empty() && in.ended));
  }
  if (over && !paused_ && !is_over() && !end_heard_) {
    end_heard_ = true;
    handler_->on_end();
  }
}

void WorkerPipeAdapter::close_when_over() {
  if (closed_ || !(destroyed_ || ((end_told_ || refused_) && end_heard_))) return;
  closed_ = true;
  {
    const std::lock_guard lock(channel_->mutex);
    channel_->seats[seat_].io = nullptr;
  }
  if (!destroyed_ && refused_) why_ = closed_error().error();
  handler_->on_close(why_ ? &*why_ : nullptr);
}

void WorkerPipeAdapter::give_back(std::string bytes) {
  const std::lock_guard lock(channel_->mutex);
  std::string& returned = channel_->seats[seat_].to.returned;
  returned.insert(0, bytes);
}

void WorkerPipeAdapter::leave() {
  if (closed_) return;
  closed_ = true;
  const std::lock_guard lock(channel_->mutex);
  channel_->seats[seat_].io = nullptr;
}

std::shared_ptr<WorkerPipeAdapter> WorkerPipeAdapter::successor(boost::asio::io_context& io) {
  std::shared_ptr<WorkerPipeAdapter> next(new WorkerPipeAdapter(channel_, seat_, io, high_water_));
  next->ended_ = ended_;
  next->end_told_ = end_told_;
  next->told_ = told_;
  next->sit();
  return next;
}

std::size_t WorkerPipeAdapter::unread() const {
  const std::lock_guard lock(channel_->mutex);
  const Channel::Direction& in = channel_->seats[seat_].to;
  return in.returned.size() + in.waiting;
}

std::string WorkerPipeAdapter::take_unread() {
  const std::lock_guard lock(channel_->mutex);
  Channel::Direction& in = channel_->seats[seat_].to;
  std::string out = std::exchange(in.returned, {});
  for (const std::string& each : in.queue) out += each;
  in.taken += in.queue.size();
  in.queue.clear();
  in.waiting = 0;
  channel_->wake(1 - seat_);
  return out;
}

}  // namespace kairo::executor
