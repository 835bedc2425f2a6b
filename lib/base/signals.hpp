// Signal names, as users write them: "TERM", "SIGTERM", "15".
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace kairo {

/// "SIGTERM"; "SIGRTMIN+2" for a real-time signal; "signal 99" for a number that is none.
std::string signal_name(int number);

/// The number of "SIGTERM", "term", "15" or "SIGRTMIN+1"; nothing for what is no signal (0 included).
std::optional<int> signal_number(std::string_view text);

/// Whether the default action of this signal ends a process.
bool signal_terminates(int number) noexcept;

}  // namespace kairo
