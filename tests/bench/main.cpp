// kairo-bench [scenario...] [--kairod PATH] [--kairoctl PATH] [--repeat N] [--quick|--smoke] [--chunk-bytes
// N]
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <vector>

#include "bench/bench.hpp"
#include "bench/children.hpp"
#include "bench/report.hpp"

namespace kairo::bench {
namespace {

struct Scenario {
  const char* name;
  void (*run)(const Settings&);
  const char* text;
};
constexpr Scenario scenarios[] = {
    {"rpc", run_rpc, "process.status against a socket's ping-pong, depths 1 and 32"},
    {"spawn", run_spawn, "spawn and wait of true against posix_spawn, 1 and 32 in flight"},
    {"confined", run_confined, "what a declaration of permissions adds to a spawn and wait of true"},
    {"stream", run_stream, "2 GiB to a lossless reader against a relay and a direct pipe"},
    {"stdin", run_stdin, "512 MiB into a child against a pipe"},
    {"fanout", run_fanout, "1, 10 and 100 readers of one stream"},
    {"idle", run_idle, "memory and descriptors of 1,000 and 10,000 sessions of sleep"},
    {"cli", run_cli, "kairoctl run -- true against starting true"},
    {"stalled", run_stalled, "a reader that never reads, under yes, for a minute"},
    {"absent", run_absent, "a writer of 100 MiB/s while kairod is away for ten seconds"},
    {"events", run_events, "20,000 events a second to 10 subscribers, and event.query among a million"},
    {"flow", run_flow, "2 GiB through cat as a node of a topology against a shell's pipes"},
    {"topology", run_topology, "a file through cat into a file, a topology against a shell's pipeline"},
    {"cutover", run_cutover, "how long a node's input is held while it is replaced at full speed"},
    {"up", run_up, "a topology of 200 process nodes up and down against posix_spawn"},
};

constexpr int exit_failed = 1;
constexpr int exit_usage = 64;

void print_usage(std::FILE* to) {
  std::fputs(
      "kairo-bench [scenario...] [option...]: measures Kairo against plain system calls, one JSON line per\n"
      "figure. Without a name it runs all scenarios:\n",
      to);
  for (const Scenario& each : scenarios) std::fprintf(to, "  %-14s %s\n", each.name, each.text);
  std::fputs(
      "options:\n"
      "  --kairod PATH    daemon to measure (the one beside this program)\n"
      "  --kairoctl PATH  client to measure (the one beside this program)\n"
      "  --repeat N       runs of which the median is told (5)\n"
      "  --quick          smaller sizes, rougher figures\n"
      "  --smoke          tiny sizes, one run: only whether it works\n"
      "  --chunk-bytes N  maxChunkBytes of stream and fanout (the daemon's default)\n"
      "Logs are written below $TMPDIR or the current directory, which must not be a tmpfs.\n",
      to);
}

[[noreturn]] void usage(const std::string& problem) {
  std::fprintf(stderr, "kairo-bench: %s\n", problem.c_str());
  print_usage(stderr);
  std::exit(exit_usage);
}

const Scenario* find_scenario(const std::string& name) {
  for (const Scenario& each : scenarios)
    if (each.name == name) return &each;
  return nullptr;
}

struct Command {
  Settings settings;
  std::vector<const Scenario*> chosen;
};

Command read_command_line(int argc, char** argv) {
  Command out;
  const std::string own = own_path();
  const std::string beside = own.substr(0, own.rfind('/') + 1);
  out.settings.kairod = beside + "kairod";
  out.settings.kairoctl = beside + "kairoctl";
  bool repeat_named = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&]() -> std::string {
      if (++i == argc) usage(word + " needs a value");
      return argv[i];
    };
    const auto number = [&]() -> unsigned {
      const std::string text = value();
      char* end = nullptr;
      const unsigned long parsed = std::strtoul(text.c_str(), &end, 10);
      if (*end != '\0' || parsed == 0 || parsed > 1u << 20) usage(word + " needs a whole number above 0");
      return static_cast<unsigned>(parsed);
    };
    if (word == "--kairod") {
      out.settings.kairod = value();
    } else if (word == "--kairoctl") {
      out.settings.kairoctl = value();
    } else if (word == "--repeat") {
      out.settings.repeats = number();
      repeat_named = true;
    } else if (word == "--chunk-bytes") {
      out.settings.chunk_bytes = number();
    } else if (word == "--quick") {
      out.settings.sizes = quick_sizes;
    } else if (word == "--smoke") {
      out.settings.sizes = smoke_sizes;
      if (!repeat_named) out.settings.repeats = 1;
    } else if (word == "-h" || word == "--help") {
      print_usage(stdout);
      std::exit(0);
    } else if (const Scenario* scenario = find_scenario(word)) {
      out.chosen.push_back(scenario);
    } else {
      usage("there is no scenario or option \"" + word + "\"");
    }
  }
  if (out.chosen.empty())
    for (const Scenario& each : scenarios) out.chosen.push_back(&each);
  return out;
}

int run(int argc, char** argv) {
  const Command command = read_command_line(argc, argv);
  check_pattern();
  bool failed = false;
  for (const Scenario* each : command.chosen) {
    try {
      each->run(command.settings);
    } catch (const std::exception& error) {
      report_failure(each->name, error.what());
      failed = true;
    }
  }
  return failed ? exit_failed : 0;
}

}  // namespace
}  // namespace kairo::bench

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "child") == 0)
    return kairo::bench::run_child(std::vector<std::string>(argv + 2, argv + argc));
  std::signal(SIGPIPE, SIG_IGN);
  return kairo::bench::run(argc, argv);
}
