#include "audit/redactor.hpp"

#include <algorithm>
#include <utility>

#include "audit/text.hpp"

namespace kairo::audit {
namespace {

/// Characters that end a name to the left of "=": a name is what a shell or a getopt would take for one.
bool in_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
         c == '.' || static_cast<unsigned char>(c) >= 0x80;
}

char fold(char c) {
  if (c == '-') return '_';
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string_view without_dashes(std::string_view name) {
  const std::size_t first = name.find_first_not_of('-');
  return first == std::string_view::npos ? std::string_view() : name.substr(first);
}

bool matches(std::string_view pattern, std::string_view name) {
  std::size_t p = 0, n = 0, star = std::string_view::npos, tried = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      tried = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == fold(name[n]))) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++tried;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

}  // namespace

Redactor::Redactor(const std::vector<std::string>& patterns) {
  for (const std::string& each : patterns) {
    std::string folded(without_dashes(std::string_view(each).substr(0, each.find('='))));
    std::transform(folded.begin(), folded.end(), folded.begin(), fold);
    if (!folded.empty()) patterns_.push_back(std::move(folded));
  }
}

bool Redactor::hides(std::string_view name) const {
  // Longer names than any that is meant; and the work for a hostile one stays small.
  name = without_dashes(name).substr(0, limits::audit_text_bytes);
  return !name.empty() && std::any_of(patterns_.begin(), patterns_.end(),
                                      [name](const std::string& each) { return matches(each, name); });
}

std::string Redactor::word(const std::string& text, bool& next) const {
  next = false;
  const std::string_view all = text;
  for (std::size_t at = 0; at < all.size();) {
    if (!in_name(all[at])) {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < all.size() && in_name(all[end])) ++end;
    const std::string_view name = all.substr(at, end - at);
    const bool assigns = end < all.size() && all[end] == '=';
    if ((assigns || name[0] == '-') && hides(name)) {
      if (end == all.size()) {
        next = true;
        return text;
      }
      return text.substr(0, end + 1) + std::string(hidden);
    }
    at = end;
  }
  return text;
}

std::vector<std::string> Redactor::argv(const std::vector<std::string>& words) const {
  std::vector<std::string> out;
  out.reserve(words.size());
  bool next = false;
  for (const std::string& each : words) {
    if (std::exchange(next, false))
      out.emplace_back(hidden);
    else
      out.push_back(word(each, next));
  }
  return out;
}

void Redactor::append_argv(std::string& out, const std::vector<std::string>& words) const {
  out += ",\"argv\":[";
  const std::size_t begin = out.size();
  bool next = false, cut = false;
  for (std::size_t i = 0; i < words.size() && !cut; ++i) {
    const std::size_t before = out.size();
    if (i > 0) out += ',';
    // A word is looked at as far as it may be shown.
    const std::string shown = words[i].substr(0, limits::audit_list_bytes);
    std::string safe = std::exchange(next, false) ? std::string(hidden) : word(shown, next);
    append_text(out, safe);
    cut = out.size() - begin > limits::audit_list_bytes;
    if (cut) out.resize(before);
  }
  out += ']';
  if (cut) append_member(out, "argvLength", words.size());
}

void Redactor::append_env(std::string& out, const std::map<std::string, std::string>& env) const {
  out += ",\"env\":{";
  const std::size_t begin = out.size();
  bool cut = false;
  for (const auto& [name, value] : env) {
    const std::size_t before = out.size();
    if (before > begin) out += ',';
    append_text(out, name);
    out += ':';
    append_text(out, hides(name) ? hidden : std::string_view(value));
    cut = out.size() - begin > limits::audit_list_bytes;
    if (!cut) continue;
    out.resize(before);
    break;
  }
  out += '}';
  if (cut) append_member(out, "envLength", env.size());
}

}  // namespace kairo::audit
