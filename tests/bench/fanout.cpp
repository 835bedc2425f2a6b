// One writer, many readers that follow it, each on a connection of its own, all read by one thread. The log
// keeps the whole stream, so that every reader gets every byte; what the figure shows is how the cost grows
// with the number of readers.
#include <cerrno>
#include <memory>
#include <stdexcept>
#include <sys/epoll.h>

#include "bench/bench.hpp"
#include "bench/children.hpp"
#include "bench/chunks.hpp"
#include "bench/connection.hpp"
#include "bench/daemon.hpp"
#include "bench/report.hpp"

namespace kairo::bench {
namespace {

struct Reader {
  Reader(const std::string& socket) : connection(socket) {}
  Connection connection;
  ChunkCheck check;
};

struct Outcome {
  double aggregate = 0;  ///< MB/s received by all readers together until the last had its end.
  double slowest = 0;    ///< MB/s of the reader that ended last.
  double first = 0;      ///< MB/s of the reader that ended first.
  double dropped = 0;    ///< Bytes that readers were told they missed.
};

Outcome time_kairo(const Daemon& daemon, const Settings& settings, unsigned count) {
  const std::uint64_t bytes = settings.sizes.fanout_bytes;
  Connection control(daemon.socket());
  api::SpawnParams spawn;
  spawn.command = writer_command(Content::records, bytes);
  spawn.options = api::SpawnOptions{};
  spawn.options->subscribe = false;
  spawn.options->output = api::OutputOptions{bytes + (1u << 20), {}};
  const std::string id = control.call<api::SpawnResult>("process.spawn", spawn).id;
  api::AttachParams attach;
  attach.id = id;
  attach.streams = {api::StreamName::standard_output};
  attach.encoding = api::Encoding::binary;
  attach.flow = api::Flow::follow;
  if (settings.chunk_bytes > 0) attach.max_chunk_bytes = settings.chunk_bytes;

  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  std::vector<std::unique_ptr<Reader>> readers;
  for (unsigned i = 0; i < count; ++i) {
    readers.push_back(std::make_unique<Reader>(daemon.socket()));
    Reader& reader = *readers.back();
    reader.connection.call<api::SubscriptionResult>("process.attach", attach);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &reader;
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, reader.connection.fd(), &event) != 0)
      throw_errno("cannot watch a connection");
  }

  Outcome out;
  double first = 0;
  const auto start_time = Clock::now();
  control.send("process.stdin.write", api::StdinWriteParams{id, {"\n"}, {}, {}});
  for (unsigned left = count; left > 0;) {
    epoll_event events[64];
    const int ready = ::epoll_wait(epoll.get(), events, 64, static_cast<int>(patience.count() * 1000));
    if (ready == 0) throw std::runtime_error("no reader got anything for a minute");
    if (ready < 0 && errno != EINTR) throw_errno("cannot wait for output");
    for (int i = 0; i < ready; ++i) {
      Reader& reader = *static_cast<Reader*>(events[i].data.ptr);
      reader.connection.fill();
      while (const auto frame = reader.connection.next_arrived()) reader.check.take(*frame);
      if (!reader.check.ended) continue;
      if (left-- == count) first = seconds_since(start_time);
      ::epoll_ctl(epoll.get(), EPOLL_CTL_DEL, reader.connection.fd(), nullptr);
    }
  }
  const double seconds = seconds_since(start_time);
  std::uint64_t received = 0;
  for (const auto& each : readers) {
    if (each->check.position != bytes) throw std::runtime_error("a reader's end is not the stream's");
    received += each->check.bytes;
    out.dropped += static_cast<double>(each->check.dropped);
  }
  out.aggregate = megabytes_per_second(received, seconds);
  out.slowest = megabytes_per_second(bytes, seconds);
  out.first = megabytes_per_second(bytes, first);
  readers.clear();
  control.call<api::ProcessSession>("process.wait", api::WaitParams{id, {}});
  control.call<api::Done>("process.forget", api::IdParams{id});
  return out;
}

}  // namespace

void run_fanout(const Settings& settings) {
  const Daemon daemon(settings);
  const std::uint64_t bytes = settings.sizes.fanout_bytes;
  for (const unsigned count : settings.sizes.fanout_readers) {
    Figure figure{"fanout", std::to_string(count) + (count == 1 ? " reader" : " readers"), "MB/s", {}, {}};
    std::vector<double> slowest, first, dropped;
    for (unsigned i = 0; i < settings.repeats; ++i) {
      const Outcome outcome = time_kairo(daemon, settings, count);
      figure.values.push_back(outcome.aggregate);
      slowest.push_back(outcome.slowest);
      first.push_back(outcome.first);
      dropped.push_back(outcome.dropped);
      figure.raws.push_back(megabytes_per_second(bytes, time_raw_stream(Content::records, bytes, true)));
    }
    figure.numbers = {{"slowestReader", median(slowest)},
                      {"fastestReader", median(first)},
                      {"droppedBytes", median(dropped)},
                      {"bytes", static_cast<double>(bytes)},
                      {"readers", count}};
    report(figure);
  }
}

}  // namespace kairo::bench
