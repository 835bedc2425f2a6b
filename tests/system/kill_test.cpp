// The daemon is killed again and again while 20 processes write numbered data at full speed, 20 are fed
// through stdin, and others come and go: not a byte may be lost or repeated, no status wrong, no process
// lost. KAIRO_KILLS says how often (the figure of docs/benchmarks.md: 200).
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <thread>

#include "rig.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

constexpr int streams = 20;
constexpr int feeders = 20;
constexpr std::uint64_t bytes_per_kill = 12u << 20;
constexpr std::size_t piece_bytes = 48u << 10;

client::Client connect_again(const Daemon& daemon) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (;;) {
    auto made = client::Client::connect({.socket = daemon.socket()});
    if (made) return std::move(*made);
    if (std::chrono::steady_clock::now() > end) throw std::runtime_error(made.error().message);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

/// Calls until a daemon has answered; the method must be one that may be repeated.
template <class R, class P>
Result<R> insist(const Daemon& daemon, std::optional<client::Client>& client, std::string_view method,
                 const P& params) {
  for (;;) {
    if (!client) client.emplace(connect_again(daemon));
    auto result = client->call<R>(method, params, SteadyClock::now() + std::chrono::seconds(60));
    if (result || !client::is_unreachable(result.error())) return result;
    client.reset();
  }
}

/// One numbered stream, as far as it was had.
struct Stream {
  std::string id;
  std::uint64_t offset = 0;
  bool eof = false;
  std::string problem;

  void take(const api::ChunkView& chunk) {
    if (chunk.dropped != 0) problem = "bytes were dropped before " + std::to_string(chunk.offset);
    if (chunk.offset != offset)
      problem = "a chunk at " + std::to_string(chunk.offset) + " follows " + std::to_string(offset);
    const std::size_t wrong = pattern_mismatch(chunk.chunk.data(), chunk.chunk.size(), chunk.offset);
    if (wrong != chunk.chunk.size()) problem = "wrong byte at " + std::to_string(chunk.offset + wrong);
    offset = chunk.offset + chunk.chunk.size();
    eof = eof || chunk.eof;
  }
};

/// `attached` is set once all have been attached to.
void read_streams(const Daemon& daemon, std::map<std::string, Stream>& all, std::atomic<bool>& attached,
                  std::atomic<std::uint64_t>& total) {
  const auto done = [&] {
    return std::all_of(all.begin(), all.end(),
                       [](const auto& each) { return each.second.eof || !each.second.problem.empty(); });
  };
  while (!done()) {
    client::Client client = connect_again(daemon);
    bool there = true;
    for (auto& [id, stream] : all) {
      if (stream.eof || !there) continue;
      api::AttachParams attach = attach_to(id, api::Flow::lossless);
      attach.from = api::FromOffsets{stream.offset, {}};
      auto result = client.call<api::SubscriptionResult>("process.attach", attach,
                                                         SteadyClock::now() + std::chrono::seconds(60));
      there = result.ok();
      if (!there && !client::is_unreachable(result.error())) stream.problem = result.error().message;
    }
    attached = true;
    // What the dead connection still holds counts, too: it is read to its end.
    while (!done()) {
      auto push = client.poll_push(SteadyClock::now() + std::chrono::seconds(60));
      if (!push || !push->has_value()) break;
      if ((*push)->type != wire::FrameType::stream_chunk) continue;
      auto chunk = api::read_chunk((*push)->payload);
      if (!chunk) break;
      Stream& stream = all.at(std::string(chunk->process_id));
      stream.take(*chunk);
      total += chunk->chunk.size();
    }
  }
}

void feed(const Daemon& daemon, std::map<std::string, std::uint64_t>& fed, const std::atomic<bool>& stop,
          std::string& problem) {
  std::optional<client::Client> client;
  while (!stop)
    for (auto& [id, offset] : fed) {
      api::StdinWriteParams write;
      write.id = id;
      write.data.data.resize(piece_bytes);
      pattern_fill(write.data.data.data(), piece_bytes, offset);
      write.offset = offset;
      auto written = insist<api::StdinWriteResult>(daemon, client, "process.stdin.write", write);
      if (!written) {
        problem = written.error().message;
        return;
      }
      if (written->offset != offset + piece_bytes)
        problem = "an offset of " + std::to_string(written->offset);
      offset = written->offset;
    }
}

}  // namespace

TEST_SUITE_BEGIN("kill");

