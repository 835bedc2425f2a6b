// The small files of a cgroup file system: read whole, written with one write. A fake tree of ordinary files
// does as well, so that what is written there can be read in a test.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kairo::cgroup {

/// The whole text; nothing when it cannot be read.
std::optional<std::string> read_text(const std::string& path);

/// The same, and empty where it cannot be read.
std::string text_of(const std::string& path);

/// 0 or the errno. In a cgroup file system nothing is created: a file that is missing there is EACCES, ENOENT
/// or EPERM.
int write_text(const std::string& path, std::string_view text);

/// Text between blanks and newlines.
std::vector<std::string_view> words_of(std::string_view text);

/// The number behind `name` in a file of "name number" lines.
std::optional<std::uint64_t> number_of(std::string_view text, std::string_view name);

/// A file that holds one number.
std::optional<std::uint64_t> read_number(const std::string& path);

/// Makes one directory; 0 (also where it stood already) or the errno.
int make_directory(const std::string& path);

/// Names of the directories in `path`.
std::vector<std::string> directories_in(const std::string& path);

}  // namespace kairo::cgroup
