// kairo-bench measures Kairo against the plain system calls that do the same work, in one run, turn about
// (A B A B ...), so that whatever else the machine does falls on both. A scenario is one function below; it
// starts a daemon of its own, measures, and says its figures with report().
//
// Everything here blocks and throws std::runtime_error when something is wrong or takes longer than
// `patience`: a benchmark that cannot check what it moved has no figure to give.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace kairo::bench {

inline constexpr std::chrono::seconds patience{60};

/// How much work is done; smaller sizes give rougher figures.
struct Sizes {
  std::uint64_t stream_bytes = 2ull << 30;
  std::uint64_t stdin_bytes = 512ull << 20;
  std::uint64_t fanout_bytes = 256ull << 20;
  unsigned fanout_readers[3] = {1, 10, 100};
  unsigned rpc_calls = 20'000;
  unsigned spawns = 1'000;
  unsigned idle_sessions[2] = {1'000, 10'000};
  unsigned cli_runs = 200;
  std::chrono::milliseconds stalled{60'000};
  std::chrono::milliseconds absent{10'000};
  unsigned event_tenths = 50;  ///< Tenths of a second.
  unsigned stored_events = 1'000'000;
  std::uint64_t topology_bytes = 1ull << 30;
  unsigned cutovers = 200;
  unsigned nodes = 200;  ///< Of a topology that is brought up.
};
inline constexpr Sizes full_sizes{};
inline constexpr Sizes quick_sizes{256ull << 20,
                                   64ull << 20,
                                   32ull << 20,
                                   {1, 10, 100},
                                   5'000,
                                   300,
                                   {200, 1'000},
                                   40,
                                   std::chrono::milliseconds(10'000),
                                   std::chrono::milliseconds(2'000),
                                   20,
                                   300'000,
                                   256ull << 20,
                                   50,
                                   200};
inline constexpr Sizes smoke_sizes{4ull << 20,
                                   2ull << 20,
                                   1ull << 20,
                                   {1, 2, 5},
                                   50,
                                   20,
                                   {5, 10},
                                   3,
                                   std::chrono::milliseconds(500),
                                   std::chrono::milliseconds(200),
                                   1,
                                   6'000,
                                   2ull << 20,
                                   3,
                                   5};

struct Settings {
  std::string kairod;
  std::string kairoctl;
  unsigned repeats = 5;
  std::uint32_t chunk_bytes = 0;  ///< maxChunkBytes of stream and fanout; 0: the daemon's default.
  Sizes sizes = full_sizes;
};

void run_rpc(const Settings& settings);
void run_spawn(const Settings& settings);
void run_confined(const Settings& settings);
void run_stream(const Settings& settings);
void run_stdin(const Settings& settings);
void run_fanout(const Settings& settings);
void run_idle(const Settings& settings);
void run_cli(const Settings& settings);
void run_stalled(const Settings& settings);
void run_absent(const Settings& settings);
void run_events(const Settings& settings);
void run_flow(const Settings& settings);
void run_topology(const Settings& settings);
void run_cutover(const Settings& settings);
void run_up(const Settings& settings);

}  // namespace kairo::bench
