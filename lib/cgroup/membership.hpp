// Which session a process belongs to, by the control group that it is in.
//
// A process is born into its parent's group and cannot leave it but by writing the files of another one, for
// which it needs the rights of the daemon's user. So this names the session of every descendant, whatever it
// has done to its parents, its session, its group or its environment; what claims to be of a session without
// being in its group is not. (Programs that a user's own daemon runs as the same user could write those
// files: for them, as for root's, this is attribution, not a wall. docs/security.md.)
//
// The caller must hold the process, by its pidfd or by being its peer's, so that the number stays its own;
// and look afterwards whether it is still there: a group is another session's only once everybody has left
// it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>

#include "cgroup/layout.hpp"

namespace kairo::cgroup {

/// The key of the session whose group `pid` is in; nothing when it is in none of this daemon's groups, has
/// ended, or the host has no tree (Layout::unified). Session keys are those of session::Session::key().
/// Where a daemon runs inside a session of another one, each answers for its own groups.
std::optional<std::uint64_t> session_key_of(pid_t pid, const Layout& layout, const std::string& root = {});

/// In two steps: the name of the group that `pid` is in, which stays true of its cgroup (the number in struct
/// pidfd_info), and whose that is by now. Empty: none of this daemon's groups; key 0: nobody's.
std::string group_of(pid_t pid, const Layout& layout, const std::string& root = {});
std::optional<std::uint64_t> session_key_of(const std::string& group, const Layout& layout);

/// The name from the text of a /proc/PID/cgroup.
std::string group_in(std::string_view text, const Layout& layout);

}  // namespace kairo::cgroup
