// Topic patterns over dotted event types: `*` stands for one segment, `>` for the rest (one segment or more).
#pragma once

#include <string_view>

#include "base/result.hpp"

namespace kairo::event {

/// Whether `pattern` is well formed: segments that are not empty, `*` and `>` alone in theirs, `>` last.
Result<void> check_pattern(std::string_view pattern);

/// Whether `type` can be an event's type: dotted segments of letters, digits, `_` and `-`, at most 256 bytes.
Result<void> check_type(std::string_view type);

bool matches(std::string_view pattern, std::string_view type);

}  // namespace kairo::event
