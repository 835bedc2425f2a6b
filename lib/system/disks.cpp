#include "system/disks.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <sys/statvfs.h>

#include "system/proc_text.hpp"

namespace kairo::system {
namespace {

/// mountinfo writes space, tab, newline and backslash as \ooo.
std::string unescaped(std::string_view text) {
  std::string out;
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) && octal(text[i + 2]) &&
        octal(text[i + 3])) {
      out += static_cast<char>((text[i + 1] - '0') << 6 | (text[i + 2] - '0') << 3 | (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

/// The types that /proc/filesystems does not mark "nodev", and those that bring devices of their own.
std::set<std::string, std::less<>> types_on_devices(const HostFiles& host) {
  std::set<std::string, std::less<>> types = {"zfs", "btrfs", "ubifs", "fuseblk"};
  const auto text = host.text("proc/filesystems");
  std::string_view rest = text ? std::string_view(*text) : std::string_view(), line;
  while (take_line(rest, line))
    if (!line.starts_with("nodev")) types.emplace(trimmed(line));
  for (std::string_view image : {"squashfs", "iso9660", "udf", "erofs", "cramfs"})
    types.erase(std::string(image));
  return types;
}

}  // namespace

std::vector<Mount> parse_mountinfo(std::string_view text) {
  std::vector<Mount> out;
  std::string_view line;
  while (take_line(text, line)) {
    // id parent major:minor root mount-point options [optional...] - type source super-options
    std::array<std::string_view, 6> word;
    for (auto& each : word) each = take_word(line);
    std::string_view optional = take_word(line);
    while (!optional.empty() && optional != "-") optional = take_word(line);
    const std::string_view type = take_word(line), source = take_word(line);
    if (type.empty()) continue;
    out.push_back({std::string(word[2]), unescaped(word[4]), std::string(type), unescaped(source)});
  }
  return out;
}

std::optional<std::vector<api::DiskMetrics>> sample_disks(const HostFiles& host) {
  const auto text = host.text("proc/self/mountinfo");
  if (!text) return std::nullopt;
  const auto types = types_on_devices(host);
  std::vector<api::DiskMetrics> out;
  std::set<std::string> seen;
  for (const Mount& mount : parse_mountinfo(*text)) {
    if (!types.contains(mount.file_system) && mount.mount_point != "/") continue;
    if (seen.contains(mount.device_number)) continue;
    struct statvfs use {};
    if (statvfs(host.path(mount.mount_point).c_str(), &use) != 0 || use.f_blocks == 0) continue;
    seen.insert(mount.device_number);
    const std::uint64_t unit = use.f_frsize;
    const std::uint64_t total = use.f_blocks * unit, free = use.f_bfree * unit;
    out.push_back({mount.mount_point, mount.source, mount.file_system, total, total - std::min(free, total),
                   free, use.f_bavail * unit});
  }
  return out;
}

}  // namespace kairo::system
