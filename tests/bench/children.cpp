#include "bench/children.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>

namespace kairo::bench {
namespace {

constexpr std::size_t consumer_bytes = 1u << 20;

int run_writer(Content content, std::uint64_t total) {
  Buffer block(write_bytes);
  char go = 0;
  read_some(0, &go, 1);
  for (std::uint64_t offset = 0; offset < total;) {
    const std::size_t size =
        total - offset < write_bytes ? static_cast<std::size_t>(total - offset) : write_bytes;
    fill(content, block.data(), size, offset);
    write_all(1, block.data(), size);
    offset += size;
  }
  return 0;
}

int run_reader() {
  Buffer block(relay_bytes);
  std::uint64_t total = 0;
  while (const std::size_t got = read_some(0, block.data(), block.size())) {
    if (!is_right(Content::records, block.data(), got, total)) {
      std::printf("wrong after %llu\n", static_cast<unsigned long long>(total));
      return 1;
    }
    total += got;
  }
  std::printf("ok %llu\n", static_cast<unsigned long long>(total));
  return 0;
}

int run_paced_writer(std::uint64_t bytes_per_second, std::chrono::milliseconds duration) {
  const Buffer block(write_bytes);
  const auto begun = Clock::now();
  double longest = 0;
  std::uint64_t written = 0;
  for (auto now = begun; now < begun + duration; now = Clock::now()) {
    // A write that was held back is made up for, as a real producer's data would be.
    if (static_cast<double>(written) >= seconds_since(begun) * static_cast<double>(bytes_per_second)) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      continue;
    }
    write_all(1, block.data(), block.size());
    longest = std::max(longest, seconds_since(now));
    written += block.size();
  }
  std::fprintf(stderr, "%.0f\n", longest * 1e6);
  return 0;
}

}  // namespace

std::vector<std::string> writer_command(Content content, std::uint64_t bytes) {
  return {own_path(), "child", "write", content == Content::lines ? "lines" : "records",
          std::to_string(bytes)};
}

std::vector<std::string> paced_writer_command(std::uint64_t bytes_per_second,
                                              std::chrono::milliseconds duration) {
  return {own_path(), "child", "pace", std::to_string(bytes_per_second), std::to_string(duration.count())};
}

std::vector<std::string> reader_command() {
  return {own_path(), "child", "read"};
}

int run_child(const std::vector<std::string>& arguments) {
  if (arguments.size() == 1 && arguments[0] == "read") return run_reader();
  if (arguments.size() == 3 && arguments[0] == "write")
    return run_writer(arguments[1] == "lines" ? Content::lines : Content::records,
                      std::strtoull(arguments[2].c_str(), nullptr, 10));
  if (arguments.size() == 3 && arguments[0] == "pace")
    return run_paced_writer(std::strtoull(arguments[1].c_str(), nullptr, 10),
                            std::chrono::milliseconds(std::strtol(arguments[2].c_str(), nullptr, 10)));
  return 64;
}

pid_t start_relay(UniqueFd from, UniqueFd to) {
  return fork_child([&] {
    Buffer buffer(relay_bytes);
    while (const std::size_t got = read_some(from.get(), buffer.data(), buffer.size()))
      write_all(to.get(), buffer.data(), got);
  });
}

double time_raw_stream(Content content, std::uint64_t bytes, bool relayed) {
  Pipe go = make_pipe(), output = make_pipe(relay_bytes);
  const pid_t writer = start(writer_command(content, bytes), {go.read.get(), output.write.get(), 2});
  output.write.reset();
  pid_t relay = -1;
  if (relayed) {
    Pipe second = make_pipe(relay_bytes);
    relay = start_relay(std::move(output.read), std::move(second.write));
    output.read = std::move(second.read);
  }
  Buffer buffer(consumer_bytes);
  const auto start_time = Clock::now();
  write_all(go.write.get(), "\n", 1);
  std::uint64_t total = 0;
  while (const std::size_t got = read_some(output.read.get(), buffer.data(), buffer.size())) {
    if (!is_right(content, buffer.data(), got, total))
      throw std::runtime_error("the relay's bytes are wrong");
    total += got;
  }
  const double seconds = seconds_since(start_time);
  wait_for(writer);
  if (relay > 0) wait_for(relay);
  if (total != bytes) throw std::runtime_error("the relay lost bytes");
  return seconds;
}

}  // namespace kairo::bench
