#include "base/signals.hpp"

#include <signal.h>
#include <string.h>

#include <charconv>

namespace kairo {

std::string signal_name(int number) {
  if (number >= SIGRTMIN && number <= SIGRTMAX)
    return number == SIGRTMIN ? "SIGRTMIN" : "SIGRTMIN+" + std::to_string(number - SIGRTMIN);
  const char* abbreviation = sigabbrev_np(number);
  return abbreviation ? std::string("SIG") + abbreviation : "signal " + std::to_string(number);
}

std::optional<int> signal_number(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end == text.data() + text.size()) {
    if (number >= 1 && number <= SIGRTMAX) return number;
    return std::nullopt;
  }
  std::string name(text);
  for (char& c : name)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  if (name.rfind("SIG", 0) == 0) name.erase(0, 3);
  if (name.rfind("RTMIN", 0) == 0) {
    int extra = 0;
    if (name.size() > 5) {
      const char* first = name.data() + 6;
      const char* last = name.data() + name.size();
      const auto [stop, failed] = std::from_chars(first, last, extra);
      if (name[5] != '+' || first == last || failed != std::errc{} || stop != last) return std::nullopt;
    }
    number = SIGRTMIN + extra;
    return extra >= 0 && number <= SIGRTMAX ? std::optional(number) : std::nullopt;
  }
  for (int candidate = 1; candidate < SIGRTMIN; ++candidate) {
    const char* abbreviation = sigabbrev_np(candidate);
    if (abbreviation && name == abbreviation) return candidate;
  }
  return std::nullopt;
}

bool signal_terminates(int number) noexcept {
  switch (number) {
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH:
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
      return false;
    default:
      return true;
  }
}

}  // namespace kairo
