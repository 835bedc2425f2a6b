#include "audit/files.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <memory>

#include "audit/line.hpp"
#include "base/limits.hpp"

namespace kairo::audit {
namespace {

constexpr std::size_t digits = 20;
constexpr std::string_view suffix = ".jsonl";

}  // namespace

std::string file_name(std::uint64_t first) {
  char text[32];
  std::snprintf(text, sizeof text, "%020" PRIu64 ".jsonl", first);
  return text;
}

std::optional<std::uint64_t> first_of(std::string_view name) {
  if (name.size() != digits + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
  std::uint64_t out = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + digits, out);
  if (error != std::errc() || end != name.data() + digits || out == 0) return std::nullopt;
  return out;
}

Result<std::vector<std::uint64_t>> list_files(int folder) {
  const int own = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return system_error("cannot read the folder of the audit", errno);
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(own), ::closedir);
  if (!dir) {
    const int error = errno;
    ::close(own);
    return system_error("cannot read the folder of the audit", error);
  }
  std::vector<std::uint64_t> out;
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get()))
    if (const auto first = first_of(entry->d_name)) out.push_back(*first);
  if (errno != 0) return system_error("cannot read the folder of the audit", errno);
  std::sort(out.begin(), out.end());
  return out;
}

Result<UniqueFd> open_folder(const std::string& state_dir) {
  const std::string path = state_dir + "/" + folder_name;
  UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!folder) return system_error("cannot open " + path, errno);
  return folder;
}

std::string first_line(int file) {
  std::string out(4096, '\0');
  const ssize_t got = ::pread(file, out.data(), out.size(), 0);
  out.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  const std::size_t end = out.find('\n');
  out.resize(end == std::string::npos ? 0 : end);
  return out;
}

std::optional<std::uint64_t> claimed_first(std::string_view line) {
  if (find_member(line, "event") != "\"kairo.audit.opened\"") return std::nullopt;
  const auto text = find_member(line, "firstSeq");
  std::uint64_t out = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), out).ec != std::errc())
    return std::nullopt;
  return out;
}

}  // namespace kairo::audit
