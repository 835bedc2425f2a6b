// read_chunk: what it takes is well-formed, lies within the payload, and is written to the same meaning
// again.
#include <cstdint>
#include <string>

#include "api/envelope.hpp"
#include "check.hpp"
#include "wire/payload.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kairo;
  const std::string_view payload(reinterpret_cast<const char*>(data), size);
  const auto chunk = api::read_chunk(payload);
  if (!chunk) return 0;
  KAIRO_FUZZ_CHECK(chunk->chunk.data() >= payload.data());
  KAIRO_FUZZ_CHECK(chunk->chunk.data() + chunk->chunk.size() <= payload.data() + payload.size());
  const api::ChunkWriter writer(chunk->process_id, chunk->stream, chunk->subscription_id,
                                chunk->correlation_id);
  api::ChunkHead head;
  head.seq = chunk->seq;
  head.offset = chunk->offset;
  head.encoding = chunk->encoding;
  head.dropped = chunk->dropped;
  head.truncated = chunk->truncated;
  head.partial = chunk->partial;
  head.eof = chunk->eof;
  std::string frame;
  writer.append_head(frame, head, chunk->chunk.size());
  KAIRO_FUZZ_CHECK(frame.size() <= writer.max_head_bytes());
  frame.append(chunk->chunk);
  const std::string again = frame.substr(wire::head_bytes);
  KAIRO_FUZZ_CHECK(wire::check_payload(again).ok());
  const auto same = api::read_chunk(again);
  KAIRO_FUZZ_CHECK(same.ok());
  KAIRO_FUZZ_CHECK(same->seq == chunk->seq && same->offset == chunk->offset &&
                   same->dropped == chunk->dropped);
  KAIRO_FUZZ_CHECK(same->encoding == chunk->encoding && same->stream == chunk->stream);
  KAIRO_FUZZ_CHECK(same->truncated == chunk->truncated && same->partial == chunk->partial &&
                   same->eof == chunk->eof);
  KAIRO_FUZZ_CHECK(same->process_id == chunk->process_id && same->subscription_id == chunk->subscription_id);
  KAIRO_FUZZ_CHECK(same->correlation_id == chunk->correlation_id && same->chunk == chunk->chunk);
  return 0;
}
