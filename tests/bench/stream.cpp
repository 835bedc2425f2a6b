// One writer, one lossless reader, every byte checked. The counterpart is the same writer through a process
// that reads and writes 256 KiB at a time (what any supervisor must at least do), and a pipe without anything
// between.
#include <stdexcept>

#include "bench/bench.hpp"
#include "bench/children.hpp"
#include "bench/chunks.hpp"
#include "bench/connection.hpp"
#include "bench/daemon.hpp"
#include "bench/report.hpp"

namespace kairo::bench {
namespace {

constexpr std::size_t receive_bytes = 2u << 20;

struct Way {
  const char* name;
  Content content;
  api::Mode mode;
  api::Encoding encoding;
  Goal goal;
};

struct Outcome {
  double seconds = 0;
  std::uint64_t chunks = 0;
};

Outcome time_kairo(const Daemon& daemon, const Settings& settings, const Way& way) {
  const std::uint64_t bytes = settings.sizes.stream_bytes;
  Connection control(daemon.socket()), reader(daemon.socket(), receive_bytes);
  api::SpawnParams spawn;
  spawn.command = writer_command(way.content, bytes);
  spawn.options = api::SpawnOptions{};
  spawn.options->subscribe = false;
  const std::string id = control.call<api::SpawnResult>("process.spawn", spawn).id;
  api::AttachParams attach;
  attach.id = id;
  attach.streams = {api::StreamName::standard_output};
  attach.mode = way.mode;
  attach.encoding = way.encoding;
  attach.flow = api::Flow::lossless;
  if (settings.chunk_bytes > 0) attach.max_chunk_bytes = settings.chunk_bytes;
  reader.call<api::SubscriptionResult>("process.attach", attach);

  ChunkCheck check{way.content};
  const auto start_time = Clock::now();
  control.send("process.stdin.write", api::StdinWriteParams{id, {"\n"}, {}, {}});
  while (!check.ended) {
    reader.fill();
    while (const auto frame = reader.next_arrived()) check.take(*frame);
  }
  const double seconds = seconds_since(start_time);
  if (check.bytes != bytes) throw std::runtime_error("bytes are missing from a lossless stream");
  control.call<api::ProcessSession>("process.wait", api::WaitParams{id, {}});
  control.call<api::Done>("process.forget", api::IdParams{id});
  return {seconds, check.chunks};
}

void run_way(const Daemon& daemon, const Settings& settings, const Way& way) {
  const std::uint64_t bytes = settings.sizes.stream_bytes;
  Figure figure{"stream", way.name, "MB/s", {}, {}, way.goal};
  std::vector<double> direct;
  Outcome last;
  for (unsigned i = 0; i < settings.repeats; ++i) {
    last = time_kairo(daemon, settings, way);
    figure.values.push_back(megabytes_per_second(bytes, last.seconds));
    figure.raws.push_back(megabytes_per_second(bytes, time_raw_stream(way.content, bytes, true)));
    direct.push_back(megabytes_per_second(bytes, time_raw_stream(way.content, bytes, false)));
  }
  figure.numbers = {{"direct", median(direct)},
                    {"ratioDirect", median(figure.values) / median(direct)},
                    {"bytes", static_cast<double>(bytes)},
                    {"chunks", static_cast<double>(last.chunks)},
                    {"writerBytes", static_cast<double>(write_bytes)},
                    {"relayBytes", static_cast<double>(relay_bytes)}};
  if (way.mode == api::Mode::line) figure.numbers.emplace_back("lineBytes", static_cast<double>(line_bytes));
  report(figure);
}

}  // namespace

void run_stream(const Settings& settings) {
  const Daemon daemon(settings);
  const Way ways[] = {
      {"binary", Content::records, api::Mode::chunk, api::Encoding::binary, ratio_at_least(0.85)},
      {"utf8", Content::records, api::Mode::chunk, api::Encoding::utf8, ratio_at_least(0.65)},
      {"line", Content::lines, api::Mode::line, api::Encoding::utf8, value_at_least(300)},
      {"line, binary", Content::lines, api::Mode::line, api::Encoding::binary, {}}};
  for (const Way& way : ways) run_way(daemon, settings, way);
}

}  // namespace kairo::bench
