// A log between a real pipe and real files, and a reader that takes frames apart: what the tests of this
// folder stand on.
#pragma once

#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

#include "stream/feed.hpp"
#include "stream/log_reader.hpp"
#include "stream/log_writer.hpp"
#include "stream/text.hpp"
#include "support/temp_dir.hpp"
#include "wire/frame.hpp"

namespace kairo::test {

struct Pipe {
  UniqueFd in, out;
  explicit Pipe(int bytes = 1 << 16) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) throw std::runtime_error("no pipe");
    out.reset(ends[0]);
    in.reset(ends[1]);
    ::fcntl(in.get(), F_SETPIPE_SZ, bytes);
  }
};

inline constexpr std::uint64_t test_key = 0x4d2;
inline constexpr std::uint64_t start_us = 1'700'000'000'000'000;

/// One stream: pipe, writer and reader.
struct Log {
  TempDir& dir;
  stream::StreamSlot slot{};
  Pipe pipe;
  stream::LogWriter writer;
  stream::LogReader reader;
  std::uint64_t now_us = start_us;

  Log(TempDir& where, std::uint64_t retain, std::uint64_t key = test_key)
      : dir(where), writer(where.fd(), key, 0, retain, unpinned(slot)), reader(where.fd(), key, 0, &slot) {}

  static stream::StreamSlot& unpinned(stream::StreamSlot& slot) {
    slot.pin = stream::no_pin;
    slot.block_pin = stream::no_pin;
    return slot;
  }
  stream::LogWriter::Progress pump(std::size_t budget = 64u << 20) {
    return writer.pump(pipe.out.get(), now_us, budget);
  }
  /// How much the pipe took.
  std::size_t offer(std::string_view bytes) {
    const ssize_t n = ::write(pipe.in.get(), bytes.data(), bytes.size());
    return n < 0 ? 0 : static_cast<std::size_t>(n);
  }
  /// Writes and pumps until all is in the log.
  void record(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::size_t n = offer(bytes);
      bytes.remove_prefix(n);
      if (n == 0 && pump().bytes == 0) throw std::runtime_error("the log takes nothing");
    }
    pump();
  }
  stream::LogWriter::State end() {
    pipe.in.reset();
    return pump().state;
  }
};

struct Chunk {
  std::uint64_t seq, offset, dropped;
  api::Encoding encoding;
  bool truncated, partial, eof;
  std::string bytes;  ///< decoded
};

inline std::string joined(const stream::Batch& batch) {
  std::string all;
  for (const iovec& piece : batch.pieces())
    all.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  return all;
}

/// Takes the frames of a batch apart; throws on what is no STREAM_CHUNK.
inline std::vector<Chunk> chunks_of(const stream::Batch& batch) {
  std::vector<Chunk> chunks;
  const std::string all = joined(batch);
  for (std::size_t at = 0; at < all.size();) {
    const auto head = wire::parse_head(all.data() + at);
    if (!head || head->type != wire::FrameType::stream_chunk) throw std::runtime_error("no chunk's head");
    const std::string_view payload = std::string_view(all).substr(at + wire::head_bytes, head->length);
    const auto view = api::read_chunk(payload);
    if (!view) throw std::runtime_error("no chunk");
    std::string bytes(view->chunk);
    if (view->encoding == api::Encoding::base64) bytes = stream::decode_base64(view->chunk).value();
    chunks.push_back({view->seq, view->offset, view->dropped, view->encoding, view->truncated, view->partial,
                      view->eof, std::move(bytes)});
    at += wire::head_bytes + head->length;
  }
  return chunks;
}

/// One subscription's feed with all that it needs.
struct Reader {
  stream::Credit credit;
  stream::Feed feed;
  stream::Batch batch;
  SteadyTime now{std::chrono::hours(1)};
  std::vector<Chunk> chunks;  ///< All that was given so far.
  std::vector<stream::Throttled> episodes;
  stream::Feed::Answer last;

  Reader(Log& log, const stream::FeedOptions& options, std::optional<std::uint64_t> window = std::nullopt,
         std::size_t arena = 1u << 20)
      : credit(window),
        feed(log.reader, credit, api::ChunkWriter("job", api::StreamName::standard_output, "s1", ""),
             options),
        batch(arena) {}

  /// One batch, sent.
  stream::Feed::State give(std::size_t max_bytes = 64u << 20) {
    batch.clear();
    const auto answer = feed.give(batch, max_bytes, now);
    if (!answer) throw std::runtime_error(answer.error().message);
    last = *answer;
    if (last.throttled) episodes.push_back(*last.throttled);
    for (Chunk& chunk : chunks_of(batch)) chunks.push_back(std::move(chunk));
    return last.state;
  }
  /// Batches until there is something else to wait for than room.
  stream::Feed::State drain() {
    while (give() == stream::Feed::State::full) {
    }
    return last.state;
  }
  [[nodiscard]] std::string bytes() const {
    std::string all;
    for (const Chunk& chunk : chunks) all += chunk.bytes;
    return all;
  }
  [[nodiscard]] std::uint64_t dropped() const {
    std::uint64_t sum = 0;
    for (const Chunk& chunk : chunks) sum += chunk.dropped;
    return sum;
  }
};

}  // namespace kairo::test
