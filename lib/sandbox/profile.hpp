// The profiles that ship with Kairo, and the paths that programs need at all.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "api/confinement.hpp"

namespace kairo::sandbox {

/// Names of the profiles, in the order in which documents list them: read-only, workspace, offline,
/// unconfined.
std::span<const std::string_view> shipped_profiles();

/// A shipped profile as a declaration; "unconfined" is none. `known` says whether there is one of this name.
struct Profile {
  bool known = false;
  std::optional<api::Permissions> permissions;
};
Profile shipped_profile(std::string_view name);

/// Part of every declaration: devices that hold nothing and reach nobody, and the linker's cache. The first
/// may be read and written, the second read.
std::span<const std::string_view> basic_devices();
std::span<const std::string_view> basic_files();

/// What the profiles let read beside the working directory: programs, libraries, and the configuration
/// without which they do not start or cannot name users and hosts. As this host has them when it is first
/// asked: without those that are not there or lead into /usr.
std::span<const std::string_view> system_paths();

}  // namespace kairo::sandbox
