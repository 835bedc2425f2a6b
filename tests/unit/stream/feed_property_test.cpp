// Random streams, options, batches, credit and times: whatever happens, the chunks and gaps of a feed are the
// stream.
#include <random>

#include <doctest/doctest.h>

#include "rig.hpp"

using namespace kairo;
using namespace kairo::stream;
using api::Encoding;
using api::Flow;
using kairo::test::Chunk;
using kairo::test::Log;
using kairo::test::Reader;
using kairo::test::TempDir;
using State = Feed::State;

namespace {

class Dice {
 public:
  explicit Dice(unsigned seed) : engine_(seed) {}
  std::size_t below(std::size_t end) {
    return std::uniform_int_distribution<std::size_t>(0, end - 1)(engine_);
  }
  bool once_in(std::size_t n) { return below(n) == 0; }
  template <class T>
  T one_of(std::initializer_list<T> values) {
    return values.begin()[below(values.size())];
  }

 private:
  std::mt19937 engine_;
};

enum class Kind { ascii, text, bytes };

std::string random_stream(Dice& dice, Kind kind, std::size_t size) {
  std::string out;
  const std::size_t line = dice.one_of<std::size_t>({3, 30, 300, 30'000});
  while (out.size() < size) {
    if (dice.once_in(line)) {
      out += dice.once_in(4) ? "\r\n" : dice.once_in(4) ? "\n\n" : "\n";
    } else if (kind == Kind::ascii || dice.once_in(2)) {
      out += static_cast<char>('a' + dice.below(26));
    } else if (kind == Kind::bytes && dice.once_in(50)) {
      out += static_cast<char>(dice.below(256));
    } else {
      out += dice.one_of<const char*>({"\xC3\xA9", "\xE6\xBC\xA2", "\xF0\x9F\x98\x80"});
    }
  }
  return out;
}

}  // namespace

TEST_CASE("the chunks and gaps of any feed are the stream") {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    Dice dice(seed);
    const Kind kind = dice.one_of({Kind::ascii, Kind::text, Kind::bytes});
    const std::string source =
        random_stream(dice, kind, dice.one_of<std::size_t>({1, 1000, 100'000, 900'000}));
    FeedOptions options;
    options.mode = dice.one_of({api::Mode::chunk, api::Mode::line});
    options.encoding = dice.one_of({Encoding::utf8, Encoding::utf8, Encoding::base64, Encoding::binary});
    options.flow = dice.one_of({Flow::follow, Flow::lossless, Flow::throttle});
    options.max_chunk_bytes = dice.one_of<std::size_t>({16, 100, 4096, 16'384, 65'536});
    options.max_bytes_per_second = dice.one_of<std::uint64_t>({1000, 50'000, 262'144});
    options.from = dice.once_in(4) ? dice.below(source.size() + 1) : 0;
    std::optional<std::uint64_t> window;
    if (dice.once_in(3)) window = dice.one_of<std::uint64_t>({0, 1, 1000, 100'000});

    TempDir dir;
    Log log(dir, dice.one_of<std::uint64_t>({65'536, 1u << 20}));
    if (options.flow == Flow::lossless) log.slot.pin = options.from;
    Reader reader(log, options, window, dice.one_of<std::size_t>({8192, 65'536, 1u << 18}));
    const bool small_steps = source.size() <= 1000;

    std::size_t written = 0;
    std::uint64_t granted = window.value_or(0);
    for (int round = 0; !reader.feed.finished(); ++round) {
      REQUIRE(round < 1'000'000);
      if (written < source.size()) {
        const std::size_t most = small_steps ? 20 : dice.one_of<std::size_t>({10, 5000, 65'536});
        written += log.offer(std::string_view(source).substr(written, 1 + dice.below(most)));
      } else if (dice.once_in(2)) {
        log.pipe.in.reset();
      }
      if (!dice.once_in(3)) log.pump();
      if (!dice.once_in(3)) {
        const State state = reader.give(4 + dice.below(dice.one_of<std::size_t>({10, 1000, 200'000})));
        if (state == State::idle) REQUIRE((log.reader.state().eof() || !reader.feed.has_pending()));
        if (state == State::paced) REQUIRE(reader.last.when > reader.now);
        if (options.flow == Flow::lossless) log.slot.pin = reader.feed.position();
      }
      reader.now += std::chrono::microseconds(dice.below(20'000));
      if (reader.last.state == State::credit) {
        const std::uint64_t more = 1 + dice.below(50'000);
        reader.credit.add(more);
        granted += more;
      }
    }

    // Millions of checks: the first that fails is the one assertion.
    std::string wrong;
    std::size_t i = 0;
    const auto must = [&](bool right, const char* what) {
      if (!right && wrong.empty()) wrong = what + (" at chunk " + std::to_string(i));
    };
    std::uint64_t position = options.from;
    const bool after_gap =
        options.from > 0 && (options.mode == api::Mode::chunk || source[options.from - 1] != '\n');
    for (; i < reader.chunks.size(); ++i) {
      const Chunk& chunk = reader.chunks[i];
      must(chunk.seq == i, "seq");
      must(chunk.offset == position + chunk.dropped, "offset");
      must(chunk.bytes == source.substr(chunk.offset, chunk.bytes.size()), "bytes");
      must(chunk.bytes.size() <= options.max_chunk_bytes, "length");
      must(chunk.eof == (i + 1 == reader.chunks.size()), "eof");
      must(chunk.eof || !chunk.bytes.empty(), "empty");
      must(chunk.truncated == (chunk.dropped > 0 && options.flow == Flow::throttle), "truncated");
      if (options.flow == Flow::lossless) must(chunk.dropped == 0, "lossless");
      if (options.encoding != Encoding::utf8) must(chunk.encoding == options.encoding, "encoding");
      if (chunk.encoding == Encoding::utf8)
        must(scan_utf8(chunk.bytes).valid == chunk.bytes.size(), "valid utf8");
      if (options.encoding == Encoding::utf8 && kind != Kind::bytes && !(i == 0 && after_gap))
        must(chunk.encoding == Encoding::utf8, "needless base64");
      if (options.mode == api::Mode::line && !chunk.bytes.empty()) {
        const std::size_t end = chunk.bytes.find('\n');
        must(chunk.partial == (end == std::string::npos && !chunk.eof), "partial");
        if (end != std::string::npos) must(end + 1 == chunk.bytes.size(), "one line");
      } else {
        must(!chunk.partial, "partial in chunk mode");
      }
      position = chunk.offset + chunk.bytes.size();
    }
    must(position == std::max<std::uint64_t>(source.size(), options.from), "total");
    CHECK_MESSAGE(wrong.empty(), wrong);
    if (window) {
      const std::size_t over = options.mode == api::Mode::line      ? options.max_chunk_bytes
                               : options.encoding == Encoding::utf8 ? 3u
                                                                    : 0u;
      REQUIRE(reader.bytes().size() <= granted + over);
    }
  }
}
