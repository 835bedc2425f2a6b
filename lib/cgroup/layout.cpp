#include "cgroup/layout.hpp"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cgroup/files.hpp"

namespace kairo::cgroup {
namespace {

/// One mounted hierarchy, from /proc/self/mountinfo.
struct Mount {
  std::string at;     ///< Where it is mounted.
  std::string below;  ///< The part of the hierarchy that is mounted there, "/" for all of it.
};

struct Mounts {
  std::optional<Mount> unified;
  std::optional<Mount> v1[std::size(all_controllers)];
};

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> out;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(at, begin), text.size());
    out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

bool contains(const std::vector<std::string_view>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// proc_pid_mountinfo(5): ID PARENT DEV ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE SUPER
Mounts read_mounts(const std::string& root) {
  Mounts out;
  const std::string text = text_of(root + "/proc/self/mountinfo");
  for (const std::string_view line : split(text, '\n')) {
    const auto words = split(line, ' ');
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 5 || words.end() - dash < 4) continue;
    const Mount mount{std::string(words[4]), std::string(words[3])};
    if (mount.at.find('\\') != std::string::npos) continue;  // blanks in a path; nobody mounts it so
    if (dash[1] == "cgroup2" && !out.unified) out.unified = mount;
    if (dash[1] != "cgroup") continue;
    const auto options = split(dash[3], ',');
    for (const Controller each : all_controllers)
      if (auto& known = out.v1[static_cast<unsigned>(each)]; !known && contains(options, name_of(each)))
        known = mount;
  }
  return out;
}

/// The cgroup of this process in the hierarchy with `controller` ("" for v2), from /proc/self/cgroup.
std::optional<std::string> own_path(const std::string& root, std::string_view controller) {
  const std::string text = text_of(root + "/proc/self/cgroup");
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view names = line.substr(first + 1, second - first - 1);
    const bool it = controller.empty() ? line.substr(0, first) == "0" && names.empty()
                                       : contains(split(names, ','), controller);
    if (it) return std::string(line.substr(second + 1));
  }
  return std::nullopt;
}

/// What stands before a component `name` of `path`, or all of it.
std::string before(const std::string& path, const std::string& name) {
  const std::string part = "/" + name;
  for (std::size_t at = path.find(part); at != std::string::npos; at = path.find(part, at + 1)) {
    const std::size_t end = at + part.size();
    if (end == path.size() || path[end] == '/') return at == 0 ? "/" : path.substr(0, at);
  }
  return path;
}

std::string join(const std::string& directory, const std::string& path) {
  return path == "/" ? directory : directory + path;
}

/// The directory of the cgroup `path`; nothing when it is not to be seen from here.
std::optional<std::string> directory_of(const std::string& root, const Mount& mount,
                                        const std::string& path) {
  if (path.find("/..") != std::string::npos) return std::nullopt;
  std::string inside = path;
  if (mount.below != "/") {
    if (path != mount.below && !path.starts_with(mount.below + "/")) return std::nullopt;
    inside = path == mount.below ? "/" : path.substr(mount.below.size());
  }
  return root + join(mount.at, inside);
}

bool writable(const std::string& directory) {
  return ::access(directory.c_str(), W_OK) == 0 && ::access((directory + "/cgroup.procs").c_str(), W_OK) == 0;
}

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

constexpr Controller limits_in_v2[] = {Controller::cpu, Controller::memory, Controller::pids};

/// Controllers that groups below `directory` can have.
std::vector<std::string> obtainable(const Host& host, const std::string& directory, bool changeable) {
  const std::string handed_on = text_of(directory + "/cgroup.subtree_control");
  const std::string there = text_of(directory + "/cgroup.controllers");
  const auto enabled = words_of(handed_on), available = words_of(there);
  if (changeable && exists(directory + "/cgroup.type")) {  // all but the root have it
    const std::string processes = text_of(directory + "/cgroup.procs");
    for (const std::string_view each : words_of(processes))
      changeable = changeable && host.own(static_cast<pid_t>(std::strtol(each.data(), nullptr, 10)));
  }
  std::vector<std::string> out;
  for (const Controller each : limits_in_v2)
    if (contains(enabled, name_of(each)) || (changeable && contains(available, name_of(each))))
      out.emplace_back(name_of(each));
  return out;
}

