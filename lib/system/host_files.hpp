// The files below /proc and /sys, read through a root that tests redirect to a tree of their own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kairo::system {

class HostFiles {
 public:
  explicit HostFiles(std::string root = "/");

  /// The whole text of a file ("proc/stat"), or nothing when it cannot be read. At most `most_bytes`: the
  /// longest of these files, mountinfo of a host with ten thousand mounts, has about 2 MiB.
  [[nodiscard]] std::optional<std::string> text(std::string_view path) const;

  /// The first line without what surrounds it, or nothing when it cannot be read or is empty.
  [[nodiscard]] std::optional<std::string> line(std::string_view path) const;

  /// The first line as a whole number.
  [[nodiscard]] std::optional<std::int64_t> number(std::string_view path) const;

  /// Names in a directory, in order; none when it is not there.
  [[nodiscard]] std::vector<std::string> names(std::string_view directory) const;

  /// Entries of a directory of descriptors, less the one that reading it takes.
  [[nodiscard]] std::optional<std::uint32_t> count_descriptors(std::string_view directory) const;

  /// Where a path of the host is found.
  [[nodiscard]] std::string path(std::string_view host_path) const;

 private:
  static constexpr std::size_t most_bytes = 8u << 20;
  std::string root_;
};

}  // namespace kairo::system
