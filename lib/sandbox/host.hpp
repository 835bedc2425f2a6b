// What this host can enforce. Asked once per process: none of it changes while the machine runs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace kairo::sandbox {

struct Host {
  int landlock_abi = 0;  ///< 0: none.
  bool seccomp = false;  ///< Filters are there, and libseccomp knows this machine.
  bool tells = false;    ///< A filter can have a listener (denial.hpp).
  bool private_network = false;
  std::string private_network_missing;  ///< Why not.
};

/// Tries what cannot be read off: makes a network namespace in a process that ends at once.
const Host& host();

/// What stands in the way of any confinement at all, one sentence each; empty where nothing does.
std::vector<std::string> missing(const Host& host);

}  // namespace kairo::sandbox
