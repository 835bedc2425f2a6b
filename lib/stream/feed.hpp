// A Feed is one reader of one stream: a position in the log, and the rules by which its bytes become
// STREAM_CHUNK frames (SPEC 5.3 to 5.5): flow, pacing, credit, line or chunk mode, encoding. It is asked for frames when
// the connection has room and holds none itself. Nothing here knows sockets or clocks; `now` comes in.
//
// Order of calls: give() whenever there may be something to give; what it answers says what to wait for.
// After a batch was handed to the socket or copied, position() is the oldest byte that this reader still needs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "api/envelope.hpp"
#include "base/clock.hpp"
#include "stream/batch.hpp"
#include "stream/log_reader.hpp"
#include "stream/pacing.hpp"

namespace kairo::stream {

/// Credit of one subscription, shared by its streams (SPEC 5.4). Counts the bytes of the stream, not of their encoding.
class Credit {
 public:
  explicit Credit(std::optional<std::uint64_t> window) : left_(window) {}
  [[nodiscard]] bool counted() const { return left_.has_value(); }
  /// UINT64_MAX when no credit is counted.
  [[nodiscard]] std::uint64_t left() const { return left_.value_or(UINT64_MAX); }
  void add(std::uint64_t bytes);   ///< Saturates.
  void spend(std::uint64_t bytes); ///< At most left().

 private:
  std::optional<std::uint64_t> left_;
};

struct FeedOptions {
  api::Mode mode = api::Mode::chunk;
  api::Encoding encoding = api::Encoding::utf8;
  api::Flow flow = api::Flow::follow;
  std::size_t max_chunk_bytes = 64u << 10;
  std::uint64_t max_bytes_per_second = 256u << 10;  ///< Only under throttle.
  std::uint64_t from = 0;                           ///< First offset wanted.
};

/// What the subscription has to say beside chunks: a throttling episode began (one event, SPEC 5.4).
struct Throttled {
  std::uint64_t offset = 0;   ///< First byte that was dropped.
  std::uint64_t dropped = 0;  ///< Bytes dropped so far in this episode.
};

class Feed {
 public:
  /// `log` and `credit` outlive the feed.
  Feed(LogReader& log, Credit& credit, api::ChunkWriter writer, const FeedOptions& options);

  enum class State {
    idle,      ///< All that is there was given: wait for the log to grow.
    full,      ///< The batch has no more room: ask again after it was sent.
    credit,    ///< Waits for process.credit.
    paced,     ///< Under throttle: ask again at `when`.
    finished,  ///< The chunk with eof was given. Nothing follows.
  };
  struct Answer {
    State state = State::idle;
    SteadyTime when{};                   ///< With `paced`.
    std::optional<Throttled> throttled;  ///< An episode began in this call.
  };

  /// Appends as many frames as the rules and the batch's room allow, at most `max_bytes` of stream data.
  /// An Error when the log cannot be read: the subscription cannot go on.
  Result<Answer> give(Batch& batch, std::size_t max_bytes, SteadyTime now);

  /// The oldest byte that has not been given. Under lossless flow this is what the log must keep.
  [[nodiscard]] std::uint64_t position() const { return position_; }
  [[nodiscard]] bool finished() const { return finished_; }
  [[nodiscard]] bool lossless() const { return options_.flow == api::Flow::lossless; }
  /// Whether a byte, an end or a gap waits that has not been given (credit and pace aside).
  [[nodiscard]] bool has_pending() const;
  /// The mapping is only needed while data flows.
  void release_mapping() { window_.unmap(); }

 private:
  LogReader& log_;
  Credit& credit_;
  api::ChunkWriter writer_;
  FeedOptions options_;
  std::uint64_t position_;
  std::uint64_t seq_ = 0;
  std::uint64_t dropped_ = 0;  ///< To be told with the next chunk.
  bool truncated_ = false;     ///< The next chunk carries `truncated`.
  bool finished_ = false;
  std::unique_ptr<Pacing> pacing_;  ///< Only under throttle.
  MappedWindow window_;             ///< Only lossless and binary.
};

}  // namespace kairo::stream
