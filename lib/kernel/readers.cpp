// Who reads a session's output, what of it must be kept for them, and who is woken.
#include <algorithm>

#include "kernel/kernel.hpp"

namespace kairo::kernel {
namespace {

/// A keeper that was held by a pin is told to go on when so much is free: one wake-up moves megabytes.
constexpr std::uint64_t resume_bytes = 4u << 20;

}  // namespace

void Kernel::add_reader(OutputSubscription& subscription) {
  const auto held = inherited_.find(subscription.session().key());
  if (held != inherited_.end() && subscription.lossless() && --held->second.readers == 0)
    inherited_.erase(held);
  attention_[subscription.session().key()].readers.push_back(&subscription);
  update_pins(subscription.session());
}

void Kernel::remove_reader(OutputSubscription& subscription) {
  const auto it = attention_.find(subscription.session().key());
  if (it == attention_.end()) return;
  std::erase(it->second.readers, &subscription);
  update_pins(subscription.session());
}

void Kernel::note_read(session::Session& session, unsigned stream, std::uint64_t position) {
  if (!session.record().block_when_full || !session.slot()) return;
  std::uint64_t& had = attention_[session.key()].had[stream];
  if (position <= had) return;
  had = position;
  session.slot()->streams[stream].block_pin.store(position, std::memory_order_seq_cst);
}

void Kernel::update_pins(session::Session& session) {
  keeper::SessionSlot* slot = session.slot();
  // The next daemon's readers find the pins of this one's: going away is no reason to give up what they hold.
  if (!slot || (stopping_ && !stop_keeper_)) return;
  if (!starting.empty() && starting.contains(session.id())) return;
  const auto it = attention_.find(session.key());
  const auto held = inherited_.find(session.key());
  std::uint32_t lossless = held == inherited_.end() ? 0 : held->second.readers;
  if (it != attention_.end())
    for (const OutputSubscription* reader : it->second.readers) lossless += reader->lossless() ? 1 : 0;
  slot->kairod_wants_hold.store(1 + lossless, std::memory_order_relaxed);
  bool resume = false;
  for (unsigned stream = 0; stream < 2; ++stream) {
    std::uint64_t pin = held == inherited_.end() ? stream::no_pin : held->second.pins[stream];
    if (it != attention_.end())
      for (OutputSubscription* reader : it->second.readers) {
        const stream::Feed* feed = reader->feed(stream);
        if (feed && feed->lossless() && !feed->finished()) pin = std::min(pin, feed->position());
      }
    stream::StreamSlot& shared = slot->streams[stream];
    if (shared.pin.load(std::memory_order_relaxed) != pin) shared.pin.store(pin, std::memory_order_seq_cst);
    if ((shared.flags.load(std::memory_order_seq_cst) & stream::log_held) == 0) continue;
    const std::uint64_t limit = std::min(pin, shared.block_pin.load(std::memory_order_relaxed));
    const std::uint64_t tail = shared.tail.load(std::memory_order_acquire);
    // A ring may have stayed smaller than it was to be.
    const std::uint64_t retain =
        std::min(session.record().retain_bytes, shared.capacity.load(std::memory_order_acquire));
    const std::uint64_t free =
        limit == stream::no_pin ? UINT64_MAX : limit + retain - std::min(limit + retain, tail);
    if (free >= std::min(resume_bytes, retain / 4)) resume = true;
  }
  if (resume) link_->resume_pump(session.key());
}

bool Kernel::arm(OutputSubscription& subscription) {
  keeper::SessionSlot* slot = subscription.session().slot();
  bool quiet = true;
  for (unsigned stream = 0; stream < 2; ++stream) {
    const stream::Feed* feed = subscription.feed(stream);
    if (!feed || !subscription.waits_for_log(stream)) continue;
    // The mark first, then the look: what comes after the look finds the mark.
    if (slot) slot->streams[stream].wake.store(1, std::memory_order_seq_cst);
    if (feed->has_pending()) quiet = false;
  }
  return quiet;
}

void Kernel::wake_readers(session::Session& session) {
  const auto it = attention_.find(session.key());
  if (it == attention_.end()) return;
  for (OutputSubscription* reader : it->second.readers) reader->client().ready(*reader);
}

void Kernel::give_last_output(session::Session& session) {
  const auto it = attention_.find(session.key());
  if (it == attention_.end()) return;
  const auto readers = it->second.readers;  // finished ones leave meanwhile
  for (OutputSubscription* reader : readers) reader->client().give_last(*reader);
}

void Kernel::add_pending_read(session::Session& session, unsigned stream,
                              std::function<bool(bool)> try_answer, std::chrono::milliseconds wait) {
  auto pending = std::make_shared<PendingRead>(PendingRead{std::move(try_answer)});
  pending->timer = timers_.after(wait, [this, key = session.key(), stream, weak = std::weak_ptr(pending)] {
    const auto late = weak.lock();
    const auto it = attention_.find(key);
    if (!late || it == attention_.end()) return;
    std::erase(it->second.reads[stream], late);
    late->try_answer(true);
  });
  attention_[session.key()].reads[stream].push_back(std::move(pending));
  if (session.slot()) session.slot()->streams[stream].wake.store(1, std::memory_order_seq_cst);
  answer_reads(session, false);  // what came between the look and the mark
}

void Kernel::answer_reads(session::Session& session, bool give_up) {
  const auto it = attention_.find(session.key());
  if (it == attention_.end()) return;
  for (unsigned stream = 0; stream < 2; ++stream) {
    auto& reads = it->second.reads[stream];
    if (reads.empty()) continue;
    std::erase_if(reads, [&](const std::shared_ptr<PendingRead>& read) {
      if (!read->try_answer(give_up)) return false;
      timers_.cancel(read->timer);
      return true;
    });
    if (!reads.empty() && session.slot())
      session.slot()->streams[stream].wake.store(1, std::memory_order_seq_cst);
  }
}

}  // namespace kairo::kernel
