// Small helpers of the end-to-end tests.
#pragma once

#include <string>
#include <vector>

#include "support/harness.hpp"

namespace kairo::test {

/// A member of a JSON text by its pointer ("/streams/stdout/bytes"): text as it is, anything else as JSON; ""
/// when it is absent. Throws when the text is no JSON.
std::string json_at(const std::string& text, const std::string& pointer);

/// The lines of a text, without their newlines.
std::vector<std::string> lines_of(const std::string& text);

/// `size` bytes of the numbered data of support/pattern.hpp.
std::string pattern(std::size_t size);

/// {kairoctl's arguments..., "--", kairo-test-child, words...}
std::vector<std::string> child(std::vector<std::string> arguments, const std::vector<std::string>& words);

/// Spawns a program and gives its session's id.
std::string spawned(const Daemon& daemon, const std::vector<std::string>& arguments);

}  // namespace kairo::test
