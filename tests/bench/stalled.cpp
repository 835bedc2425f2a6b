// A reader that never reads, under `yes`, for a minute: what kairod and keeper grow by, and how another
// client's ping fares meanwhile. The counterpart is the machine itself under the same load: a Unix socket's
// ping-pong while `yes` writes through a relay into /dev/null. One repeat: its length is what it is about.
#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <stdexcept>
#include <sys/socket.h>
#include <thread>

#include "bench/bench.hpp"
#include "bench/children.hpp"
#include "bench/connection.hpp"
#include "bench/daemon.hpp"
#include "bench/report.hpp"

namespace kairo::bench {
namespace {

constexpr std::chrono::milliseconds between_pings{5};
constexpr std::chrono::milliseconds settling{1000};
constexpr std::chrono::milliseconds longest_raw{10'000};

/// Calls ping() every few milliseconds for `duration` and gives the latencies, milliseconds; now and then
/// looks at something else.
template <class Ping, class Look>
std::vector<double> ping_for(std::chrono::milliseconds duration, Ping&& ping, Look&& look) {
  std::vector<double> latencies;
  const auto end = Clock::now() + duration;
  for (auto next_look = Clock::now(); Clock::now() < end;) {
    const auto start_time = Clock::now();
    ping();
    latencies.push_back(seconds_since(start_time) * 1e3);
    if (Clock::now() >= next_look) {
      look();
      next_look = Clock::now() + std::chrono::milliseconds(500);
    }
    std::this_thread::sleep_for(between_pings);
  }
  return latencies;
}

struct Growth {
  explicit Growth(pid_t process) : pid(process), before(footprint(process)) {}
  void look() {
    const Footprint now = footprint(pid);
    private_bytes = std::max(private_bytes, now.private_bytes - before.private_bytes);
    anonymous_bytes = std::max(anonymous_bytes, now.anonymous_bytes - before.anonymous_bytes);
  }
  pid_t pid;
  Footprint before;
  double private_bytes = 0;
  double anonymous_bytes = 0;
};

struct Outcome {
  std::vector<double> pings;
  double daemon_private = 0, daemon_anonymous = 0;
  double keeper_private = 0, keeper_anonymous = 0;
  double written = 0;
};

Outcome measure_kairo(const Settings& settings, api::Flow flow) {
  const Daemon daemon(settings);
  Connection control(daemon.socket()), stalled(daemon.socket());
  api::SpawnParams spawn;
  spawn.command = {system_program("yes")};
  spawn.options = api::SpawnOptions{};
  spawn.options->subscribe = false;
  const std::string id = control.call<api::SpawnResult>("process.spawn", spawn).id;
  api::AttachParams attach;
  attach.id = id;
  attach.encoding = api::Encoding::binary;
  attach.flow = flow;
  stalled.send("process.attach", attach);
  const auto ping = [&] { control.call<api::PingResult>("kernel.ping", api::NoParams{}); };
  ping_for(settling, ping, [] {});

  Growth kairod(daemon.pid()), keeper(daemon.keeper_pid());
  Outcome out;
  out.pings = ping_for(settings.sizes.stalled, ping, [&] {
    kairod.look();
    keeper.look();
  });
  kairod.look();
  keeper.look();
  out.daemon_private = kairod.private_bytes;
  out.daemon_anonymous = kairod.anonymous_bytes;
  out.keeper_private = keeper.private_bytes;
  out.keeper_anonymous = keeper.anonymous_bytes;
  const auto session = control.call<api::ProcessSession>("process.status", api::IdParams{id});
  out.written = static_cast<double>(session.streams.standard_output.bytes);
  api::KillParams kill;
  kill.id = id;
  kill.signal = std::int32_t{SIGKILL};
  control.call<api::ProcessSession>("process.kill", kill);
  return out;
}

std::vector<double> measure_raw(std::chrono::milliseconds duration) {
  Pipe output = make_pipe(relay_bytes);
  const pid_t yes = start({system_program("yes")}, {-1, output.write.get(), -1});
  output.write.reset();
  const pid_t relay =
      start_relay(std::move(output.read), UniqueFd(::open("/dev/null", O_WRONLY | O_CLOEXEC)));
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    throw_errno("cannot make a socket pair");
  UniqueFd client(ends[0]), server(ends[1]);
  const pid_t echo = fork_child([&] {
    client.reset();
    char block[64];
    while (const std::size_t got = read_some(server.get(), block, sizeof block))
      write_all(server.get(), block, got);
  });
  server.reset();
  char ball[40] = {};
  auto pings = ping_for(
      duration,
      [&] {
        write_all(client.get(), ball, sizeof ball);
        for (std::size_t have = 0; have < sizeof ball;) {
          const std::size_t got = read_some(client.get(), ball + have, sizeof ball - have);
          if (got == 0) throw std::runtime_error("the echo ended");
          have += got;
        }
      },
      [] {});
  client.reset();
  wait_for(echo);
  kill_and_wait(yes);
  wait_for(relay);
  return pings;
}

}  // namespace

void run_stalled(const Settings& settings) {
  const auto raw = measure_raw(std::min(settings.sizes.stalled, longest_raw));
  for (const api::Flow flow : {api::Flow::follow, api::Flow::lossless}) {
    const std::string name(reflect::enum_name(flow));
    const Outcome outcome = measure_kairo(settings, flow);
    const double seconds = std::chrono::duration<double>(settings.sizes.stalled).count();
    Figure ping{
        "stalled",       "ping p99, " + name, "ms", {quantile(outcome.pings, 0.99)}, {quantile(raw, 0.99)},
        value_at_most(5)};
    ping.numbers = {{"p50", median(outcome.pings)},
                    {"longest", *std::max_element(outcome.pings.begin(), outcome.pings.end())},
                    {"rawP50", median(raw)},
                    {"pings", static_cast<double>(outcome.pings.size())},
                    {"seconds", seconds}};
    report(ping);
    // The counterpart of growth is none at all: a relay has one buffer.
    Figure daemon{"stalled", "growth of kairod, " + name, "bytes", {outcome.daemon_private},
                  {0},       value_at_most(1 << 20)};
    daemon.numbers = {{"anonymous", outcome.daemon_anonymous}};
    Figure keeper{"stalled", "growth of the keeper, " + name, "bytes", {outcome.keeper_private},
                  {0},       value_at_most(1 << 20)};
    keeper.numbers = {{"anonymous", outcome.keeper_anonymous}};
    for (Figure* each : {&daemon, &keeper}) {
      each->numbers.insert(each->numbers.end(), {{"streamBytes", outcome.written}, {"seconds", seconds}});
      report(*each);
    }
  }
}

}  // namespace kairo::bench
