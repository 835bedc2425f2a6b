// What may be said about a declaration without looking at the host: its normal form, whether one covers
// another, and which of its lines covers something. All of it goes by the paths as they are written; that
// nothing is gained by a symbolic link is the launch's part (Plan::follow_links).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/confinement.hpp"
#include "api/methods.hpp"
#include "base/result.hpp"

namespace kairo::sandbox {

/// What a declaration may name, so that it fits into a message to the keeper and into records.
inline constexpr std::size_t paths_max = 512;
inline constexpr std::size_t path_bytes_max = 64u << 10;  ///< Of all paths together, normal.
inline constexpr std::size_t ports_max = 1024;

/// The path as absolute and lexically normal: relative ones count from `cwd`, "." and empty components go,
/// ".." takes the one before away.
std::string normal_path(std::string_view path, std::string_view cwd);

/// Whether `path` is `directory` or lies below it, component by component; both normal.
bool is_below(std::string_view path, std::string_view directory);

/// The declaration with normal paths, each once, and everything said that was left out ("none"); `cwd` is
/// absolute. E_INVALID_PARAMS for a path that is empty or holds a NUL byte, and for more than the bounds
/// above; details.path says where, under `at`.
Result<api::Permissions> normalised(const api::Permissions& permissions, const std::string& cwd,
                                    const std::string& at);

/// Whether a process under `outer` may start one under `inner`, both normalised: each path of `inner` lies
/// below one of `outer` that allows as much, each port is one of its, and net and ipc are no more.
/// E_PERMISSION_DENIED names the first line that exceeds it. What is basic (profile.hpp) belongs to every
/// declaration.
Result<void> covers(const api::Permissions& outer, const api::Permissions& inner);
/// The same of declarations as they were written, each with the working directory of its process.
Result<void> covers(const api::Permissions& outer, const api::Permissions& inner,
                    const std::string& outer_cwd, const std::string& inner_cwd);

/// Which line of a normalised declaration covers `target` for each thing that can be done to it, or which
/// line would. `target`: a path (relative ones count from `cwd`), "tcp:PORT", "udp:PORT" or "unix:PATH".
/// E_INVALID_PARAMS where it is none of these.
Result<std::vector<api::AccessExplained>> explain(const api::Permissions& permissions,
                                                  std::string_view target, const std::string& cwd);

}  // namespace kairo::sandbox
