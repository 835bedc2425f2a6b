#include "keeper/process_tree.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <dirent.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <memory>
#include <optional>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>

#include "base/unique_fd.hpp"

namespace kairo::keeper {
namespace {

/// More environment than any exec can pass on.
constexpr std::size_t environment_bytes = 8u << 20;

bool read_file(const std::string& path, std::string& out, std::size_t most = 1u << 20) {
  out.clear();
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return false;
  char piece[4096];
  while (out.size() < most) {
    const ssize_t got = ::read(file.get(), piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got == 0;
    out.append(piece, static_cast<std::size_t>(got));
  }
  return true;
}

std::optional<pid_t> to_pid(std::string_view text) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc{} || end != text.data() + text.size() || pid <= 0) return std::nullopt;
  return pid;
}

std::vector<pid_t> numbers_in(const char* directory) {
  std::vector<pid_t> out;
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(directory), ::closedir);
  if (!open) return out;
  while (const dirent* entry = ::readdir(open.get()))
    if (const auto pid = to_pid(entry->d_name)) out.push_back(*pid);
  return out;
}

}  // namespace

// proc_pid_stat(5): after the name, state (3), ppid (4), pgrp (5), session (6), ..., starttime (22), in
// ticks.
std::optional<Lineage> lineage_of(pid_t pid) {
  std::string text;
  if (!read_file("/proc/" + std::to_string(pid) + "/stat", text)) return std::nullopt;
  const std::size_t name_end = text.rfind(')');  // a name may hold anything: "(" ") 1 ("
  if (name_end == std::string::npos) return std::nullopt;
  static const auto ticks_per_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  Lineage out;
  std::string_view rest = std::string_view(text).substr(name_end + 1);
  for (int place = 3; place <= 22; ++place) {
    if (rest.empty()) return std::nullopt;
    rest.remove_prefix(1);
    const std::size_t end = std::min(rest.find(' '), rest.size());
    const std::string_view word = rest.substr(0, end);
    rest.remove_prefix(end);
    if (place == 4) out.parent = to_pid(word).value_or(0);
    if (place == 6) out.session = to_pid(word).value_or(0);
    if (place != 22) continue;
    std::uint64_t ticks = 0;
    if (std::from_chars(word.data(), word.data() + word.size(), ticks).ec != std::errc{}) return std::nullopt;
    out.started_boot_us = ticks * 1'000'000 / ticks_per_second;
  }
  return out;
}

std::optional<ProcessInfo> info_of(int process) {
  // struct pidfd_info of <linux/pidfd.h>, in its first form, which every later kernel takes.
  struct Info {
    std::uint64_t mask;
    std::uint64_t cgroup;
    std::uint32_t pid, thread_group, parent;
    std::uint32_t ids[8];
    std::int32_t exit_code;
  } info{};
  static_assert(sizeof info == 64);
  constexpr std::uint64_t with_pid = 1, with_cgroup = 4;
  info.mask = with_cgroup;
  if (::ioctl(process, _IOWR(0xFF, 11, Info), &info) != 0 || (info.mask & with_pid) == 0) return std::nullopt;
  return ProcessInfo{static_cast<pid_t>(info.thread_group), static_cast<pid_t>(info.parent),
                     (info.mask & with_cgroup) != 0 ? info.cgroup : 0};
}

pid_t parent_of(pid_t pid) {
  const auto lineage = lineage_of(pid);
  return lineage ? lineage->parent : 0;
}

std::vector<std::pair<pid_t, pid_t>> parents() {
  std::vector<std::pair<pid_t, pid_t>> out;
  for (const pid_t pid : numbers_in("/proc"))
    if (const pid_t parent = parent_of(pid); parent != 0) out.emplace_back(parent, pid);
  return out;
}

bool children_of_thread(pid_t pid, pid_t thread, std::vector<pid_t>& out) {
  std::string text;
  if (!read_file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(thread) + "/children", text,
                 16u << 20))
    return false;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    if (const auto child = to_pid(std::string_view(text).substr(begin, end - begin))) out.push_back(*child);
    begin = end + 1;
  }
  return true;
}

bool has_children_files() {
  static const bool has = [] {
    std::vector<pid_t> none;
    return children_of_thread(::getpid(), ::getpid(), none);
  }();
  return has;
}

std::vector<pid_t> tree(pid_t root) {
  std::vector<pid_t> found{root};
  if (has_children_files()) {
    for (std::size_t i = 0; i < found.size(); ++i) {
      const pid_t each = found[i];
      for (const pid_t thread : numbers_in(("/proc/" + std::to_string(each) + "/task").c_str()))
        children_of_thread(each, thread, found);
    }
  } else {
    const auto all = parents();
    for (std::size_t i = 0; i < found.size(); ++i)
      for (const auto& [parent, child] : all)
        if (parent == found[i] && std::find(found.begin(), found.end(), child) == found.end())
          found.push_back(child);
  }
  found.erase(found.begin());
  return found;
}

std::vector<pid_t> all_processes() {
  return numbers_in("/proc");
}

std::string environment_of(pid_t pid) {
  std::string environment;
  if (!read_file("/proc/" + std::to_string(pid) + "/environ", environment, environment_bytes)) return {};
  return environment;
}

std::string_view variable_in(std::string_view environment, std::string_view name) {
  for (std::size_t begin = 0; begin < environment.size();) {
    const std::size_t end = std::min(environment.find('\0', begin), environment.size());
    const std::string_view variable = environment.substr(begin, end - begin);
    if (variable.size() > name.size() && variable.starts_with(name) && variable[name.size()] == '=')
      return variable.substr(name.size() + 1);
    begin = end + 1;
  }
  return {};
}

}  // namespace kairo::keeper
