#include "audit/line.hpp"

#include <algorithm>
#include <charconv>

namespace kairo::audit {
namespace {

constexpr std::string_view seq_part = "{\"seq\":", time_part = ",\"time\":\"", prev_part = ",\"prev\":\"",
                           hash_part = ",\"hash\":\"";
constexpr std::size_t hash_digits = 64, time_bytes = 27;
/// ,"hash":"HASH"}
constexpr std::size_t hash_bytes = hash_part.size() + hash_digits + 2;
/// ,"prev":"HASH"
constexpr std::size_t prev_bytes = prev_part.size() + hash_digits + 1;

bool is_hash(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Error wrong(const char* what) {
  return Error(Code::invalid_params, what);
}

/// The length of the JSON value at the beginning, as far as finding its end needs; 0 where there is none.
std::size_t value_length(std::string_view text) {
  std::size_t depth = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '"') {
      for (++at; at < text.size() && text[at] != '"'; ++at)
        if (text[at] == '\\') ++at;
      if (at >= text.size()) return 0;
    } else if (c == '{' || c == '[') {
      ++depth;
      continue;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return at;
      --depth;
    } else if (depth == 0 && c == ',') {
      return at;
    } else {
      continue;
    }
    if (depth == 0) return at + 1;
  }
  return 0;
}

}  // namespace

Hash seal(std::string& out, std::size_t begin, const Hash& prev) {
  out.append(prev_part).append(prev.data(), prev.size()).append(1, '"');
  const Hash hash = sha256(std::string_view(out).substr(begin));
  out.append(hash_part).append(hash.data(), hash.size()).append("\"}\n");
  return hash;
}

Result<Line> read_line(std::string_view line) {
  if (!line.starts_with(seq_part)) return wrong("it does not begin with its number");
  Line out;
  const char* const digits = line.data() + seq_part.size();
  const auto [end, error] = std::from_chars(digits, line.data() + line.size(), out.seq);
  if (error != std::errc() || out.seq == 0 || *digits == '0')
    return wrong("it does not begin with its number");
  const std::string_view rest(end, static_cast<std::size_t>(line.data() + line.size() - end));
  const std::size_t least = time_part.size() + time_bytes + 1 + prev_bytes + hash_bytes;
  if (rest.size() < least) return wrong("it is too short");
  if (!rest.starts_with(time_part) || rest[time_part.size() + time_bytes] != '"')
    return wrong("it has no time behind its number");
  out.time = rest.substr(time_part.size(), time_bytes);
  const std::string_view prev = rest.substr(rest.size() - hash_bytes - prev_bytes, prev_bytes);
  const std::string_view hash = rest.substr(rest.size() - hash_bytes);
  out.prev = prev.substr(prev_part.size(), hash_digits);
  out.hash = hash.substr(hash_part.size(), hash_digits);
  if (!prev.starts_with(prev_part) || prev.back() != '"' || !is_hash(out.prev))
    return wrong("it does not end with the hash of the record before it and its own");
  if (!hash.starts_with(hash_part) || !hash.ends_with("\"}") || !is_hash(out.hash))
    return wrong("it does not end with its hash");
  return out;
}

bool is_sound(std::string_view line, const Line& read) {
  const Hash hash = sha256(line.substr(0, line.size() - hash_bytes));
  return text_of(hash) == read.hash;
}

std::optional<std::string_view> find_member(std::string_view line, std::string_view name) {
  if (line.empty() || line[0] != '{') return std::nullopt;
  line.remove_prefix(1);
  for (;;) {
    const std::size_t key = value_length(line);
    if (key < 2 || line[0] != '"' || key >= line.size() || line[key] != ':') return std::nullopt;
    const bool found = line.substr(1, key - 2) == name;
    line.remove_prefix(key + 1);
    const std::size_t value = value_length(line);
    if (value == 0) return std::nullopt;
    if (found) return line.substr(0, value);
    if (value >= line.size() || line[value] != ',') return std::nullopt;
    line.remove_prefix(value + 1);
  }
}

}  // namespace kairo::audit
