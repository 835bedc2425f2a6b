#include "base/signals.hpp"

#include <charconv>
#include <signal.h>
#include <string.h>

namespace kairo {
namespace {

/// What follows "RTMIN" or "RTMAX": nothing, or the sign and how many signals further.
std::optional<int> real_time(int base, char sign, std::string_view rest) {
  if (rest.empty()) return base;
  if (rest[0] != sign) return std::nullopt;
  unsigned steps = 0;  // unsigned: a second sign is refused
  const auto [end, error] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), steps);
  if (error != std::errc{} || end != rest.data() + rest.size()) return std::nullopt;
  if (steps > static_cast<unsigned>(SIGRTMAX - SIGRTMIN)) return std::nullopt;
  return sign == '+' ? base + static_cast<int>(steps) : base - static_cast<int>(steps);
}

}  // namespace

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
  if (name.rfind("RTMIN", 0) == 0) return real_time(SIGRTMIN, '+', std::string_view(name).substr(5));
  if (name.rfind("RTMAX", 0) == 0) return real_time(SIGRTMAX, '-', std::string_view(name).substr(5));
  if (name == "IOT") return SIGABRT;
  if (name == "POLL") return SIGIO;
  if (name == "CLD") return SIGCHLD;
  for (int candidate = 1; candidate < SIGRTMIN; ++candidate) {
    const char* abbreviation = sigabbrev_np(candidate);
    if (abbreviation && name == abbreviation) return candidate;
  }
  return std::nullopt;
}

bool signal_terminates(int number) noexcept {
  if (number < 1 || number > SIGRTMAX) return false;
  switch (number) {
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH:
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU: return false;
    default: return true;
  }
}

}  // namespace kairo
