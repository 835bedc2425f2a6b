// Temperatures and batteries below /sys/class.
#pragma once

#include <optional>
#include <vector>

#include "api/system.hpp"
#include "system/host_files.hpp"

namespace kairo::system {

/// Thermal zones, and the sensors of hwmon that are not the same zones again. Nothing where the host has
/// none.
std::optional<std::vector<api::Temperature>> sample_temperatures(const HostFiles& host);

/// Batteries that power the host, not those of a mouse or a headset. Nothing where the host has none.
std::optional<std::vector<api::Battery>> sample_batteries(const HostFiles& host);

}  // namespace kairo::system
