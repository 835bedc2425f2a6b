// What the directory of a session's group is called, and whose it is.
//
// A group is named after its session's key: `s` and 16 hexadecimal digits, or `d` where its descendants may
// outlive it. A group that is used by one session after another has a number instead, `g` and its digits, and
// that name in the attribute `user.kairo.session` of its directory for as long as it is a session's; with `!`
// behind it once the group was killed as one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kairo::cgroup {

/// Of a group that is used again; it shares a word with other things (Group::in).
inline constexpr std::uint32_t largest_number = (1u << 24) - 1;

struct SessionName {
  std::uint64_t key = 0;
  bool detach = false;
  bool killed = false;
  bool operator==(const SessionName&) const = default;
};

std::string text_of_session(const SessionName& name);
std::optional<SessionName> read_session(std::string_view text);

std::string text_of_number(std::uint32_t number);
/// Nothing for what is no number of a group.
std::optional<std::uint32_t> read_number_name(std::string_view text);

/// Writes the attribute of a directory, in one step; 0 or the errno (ENOTSUP, EPERM: not there).
int inscribe(const std::string& directory, const SessionName& name);
/// 0 or the errno.
int erase_inscription(const std::string& directory);
/// Whether there is none for certain.
bool is_nobodys(const std::string& directory);
/// Whether a program has left attributes of its own, or that cannot be told.
bool has_attributes(int directory);
/// Nothing where there is none, or none that can be read.
std::optional<SessionName> inscription_of(const std::string& directory);

/// Whose the group `directory`/`name` is, by either.
std::optional<SessionName> session_of(const std::string& directory, std::string_view name);

}  // namespace kairo::cgroup
