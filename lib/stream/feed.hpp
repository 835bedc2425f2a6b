// A Feed is one reader of one stream: a position in the log, and the rules by which its bytes become
// STREAM_CHUNK frames (SPEC 5.3 to 5.5): flow, pacing, credit, line or chunk mode, encoding. It is asked for
// frames when the connection has room and holds none itself. Nothing here knows sockets or clocks; `now`
// comes in.
//
// Order of calls: give() whenever there may be something to give; what it answers says what to wait for.
// After a batch was handed to the socket or copied, position() is the oldest byte that this reader still
// needs. Under lossless flow the log's pin stands at or below position() before the first give().
//
// What was skipped is told exactly: the bytes of all chunks and all `dropped` together are the stream's.
//
// - utf8: a chunk with a bad byte in it goes as base64, whole but for a code point that its end would cut.
// What may
//   still become a code point waits for more, or for the end. After a gap up to three continuation bytes that
//   belong to a code point that is gone are dropped with it.
// - line: after a gap delivery goes on with the next whole line, unless none begins within max_chunk_bytes:
// then it
//   stands inside of an over-long line, of which pieces are given anyway.
// - throttle: bytes are given as they come until the tokens are out. Then the feed waits until those for one
// chunk are
//   back; if what has come meanwhile is more than they pay for, it goes on with the newest bytes, and an
//   episode has begun. It ends when the feed keeps up and has tokens for a chunk to spare. A stream that
//   merely ends in a burst that the next tokens can pay for is late, not dropped.
// - credit is kept to the byte, with two exceptions, lest a reader that grants little by little waits for
// ever: a
//   line and a code point are given whole when there is any credit. Further credit pays the debt first.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "api/envelope.hpp"
#include "base/clock.hpp"
#include "stream/batch.hpp"
#include "stream/log_reader.hpp"
#include "stream/pacing.hpp"

namespace kairo::stream {

/// Credit of one subscription, shared by its streams (SPEC 5.4). Counts the bytes of the stream, not of their
/// encoding.
class Credit {
 public:
  explicit Credit(std::optional<std::uint64_t> window) : left_(window) {}
  [[nodiscard]] bool counted() const { return left_.has_value(); }
  /// UINT64_MAX when no credit is counted.
  [[nodiscard]] std::uint64_t left() const { return left_.value_or(UINT64_MAX); }
  void add(std::uint64_t bytes);    ///< Saturates.
  void spend(std::uint64_t bytes);  ///< What exceeds left() is a debt that add() pays first.

 private:
  std::optional<std::uint64_t> left_;
  std::uint64_t debt_ = 0;
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
    std::uint64_t chunks = 0;            ///< Frames that this call has put into the batch.
    std::uint64_t dropped = 0;           ///< Bytes that this call has passed over.
  };

  /// Appends as many frames as the rules and the batch's room allow, at most `max_bytes` of stream data.
  /// An Error, once, when the log cannot be read: the rest counts as dropped, and the next call gives the
  /// end.
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
  struct Turn;
  enum class Next { go_on, stop };  ///< Another step, or the answer stands.

  Result<Next> step(Turn& turn);
  Result<Next> give_chunk(Turn& turn, const LogState& log);
  Result<Next> give_mapped(Turn& turn, const LogState& log);
  Result<Next> give_lines(Turn& turn, const LogState& log);
  Next seek_line(Turn& turn, const LogState& log, std::string_view data);
  [[nodiscard]] std::size_t longest_line(const LogState& log) const;
  Result<bool> line_goes_on(const LogState& log);
  Next give_block(Turn& turn, const LogState& log, std::string_view data, std::size_t longest,
                  bool& wants_more);
  Next give_end(Turn& turn);
  Next give_up(Turn& turn);
  void put(Turn& turn, api::ChunkHead head, const char* data, std::size_t bytes, const LogState& log);
  bool pace(Turn& turn, const LogState& log);
  void drop(Turn& turn, std::uint64_t bytes);
  void jumped();
  Next lapped(Turn& turn, std::uint64_t lost);
  [[nodiscard]] api::ChunkHead head_of(api::Encoding encoding, std::size_t bytes, const LogState& log) const;
  void gave(Turn& turn, std::size_t bytes, bool eof);
  [[nodiscard]] std::uint64_t worth() const;

  LogReader& log_;
  Credit& credit_;
  api::ChunkWriter writer_;
  FeedOptions options_;
  std::uint64_t position_;
  std::uint64_t seq_ = 0;
  std::uint64_t dropped_ = 0;  ///< To be told with the next chunk.
  bool truncated_ = false;     ///< The next chunk carries `truncated`.
  bool finished_ = false;
  bool broken_ = false;  ///< The log cannot be read.
  std::uint64_t idle_tail_ =
      0;  ///< Tail at which there was nothing to give: what lies before it may wait for more.
  std::uint64_t no_end_before_ = 0;  ///< line: no line ends between position_ and here.
  unsigned continuation_ = 0;   ///< utf8, after a gap: continuation bytes that may still have to be skipped.
  bool seek_line_ = false;      ///< line, after a gap: the next line's beginning is yet to be found.
  bool out_of_tokens_ = false;  ///< throttle: waiting for a chunk's worth.
  bool episode_ = false;        ///< throttle: an episode goes on.
  std::uint64_t safe_from_ =
      UINT64_MAX;                   ///< lossless: from here on no byte was given up before the pin was seen.
  std::uint64_t referred_in_ = 0;   ///< Generation of the batch that refers to window_.
  std::unique_ptr<Pacing> pacing_;  ///< Only under throttle.
  MappedWindow window_;             ///< Only lossless and binary.
};

}  // namespace kairo::stream
