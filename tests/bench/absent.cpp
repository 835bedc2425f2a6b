// kairod is killed and stays away for ten seconds while a process writes 100 MiB/s into a drop-oldest log:
// how long the longest of its writes took. The counterpart writes the same into a pipe that a relay empties
// into /dev/null, and tells what the machine's scheduler alone does to such a writer.
#include <cstdlib>
#include <fcntl.h>
#include <stdexcept>
#include <thread>

#include "bench/bench.hpp"
#include "bench/children.hpp"
#include "bench/connection.hpp"
#include "bench/daemon.hpp"
#include "bench/report.hpp"

namespace kairo::bench {
namespace {

constexpr std::uint64_t pace = 100ull << 20;
/// The writer goes on for so long before the kill and after the return.
constexpr std::chrono::milliseconds margin{500};

struct Outcome {
  double longest_ms = 0;
  double bytes = 0;
};

Outcome measure_kairo(const Settings& settings) {
  Daemon daemon(settings);
  std::string id;
  {
    Connection client(daemon.socket());
    api::SpawnParams spawn;
    spawn.command = paced_writer_command(pace, settings.sizes.absent + 2 * margin);
    spawn.options = api::SpawnOptions{};
    spawn.options->subscribe = false;
    id = client.call<api::SpawnResult>("process.spawn", spawn).id;
  }
  std::this_thread::sleep_for(margin);
  daemon.kill();
  std::this_thread::sleep_for(settings.sizes.absent);
  daemon.start();
  Connection client(daemon.socket());
  const auto ended = client.call<api::ProcessSession>("process.wait", api::WaitParams{id, {}});
  if (ended.exit_code != 0) throw std::runtime_error("the writer failed");
  api::ReadParams read;
  read.id = id;
  read.stream = api::StreamName::standard_error;
  const auto told = client.call<api::ReadResult>("process.read", read);
  return {std::atof(std::get<std::string>(told.chunk).c_str()) / 1e3,
          static_cast<double>(ended.streams.standard_output.bytes)};
}

double measure_raw(std::chrono::milliseconds duration) {
  Pipe output = make_pipe(), told = make_pipe();
  const pid_t writer =
      start(paced_writer_command(pace, duration), {-1, output.write.get(), told.write.get()});
  output.write.reset();
  told.write.reset();
  const pid_t relay =
      start_relay(std::move(output.read), UniqueFd(::open("/dev/null", O_WRONLY | O_CLOEXEC)));
  const std::string longest_us = read_to_end(told.read.get());
  wait_for(writer);
  wait_for(relay);
  return std::atof(longest_us.c_str()) / 1e3;
}

}  // namespace

void run_absent(const Settings& settings) {
  Figure figure{"absent", "longest write", "ms", {}, {}, value_at_most(50)};
  double bytes = 0;
  for (unsigned i = 0; i < settings.repeats; ++i) {
    const Outcome outcome = measure_kairo(settings);
    figure.values.push_back(outcome.longest_ms);
    bytes += outcome.bytes;
    figure.raws.push_back(measure_raw(settings.sizes.absent + 2 * margin));
  }
  const double seconds = std::chrono::duration<double>(settings.sizes.absent).count();
  const double all = std::chrono::duration<double>(settings.sizes.absent + 2 * margin).count();
  figure.numbers = {{"absentSeconds", seconds}, {"bytesPerSecond", bytes / settings.repeats / all}};
  report(figure);
}

}  // namespace kairo::bench
