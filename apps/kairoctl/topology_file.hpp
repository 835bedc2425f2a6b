// Topology files as kairoctl gets them.
#pragma once

#include <optional>
#include <string>

#include "base/result.hpp"
#include "topology/document.hpp"

namespace kairo::ctl {

/// Reads and checks the file of that path, or standard input for "-". `name`, where it is not empty, takes
/// the place of the topology's own.
Result<topology::TopologyFile> read_topology(const std::string& path, const std::string& name);

/// JSON of an option's value as MsgPack. Throws UsageError for what is no JSON.
std::string json_value(const std::string& option, const std::string& text);

}  // namespace kairo::ctl
