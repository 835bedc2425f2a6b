#include "kernel/subscription.hpp"

#include <algorithm>

namespace kairo::kernel {

OutputSubscription::OutputSubscription(Client& client, session::Session& session, int logs_dir,
                                       std::string id, const Options& options)
    : client_(client),
      session_(session),
      id_(std::move(id)),
      credit_(options.window),
      owner_(options.owner),
      flow_(options.flow) {
  for (unsigned stream = 0; stream < 2; ++stream) {
    if (!options.streams[stream]) continue;
    stream::FeedOptions feed;
    feed.mode = options.mode;
    feed.encoding = options.encoding;
    feed.flow = options.flow;
    feed.max_chunk_bytes = options.max_chunk_bytes;
    feed.max_bytes_per_second = options.max_bytes_per_second;
    feed.from = options.from[stream];
    api::ChunkWriter writer(session.id(), static_cast<api::StreamName>(stream), id_,
                            session.record().correlation_id);
    feeds_[stream] =
        std::make_unique<stream::Feed>(session.log(stream, logs_dir), credit_, std::move(writer), feed);
  }
}

bool OutputSubscription::finished() const {
  return std::all_of(feeds_.begin(), feeds_.end(),
                     [](const auto& feed) { return !feed || feed->finished(); });
}

OutputSubscription::Given OutputSubscription::give(stream::Batch& batch, std::size_t bytes, SteadyTime now) {
  Given given;
  for (unsigned i = 0; i < 2; ++i) {
    const unsigned stream = (turn_ + i) % 2;
    stream::Feed* feed = feeds_[stream].get();
    if (!feed || feed->finished()) continue;
    const std::size_t before = batch.bytes();
    if (before >= bytes) {
      given.more = true;
      continue;
    }
    auto answer = feed->give(batch, bytes - before, now);
    if (!answer) {
      given.failed = std::move(answer).error();
      given.failed_stream = stream;
      given.more = true;  // its end is still to be given
      continue;
    }
    given.throttled[stream] = answer->throttled;
    given.chunks += answer->chunks;
    given.dropped += answer->dropped;
    waits_for_log_[stream] = answer->state == stream::Feed::State::idle;
    if (answer->state == stream::Feed::State::full) given.more = true;
    if (answer->state == stream::Feed::State::paced && (!given.again_at || answer->when < *given.again_at))
      given.again_at = answer->when;
  }
  turn_ ^= 1u;
  return given;
}

}  // namespace kairo::kernel
