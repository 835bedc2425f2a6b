#include "system/host_files.hpp"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>

#include "base/unique_fd.hpp"
#include "system/proc_text.hpp"

namespace kairo::system {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

bool is_dots(std::string_view name) {
  return name == "." || name == "..";
}

/// Whether an entry of a directory of descriptors is the descriptor that reads this directory.
bool is_own(int directory, const char* name) {
  if (std::to_string(directory) != name) return false;
  struct stat own {
  }, entry{};
  return fstat(directory, &own) == 0 && fstatat(directory, name, &entry, 0) == 0 &&
         own.st_dev == entry.st_dev && own.st_ino == entry.st_ino;
}

}  // namespace

HostFiles::HostFiles(std::string root) : root_(std::move(root)) {
  if (root_.empty() || root_.back() != '/') root_ += '/';
}

std::string HostFiles::path(std::string_view host_path) const {
  while (!host_path.empty() && host_path.front() == '/') host_path.remove_prefix(1);
  return root_ + std::string(host_path);
}

std::optional<std::string> HostFiles::text(std::string_view host_path) const {
  const UniqueFd file(::open(path(host_path).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::string out;
  constexpr std::size_t piece = 16u << 10;
  while (out.size() < most_bytes) {
    const std::size_t have = out.size();
    out.resize(have + piece);
    const ssize_t got = ::read(file.get(), out.data() + have, piece);
    out.resize(have + (got > 0 ? static_cast<std::size_t>(got) : 0));
    if (got == 0) return out;
    if (got < 0 && errno != EINTR) return std::nullopt;
  }
  return out;
}

std::optional<std::string> HostFiles::line(std::string_view host_path) const {
  const auto whole = text(host_path);
  if (!whole) return std::nullopt;
  const std::string_view first = trimmed(std::string_view(*whole).substr(0, whole->find('\n')));
  if (first.empty()) return std::nullopt;
  return std::string(first);
}

std::optional<std::int64_t> HostFiles::number(std::string_view host_path) const {
  const auto first = line(host_path);
  return first ? parse_number<std::int64_t>(*first) : std::nullopt;
}

std::vector<std::string> HostFiles::names(std::string_view directory) const {
  std::vector<std::string> out;
  const Directory open(opendir(path(directory).c_str()));
  if (!open) return out;
  while (const dirent* entry = readdir(open.get()))
    if (!is_dots(entry->d_name)) out.emplace_back(entry->d_name);
  std::sort(out.begin(), out.end());
  return out;
}

std::optional<std::uint32_t> HostFiles::count_descriptors(std::string_view directory) const {
  const Directory open(opendir(path(directory).c_str()));
  if (!open) return std::nullopt;
  std::uint32_t count = 0;
  while (const dirent* entry = readdir(open.get()))
    if (!is_dots(entry->d_name) && !is_own(dirfd(open.get()), entry->d_name)) ++count;
  return count;
}

}  // namespace kairo::system
