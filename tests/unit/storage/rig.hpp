// Folders that vanish, files as strings, and children with a small disk: what tests of files stand on.
#pragma once

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "base/unique_fd.hpp"
#include "support/temp_dir.hpp"

namespace kairo::test {

class Folder : public TempDir {
 public:
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const {
    return path() / std::filesystem::path(name);
  }

  [[nodiscard]] bool has(std::string_view name) const { return std::filesystem::exists(*this / name); }
  void remove(std::string_view name) const { std::filesystem::remove_all(*this / name); }
  /// The names in it, or in a folder of it, sorted.
  [[nodiscard]] std::vector<std::string> names(std::string_view below = "") const {
    std::vector<std::string> out;
    for (const auto& each : std::filesystem::directory_iterator(*this / below))
      out.push_back(each.path().filename());
    std::sort(out.begin(), out.end());
    return out;
  }
};

/// Sets how long a file may get for this process; writes beyond fail with EFBIG, in the same way, short write
/// first, as a full disk's do with ENOSPC.
inline void limit_files(rlim_t bytes) {
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit = {bytes, RLIM_INFINITY};
  if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) std::abort();
}

/// Runs `work` in a forked child; 0, or the number that it gives for what is not as it should be.
inline int in_child(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

}  // namespace kairo::test