TEST_CASE("killed at any moment, under full load, it loses nothing") {
  const char* wanted = std::getenv("KAIRO_KILLS");
  const unsigned kills = wanted ? static_cast<unsigned>(std::strtoul(wanted, nullptr, 10)) : 12;
  const std::uint64_t stream_bytes = bytes_per_kill * (kills + 4);
  Daemon daemon(Daemon::Options{.start = false});
  REQUIRE(daemon.ctl({"ping"}).code == 0);

  std::map<std::string, Stream> all;
  std::map<std::string, std::uint64_t> fed;
  {
    client::Client client = connect(daemon);
    for (int i = 0; i < streams; ++i) {
      // Not before somebody reads without loss: a log of 32 MiB is full in no time.
      api::SpawnParams params = child({"await-line", "spew", std::to_string(stream_bytes)});
      params.options->output.emplace().retain_bytes = 32u << 20;
      const std::string id = spawn(client, params).id;
      all[id].id = id;
    }
    for (int i = 0; i < feeders; ++i) fed[spawn(client, child({"verify-stdin"})).id] = 0;
  }

  std::atomic<std::uint64_t> total{0};
  std::atomic<bool> attached{false}, stop{false};
  std::string feed_problem;
  std::thread reader([&] { read_streams(daemon, all, attached, total); });
  eventually([&] { return attached.load(); }, "a reader of all streams");
  {
    client::Client starter = connect(daemon);
    for (const auto& [id, stream] : all) {
      api::StdinWriteParams line;
      line.id = id;
      line.data.data = "\n";
      must<api::StdinWriteResult>(starter, "process.stdin.write", line);
    }
  }
  std::thread feeder([&] { feed(daemon, fed, stop, feed_problem); });

  std::mt19937 dice(std::random_device{}());
  std::map<std::string, int> short_lived;
  std::optional<client::Client> client;
  unsigned under_load = 0;
  for (unsigned i = 0; i < kills; ++i) {
    api::SpawnParams params = child({"exit", std::to_string(i % 100)});
    params.id = "short-" + std::to_string(i);
    auto spawned = insist<api::SpawnResult>(daemon, client, "process.spawn", params);
    const bool known = spawned.ok() || spawned.error().code == Code::already_exists;
    REQUIRE_MESSAGE(known, (spawned ? std::string() : spawned.error().message));
    short_lived[*params.id] = static_cast<int>(i % 100);
    auto info = insist<api::InfoResult>(daemon, client, "kernel.info", api::NoParams{});
    REQUIRE(info.ok());
    const std::uint64_t before = total;
    std::this_thread::sleep_for(std::chrono::microseconds(dice() % 150'000));
    if (total > before) ++under_load;
    REQUIRE(::kill(info->pid, SIGKILL) == 0);
    REQUIRE(daemon.ctl({"ping"}).code == 0);
  }
  stop = true;
  feeder.join();
  reader.join();

  CHECK(feed_problem == "");
  for (const auto& [id, stream] : all) {
    CHECK(stream.problem == "");
    CHECK(stream.offset == stream_bytes);
    auto ended = insist<api::ProcessSession>(daemon, client, "process.wait", api::WaitParams{id, {}});
    REQUIRE(ended.ok());
    CHECK(ended->exit_code == 0);
  }
  std::uint64_t fed_bytes = 0;
  for (const auto& [id, offset] : fed) {
    CHECK(insist<api::Done>(daemon, client, "process.stdin.close", api::IdParams{id}).ok());
    auto ended = insist<api::ProcessSession>(daemon, client, "process.wait", api::WaitParams{id, {}});
    REQUIRE(ended.ok());
    CAPTURE(reflect::enum_name(ended->outcome->reason));
    CAPTURE(ended->signal.value_or("no signal"));
    CAPTURE(ended->standard_input.offset);
    CHECK(ended->exit_code == 0);
    api::ReadParams read;
    read.id = id;
    auto said = insist<api::ReadResult>(daemon, client, "process.read", read);
    REQUIRE(said.ok());
    CHECK(std::get<std::string>(said->chunk) == "ok " + std::to_string(offset) + "\n");
    fed_bytes += offset;
  }
  for (const auto& [id, code] : short_lived) {
    auto ended = insist<api::ProcessSession>(daemon, client, "process.wait", api::WaitParams{id, {}});
    REQUIRE_MESSAGE(ended.ok(), (ended ? std::string() : id + ": " + ended.error().message));
    CHECK(ended->exit_code == code);
  }
  std::printf("%u kills, %u of them while output flowed; %llu bytes read, %llu fed, %zu statuses\n", kills,
              under_load, static_cast<unsigned long long>(total.load()),
              static_cast<unsigned long long>(fed_bytes), all.size() + fed.size() + short_lived.size());
}

TEST_SUITE_END();
