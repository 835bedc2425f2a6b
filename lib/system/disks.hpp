// The local file systems that hold data, with their use.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/system.hpp"
#include "system/host_files.hpp"

namespace kairo::system {

/// One line of /proc/self/mountinfo (proc(5)).
struct Mount {
  std::string device_number;  ///< "254:0"; the same for every mount of one file system
  std::string mount_point;
  std::string file_system;
  std::string source;
};
std::vector<Mount> parse_mountinfo(std::string_view text);

/// Every mounted file system on a local device, once, at the first place where it is mounted; besides,
/// whatever stands at "/" (a container's overlay). Left out: what holds no data of its own (proc, tmpfs,
/// cgroup), images that are always full (squashfs, iso9660), and network file systems, since asking a server
/// that is away would block the sampler for minutes. Nothing when the host does not tell its mounts.
std::optional<std::vector<api::DiskMetrics>> sample_disks(const HostFiles& host);

}  // namespace kairo::system
