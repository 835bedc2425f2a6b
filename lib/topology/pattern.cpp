#include "topology/pattern.hpp"

#include <algorithm>
#include <regex.h>
#include <vector>

namespace kairo::topology {
namespace {

/// One group while it is read: what its finished items cost, and the last one, which a repetition may
/// multiply.
struct Group {
  std::size_t done = 0;
  std::size_t last = 0;
  void add(std::size_t atoms) {
    done = std::min(done + last, pattern_atoms + 1);
    last = atoms;
  }
  void repeat(std::size_t times) {
    last = std::min(last * std::max<std::size_t>(times, 1), pattern_atoms + 1);
  }
  [[nodiscard]] std::size_t all() const { return std::min(done + last, pattern_atoms + 1); }
};

/// Position behind a bracket expression that begins at `at`: "[]a]", "[^]a]", "[[:alpha:]]".
std::size_t behind_bracket(std::string_view pattern, std::size_t at) {
  ++at;
  if (at < pattern.size() && pattern[at] == '^') ++at;
  if (at < pattern.size() && pattern[at] == ']') ++at;
  while (at < pattern.size() && pattern[at] != ']') {
    const char kind = at + 1 < pattern.size() ? pattern[at + 1] : '\0';
    if (pattern[at] == '[' && (kind == ':' || kind == '.' || kind == '=')) {
      const std::size_t end = pattern.find(std::string{kind, ']'}, at + 2);
      at = end == std::string_view::npos ? pattern.size() : end + 2;
    } else {
      ++at;
    }
  }
  return at + 1;
}

/// The largest number in "{2,5}", and one more for the rest of an open "{2,}".
std::size_t most_times(std::string_view interval) {
  std::size_t most = 0, number = 0;
  for (const char c : interval) {
    number = c >= '0' && c <= '9'
                 ? std::min<std::size_t>(number * 10 + static_cast<std::size_t>(c - '0'), 100'000)
                 : 0;
    most = std::max(most, number);
  }
  return most + (interval.ends_with(',') ? 1 : 0);
}

}  // namespace

std::size_t count_atoms(std::string_view pattern) {
  std::vector<Group> groups(1);
  for (std::size_t at = 0; at < pattern.size();) {
    Group& group = groups.back();
    switch (pattern[at]) {
      case '(': groups.emplace_back(); break;
      case ')':
        if (groups.size() > 1) {
          const std::size_t atoms = group.all() + 1;
          groups.pop_back();
          groups.back().add(atoms);
        } else {
          group.add(1);
        }
        break;
      case '[': {
        group.add(1);
        at = behind_bracket(pattern, at);
        continue;
      }
      case '+': group.repeat(2); break;
      case '{': {
        const std::size_t end = std::min(pattern.find('}', at), pattern.size());
        group.repeat(most_times(pattern.substr(at + 1, end - at - 1)));
        // What is no interval is text.
        if (pattern.substr(at + 1, end - at - 1).find_first_not_of("0123456789,") == std::string_view::npos) {
          at = end + 1;
          continue;
        }
        group.add(1);
        break;
      }
      case '\\':
        ++at;
        group.add(1);
        break;
      default: group.add(1);
    }
    ++at;
  }
  std::size_t all = 0;
  for (const Group& each : groups) all += each.all();
  return all;
}

std::optional<std::string> find_pattern_fault(const std::string& pattern) {
  if (pattern.find('\0') != std::string::npos) return "holds a NUL byte";
  if (pattern.size() > pattern_bytes) return "is longer than " + std::to_string(pattern_bytes) + " bytes";
  if (count_atoms(pattern) > pattern_atoms)
    return "repeats too much: written out it has more than " + std::to_string(pattern_atoms) + " parts";
  regex_t compiled;
  const int failed = ::regcomp(&compiled, pattern.c_str(), REG_EXTENDED | REG_NOSUB);
  if (failed == 0) {
    ::regfree(&compiled);
    return {};
  }
  char reason[128];
  ::regerror(failed, &compiled, reason, sizeof reason);
  return std::string("is no extended regular expression: ") + reason;
}

}  // namespace kairo::topology
