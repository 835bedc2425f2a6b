// give() is a loop of steps. A step looks at the log once, settles what has been lost or must be skipped, and
// gives one chunk, a block of lines or a piece of the mapping. A chunk is read straight to where it will be
// sent from: its head is written first, as if all went well, and once more when the bytes turn out to be
// fewer or no UTF-8.
#include "stream/feed.hpp"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "stream/text.hpp"

namespace kairo::stream {
namespace {

/// Less than this is copied even where it could be sent from the mapping: a mapping costs several copies of
/// it.
constexpr std::size_t mapped_min_bytes = 32u << 10;
/// A chunk cut short by the batch's room is worth a frame from here on; below, the next batch takes it.
constexpr std::size_t worthwhile_bytes = 16u << 10;
/// Lines are looked for in blocks of this size.
constexpr std::size_t block_bytes = 64u << 10;
/// sendmsg takes so many pieces (IOV_MAX).
constexpr std::size_t batch_pieces = 1024;
constexpr std::size_t code_point_bytes = 4;
/// Looks at a log that is overwritten while it is read, in one turn.
constexpr int laps_per_turn = 16;

/// Where lines are looked for before they are copied behind their heads. One per thread, not one per feed.
char* scratch(std::size_t size) {
  thread_local std::vector<char> bytes(block_bytes);
  if (bytes.size() < size) bytes.resize(size);
  return bytes.data();
}

bool is_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

/// Bytes at the end that begin a code point which the end cuts short.
std::size_t cut_code_point(std::string_view bytes) {
  for (std::size_t n = 1; n < code_point_bytes && n <= bytes.size(); ++n) {
    if (is_continuation(bytes[bytes.size() - n])) continue;
    const Utf8Scan end = scan_utf8(bytes.substr(bytes.size() - n));
    return end.valid == 0 && end.cut_short ? n : 0;
  }
  return 0;
}

}  // namespace

void Credit::add(std::uint64_t bytes) {
  if (!left_) return;
  const std::uint64_t pays = std::min(debt_, bytes);
  debt_ -= pays;
  bytes -= pays;
  *left_ = *left_ > UINT64_MAX - bytes ? UINT64_MAX : *left_ + bytes;
}

void Credit::spend(std::uint64_t bytes) {
  if (!left_) return;
  const std::uint64_t paid = std::min(*left_, bytes);
  *left_ -= paid;
  debt_ += bytes - paid;
}

/// One call of give().
struct Feed::Turn {
  Batch& batch;
  std::uint64_t budget;  ///< Bytes of the stream that may still be given.
  SteadyTime now;
  Answer answer;
  std::uint64_t allowance = UINT64_MAX;  ///< What the tokens pay for.
  bool gave = false;
  int laps = 0;

