// The JSON Schema of a topology's file, for editors and other programs (docs/topology.schema.json).
#pragma once

#include <string>

namespace kairo::topology {

/// Made of the field lists, of topologies and of the modules' parameters; indented, with a newline at the
/// end.
std::string topology_schema();

}  // namespace kairo::topology
