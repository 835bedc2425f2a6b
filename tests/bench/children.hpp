// The processes at the other ends: the writer and the reader that both Kairo and the raw counterparts run
// (this program again, `kairo-bench child ...`), and the relay that stands in for Kairo.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/pattern.hpp"
#include "bench/system.hpp"

namespace kairo::bench {

inline constexpr int relay_bytes = 256 << 10;         ///< The relay's buffer and its pipes'.
inline constexpr std::size_t write_bytes = 64 << 10;  ///< What the writer gives to one write().

/// Writes `bytes` of `content` to stdout once it has read a byte from stdin.
std::vector<std::string> writer_command(Content content, std::uint64_t bytes);
/// Reads stdin to its end, checks that it is `records`, prints "ok TOTAL".
std::vector<std::string> reader_command();

/// Writes at an even pace for so long, then tells on stderr for how long the longest of its writes took,
/// microseconds.
std::vector<std::string> paced_writer_command(std::uint64_t bytes_per_second,
                                              std::chrono::milliseconds duration);

/// What `kairo-bench child ...` does; the exit status.
int run_child(const std::vector<std::string>& arguments);

/// Starts a process that moves bytes from `from` to `to` until the end, 256 KiB at a time, and closes both
/// here.
pid_t start_relay(UniqueFd from, UniqueFd to);

/// Seconds in which `bytes` come from a writer over a pipe, through a relay or directly, all of them checked.
double time_raw_stream(Content content, std::uint64_t bytes, bool relayed);

}  // namespace kairo::bench
