#include "cgroup/membership.hpp"

#include "cgroup/files.hpp"
#include "cgroup/name.hpp"

namespace kairo::cgroup {

std::string group_in(std::string_view text, const Layout& layout) {
  if (layout.unified_path.empty()) return {};
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.starts_with("0::" + layout.unified_path + "/")) continue;
    line.remove_prefix(3 + layout.unified_path.size() + 1);
    const std::string_view name = line.substr(0, line.find('/'));
    return read_session(name) || read_number_name(name) ? std::string(name) : std::string();
  }
  return {};
}

std::string group_of(pid_t pid, const Layout& layout, const std::string& root) {
  if (pid <= 0) return {};
  const auto text = read_text(root + "/proc/" + std::to_string(pid) + "/cgroup");
  return text ? group_in(*text, layout) : std::string();
}

std::optional<std::uint64_t> session_key_of(const std::string& group, const Layout& layout) {
  const auto session = group.empty() ? std::nullopt : session_of(layout.unified, group);
  if (session) return session->key;
  if (read_number_name(group) && is_nobodys(layout.unified + "/" + group)) return 0;
  return std::nullopt;
}

std::optional<std::uint64_t> session_key_of(pid_t pid, const Layout& layout, const std::string& root) {
  return session_key_of(group_of(pid, layout, root), layout);
}

}  // namespace kairo::cgroup
