#include "cgroup/membership.hpp"

#include <charconv>

#include "cgroup/files.hpp"

namespace kairo::cgroup {

std::optional<std::uint64_t> key_of_name(std::string_view name) {
  if (name.size() != 17 || (name[0] != 's' && name[0] != 'd')) return std::nullopt;
  std::uint64_t key = 0;
  const auto [end, error] = std::from_chars(name.data() + 1, name.data() + name.size(), key, 16);
  if (error != std::errc{} || end != name.data() + name.size()) return std::nullopt;
  return key;
}

std::optional<std::uint64_t> session_key_in(std::string_view text, const Layout& layout) {
  if (layout.unified_path.empty()) return std::nullopt;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.starts_with("0::" + layout.unified_path + "/")) continue;
    line.remove_prefix(3 + layout.unified_path.size() + 1);
    return key_of_name(line.substr(0, line.find('/')));
  }
  return std::nullopt;
}

std::optional<std::uint64_t> session_key_of(pid_t pid, const Layout& layout, const std::string& root) {
  if (pid <= 0) return std::nullopt;
  const auto text = read_text(root + "/proc/" + std::to_string(pid) + "/cgroup");
  return text ? session_key_in(*text, layout) : std::nullopt;
}

}  // namespace kairo::cgroup