  Next stop(State state) {
    answer.state = state;
    return Next::stop;
  }
};

Feed::Feed(LogReader& log, Credit& credit, api::ChunkWriter writer, const FeedOptions& options)
    : log_(log), credit_(credit), writer_(std::move(writer)), options_(options), position_(options.from) {
  options_.max_chunk_bytes = std::max(options_.max_chunk_bytes, code_point_bytes);
  options_.max_bytes_per_second = std::max<std::uint64_t>(options_.max_bytes_per_second, 1);
}

bool Feed::has_pending() const {
  if (finished_) return false;
  const LogState log = log_.state();
  return broken_ || log.eof() || log.tail > std::max(position_, idle_tail_);
}

Result<Feed::Answer> Feed::give(Batch& batch, std::size_t max_bytes, SteadyTime now) {
  Turn turn{batch, max_bytes, now, {}};
  if (finished_) {
    turn.answer.state = State::finished;
    return turn.answer;
  }
  if (options_.flow == api::Flow::throttle && !pacing_)
    pacing_ = std::make_unique<Pacing>(options_.max_bytes_per_second, now);
  for (;;) {
    Result<Next> next = broken_ ? give_up(turn) : step(turn);
    if (!next) {
      broken_ = true;
      return std::move(next).error();
    }
    if (*next == Next::stop) return turn.answer;
  }
}

Result<Feed::Next> Feed::step(Turn& turn) {
  const LogState log = log_.state();
  if (position_ < log.floor) {
    drop(turn, log.floor - position_);
    jumped();
    if (++turn.laps > laps_per_turn) return turn.stop(State::full);
  }
  if (position_ >= log.tail) {
    if (!log.eof()) {
      idle_tail_ = log.tail;
      return turn.stop(State::idle);
    }
    position_ = std::min(position_, log.tail);
    return give_end(turn);
  }
  if (pacing_ && !pace(turn, log)) return Next::stop;
  if (turn.budget == 0) return turn.stop(State::full);
  if (credit_.left() == 0) return turn.stop(State::credit);
  if (options_.mode == api::Mode::line) return give_lines(turn, log);
  if (lossless() && options_.encoding == api::Encoding::binary && log.tail - position_ >= mapped_min_bytes &&
      options_.max_chunk_bytes >= 4096) {
    // A splice that was on its way when the pin was set may still raise the floor, by two steps at most.
    if (safe_from_ == UINT64_MAX)
      safe_from_ =
          log.tail + 2 * splice_bytes > log.capacity ? log.tail + 2 * splice_bytes - log.capacity : 0;
    if (position_ >= safe_from_) return give_mapped(turn, log);
  }
  return give_chunk(turn, log);
}

/// Whether the tokens allow to go on; sets the allowance, and skips what they will never pay for.
bool Feed::pace(Turn& turn, const LogState& log) {
  const std::uint64_t tokens = pacing_->available(turn.now);
  const std::uint64_t behind = log.tail - position_;
  const std::uint64_t worth =
      std::min<std::uint64_t>(options_.max_chunk_bytes, options_.max_bytes_per_second);
  if (behind <= tokens) {
    out_of_tokens_ = false;
    if (tokens - behind >= std::min(worth, options_.max_bytes_per_second / 2)) episode_ = false;
    turn.allowance = behind;
    return true;
  }
  if (tokens < worth) {
    out_of_tokens_ = true;
    turn.answer.when = pacing_->when(worth, turn.now);
    turn.stop(State::paced);
    return false;
  }
  if (out_of_tokens_) {
    out_of_tokens_ = false;
    std::uint64_t skip = behind - tokens;
    // The byte before the newest ones says whether a line begins with them.
    if (options_.mode == api::Mode::line) --skip;
    if (skip > 0) {
      drop(turn, skip);
      jumped();
    }
  }
  turn.allowance = tokens;
  return true;
}

/// Counts `bytes` from position_ on as dropped and passes them.
void Feed::drop(Turn& turn, std::uint64_t bytes) {
  if (bytes == 0) return;
  dropped_ += bytes;
  turn.answer.dropped += bytes;
  if (pacing_) {
    truncated_ = true;
    if (!episode_) turn.answer.throttled = Throttled{position_, 0};
    episode_ = true;
    if (turn.answer.throttled) turn.answer.throttled->dropped += bytes;
  }
  position_ += bytes;
}

void Feed::jumped() {
  continuation_ = options_.encoding == api::Encoding::utf8 ? code_point_bytes - 1 : 0;
  seek_line_ = options_.mode == api::Mode::line;
}

/// The log ran over what was being read.
Feed::Next Feed::lapped(Turn& turn, std::uint64_t lost) {
  drop(turn, lost);
  if (lost > 0) jumped();
  return ++turn.laps > laps_per_turn ? turn.stop(State::full) : Next::go_on;
}

/// What the tokens must pay for before a feed that ran out goes on.
std::uint64_t Feed::worth() const {
  return std::min<std::uint64_t>(options_.max_chunk_bytes, options_.max_bytes_per_second);
}

/// The head of a chunk at position_, with all that waits to be told.
api::ChunkHead Feed::head_of(api::Encoding encoding, std::size_t bytes, const LogState& log) const {
  return {.seq = seq_,
          .offset = position_,
          .encoding = encoding,
          .dropped = dropped_,
          .truncated = truncated_,
          .partial = false,
          .eof = log.eof() && position_ + bytes == log.tail};
}

/// A chunk of `bytes` is in the batch.
void Feed::gave(Turn& turn, std::size_t bytes, bool eof) {
  ++seq_;
  ++turn.answer.chunks;
  dropped_ = 0;
  truncated_ = false;
  finished_ = eof;
  position_ += bytes;
  turn.gave = true;
  turn.budget -= std::min<std::uint64_t>(turn.budget, bytes);
  turn.allowance -= std::min<std::uint64_t>(turn.allowance, bytes);
  credit_.spend(bytes);
  if (pacing_) pacing_->spend(bytes);
}

/// The end came when all bytes had been given.
Feed::Next Feed::give_up(Turn& turn) {
  const LogState log = log_.state();
  if (log.tail > position_) drop(turn, log.tail - position_);
  return give_end(turn);
}

Feed::Next Feed::give_end(Turn& turn) {
  if (turn.batch.room() < writer_.max_head_bytes()) return turn.stop(State::full);
  LogState ended;
  ended.flags = log_eof;
  ended.tail = position_;
  const api::ChunkHead head = head_of(options_.encoding, 0, ended);
  turn.batch.wrote(writer_.write_head(turn.batch.reserve(writer_.max_head_bytes()), head, 0));
  gave(turn, 0, true);
  return turn.stop(State::finished);
}

Result<Feed::Next> Feed::give_mapped(Turn& turn, const LogState& log) {
  // What this batch refers to already must stay where it is.
  const bool may_slide = referred_in_ != turn.batch.generation();
  const std::size_t want =
      static_cast<std::size_t>(std::min<std::uint64_t>({log.tail - position_, turn.budget, credit_.left()}));
  Result<MappedWindow::Piece> piece = window_.at(log_, position_, want, may_slide);
  if (!piece) return std::move(piece).error();
  if (piece->bytes == 0) return turn.stop(State::full);
  for (std::size_t done = 0; done < piece->bytes;) {
    if (turn.batch.room() < writer_.max_head_bytes() || turn.batch.pieces().size() + 2 > batch_pieces)
      return turn.stop(State::full);
    const std::size_t bytes = std::min(piece->bytes - done, options_.max_chunk_bytes);
    const api::ChunkHead head = head_of(api::Encoding::binary, bytes, log);
    turn.batch.wrote(writer_.write_head(turn.batch.reserve(writer_.max_head_bytes()), head, bytes));
    turn.batch.refer(piece->data + done, bytes);
    referred_in_ = turn.batch.generation();
    done += bytes;
    gave(turn, bytes, head.eof);
  }
  return finished_ ? turn.stop(State::finished) : Next::go_on;
}

Result<Feed::Next> Feed::give_chunk(Turn& turn, const LogState& log) {
  using api::Encoding;
  const bool as_text = options_.encoding == Encoding::utf8;
  const std::uint64_t left = log.tail - position_;
  std::size_t bytes = static_cast<std::size_t>(
      std::min<std::uint64_t>({left, options_.max_chunk_bytes, turn.budget, credit_.left(), turn.allowance}));
  const std::size_t head_room = writer_.max_head_bytes();
  const std::size_t room = turn.batch.room() > head_room ? turn.batch.room() - head_room : 0;
  if (room < code_point_bytes) return turn.stop(State::full);
  const std::size_t fits = options_.encoding == Encoding::base64 ? room / 4 * 3 : room;
  if (bytes > fits) {
    if (fits < worthwhile_bytes && !turn.batch.empty()) return turn.stop(State::full);
    bytes = fits;
  }

  api::ChunkHead head = head_of(options_.encoding, bytes, log);
  char* const data =
      turn.batch.reserve(head_room) + writer_.write_head(turn.batch.reserve(head_room), head, bytes);
  // Of a code point that credit or budget would cut, the rest is looked at too.
  const std::size_t look =
      as_text ? std::max(bytes, static_cast<std::size_t>(std::min<std::uint64_t>(left, code_point_bytes)))
              : bytes;
  Result<LogReader::Copied> copied = log_.copy(position_, data, look);
  if (!copied) return std::move(copied).error();
  if (copied->lost > 0 || copied->bytes < look) return lapped(turn, copied->lost);

  if (as_text) {
    if (continuation_ > 0) {
      unsigned gone = 0;
      while (gone < continuation_ && gone < look && is_continuation(data[gone])) ++gone;
      continuation_ = gone == look ? continuation_ - gone : 0;
      if (gone > 0) {
        drop(turn, gone);
        return Next::go_on;
      }
    }
    Utf8Scan scan = scan_utf8({data, bytes});
    // A code point longer than what may be given is given whole, if it is there.
    while (scan.valid == 0 && scan.cut_short && bytes < look) scan = scan_utf8({data, ++bytes});
    if (scan.valid == 0 && scan.cut_short && !log.eof()) {
      idle_tail_ = log.tail;
      return turn.stop(State::idle);
    }
    if (scan.valid == bytes || (scan.valid > 0 && scan.cut_short)) {
      bytes = scan.valid;
    } else {
      head.encoding = Encoding::base64;
      if (base64_length(bytes) > room) {
        if (!turn.batch.empty()) return turn.stop(State::full);
        bytes = room / 4 * 3;
      }
      const std::size_t cut = log.eof() && bytes == left ? 0 : cut_code_point({data, bytes});
      if (cut < bytes) bytes -= cut;
    }
  }
  put(turn, head, data, bytes, log);
  return finished_ ? turn.stop(State::finished) : Next::go_on;
}

/// Makes the `bytes` at `data` a chunk of the batch. They may stand within it, where the batch will grow.
void Feed::put(Turn& turn, api::ChunkHead head, const char* data, std::size_t bytes, const LogState& log) {
  thread_local std::string text;
  head.eof = log.eof() && position_ + bytes == log.tail;
  const std::size_t length = head.encoding == api::Encoding::base64 ? base64_length(bytes) : bytes;
  text.clear();
  writer_.append_head(text, head, length);
  char* const to = turn.batch.reserve(text.size() + length);
  // base64 is written from the front over bytes that stand at the end of its place: no group reaches what has
  // not been read yet.
  char* const place = to + text.size() + length - bytes;
  if (place != data) std::memmove(place, data, bytes);
  if (head.encoding == api::Encoding::base64) write_base64(to + text.size(), {place, bytes});
  std::memcpy(to, text.data(), text.size());
  turn.batch.wrote(text.size() + length);
  gave(turn, bytes, head.eof);
}

/// Whether no line has ended in what came since the last look.
/// The longest line that is waited for. Never as much as the log retains: a line that fills a log which holds
/// its process back would be waited for by both for ever.
std::size_t Feed::longest_line(const LogState& log) const {
  constexpr std::uint64_t slack = splice_bytes + 4096;
  const std::uint64_t kept = log.capacity > 2 * slack ? log.capacity - slack : log.capacity / 2;
  const auto bound = static_cast<std::size_t>(std::min<std::uint64_t>(options_.max_chunk_bytes, kept));
  return std::max(bound, code_point_bytes);
}

Result<bool> Feed::line_goes_on(const LogState& log) {
  if (no_end_before_ <= position_ || log.eof() || log.tail - position_ > longest_line(log)) return false;
  const std::size_t fresh = static_cast<std::size_t>(log.tail - no_end_before_);
  char* const data = scratch(fresh);
  Result<LogReader::Copied> copied = log_.copy(no_end_before_, data, fresh);
  if (!copied) return std::move(copied).error();
  if (copied->lost > 0 || copied->bytes < fresh || std::memchr(data, '\n', fresh)) return false;
  no_end_before_ = log.tail;
  return true;
}

/// After a gap: looks for where to go on in the bytes at position_.
Feed::Next Feed::seek_line(Turn& turn, const LogState& log, std::string_view data) {
  const std::size_t end = data.substr(0, options_.max_chunk_bytes).find('\n');
  if (end != std::string_view::npos) {
    seek_line_ = false;
    drop(turn, end + 1);
    return Next::go_on;
  }
  if (data.size() >= options_.max_chunk_bytes) {
    seek_line_ = false;
    unsigned gone = 0;
    while (gone < continuation_ && is_continuation(data[gone])) ++gone;
    drop(turn, gone);
    return Next::go_on;
  }
  if (log.eof()) {
    drop(turn, data.size());
    return Next::go_on;
  }
  no_end_before_ = idle_tail_ = log.tail;
  return turn.stop(State::idle);
}

Result<Feed::Next> Feed::give_lines(Turn& turn, const LogState& log) {
  using api::Encoding;
  Result<bool> goes_on = line_goes_on(log);
  if (!goes_on) return std::move(goes_on).error();
  if (*goes_on) {
    idle_tail_ = log.tail;
    return turn.stop(State::idle);
  }

  const std::size_t head_room = writer_.max_head_bytes();
  std::size_t longest = longest_line(log);
  if (turn.batch.empty()) {
    // What not even an empty batch can hold is split too.
    const std::size_t room = turn.batch.room() > head_room ? turn.batch.room() - head_room : 0;
    longest = std::min(longest, options_.encoding == Encoding::binary ? room : room / 4 * 3);
    if (longest < code_point_bytes) return turn.stop(State::full);
  }

  const std::uint64_t left = log.tail - position_;
  const std::uint64_t start = position_;
  std::size_t size = static_cast<std::size_t>(std::min<std::uint64_t>(left, block_bytes));
  for (;;) {
    char* const data = scratch(size);
    Result<LogReader::Copied> copied = log_.copy(position_, data, size);
    if (!copied) return std::move(copied).error();
    if (copied->lost > 0 || copied->bytes < size) return lapped(turn, copied->lost);
    if (seek_line_) {
      // Fewer bytes than tell whether a line begins here.
      if (size < left && size < options_.max_chunk_bytes && !std::memchr(data, '\n', size)) {
        size = static_cast<std::size_t>(std::min<std::uint64_t>(left, options_.max_chunk_bytes));
        continue;
      }
      return seek_line(turn, log, {data, size});
    }
    bool wants_more = false;
    const Next next = give_block(turn, log, {data, size}, longest, wants_more);
    if (next == Next::stop || !wants_more) return next;
    if (size == left) no_end_before_ = log.tail;
    if (position_ != start) return Next::go_on;
    if (size == left) {
      idle_tail_ = log.tail;
      return turn.stop(State::idle);
    }
    size = static_cast<std::size_t>(std::min<std::uint64_t>(left, longest + 1));
  }
}

/// Gives the lines of `data`, which stands at position_. `wants_more`: what is left is no whole line yet.
Feed::Next Feed::give_block(Turn& turn, const LogState& log, std::string_view data, std::size_t longest,
                            bool& wants_more) {
  using api::Encoding;
  const bool as_text = options_.encoding == Encoding::utf8;
  const bool reaches_tail = position_ + data.size() == log.tail;
  const std::size_t head_room = writer_.max_head_bytes();
  std::size_t text_until = 0;  // all before it, from the present line on, is valid UTF-8
  std::size_t at = 0;
  while (at < data.size()) {
    std::string_view line = data.substr(at);
    bool partial = false;
    if (const void* end = std::memchr(line.data(), '\n', std::min(line.size(), longest))) {
      line = line.substr(0, static_cast<std::size_t>(static_cast<const char*>(end) - line.data()) + 1);
    } else if (line.size() > longest) {
      line = line.substr(0, longest);
      partial = true;
    } else if (!reaches_tail || !log.eof()) {
      wants_more = true;
      return Next::go_on;
    }

    Encoding encoding = options_.encoding;
    if (as_text) {
      const auto is_text = [&] { return at + line.size() <= text_until; };
      if (!is_text()) text_until = at + scan_utf8(data.substr(at)).valid;
      if (partial) {
        const std::size_t cut = cut_code_point(line);
        if (cut < line.size()) line.remove_suffix(cut);
      }
      if (!is_text()) encoding = Encoding::base64;
    }

    const std::size_t body = encoding == Encoding::base64 ? base64_length(line.size()) : line.size();
    if (turn.batch.room() < head_room + body) return turn.stop(State::full);
    if (turn.gave && line.size() > turn.budget) return turn.stop(State::full);
    if (credit_.left() == 0) return turn.stop(State::credit);
    if (pacing_ && line.size() > turn.allowance && turn.allowance < worth()) return Next::go_on;

    api::ChunkHead head = head_of(encoding, line.size(), log);
    head.partial = partial;
    char* const to = turn.batch.reserve(head_room + body);
    const std::size_t head_size = writer_.write_head(to, head, body);
    if (encoding == Encoding::base64)
      write_base64(to + head_size, line);
    else
      std::memcpy(to + head_size, line.data(), line.size());
    turn.batch.wrote(head_size + body);
    at += line.size();
    gave(turn, line.size(), head.eof);
    if (finished_) return turn.stop(State::finished);
  }
  return Next::go_on;
}

}  // namespace kairo::stream
