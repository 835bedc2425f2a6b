// Damaged bytes are kept for whoever wants to look at them: NAME.damaged-1 to -8 beside the file that they
// come from. When all eight are there, the one that was set aside first makes room.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace kairo::storage {

/// Moves the whole file; gives its new name.
Result<std::string> set_aside_file(int dir, const std::string& name);

/// Copies what `file`, which is `name`, holds from byte `from` to byte `to`, and syncs the copy; gives its
/// name. Where that fails nothing is left of the copy.
Result<std::string> set_aside_bytes(int dir, const std::string& name, int file, std::uint64_t from,
                                    std::uint64_t to);

/// Whether this is the name of what was set aside.
bool is_set_aside(std::string_view name);

/// Removes what was set aside longest ago in a whole directory until `keep` are left: for one whose files
/// have ever new names.
void prune_set_aside(int dir, std::size_t keep);

}  // namespace kairo::storage
