// What sessions of `sleep` cost while nothing happens: private memory and descriptors of kairod and keeper,
// each session's share of what came on top of the empty daemon. The counterpart holds the same children with
// their three pipes and knows nothing of them.
#include <algorithm>
#include <csignal>
#include <cstring>
#include <set>
#include <stdexcept>
#include <sys/resource.h>
#include <thread>

#include "bench/bench.hpp"
#include "bench/connection.hpp"
#include "bench/daemon.hpp"
#include "bench/report.hpp"

namespace kairo::bench {
namespace {

constexpr unsigned in_flight = 32;
/// Descriptors that the keeper sets aside for a session: three pipes, a pidfd, two logs and the ring of
/// stdin. (Idle ones hold the first four only.)
constexpr unsigned files_per_session = 7;
constexpr unsigned files_spare = 300;

/// Spawns `count` sessions and gives their ids.
std::vector<std::string> spawn_sessions(Connection& connection, unsigned count) {
  api::SpawnParams spawn;
  spawn.command = {system_program("sleep"), "100000"};
  spawn.options = api::SpawnOptions{};
  spawn.options->subscribe = false;
  std::vector<std::string> ids;
  unsigned sent = 0;
  for (; sent < in_flight && sent < count; ++sent) connection.add("process.spawn", spawn);
  connection.flush();
  while (ids.size() < count) {
    const wire::Frame frame = connection.next();
    if (frame.type != wire::FrameType::response) continue;
    const msgpack::object payload = connection.decode(frame);
    Connection::answered(payload);
    const msgpack::object* id = wire::find_member(*wire::find_member(payload, "result"), "id");
    ids.push_back(id->as<std::string>());
    if (sent == count) continue;
    ++sent;
    connection.send("process.spawn", spawn);
  }
  return ids;
}

void kill_sessions(Connection& connection, const std::vector<std::string>& ids) {
  std::set<std::uint64_t> waits;
  for (std::size_t from = 0; from < ids.size(); from += in_flight) {
    const std::size_t to = std::min(ids.size(), from + in_flight);
    for (std::size_t i = from; i < to; ++i) {
      waits.insert(connection.add("process.wait", api::WaitParams{ids[i], {}}));
      api::KillParams kill;
      kill.id = ids[i];
      kill.signal = std::int32_t{SIGKILL};
      connection.add("process.kill", kill);
    }
    connection.flush();
    while (!waits.empty()) {
      const wire::Frame frame = connection.next();
      if (frame.type == wire::FrameType::response)
        waits.erase(Connection::answered(connection.decode(frame)));
    }
  }
}

struct Cost {
  Footprint daemon;
  Footprint keeper;
  double spawn_seconds = 0;
};

Footprint share(const Footprint& before, const Footprint& after, unsigned count) {
  return {(after.private_bytes - before.private_bytes) / count,
          (after.anonymous_bytes - before.anonymous_bytes) / count,
          (after.descriptors - before.descriptors) / count};
}

Cost measure_kairo(const Settings& settings, unsigned count) {
  const Daemon daemon(settings);
  Connection connection(daemon.socket());
  kill_sessions(connection,
                spawn_sessions(connection, 1));  // what the first one brings is no session's share
  const Footprint daemon_before = footprint(daemon.pid()), keeper_before = footprint(daemon.keeper_pid());
  const auto start_time = Clock::now();
  const std::vector<std::string> ids = spawn_sessions(connection, count);
  const double seconds = seconds_since(start_time);
  std::this_thread::sleep_for(std::chrono::seconds(1));  // let what is idle become idle
  const Cost cost{share(daemon_before, footprint(daemon.pid()), count),
                  share(keeper_before, footprint(daemon.keeper_pid()), count), seconds};
  kill_sessions(connection, ids);
  return cost;
}

/// The child's own share of it is told through a pipe, as two numbers.
Footprint measure_raw(unsigned count) {
  Pipe answer = make_pipe();
  const pid_t pid = fork_child([&] {
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max = std::max<rlim_t>(files.rlim_max, 3 * count + files_spare);
    ::setrlimit(RLIMIT_NOFILE, &files);
    const std::string sleep = system_program("sleep");
    std::vector<Pipe> kept;
    std::vector<pid_t> pids;
    kept.reserve(3 * count);
    pids.reserve(count);
    const Footprint before = footprint(::getpid());
    for (unsigned i = 0; i < count; ++i) {
      Pipe in = make_pipe(), out = make_pipe(), err = make_pipe();
      pids.push_back(start({sleep, "100000"}, {in.read.get(), out.write.get(), err.write.get()}));
      in.read.reset();
      out.write.reset();
      err.write.reset();
      kept.push_back(std::move(in));
      kept.push_back(std::move(out));
      kept.push_back(std::move(err));
    }
    const Footprint each = share(before, footprint(::getpid()), count);
    for (const pid_t child : pids) ::kill(child, SIGKILL);
    for (const pid_t child : pids) kill_and_wait(child);
    write_all(answer.write.get(), reinterpret_cast<const char*>(&each), sizeof each);
  });
  answer.write.reset();
  const std::string told = read_to_end(answer.read.get());
  wait_for(pid);
  Footprint out;
  if (told.size() != sizeof out) throw std::runtime_error("the raw counterpart could not start its children");
  std::memcpy(&out, told.data(), sizeof out);
  return out;
}

/// How many of `wanted` sessions the limit of open files allows. The daemon raises its own as far as it may;
/// whether that is beyond our hard limit is tried here, in a child.
unsigned possible_sessions(unsigned wanted) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  const rlim_t needed = rlim_t{files_per_session} * wanted + files_spare;
  if (files.rlim_max >= needed) return wanted;
  const pid_t pid = fork_child([needed] {
    const rlimit more{needed, needed};
    if (::setrlimit(RLIMIT_NOFILE, &more) != 0) throw_errno("cannot raise the limit of open files");
  });
  try {
    wait_for(pid);
    return wanted;
  } catch (const std::runtime_error&) {
    return static_cast<unsigned>((files.rlim_max - files_spare) / files_per_session);
  }
}

}  // namespace

