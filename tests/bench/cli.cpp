// `kairoctl run -- true` with a running daemon, against starting `true`. Both are started in the same way,
// turn about; each repeat is a median of many runs.
#include <cstdlib>

#include "bench/bench.hpp"
#include "bench/daemon.hpp"
#include "bench/report.hpp"
#include "bench/system.hpp"

namespace kairo::bench {
namespace {

/// Microseconds from the start of the program to its end.
double time_program(const std::vector<std::string>& command) {
  const auto start_time = Clock::now();
  wait_for(start(command, {-1, -1, 2}));
  return seconds_since(start_time) * 1e6;
}

}  // namespace

void run_cli(const Settings& settings) {
  const Daemon daemon(settings);
  ::setenv("KAIRO_IPC_SOCKET", daemon.socket().c_str(), 1);
  const std::vector<std::string> raw = {system_program("true")};
  const std::vector<std::string> ours = {settings.kairoctl, "run", "--", raw[0]};
  Figure figure{"cli", "kairoctl run -- true", "us", {}, {}, ratio_at_most(2.5)};
  std::vector<double> p99;
  for (unsigned i = 0; i < settings.repeats; ++i) {
    std::vector<double> values, raws;
    for (unsigned k = 0; k < settings.sizes.cli_runs; ++k) {
      values.push_back(time_program(ours));
      raws.push_back(time_program(raw));
    }
    figure.values.push_back(median(values));
    figure.raws.push_back(median(raws));
    p99.push_back(quantile(values, 0.99));
  }
  ::unsetenv("KAIRO_IPC_SOCKET");
  figure.numbers = {{"p99", median(p99)}, {"runs", settings.sizes.cli_runs}};
  report(figure);
}

}  // namespace kairo::bench
