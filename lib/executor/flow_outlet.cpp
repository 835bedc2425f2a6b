#include <algorithm>
#include <sys/stat.h>

#include <boost/asio/post.hpp>

#include "executor/flow_bodies.hpp"

namespace kairo::executor {

OutletBody::OutletBody(boost::asio::io_context& io, Outlet& owner, Outlet::Ended ended)
    : io_(io), owner_(&owner), ended_(std::move(ended)) {}

void OutletBody::open(std::shared_ptr<Life> life) {
  if (life_) life_->set_reader({});
  life_ = std::move(life);
  ++life_number_;
  life_bytes = 0;
  why_.reset();
  over_ = end_told_ = at_end_ = unwanted_told_ = waiting_ = false;
  Duplex::Stream* source = life_->duplex().source();
  struct stat status {};
  source_is_pipe_ = source && ::fstat(source->native_handle(), &status) == 0 && S_ISFIFO(status.st_mode);
  life_->set_reader(weak_from_this());
  update();
}

void OutletBody::close() {
  owner_ = nullptr;
  ended_ = {};
  over_ = end_told_ = true;
  if (life_) life_->set_reader({});
  life_.reset();
  edges.clear();
}

void OutletBody::finish() {
  finished_ = true;
  update();
}

// --- what the edges say --------------------------------------------------------------------------------

bool OutletBody::all_taken() const {
  return std::all_of(edges.begin(), edges.end(), [](const auto& each) {
    return each->to->stopped() || (each->waiting.empty() && each->piped == 0);
  });
}

bool OutletBody::all_stopped() const {
  return !edges.empty() &&
         std::all_of(edges.begin(), edges.end(), [](const auto& each) { return each->to->stopped(); });
}

bool OutletBody::all_wanting() const {
  return !edges.empty() && std::all_of(edges.begin(), edges.end(), [](const auto& each) {
    return each->to->stopped() || each->to->wants();
  });
}

Edge* OutletBody::spliced() const {
  if (edges.size() != 1 || edges.front()->to->edges.size() != 1 || at_end_) return nullptr;
  Edge* edge = edges.front().get();
  return edge->waiting.empty() && life_->duplex().source() && edge->to->sink() ? edge : nullptr;
}

void OutletBody::update() {
  const auto keep = shared_from_this();
  if (in_data_) return;
  if (over_) return tell_end();
  if (all_stopped()) {
    life_->duplex().pause();
    if (std::exchange(unwanted_told_, true)) return;
    boost::asio::post(io_, [self = shared_from_this()] {
      if (self->owner_ && self->owner_->on_unwanted) self->owner_->on_unwanted();
    });
    return;
  }
  if (Edge* edge = spliced()) {
    life_->duplex().pause();
    return splice(*edge);
  }
  if (all_taken() && all_wanting())
    life_->duplex().resume();
  else
    life_->duplex().pause();
}

// --- what the life says --------------------------------------------------------------------------------

void OutletBody::on_data(std::string_view bytes_read) {
  const auto keep = shared_from_this();
  bytes += bytes_read.size();
  life_bytes += bytes_read.size();
  std::size_t behind = 0;
  for (const auto& each : edges) behind = std::max(behind, each->waiting.size());
  std::string both;
  if (behind > 0) {
    // A read that was under way when reading was paused comes behind what waits.
    both = chunk_.substr(chunk_.size() - behind).append(bytes_read);
    bytes_read = both;
  }
  const std::size_t fresh = bytes_read.size() - behind;
  in_data_ = true;
  const auto present = edges;
  for (const auto& each : present)
    if (!each->to->stopped())
      each->waiting = bytes_read.substr(bytes_read.size() - fresh - each->waiting.size());
  for (const auto& each : present)
    if (!each->to->stopped()) each->to->pump();
  in_data_ = false;
  std::size_t rest = 0;
  for (const auto& each : edges) rest = std::max(rest, each->waiting.size());
  chunk_.assign(bytes_read.substr(bytes_read.size() - rest));
  for (const auto& each : edges)
    each->waiting = std::string_view(chunk_).substr(chunk_.size() - each->waiting.size());
  update();
}

void OutletBody::on_end() {
  over(nullptr);
}

void OutletBody::on_close(const Error* why) {
  if (!over_) over(why);
}

void OutletBody::over(const Error* why) {
  if (over_) return;
  over_ = true;
  if (why) why_ = *why;
  const auto present = edges;
  for (const auto& each : present) {
    if (each->piped == 0) continue;
    each->to->take_out_of_pipes();
    each->to->pump();
  }
  update();
}

/// The life's end, and behind the last one the flow's, once everything before has gone on.
void OutletBody::tell_end() {
  if (!all_taken()) return;
  if (!std::exchange(end_told_, true))
    boost::asio::post(io_, [self = shared_from_this(), why = std::exchange(why_, std::nullopt)] {
      if (self->ended_) self->ended_(why ? &*why : nullptr);
    });
  if (!finished_) return;
  const auto present = edges;
  for (const auto& each : present) {
    if (std::exchange(each->ended, true)) continue;
    each->to->pump();
  }
}

}  // namespace kairo::executor