void run_idle(const Settings& settings) {
  for (const unsigned wanted : settings.sizes.idle_sessions) {
    const unsigned count = possible_sessions(wanted);
    const std::string sessions = std::to_string(count) + " sessions";
    Figure daemon{"idle", "kairod, " + sessions, "bytes per session", {}, {}, value_at_most(6 * 1024)};
    Figure keeper{"idle", "keeper, " + sessions, "bytes per session", {}, {}, value_at_most(2 * 1024)};
    std::vector<double> daemon_anonymous, keeper_anonymous, daemon_files, keeper_files, raw_files, rates;
    for (unsigned i = 0; i < settings.repeats; ++i) {
      const Cost cost = measure_kairo(settings, count);
      const Footprint raw = measure_raw(count);
      daemon.values.push_back(cost.daemon.private_bytes);
      keeper.values.push_back(cost.keeper.private_bytes);
      daemon.raws.push_back(raw.private_bytes);
      keeper.raws.push_back(raw.private_bytes);
      daemon_anonymous.push_back(cost.daemon.anonymous_bytes);
      keeper_anonymous.push_back(cost.keeper.anonymous_bytes);
      daemon_files.push_back(cost.daemon.descriptors);
      keeper_files.push_back(cost.keeper.descriptors);
      raw_files.push_back(raw.descriptors);
      rates.push_back(count / cost.spawn_seconds);
    }
    daemon.numbers = {{"anonymous", median(daemon_anonymous)}, {"descriptors", median(daemon_files)}};
    keeper.numbers = {{"anonymous", median(keeper_anonymous)}, {"descriptors", median(keeper_files)}};
    for (Figure* each : {&daemon, &keeper}) {
      each->numbers.insert(
          each->numbers.end(),
          {{"rawDescriptors", median(raw_files)}, {"spawnsPerSecond", median(rates)}, {"sessions", count}});
      if (count < wanted) {
        each->numbers.emplace_back("wantedSessions", wanted);
        each->notes.emplace_back("note", "fewer sessions: the limit of open files cannot be raised here");
      }
      report(*each);
    }
  }
}

}  // namespace kairo::bench
