#include "cgroup/name.hpp"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <sys/xattr.h>

namespace kairo::cgroup {
namespace {

constexpr const char* attribute = "user.kairo.session";
constexpr std::size_t session_bytes = 17;

template <class Number>
bool read_digits(std::string_view text, Number& out, int base) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

std::string text_of_session(const SessionName& name) {
  char text[session_bytes + 2];
  std::snprintf(text, sizeof text, "%c%016llx%s", name.detach ? 'd' : 's',
                static_cast<unsigned long long>(name.key), name.killed ? "!" : "");
  return text;
}

std::optional<SessionName> read_session(std::string_view text) {
  const bool killed = text.ends_with('!');
  if (killed) text.remove_suffix(1);
  if (text.size() != session_bytes || (text[0] != 's' && text[0] != 'd')) return std::nullopt;
  SessionName out{0, text[0] == 'd', killed};
  if (!read_digits(text.substr(1), out.key, 16)) return std::nullopt;
  return out;
}

std::string text_of_number(std::uint32_t number) {
  return "g" + std::to_string(number);
}

std::optional<std::uint32_t> read_number_name(std::string_view text) {
  std::uint32_t out = 0;
  if (text.size() < 2 || text[0] != 'g' || text[1] == '0' || !read_digits(text.substr(1), out, 10) ||
      out > largest_number)
    return std::nullopt;
  return out;
}

int inscribe(const std::string& directory, const SessionName& name) {
  const std::string text = text_of_session(name);
  return ::setxattr(directory.c_str(), attribute, text.data(), text.size(), 0) == 0 ? 0 : errno;
}

int erase_inscription(const std::string& directory) {
  return ::removexattr(directory.c_str(), attribute) == 0 ? 0 : errno;
}

bool has_attributes(int directory) {
  char names[1024];
  // Of an O_PATH descriptor only by way of /proc.
  const ssize_t size =
      ::listxattr(("/proc/self/fd/" + std::to_string(directory)).c_str(), names, sizeof names);
  if (size < 0) return true;
  // The system's own labels are on every directory.
  for (const char* each = names; each < names + size; each += std::strlen(each) + 1)
    if (!std::string_view(each).starts_with("security.")) return true;
  return false;
}

bool is_nobodys(const std::string& directory) {
  return ::getxattr(directory.c_str(), attribute, nullptr, 0) < 0 && errno == ENODATA;
}

std::optional<SessionName> inscription_of(const std::string& directory) {
  char text[session_bytes + 2];
  const ssize_t size = ::getxattr(directory.c_str(), attribute, text, sizeof text);
  if (size < 0) return std::nullopt;
  return read_session(std::string_view(text, static_cast<std::size_t>(size)));
}

std::optional<SessionName> session_of(const std::string& directory, std::string_view name) {
  if (!read_number_name(name)) return read_session(name);
  return inscription_of(directory + "/" + std::string(name));
}

}  // namespace kairo::cgroup
