// Where this host lets a daemon make control groups, and which limits can be set there.
//
// Every session gets a directory of its own below kairo-TAG, where TAG stands for the state directory: so
// several daemons do not collide. There are two kinds of hierarchy, and a host may have both:
//
//   v2  One tree for everything. The groups stand below the cgroup that the keeper was started in, or, where
//       that cannot be emptied (a shell stands in it, too), below the nearest one above that the same user
//       may write (user@UID.service). Where the tree has no controllers (a host that mounts those as v1) or
//       none are delegated, it still tells whose descendant a process is, and kills.
//   v1  One tree per controller, usually for root alone. Only what a limit needs is used there.
//
// A controller can be had in v2 where the cgroup above hands it on already, or, where that is the daemon's
// own, can be made to: no process may stand in a cgroup that hands controllers on (but the root), so the
// daemon's own move to a leaf, kairo-TAG/daemon, when the first limit is set (Tree). As root under systemd
// only a cgroup that systemd has delegated (Delegate=yes) is changed so.
//
// Reads files only. `root` stands before every path, for tests with a tree of their own.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "reflect/fields.hpp"

namespace kairo::cgroup {

/// The hierarchies of v1 that are of use; also bits 1 to 4 of Group::in, see tree.hpp.
enum class Controller : std::uint8_t { cpu, cpuacct, memory, pids };
inline constexpr Controller all_controllers[] = {Controller::cpu, Controller::cpuacct, Controller::memory,
                                                 Controller::pids};
std::string_view name_of(Controller controller);

struct Layout {
  std::string unified;                   ///< Directory kairo-TAG in the v2 tree; empty: none.
  std::string unified_path;              ///< The same as /proc/PID/cgroup names it.
  std::vector<std::string> controllers;  ///< That can be had in v2: of cpu, memory, pids.
  std::vector<std::string> v1;           ///< Directory kairo-TAG by Controller; empty: none.
  bool operator==(const Layout&) const = default;

  [[nodiscard]] bool has_unified(Controller controller) const;
  /// Empty: none.
  [[nodiscard]] const std::string& v1_directory(Controller controller) const;
  /// By either.
  [[nodiscard]] bool can_limit(Controller controller) const {
    return has_unified(controller) || !v1_directory(controller).empty();
  }
  /// Whether any session can have a group.
  [[nodiscard]] bool any() const;

  static constexpr auto fields() {
    using S = Layout;
    using reflect::defaulted;
    return std::tuple(defaulted("unified", &S::unified, ""), defaulted("unifiedPath", &S::unified_path, ""),
                      defaulted("controllers", &S::controllers, ""), defaulted("v1", &S::v1, ""));
  }
};

struct Host {
  std::string root;  ///< Before every path; empty for the host's own.
  uid_t uid = 0;     ///< Whose rights count.
  /// Whether systemd has delegated this cgroup's directory.
  std::function<bool(const std::string&)> delegated;
  /// Whether a process is one of this daemon's own, which may be moved to a leaf.
  std::function<bool(pid_t)> own;
};
/// The host that this process runs on; its own are those that execute the same program for the same user.
Host this_host();

Layout find_layout(const Host& host, const std::string& tag);

/// TAG for a state directory (descriptor): 16 hexadecimal digits from device and inode, the same for kairod
/// and keeper; empty when it cannot be looked at.
std::string tag_of(int state_dir);

}  // namespace kairo::cgroup
