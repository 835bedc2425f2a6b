#include "kernel/event_subscription.hpp"

#include <boost/asio/post.hpp>

#include "event/topic.hpp"
#include "kernel/kernel.hpp"

namespace kairo::kernel {
namespace {

/// Events taken from the window in one turn of the loop.
constexpr std::size_t turn_events = 512;

}  // namespace

api::Event lagged_event(std::uint64_t from_seq, std::uint64_t to_seq, std::uint64_t count,
                        const std::string& subscription_id) {
  api::Event lagged;
  lagged.type = "kairo.event.lagged";
  lagged.time = to_iso8601(system_now());
  lagged.source = "kernel";
  lagged.id = "lagged-" + std::to_string(from_seq) + "-" + std::to_string(to_seq);
  if (!subscription_id.empty()) lagged.subscription_id = subscription_id;
  reflect::Sink sink(lagged.data.msgpack);
  reflect::Packer to(sink);
  to.pack_map(3);
  reflect::encode(to, "fromSeq");
  reflect::encode(to, from_seq);
  reflect::encode(to, "toSeq");
  reflect::encode(to, to_seq);
  reflect::encode(to, "count");
  reflect::encode(to, count);
  return lagged;
}

EventSubscription::~EventSubscription() {
  if (token_ != 0) kernel_.bus().unsubscribe(token_);
}

void EventSubscription::go_live() {
  replaying_ = false;
  // A member of its client, which unsubscribes before it goes.
  token_ = kernel_.bus().subscribe(pattern_, [this](const event::Recorded& recorded) {
    if (kernel_.may_see(client_.principal(), recorded)) client_.send_event(recorded, id_);
  });
}

void EventSubscription::replay(std::uint64_t since) {
  cursor_ = since;
  replaying_ = true;
  step_soon();  // behind the answer that says so
}

void EventSubscription::resume() {
  if (replaying_) step_soon();
}

void EventSubscription::step_soon() {
  if (std::exchange(busy_, true)) return;
  boost::asio::post(kernel_.io(), [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->busy_ = false;
    self->step();
  });
}

void EventSubscription::step() {
  if (!replaying_ || busy_ || !client_.open()) return;
  if (client_.connection().outbox_bytes() > limits::event_replay_bytes) return;  // resume() follows
  if (cursor_ < kernel_.bus().window().since()) return ask_page();
  if (give_window()) step_soon();
}

bool EventSubscription::give_window() {
  const auto batch = kernel_.bus().window().behind(cursor_, turn_events);
  if (!batch) return true;
  std::string& outbox = client_.connection().outbox();
  bool full = false;
  for (const event::Window::Entry& each : *batch) {
    full = client_.connection().outbox_bytes() > limits::event_replay_bytes;
    if (full) break;
    cursor_ = *each->event.seq;
    if (event::matches(pattern_, each->event.type) && kernel_.may_see(client_.principal(), *each)) {
      api::append_event(outbox, each->encoded, id_);
      client_.note_event_frames(1);
    }
  }
  client_.connection().wrote();
  if (full) return false;
  if (batch->size() == turn_events) return true;
  go_live();
  return false;
}

void EventSubscription::ask_page() {
  event::Query query;
  query.topic = pattern_;
  query.since_seq = cursor_;
  query.viewer = viewer_ = kernel_.viewer(client_.principal());
  query.bytes = limits::event_replay_bytes;
  busy_ = true;
  kernel_.archive().ask(
      std::move(query), [weak = weak_from_this(), &io = kernel_.io(), id = id_](Result<event::Page> page) {
        // On the archive's thread: the frames are made here, too.
        Result<std::string> frames = std::string();
        std::uint64_t upto = 0;
        std::size_t count = 0;
        if (page) {
          count = page->facts.size();
          upto = page->upto;
          auto gap = page->gaps.begin();
          const auto tell_gaps = [&](std::uint64_t before) {
            for (; gap != page->gaps.end() && gap->first < before; ++gap) {
              api::append_event(*frames, lagged_event(gap->first, gap->last, gap->last - gap->first + 1, id));
              upto = std::max(upto, gap->last);
            }
          };
          for (event::Fact& each : page->facts) {
            tell_gaps(*each.event.seq);
            each.event.subscription_id = id;
            api::append_event(*frames, each.event);
          }
          tell_gaps(page->more ? upto : UINT64_MAX);
        } else {
          frames = std::move(page).error();
        }
        boost::asio::post(io, [weak, upto, count, frames = std::move(frames)]() mutable {
          if (const auto self = weak.lock()) self->take_page(std::move(frames), count, upto);
        });
      });
}

void EventSubscription::take_page(Result<std::string> frames, std::size_t count, std::uint64_t upto) {
  busy_ = false;
  if (!replaying_ || !client_.open()) return;
  std::string& outbox = client_.connection().outbox();
  if (viewer_ != kernel_.viewer(client_.principal())) return step_soon();  // it has narrowed itself since
  if (frames) {
    outbox.append(*frames);
    client_.note_event_frames(count);
    cursor_ = std::max(cursor_, upto);
  } else {
    // Neither the store nor the journal can be read: what they hold cannot be had now, and that is said.
    kernel_.log_client("a replay of events had to leave some out: " + frames.error().message);
    const std::uint64_t newest = kernel_.bus().newest();
    api::append_event(outbox, lagged_event(cursor_ + 1, newest, newest - cursor_, id_));
    cursor_ = newest;
  }
  client_.connection().wrote();
  step_soon();
}

}  // namespace kairo::kernel
