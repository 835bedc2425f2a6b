#include "keeper/descendants.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/signals.hpp"
#include "base/unique_fd.hpp"

namespace kairo::keeper {
namespace {

/// More environment than any exec can pass on.
constexpr std::size_t environment_bytes = 8u << 20;
constexpr std::string_view mark_name = "KAIRO_PROCESS_ID=";

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

/// Parent of every process, for kernels without the `children` files.
std::vector<std::pair<pid_t, pid_t>> parents() {
  std::vector<std::pair<pid_t, pid_t>> out;
  std::string text;
  for (const pid_t pid : numbers_in("/proc")) {
    if (!read_file("/proc/" + std::to_string(pid) + "/stat", text)) continue;
    const std::size_t name_end = text.rfind(')');  // a name may hold anything: "(" ") 1 ("
    if (name_end == std::string::npos || name_end + 4 >= text.size()) continue;
    const std::string_view rest = std::string_view(text).substr(name_end + 4);
    if (const auto parent = to_pid(rest.substr(0, rest.find(' ')))) out.emplace_back(*parent, pid);
  }
  return out;
}

/// Appends the children of one thread; false where the kernel has no such file.
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

/// Everything below `root`, without it.
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

std::string mark_of(pid_t pid) {
  std::string environment;
  if (!read_file("/proc/" + std::to_string(pid) + "/environ", environment, environment_bytes)) return {};
  for (std::size_t begin = 0; begin < environment.size();) {
    const std::size_t end = std::min(environment.find('\0', begin), environment.size());
    const std::string_view variable = std::string_view(environment).substr(begin, end - begin);
    if (variable.substr(0, mark_name.size()) == mark_name)
      return std::string(variable.substr(mark_name.size()));
    begin = end + 1;
  }
  return {};
}

void terminate(pid_t pid) {
  ::kill(pid, SIGTERM);
  ::kill(pid, SIGCONT);
}

void kill_tree(pid_t pid) {
  const auto below = tree(pid);
  ::kill(pid, SIGKILL);
  for (const pid_t each : below) ::kill(each, SIGKILL);
}

}  // namespace

void Descendants::ended(pid_t pid, const std::string& mark, std::chrono::milliseconds grace, bool group_left,
                        bool soon, SteadyTime now) {
  watches_.push_back(Watch{pid, group_left, false, now + grace, mark});
  due(soon ? now : now + sweep_delay);
  if (group_left) due(now + grace);
}

void Descendants::reap() {
  int status = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG | __WNOTHREAD)) > 0;) {
    orphans_.erase(pid);
    if (is_main_(pid)) main_ended_(pid, status);
  }
}

void Descendants::find_orphans() {
  std::vector<pid_t> children;
  const pid_t self = ::getpid();
  if (has_children_files()) {
    children_of_thread(self, self, children);
  } else {
    for (const auto& [parent, child] : parents())
      if (parent == self) children.push_back(child);
  }
  for (const pid_t pid : children) {
    if (is_main_(pid)) continue;
    Orphan& orphan = orphans_[pid];
    orphan.session = ::getsid(pid);
    orphan.group = ::getpgid(pid);
    if (orphan.mark.empty() && orphan.reads++ < environment_reads) orphan.mark = mark_of(pid);
  }
  if (orphans_.size() > children.size())  // reaped by nobody but us, so this is for safety alone
    std::erase_if(orphans_, [&](const auto& each) {
      return std::find(children.begin(), children.end(), each.first) == children.end();
    });
}

void Descendants::run(SteadyTime now) {
  next_.reset();
  reap();
  if (watches_.empty()) return;
  find_orphans();
  for (Watch& watch : watches_) {
    const bool over = now >= watch.deadline;
    if (watch.group_left) {
      if (over && !watch.killed) ::kill(-watch.pid, SIGKILL);
      watch.group_left = ::kill(-watch.pid, 0) == 0 || errno == EPERM;
    }
    bool found = false;
    for (auto& [pid, orphan] : orphans_) {
      if (!belongs(orphan, watch.pid, watch.mark)) continue;
      found = true;
      if (over) {
        kill_tree(pid);
      } else if (!orphan.told) {
        orphan.told = true;
        const auto below = tree(pid);
        if (orphan.group != watch.pid) terminate(pid);  // the group has had it
        for (const pid_t each : below)
          if (::getpgid(each) != watch.pid) terminate(each);
      }
    }
    if (over) watch.killed = true;
    if (!found && !watch.group_left) watch.pid = 0;
    if (over && now >= watch.deadline + give_up_delay) watch.pid = 0;
    if (watch.pid != 0)
      due(over ? std::max(now + sweep_delay, watch.deadline + give_up_delay) : watch.deadline);
  }
  std::erase_if(watches_, [](const Watch& each) { return each.pid == 0; });
}

int Descendants::signal(pid_t main, pid_t group, const std::string& mark, int number, bool only_group) {
  std::vector<pid_t> targets;
  const auto add_tree = [&](pid_t root) {
    for (const pid_t each : tree(root)) targets.push_back(each);
  };
  if (main != 0) add_tree(main);
  reap();
  find_orphans();
  for (const auto& [pid, orphan] : orphans_)
    if (belongs(orphan, group, mark)) {
      targets.push_back(pid);
      add_tree(pid);
    }
  // The living group gets it as one, so that nobody in it escapes by forking; the others one by one.
  int result = ESRCH;
  const bool goes_on = signal_terminates(number) && number != SIGKILL;
  const auto send = [&](pid_t to) {
    if (::kill(to, number) == 0)
      result = 0;
    else if (result != 0 && errno != ESRCH)
      result = errno;
    if (goes_on) ::kill(to, SIGCONT);
  };
  if (main != 0) send(-group);
  for (const pid_t each : targets) {
    const bool in_group = ::getpgid(each) == group;
    if (in_group ? main == 0 : !only_group) send(each);
  }
  return result;
}

}  // namespace kairo::keeper
