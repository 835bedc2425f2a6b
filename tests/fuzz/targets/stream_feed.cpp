// A feed over any bytes, in any options, batches and paces: its chunks and gaps are the stream. The first
// eight bytes choose; the rest is the stream.
#include <cstdint>
#include <string>

#include "fuzz/check.hpp"
#include "unit/stream/rig.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kairo;
  using namespace kairo::stream;
  if (size < 8) return 0;
  static test::TempDir dir;
  static std::uint64_t key = 0;
  const auto choose = [&](unsigned i, unsigned end) { return data[i] % end; };
  const std::string_view source(reinterpret_cast<const char*>(data + 8), size - 8);

  FeedOptions options;
  options.mode = choose(0, 2) == 0 ? api::Mode::chunk : api::Mode::line;
  options.encoding = static_cast<api::Encoding>(choose(1, 3));
  options.flow = choose(2, 2) == 0 ? api::Flow::follow : api::Flow::throttle;
  options.max_chunk_bytes = 16 + choose(3, 64);
  options.max_bytes_per_second = 1 + choose(4, 255) * 4u;
  const std::size_t step = 1 + choose(5, 255);
  const std::size_t turn = 4 + choose(6, 251);
  const std::optional<std::uint64_t> window =
      choose(7, 2) == 0 ? std::nullopt : std::optional<std::uint64_t>(data[7]);

  const std::uint64_t own_key = ++key;
  test::Log log(dir, 1 << 16, own_key);
  test::Reader reader(log, options, window, 4096);
  for (std::size_t at = 0; !reader.feed.finished();) {
    if (at < source.size()) {
      log.record(source.substr(at, step));
      at += step;
    } else {
      log.end();
    }
    const auto state = reader.give(turn);
    reader.now += std::chrono::milliseconds(20);
    if (state == Feed::State::credit) reader.credit.add(turn);
  }
  ::unlinkat(dir.fd(), log_file_name(own_key, 0).c_str(), 0);

  std::uint64_t position = 0;
  for (std::size_t i = 0; i < reader.chunks.size(); ++i) {
    const test::Chunk& chunk = reader.chunks[i];
    KAIRO_FUZZ_CHECK(chunk.seq == i);
    KAIRO_FUZZ_CHECK(chunk.offset == position + chunk.dropped);
    KAIRO_FUZZ_CHECK(chunk.bytes == source.substr(chunk.offset, chunk.bytes.size()));
    KAIRO_FUZZ_CHECK(chunk.bytes.size() <= options.max_chunk_bytes);
    KAIRO_FUZZ_CHECK(chunk.eof == (i + 1 == reader.chunks.size()));
    if (chunk.encoding == api::Encoding::utf8)
      KAIRO_FUZZ_CHECK(scan_utf8(chunk.bytes).valid == chunk.bytes.size());
    if (options.flow == api::Flow::follow) KAIRO_FUZZ_CHECK(chunk.dropped == 0);
    position = chunk.offset + chunk.bytes.size();
  }
  KAIRO_FUZZ_CHECK(position == source.size());
  return 0;
}
