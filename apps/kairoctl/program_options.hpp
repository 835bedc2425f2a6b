// The options that `spawn` and `run` share, and the request that they make.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/methods.hpp"
#include "option_set.hpp"

namespace kairo::ctl {

struct ProgramOptions {
  std::string id;
  std::string cwd;
  std::vector<std::string> env;
  bool clean_env = false;
  std::vector<std::string> labels;
  bool replace = false;
  std::string standard_input;
  std::string timeout;
  std::string kill_grace;
  std::string retain;
  std::string when_full;
  std::string on_owner_exit;
  bool detach_descendants = false;
  std::string cpus;
  std::string memory;
  std::string pids_limit;
  std::vector<std::string> limits;
  bool limits_best_effort = false;
  std::vector<std::string> allow_read;
  std::vector<std::string> allow_write;
  std::string net;
  std::vector<std::string> connect_tcp;
  std::vector<std::string> bind_tcp;
  std::string ipc;
  std::string profile;
};

/// Those of them that bound the program: limits and permissions.
void declare_bounds(OptionSet& set, ProgramOptions& options);
struct Bounds {
  std::optional<api::ResourceLimits> limits;
  std::optional<api::Permissions> permissions;
  std::optional<std::string> profile;
};
/// Relative paths count from `cwd`.
Bounds bounds_of(const ProgramOptions& options, const std::string& cwd);

/// The directory that this program was called in. Throws UsageError where it has no path.
std::string callers_cwd();

/// All, with those that bound the program.
void declare_program_options(OptionSet& set, ProgramOptions& options);

/// The caller's working directory, umask and environment travel along unless the options say otherwise.
/// Nobody is subscribed. Throws UsageError for values that cannot be read and for an empty command line.
api::SpawnParams spawn_params(const ProgramOptions& options, const std::vector<std::string>& program);

}  // namespace kairo::ctl
