#include "storage/set_aside.hpp"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <optional>
#include <sys/stat.h>
#include <tuple>
#include <unistd.h>
#include <vector>

#include "base/limits.hpp"
#include "base/unique_fd.hpp"

namespace kairo::storage {
namespace {

constexpr std::string_view infix = ".damaged-";

using Age = std::tuple<std::int64_t, std::int64_t>;

/// When the entry came under this name, or nothing where there is none.
std::optional<Age> changed(int dir, const std::string& name) {
  struct stat status {};
  if (::fstatat(dir, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  return Age(status.st_ctim.tv_sec, status.st_ctim.tv_nsec);
}

std::string free_name(int dir, const std::string& name) {
  std::optional<Age> oldest;
  std::string choice;
  for (std::size_t i = 1; i <= limits::set_aside_files; ++i) {
    std::string each = name + std::string(infix) + std::to_string(i);
    const auto age = changed(dir, each);
    if (!age) return each;
    if (oldest && *oldest <= *age) continue;
    oldest = age;
    choice = std::move(each);
  }
  ::unlinkat(dir, choice.c_str(), 0);
  return choice;
}

int copy(int from_file, std::uint64_t from, std::uint64_t to, int to_file) {
  std::vector<char> buffer(64u << 10);
  while (from < to) {
    const ssize_t got = ::pread(from_file, buffer.data(),
                                static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), to - from)),
                                static_cast<off_t>(from));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) break;
    for (ssize_t done = 0; done < got;) {
      const ssize_t put = ::write(to_file, buffer.data() + done, static_cast<std::size_t>(got - done));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return errno;
      done += put;
    }
    from += static_cast<std::uint64_t>(got);
  }
  return ::fdatasync(to_file) == 0 ? 0 : errno;
}

}  // namespace

Result<std::string> set_aside_file(int dir, const std::string& name) {
  std::string to = free_name(dir, name);
  if (::renameat(dir, name.c_str(), dir, to.c_str()) != 0)
    return system_error("cannot set the damaged file \"" + name + "\" aside", errno);
  return to;
}

Result<std::string> set_aside_bytes(int dir, const std::string& name, int file, std::uint64_t from,
                                    std::uint64_t to) {
  std::string into = free_name(dir, name);
  const UniqueFd out(::openat(dir, into.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  int error = out ? copy(file, from, to, out.get()) : errno;
  if (error == 0) return into;
  if (out) ::unlinkat(dir, into.c_str(), 0);
  return system_error("cannot set the damaged end of \"" + name + "\" aside", error);
}

bool is_set_aside(std::string_view name) {
  const std::size_t at = name.rfind(infix);
  return at != std::string_view::npos && at > 0 && at + infix.size() < name.size() &&
         name.find_first_not_of("0123456789", at + infix.size()) == std::string_view::npos;
}

void prune_set_aside(int dir, std::size_t keep) {
  UniqueFd own(::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  DIR* const entries = own ? ::fdopendir(own.get()) : nullptr;
  if (!entries) return;
  (void)own.release();  // closedir closes it
  std::vector<std::pair<Age, std::string>> found;
  while (const dirent* entry = ::readdir(entries)) {
    if (!is_set_aside(entry->d_name)) continue;
    if (const auto age = changed(dir, entry->d_name)) found.emplace_back(*age, entry->d_name);
  }
  ::closedir(entries);
  std::sort(found.begin(), found.end());
  for (std::size_t i = 0; i + keep < found.size(); ++i) ::unlinkat(dir, found[i].second.c_str(), 0);
}

}  // namespace kairo::storage
