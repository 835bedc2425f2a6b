#include "sandbox/landlock_record.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace kairo::sandbox {
namespace {

constexpr std::size_t blockers_max = 32;

constexpr std::string_view begin = "audit(";

/// The part behind "audit(TIME:SERIAL): ".
std::optional<std::string_view> body_of(std::string_view text) {
  constexpr std::string_view end = "): ";
  if (text.size() > landlock_record_bytes_max || !text.starts_with(begin)) return std::nullopt;
  while (!text.empty() && text.back() == '\0') text.remove_suffix(1);
  const std::size_t at = text.find(end);
  if (at == std::string_view::npos || text.find(' ') < at) return std::nullopt;
  return text.substr(at + end.size());
}

/// A quoted value without its quotes, or one in hexadecimal digits.
std::optional<std::string> untrusted(std::string_view value) {
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
    return std::string(value.substr(1, value.size() - 2));
  if (value.empty() || value.size() % 2 != 0) return std::nullopt;
  std::string out;
  for (std::size_t i = 0; i < value.size(); i += 2) {
    unsigned byte = 0;
    const auto [end, failed] = std::from_chars(value.data() + i, value.data() + i + 2, byte, 16);
    if (failed != std::errc() || end != value.data() + i + 2 || byte == 0) return std::nullopt;
    out += static_cast<char>(byte);
  }
  return out;
}

/// Takes "name=value" from the front of a body; the value of a quoted one with its quotes.
struct Pair {
  std::string_view name;
  std::string_view value;
};
std::optional<Pair> take(std::string_view& from) {
  while (from.starts_with(' ')) from.remove_prefix(1);
  const std::size_t equals = from.find('=');
  if (equals == std::string_view::npos || equals == 0 || from.find(' ') < equals) return std::nullopt;
  Pair out{from.substr(0, equals), {}};
  from.remove_prefix(equals + 1);
  std::size_t end = 0;
  if (from.starts_with('"')) {
    end = from.find('"', 1);
    if (end == std::string_view::npos) return std::nullopt;
    ++end;
    if (end < from.size() && from[end] != ' ') return std::nullopt;
  } else {
    end = std::min(from.find(' '), from.size());
  }
  out.value = from.substr(0, end);
  from.remove_prefix(end);
  return out;
}

template <class Number>
std::optional<Number> number(std::string_view text, int base = 10) {
  Number out{};
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

/// TIME in microseconds, which is written in seconds with three decimals; 0 where it is not.
std::uint64_t time_of(std::string_view text) {
  text.remove_prefix(begin.size());
  const std::string_view time = text.substr(0, text.find(':'));
  const std::size_t point = time.find('.');
  if (point == std::string_view::npos || time.size() != point + 4) return 0;
  const auto seconds = number<std::uint32_t>(time.substr(0, point));
  const auto milliseconds = number<std::uint16_t>(time.substr(point + 1));
  return seconds && milliseconds ? *seconds * std::uint64_t{1'000'000} + *milliseconds * 1000u : 0;
}

std::vector<std::string> names(std::string_view list) {
  std::vector<std::string> out;
  while (!list.empty() && out.size() < blockers_max) {
    const std::size_t end = std::min(list.find(','), list.size());
    out.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return out;
}

}  // namespace

std::optional<LandlockAccess> read_landlock_access(std::string_view text) {
  auto body = body_of(text);
  if (!body) return std::nullopt;
  const auto domain = take(*body);
  const auto blockers = take(*body);
  if (!domain || domain->name != "domain" || !blockers || blockers->name != "blockers") return std::nullopt;
  const auto id = number<std::uint64_t>(domain->value, 16);
  if (!id || blockers->value.empty() || blockers->value.front() == '"') return std::nullopt;
  LandlockAccess out;
  out.domain = *id;
  out.blockers = names(blockers->value);
  bool unreadable_port = false;
  while (const auto pair = take(*body)) {
    if (pair->name == "path" && !out.path) {
      out.path = untrusted(pair->value);
      // What else there is says the same again, or is not asked for.
      break;
    }
    if ((pair->name == "dest" || pair->name == "src") && !out.port && !unreadable_port) {
      out.port = number<std::uint16_t>(pair->value);
      unreadable_port = !out.port;
    }
  }
  // The system leaves port 0 out: any that is free.
  const bool of_ports = out.blockers.front().starts_with("net.");
  if (of_ports && !out.port && !unreadable_port) out.port = 0;
  return out;
}

std::optional<LandlockDomain> read_landlock_domain(std::string_view text) {
  auto body = body_of(text);
  if (!body) return std::nullopt;
  const auto domain = take(*body);
  const auto status = take(*body);
  if (!domain || domain->name != "domain" || !status || status->name != "status") return std::nullopt;
  const auto id = number<std::uint64_t>(domain->value, 16);
  if (!id) return std::nullopt;
  LandlockDomain out;
  out.domain = *id;
  if (status->value == "deallocated") {
    out.ended = true;
    return out;
  }
  const auto mode = take(*body);
  const auto pid = take(*body);
  if (status->value != "allocated" || !mode || !pid || pid->name != "pid") return std::nullopt;
  const auto who = number<std::int32_t>(pid->value);
  if (!who || *who <= 0) return std::nullopt;
  const auto uid = take(*body);
  const auto user = uid && uid->name == "uid" ? number<std::uint32_t>(uid->value) : std::nullopt;
  const auto exe = take(*body);
  // Without both nobody is known by it.
  if (!user || !exe || exe->name != "exe") return std::nullopt;
  out.pid = *who;
  out.uid = *user;
  out.exe = untrusted(exe->value).value_or("");
  out.at_us = time_of(text);
  return out;
}

std::string_view program_of(std::string_view exe) {
  constexpr std::string_view removed = " (deleted)";
  if (exe.ends_with(removed)) exe.remove_suffix(removed.size());
  return exe;
}

std::optional<AuditStatus> read_audit_status(std::string_view bytes) {
  // mask, enabled, failure, pid, rate_limit, backlog_limit, lost, backlog, ...
  std::uint32_t words[8];
  if (bytes.size() < sizeof words) return std::nullopt;
  std::memcpy(words, bytes.data(), sizeof words);
  return AuditStatus{words[1] != 0, words[6], words[7]};
}

AccessAsked asked(const LandlockAccess& access) {
  AccessAsked out;
  const auto is = [&](std::string_view name) {
    return std::find(access.blockers.begin(), access.blockers.end(), name) != access.blockers.end();
  };
  const std::string& first = access.blockers.front();
  if (is("net.connect_tcp") || is("net.bind_tcp")) {
    out.what = is("net.connect_tcp") ? "connect" : "bind";
    if (access.port) out.target = "tcp:" + std::to_string(*access.port);
    return out;
  }
  if (!first.starts_with("fs.")) {
    out.what = first;
    return out;
  }
  // Whoever may write there may read as well.
  const auto reads = [](const std::string& name) {
    return name == "fs.read_file" || name == "fs.read_dir" || name == "fs.execute";
  };
  out.what = std::all_of(access.blockers.begin(), access.blockers.end(), reads) ? "read" : "write";
  // The system's words for what has no path ("<too_long>") are none.
  if (access.path && access.path->starts_with('/')) out.target = *access.path;
  return out;
}

}  // namespace kairo::sandbox
