// The seccomp program of a confinement: what Landlock leaves open. It goes by the numbers and words of a
// system call alone, so there are few distinct ones, each made once (filter_program.hpp) and kept.
//
// Everything that is not named is allowed, so that ordinary programs work; what is newer than the list of
// system calls that was looked through does not exist (ENOSYS), so that a new way out stays shut until it was
// looked at. System calls of another architecture (32 bit, x32) end the process: their numbers mean something
// else.
//
// int arguments are compared by their low 32 bits where they are refused, and by all 64 where they are
// allowed: the system looks at 32, a caller may set the others.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace kairo::sandbox {

struct FilterShape {
  /// `ports`: TCP alone, and Landlock looks at the ports; `connecting_ports`: and no listening; `apart`: what
  /// has a network namespace; `open`: any.
  enum class Network { none, connecting_ports, ports, apart, open };
  Network network = Network::none;
  bool ipc = false;    ///< Unix sockets, System V IPC, POSIX queues.
  bool write = false;  ///< Modes, owners, times and attributes may be changed.
  bool operator==(const FilterShape&) const = default;
};

struct Filter {
  std::string program;  ///< struct sock_filter, one after the other.
  /// Those of its instructions that refuse what a declaration could allow: a listener may be asked in their
  /// place (told()).
  std::vector<std::uint16_t> tellable;
  bool operator==(const Filter&) const = default;
};

/// Kept for the life of the process. E_UNSUPPORTED where this machine's architecture is not known.
Result<const Filter*> compiled_filter(const FilterShape& shape);

/// The program whose instructions `tellable` ask a listener instead of refusing by themselves. Nothing where
/// one of them does not refuse with an errno.
std::optional<std::string> told(const std::string& program, const std::vector<std::uint16_t>& tellable);

/// Whether a call changes modes, owners, times or attributes: refused with EPERM, and the rest of what is
/// tellable with EACCES.
bool changes_metadata(int call);

}  // namespace kairo::sandbox
