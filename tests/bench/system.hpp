// System calls as the scenarios use them: blocking, whole, or an exception.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "base/unique_fd.hpp"

namespace kairo::bench {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}
/// MB/s, of 10^6 bytes.
inline double megabytes_per_second(std::uint64_t bytes, double seconds) {
  return static_cast<double>(bytes) / 1e6 / seconds;
}

/// std::runtime_error with the reason that errno gives.
[[noreturn]] void throw_errno(const std::string& attempt);

void write_all(int fd, const char* data, std::size_t size);
/// Bytes read; 0 at the end.
std::size_t read_some(int fd, char* to, std::size_t size);
/// Everything up to the end.
std::string read_to_end(int fd);

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};
/// Close-on-exec; `capacity` 0 leaves the system's default.
Pipe make_pipe(int capacity = 0);

/// Page-aligned memory, touched once, so that no page fault falls into a measurement.
class Buffer {
 public:
  explicit Buffer(std::size_t size);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  [[nodiscard]] char* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  char* data_;
  std::size_t size_;
};

/// A descriptor for a child's 0, 1, 2: -1 is /dev/null.
struct ChildStdio {
  int in = -1;
  int out = -1;
  int err = -1;
};
/// posix_spawn of an absolute path.
pid_t start(const std::vector<std::string>& argv, ChildStdio stdio, char** environment = nullptr);
/// Runs `work` in a forked child that ends with it; for the counterparts that need no program of their own.
template <class Work>
pid_t fork_child(Work&& work);
/// Waits for its end; throws when it did not end with status 0 (or by `allowed_signal`).
void wait_for(pid_t pid, int allowed_signal = 0);
void kill_and_wait(pid_t pid);

/// The program under this name in /usr/bin or /bin.
std::string system_program(const std::string& name);
/// This very program, to be run as writer or reader.
std::string own_path();

/// Private_Clean + Private_Dirty and Anonymous of a process, bytes, and its open descriptors.
struct Footprint {
  double private_bytes = 0;
  double anonymous_bytes = 0;
  double descriptors = 0;
};
Footprint footprint(pid_t pid);

pid_t fork_or_throw();
[[noreturn]] void end_child(int status);
template <class Work>
pid_t fork_child(Work&& work) {
  const pid_t pid = fork_or_throw();
  if (pid != 0) return pid;
  try {
    std::forward<Work>(work)();
  } catch (...) {
    end_child(1);
  }
  end_child(0);
}

}  // namespace kairo::bench
