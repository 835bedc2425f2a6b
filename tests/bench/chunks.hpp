// Checks the STREAM_CHUNKs of one stream against what the writer wrote, byte by byte and without a gap that
// was not told.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "api/envelope.hpp"
#include "bench/pattern.hpp"

namespace kairo::bench {

struct ChunkCheck {
  Content content = Content::records;
  std::uint64_t position = 0;  ///< Offset that the next chunk must have.
  std::uint64_t bytes = 0;     ///< Received.
  std::uint64_t dropped = 0;   ///< Told as dropped.
  std::uint64_t chunks = 0;
  bool ended = false;

  void take(const wire::Frame& frame) {
    if (frame.type != wire::FrameType::stream_chunk) return;
    const auto chunk = api::read_chunk(frame.payload);
    if (!chunk) throw std::runtime_error(chunk.error().message);
    if (chunk->stream != api::StreamName::standard_output) return;
    if (chunk->encoding == api::Encoding::base64) throw std::runtime_error("a chunk came as base64");
    position += chunk->dropped;
    dropped += chunk->dropped;
    if (chunk->offset != position || chunk->seq != chunks)
      throw std::runtime_error("chunk " + std::to_string(chunk->seq) + " is at " +
                               std::to_string(chunk->offset) + ", not at " + std::to_string(position));
    if (!is_right(content, chunk->chunk.data(), chunk->chunk.size(), position))
      throw std::runtime_error("wrong bytes in the chunk at " + std::to_string(position));
    position += chunk->chunk.size();
    bytes += chunk->chunk.size();
    ++chunks;
    ended = chunk->eof;
  }
};

}  // namespace kairo::bench