void find_unified(const Host& host, const Mount& mount, const std::string& name, Layout& out) {
  const auto own = own_path(host.root, "");
  if (!own) return;
  const bool systemd = exists(host.root + "/run/systemd/system");
  for (std::string path = before(*own, name);; path = path.substr(0, path.rfind('/'))) {
    if (path.empty()) path = "/";
    const auto directory = directory_of(host.root, mount, path);
    if (!directory || !writable(*directory)) return;
    // What may be written is not therefore this daemon's: systemd counts on it. So nothing above is changed,
    // and as root only what was delegated.
    const bool changeable =
        path == before(*own, name) && (host.uid != 0 || !systemd || host.delegated(*directory));
    auto controllers = obtainable(host, *directory, changeable);
    if (out.unified.empty() || controllers.size() > out.controllers.size()) {
      out.unified = *directory + "/" + name;
      out.unified_path = join(path == "/" ? "" : path, "/" + name);
      out.controllers = std::move(controllers);
    }
    if (host.uid == 0 || path == "/" || out.controllers.size() == std::size(limits_in_v2)) return;
  }
}

}  // namespace

std::string_view name_of(Controller controller) {
  constexpr std::string_view names[] = {"cpu", "cpuacct", "memory", "pids"};
  return names[static_cast<unsigned>(controller)];
}

bool Layout::has_unified(Controller controller) const {
  return std::find(controllers.begin(), controllers.end(), name_of(controller)) != controllers.end();
}

const std::string& Layout::v1_directory(Controller controller) const {
  static const std::string none;
  const auto index = static_cast<std::size_t>(controller);
  return index < v1.size() ? v1[index] : none;
}

bool Layout::any() const {
  return !unified.empty() ||
         std::any_of(v1.begin(), v1.end(), [](const std::string& each) { return !each.empty(); });
}

Layout find_layout(const Host& host, const std::string& tag) {
  Layout out;
  if (tag.empty()) return out;
  const std::string name = "kairo-" + tag;
  const Mounts mounts = read_mounts(host.root);
  if (mounts.unified) find_unified(host, *mounts.unified, name, out);
  out.v1.resize(std::size(all_controllers));
  for (const Controller each : all_controllers) {
    const auto& mount = mounts.v1[static_cast<unsigned>(each)];
    const auto path = mount ? own_path(host.root, name_of(each)) : std::nullopt;
    if (!path) continue;
    const auto directory = directory_of(host.root, *mount, before(*path, name));
    if (directory && writable(*directory)) out.v1[static_cast<unsigned>(each)] = *directory + "/" + name;
  }
  return out;
}

Host this_host() {
  Host out;
  out.uid = ::geteuid();
  out.delegated = [](const std::string& directory) {
    for (const char* attribute : {"trusted.delegate", "user.delegate"}) {
      char value = 0;
      if (::getxattr(directory.c_str(), attribute, &value, 1) == 1 && value == '1') return true;
    }
    return false;
  };
  out.own = [](pid_t pid) {
    struct stat mine {
    }, theirs{}, owner{};
    const std::string process = "/proc/" + std::to_string(pid);
    return ::stat("/proc/self/exe", &mine) == 0 && ::stat((process + "/exe").c_str(), &theirs) == 0 &&
           ::stat(process.c_str(), &owner) == 0 && mine.st_dev == theirs.st_dev &&
           mine.st_ino == theirs.st_ino && owner.st_uid == ::geteuid();
  };
  return out;
}

std::string tag_of(int state_dir) {
  struct stat status {};
  if (::fstat(state_dir, &status) != 0) return {};
  // One to one for what fits, and mixed only where it does not.
  const std::uint64_t mixed = static_cast<std::uint64_t>(status.st_dev) << 40 ^
                              static_cast<std::uint64_t>(status.st_dev) >> 24 ^
                              static_cast<std::uint64_t>(status.st_ino);
  char text[24];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(mixed));
  return text;
}

}  // namespace kairo::cgroup
