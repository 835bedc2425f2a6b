// Spawn and wait of `true` over one connection, against posix_spawn with three pipes, reading both outputs to
// their end, and waitpid.
#include <algorithm>
#include <poll.h>
#include <stdexcept>

#include "bench/bench.hpp"
#include "bench/connection.hpp"
#include "bench/daemon.hpp"
#include "bench/report.hpp"

namespace kairo::bench {
namespace {

struct RawChild {
  pid_t pid = -1;
  UniqueFd in, out, err;
};

RawChild start_raw(const std::vector<std::string>& command) {
  Pipe in = make_pipe(), out = make_pipe(), err = make_pipe();
  const pid_t pid = start(command, {in.read.get(), out.write.get(), err.write.get()});
  return {pid, std::move(in.write), std::move(out.read), std::move(err.read)};
}

/// Spawns per second.
double time_raw(const std::vector<std::string>& command, unsigned spawns, unsigned in_flight) {
  std::vector<RawChild> children(in_flight);
  std::vector<pollfd> polled(2 * in_flight);
  unsigned started = 0, done = 0;
  const auto begin = [&](unsigned slot) {
    RawChild& child = children[slot];
    child = started < spawns ? (++started, start_raw(command)) : RawChild{};
    polled[2 * slot] = {child.out.get(), POLLIN, 0};
    polled[2 * slot + 1] = {child.err.get(), POLLIN, 0};
  };
  const auto start_time = Clock::now();
  for (unsigned slot = 0; slot < in_flight; ++slot) begin(slot);
  while (done < spawns) {
    if (::poll(polled.data(), polled.size(), -1) < 0) throw_errno("cannot poll");
    for (unsigned i = 0; i < polled.size(); ++i) {
      if (polled[i].revents == 0) continue;
      char block[4096];
      if (read_some(polled[i].fd, block, sizeof block) != 0) continue;
      RawChild& child = children[i / 2];
      (i % 2 == 0 ? child.out : child.err).reset();
      polled[i].fd = -1;
      polled[i].revents = 0;
      if (child.out || child.err) continue;
      wait_for(child.pid);
      ++done;
      begin(i / 2);
      break;  // the slots after this one are looked at with the next poll
    }
  }
  return spawns / seconds_since(start_time);
}

double time_kairo(Connection& connection, const api::SpawnParams& params, unsigned spawns,
                  unsigned in_flight) {
  // What each request is for, by its number from `base`: a spawn, or the wait that follows it.
  const std::uint64_t base = connection.next_id();
  std::vector<bool> is_wait(1);
  const auto number_of = [&](std::uint64_t id) { return static_cast<std::size_t>(id - base); };
  unsigned started = 0, done = 0;
  const auto start_time = Clock::now();
  for (; started < in_flight && started < spawns; ++started) {
    connection.add("process.spawn", params);
    is_wait.push_back(false);
  }
  connection.flush();
  while (done < spawns) {
    connection.fill();
    bool more = false;
    while (const auto frame = connection.next_arrived()) {
      if (frame->type != wire::FrameType::response) continue;  // what a subscriber is pushed
      const msgpack::object payload = connection.decode(*frame);
      const std::size_t number = number_of(Connection::answered(payload));
      const msgpack::object* result = wire::find_member(payload, "result");
      if (!is_wait.at(number)) {
        const msgpack::object* id = wire::find_member(*result, "id");
        connection.add("process.wait", api::WaitParams{id->as<std::string>(), {}});
        is_wait.push_back(true);
        more = true;
        continue;
      }
      const msgpack::object* code = wire::find_member(*result, "exitCode");
      if (!code || code->as<int>() != 0) throw std::runtime_error("true did not end with 0");
      ++done;
      if (started == spawns) continue;
      ++started;
      connection.add("process.spawn", params);
      is_wait.push_back(false);
      more = true;
    }
    if (more) connection.flush();
  }
  return spawns / seconds_since(start_time);
}

constexpr double microseconds = 1e6;
/// So few spawns of each kind at a time that what else the machine does meets both; so many that what the
/// system cleans up later is paid for by those who caused it.
constexpr unsigned spawns_in_turn = 10;

api::Permissions files(std::vector<std::string> read, std::vector<std::string> write) {
  api::Permissions out;
  out.fs = api::FileAccess{std::move(read), std::move(write)};
  return out;
}

}  // namespace

/// Each declaration against no declaration, turn about; the value is what one spawn takes longer, the median
/// of all turns.
void run_confined(const Settings& settings) {
  Daemon daemon(settings);
  const unsigned spawns = settings.sizes.spawns;
  api::SpawnParams plain;
  plain.command = {system_program("true")};
  plain.options = api::SpawnOptions{};
  plain.options->subscribe = false;
  api::SpawnParams declared = plain, ports = plain, connected = plain, workspace = plain, own_network = plain;
  declared.options->permissions = files({"/usr"}, {"/tmp"});
  ports.options->permissions = declared.options->permissions;
  ports.options->permissions->net = api::NetPorts{{{443}}, {{8080}}};
  connected.options->permissions = declared.options->permissions;
  connected.options->permissions->ipc = api::IpcAccess::kernel;
  workspace.options->profile = "workspace";
  own_network.options->permissions = declared.options->permissions;
  own_network.options->permissions->net = api::NetAccess::private_;

  const std::pair<const char*, const api::SpawnParams*> variants[] = {{"files", &declared},
                                                                      {"files and ports", &ports},
                                                                      {"files and a connection", &connected},
                                                                      {"workspace", &workspace},
                                                                      {"private", &own_network}};
  for (const auto& [name, params] : variants) {
    const bool is_private = params == &own_network;
    Figure figure{"confined", name, "us", {}, {}, is_private ? Goal{} : value_at_most(100)};
    const unsigned turns = std::max(1u, (is_private ? spawns / 10 : spawns) / spawns_in_turn);
    for (unsigned i = 0; i < settings.repeats; ++i) {
      Connection one(daemon.socket()), two(daemon.socket());
      std::vector<double> longer, without;
      for (unsigned turn = 0; turn < turns; ++turn) {
        without.push_back(microseconds / time_kairo(one, plain, spawns_in_turn, 1));
        longer.push_back(microseconds / time_kairo(two, *params, spawns_in_turn, 1) - without.back());
      }
      figure.values.push_back(median(longer));
      figure.raws.push_back(median(without));
    }
    figure.numbers = {{"spawns", spawns}};
    report(figure);
  }
}

void run_spawn(const Settings& settings) {
  Daemon daemon(settings);
  const unsigned spawns = settings.sizes.spawns;
  api::SpawnParams quiet;
  quiet.command = {system_program("true")};
  quiet.options = api::SpawnOptions{};
  quiet.options->subscribe = false;
  api::SpawnParams pushed = quiet;
  pushed.options->subscribe = true;

  for (const unsigned in_flight : {1u, 32u}) {
    const std::string depth = std::to_string(in_flight) + " in flight";
    Figure plain{"spawn", depth, "spawns/s", {}, {}, ratio_at_least(0.8)};
    Figure owner{"spawn", depth + ", subscribed", "spawns/s", {}, {}};
    for (unsigned i = 0; i < settings.repeats; ++i) {
      Connection one(daemon.socket()), two(daemon.socket());
      plain.values.push_back(time_kairo(one, quiet, spawns, in_flight));
      plain.raws.push_back(time_raw(quiet.command, spawns, in_flight));
      owner.values.push_back(time_kairo(two, pushed, spawns, in_flight));
      owner.raws.push_back(plain.raws.back());
    }
    for (Figure* each : {&plain, &owner}) {
      each->numbers = {{"spawns", spawns}};
      report(*each);
    }
  }
}

}  // namespace kairo::bench
