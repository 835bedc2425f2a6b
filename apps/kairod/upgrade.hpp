// How kairod replaces itself by the program that is now at its path (kernel.upgrade), without anybody being
// refused: the process stays, and with it its number, its argv, its environment, the listening socket and
// both locks; only the program is another one. Supervisors notice nothing; clients see their connection end,
// connect again at once, and are served when the new program has started.
//
// What goes over travels in a memfd, whose number is in KAIRO_HANDOVER; that variable and those descriptors
// are the only things that a new program finds which a fresh start does not have. All other descriptors are
// closed by the exec.
//
// Order of calls: origin_of() first of all in main(); take_handover() at the start of the daemon; find_next()
// at any time; become_next() when the kernel is gone.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "ipc/socket_file.hpp"
#include "kernel/kernel.hpp"

namespace kairo::daemon {

/// How this process was started.
struct Origin {
  std::string program;  ///< Absolute; what is there may be another file by now.
  std::vector<std::string> argv;
  std::vector<std::string> environment;
  std::string cwd;
};
Origin origin_of(int argc, char** argv);

/// What a daemon leaves to the one that takes its place.
struct Handover {
  std::string socket;  ///< Path that is served; the files may name another one by now.
  std::string state_dir;
  UniqueFd listener;
  UniqueFd state_lock;
  std::optional<ipc::SocketFile::Claim> claim;  ///< Not where the socket is a supervisor's.
};

/// What the former program of this process has left, if there was one. Takes the variable out of the
/// environment.
Result<std::optional<Handover>> take_handover();

/// Whether what is at the program's path can take this one's place: it tells a version, and finds nothing
/// wrong with the configuration as it is now. E_SPAWN_FAILED with what it said instead. Blocks, at most 20 s.
Result<kernel::Host::Next> find_next(const Origin& origin);

/// Executes the program at the path, or, where that fails after all, the present one again. Returns if
/// neither is possible. Signals that are pending stay so until the new program has unblocked them.
Error become_next(const Origin& origin, Handover handover);

/// Those that the daemon hears. Blocked while it starts, and from an upgrade on until the next program has
/// started.
void block_signals();
void unblock_signals();

}  // namespace kairo::daemon
