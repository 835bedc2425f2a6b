// What `run` says on stderr of a program that failed under a declaration: one line for each thing that the
// session was denied, with the option that would allow it.
#pragma once

#include <string>
#include <vector>

#include <msgpack.hpp>

namespace kairo::ctl {

/// Lines with their ends, from the result of process.explain; none where nothing is told.
std::vector<std::string> denial_lines(const msgpack::object& explained, const std::string& id);

}  // namespace kairo::ctl
