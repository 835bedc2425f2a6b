// A directory of a test's own.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "base/unique_fd.hpp"

namespace kairo::test {

/// A directory below `parent`, else $TMPDIR, else /tmp, that is removed at the end. Its path is short enough
/// for the name of a socket in it.
class TempDir {
 public:
  explicit TempDir(const std::filesystem::path& parent = std::filesystem::temp_directory_path()) {
    std::string made = (parent / "kairo-test-XXXXXX").string();
    if (!::mkdtemp(made.data()))
      throw std::system_error(errno, std::generic_category(), "cannot make " + made);
    path_ = made;
    fd_ = UniqueFd(::open(made.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
  /// Writes a file, and makes the folders on the way to it; returns its path.
  std::string put(std::string_view name, std::string_view text, mode_t mode = 0644) const {
    const std::string path = file(std::string(name));
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
    ::chmod(path.c_str(), mode);
    return path;
  }
  /// What a file holds; nothing where there is none.
  [[nodiscard]] std::string get(std::string_view name) const {
    std::ifstream in(file(std::string(name)), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  /// Of the directory itself, for functions that want a descriptor.
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  std::string path_;
  UniqueFd fd_;
};

}  // namespace kairo::test
