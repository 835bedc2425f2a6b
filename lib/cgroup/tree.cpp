#include "cgroup/tree.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup/files.hpp"

namespace kairo::cgroup {
namespace {

constexpr std::uint32_t bit_of(Controller controller) {
  return 2u << static_cast<unsigned>(controller);
}
constexpr std::uint64_t cpu_period_us = 100'000;
constexpr std::uint64_t least_quota_us = 1000;  // what the kernel takes
/// Rounds of SIGKILL for what forks faster than it is killed, where the kernel cannot do it as one.
constexpr int kill_rounds = 100;
constexpr const char* leaf = "/daemon";

std::string quota_of(double cores) {
  const auto quota = static_cast<std::uint64_t>(std::llround(cores * static_cast<double>(cpu_period_us)));
  return std::to_string(std::max(quota, least_quota_us));
}

bool missing(int error_number) {
  return error_number == ENOENT || error_number == EACCES || error_number == EPERM;
}

void add_members(const std::string& directory, std::vector<pid_t>& out) {
  const std::string text = text_of(directory + "/cgroup.procs");
  for (const std::string_view each : words_of(text))
    if (const auto pid = static_cast<pid_t>(std::strtol(each.data(), nullptr, 10)); pid > 0)
      out.push_back(pid);
  for (const std::string& each : directories_in(directory)) add_members(directory + "/" + each, out);
}

bool remove_directory(const std::string& directory) {
  if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) return true;
  if (errno != EBUSY && errno != ENOTEMPTY) return false;
  const auto below = directories_in(directory);
  if (below.empty()) return false;
  for (const std::string& each : below)
    if (!remove_directory(directory + "/" + each)) return false;
  return ::rmdir(directory.c_str()) == 0 || errno == ENOENT;
}

std::string name_of_group(const Group& group) {
  return text_of_session({group.key, group.detach});
}

}  // namespace

Tree::Tree(Layout layout, Host host) : layout_(std::move(layout)), host_(std::move(host)) {}

std::string Tree::numbered(std::uint32_t number) const {
  return layout_.unified + "/" + text_of_number(number);
}

/// Where it is; empty where it is not, or not this session's any more.
std::string Tree::directory(const Group& group, std::uint32_t bit) const {
  if ((group.in & bit) == 0) return {};
  if (group.number() != 0) {
    std::string at = numbered(group.number());
    const auto whose = inscription_of(at);
    return whose && whose->key == group.key ? at : std::string();
  }
  const std::string* base = &layout_.unified;
  for (const Controller each : all_controllers)
    if (bit == bit_of(each)) base = &layout_.v1_directory(each);
  return base->empty() ? std::string() : *base + "/" + name_of_group(group);
}

/// The directory, or nothing and the errno.
std::string Tree::make_in(const std::string& base, const Group& group, int& error_number) const {
  const std::string at = base + "/" + name_of_group(group);
  error_number = make_directory(at);
  // The first one; or another keeper of this state directory has just removed it on its way out.
  for (int i = 0; i < 3 && error_number == ENOENT; ++i)
    if ((error_number = make_directory(base)) == 0) error_number = make_directory(at);
  return error_number == 0 ? at : std::string();
}

/// Has a controller of v2 handed on to the groups; empty, or why not.
std::string Tree::enable(Controller controller) {
  const std::lock_guard lock(enabling_);
  if ((enabled_ & bit_of(controller)) != 0) return {};
  const std::string& base = layout_.unified;
  const std::string above = base.substr(0, base.rfind('/'));
  const std::string word = "+" + std::string(name_of(controller));
  int error_number = make_directory(base);
  if (error_number != 0) return "cannot make " + base + ": " + describe_errno(error_number);
  const std::string handed_on = text_of(above + "/cgroup.subtree_control");
  const auto words = words_of(handed_on);
  if (std::find(words.begin(), words.end(), name_of(controller)) == words.end()) {
    error_number = write_text(above + "/cgroup.subtree_control", word);
    ::rmdir((base + leaf).c_str());  // as in move_to_leaf()
    if (error_number == EBUSY && make_directory(base + leaf) == 0) {
      // Processes stand in it, and may not while it hands controllers on. Ours move; others stay, and the
      // limit is refused.
      const std::string text = text_of(above + "/cgroup.procs");
      for (const std::string_view each : words_of(text))
        if (host_.own(static_cast<pid_t>(std::strtol(each.data(), nullptr, 10))))
          write_text(base + leaf + "/cgroup.procs", each);
      error_number = write_text(above + "/cgroup.subtree_control", word);
    }
    if (error_number != 0)
      return "cannot hand the " + std::string(name_of(controller)) + " controller on in " + above + ": " +
             describe_errno(error_number);
  }
  if ((error_number = write_text(base + "/cgroup.subtree_control", word)) != 0)
    return "cannot hand the " + std::string(name_of(controller)) + " controller on in " + base + ": " +
           describe_errno(error_number);
  enabled_ |= bit_of(controller);
  return {};
}

bool Tree::set_unified(const std::string& at, const GroupLimits& limits, Controller controller,
                       Refusal& refusal) {
  refusal.why = enable(controller);
  if (!refusal.why.empty()) {
    refusal.error_number = EBUSY;
    return false;
  }
  std::string file, value;
  switch (controller) {
    case Controller::cpu:
      file = "cpu.max";
      value = quota_of(*limits.cpu) + " " + std::to_string(cpu_period_us);
      break;
    case Controller::memory:
      // Memory that went to swap instead would not be limited.
      write_text(at + "/memory.swap.max", "0");
      file = "memory.max";
      value = std::to_string(*limits.memory);
      break;
    default:
      file = "pids.max";
      value = std::to_string(*limits.pids);
      break;
  }
  refusal.error_number = write_text(at + "/" + file, value);
  refusal.why = "cannot write " + at + "/" + file + ": " + describe_errno(refusal.error_number);
  return refusal.error_number == 0;
}

bool Tree::set_v1(const std::string& at, const GroupLimits& limits, Controller controller, Refusal& refusal) {
  const auto put = [&](const char* file, const std::string& value) {
    refusal.error_number = write_text(at + "/" + file, value);
    refusal.why = "cannot write " + at + "/" + file + ": " + describe_errno(refusal.error_number);
    return refusal.error_number == 0;
  };
  switch (controller) {
    case Controller::cpu:
      return put("cpu.cfs_period_us", std::to_string(cpu_period_us)) &&
             put("cpu.cfs_quota_us", quota_of(*limits.cpu));
    case Controller::memory: {
      const std::string value = std::to_string(*limits.memory);
      if (!put("memory.limit_in_bytes", value)) return false;
      // Where the kernel does not account for swap it is at least not used of its own accord.
      if (put("memory.memsw.limit_in_bytes", value) || !missing(refusal.error_number))
        return refusal.error_number == 0;
      return put("memory.swappiness", "0");
    }
    case Controller::pids: return !limits.pids || put("pids.max", std::to_string(*limits.pids));
    case Controller::cpuacct: return true;
  }
  return true;
}

/// One that can be used again; `group.in` stays 0 where there is none.
void Tree::make_numbered(Group& group) {
  if (layout_.unified.empty() || !can_use_again_) return;
  for (int tries = 0; tries < 100; ++tries) {
    const std::uint32_t number = (last_number_++ % largest_number) + 1;
    const std::string at = numbered(number);
    int error_number = ::mkdir(at.c_str(), 0755) == 0 ? 0 : errno;
    // The first one; or another keeper of this state directory has just removed it on its way out.
    if (error_number == ENOENT && (error_number = make_directory(layout_.unified)) == 0)
      error_number = ::mkdir(at.c_str(), 0755) == 0 ? 0 : errno;
    if (error_number == EEXIST || error_number == ENOENT) continue;
    if (error_number != 0) return;
    // What is counted of memory and time would be the next one's as well.
    const bool counts = !words_of(text_of(at + "/cgroup.controllers")).empty();
    error_number = counts ? ENOTSUP : inscribe(at, {group.key, group.detach});
    if (error_number == 0) {
      group.in = unified_bit | number << number_shift;
    } else {
      ::rmdir(at.c_str());
      if (error_number == ENOTSUP || error_number == EPERM) can_use_again_ = false;
    }
    return;
  }
}

Group Tree::make(std::uint64_t key, bool detach, const GroupLimits& limits, std::vector<Refusal>& refusals) {
  Group group{key, detach, 0, false};
  int error_number = 0;
  if (!limits.any() && !limits.told) make_numbered(group);
  if (group) return group;
  std::string unified;
  if (!layout_.unified.empty()) unified = make_in(layout_.unified, group, error_number);
  if (!unified.empty()) group.in |= unified_bit;
  const auto in_v1 = [&](Controller controller) {
    Refusal refusal{controller, 0, {}};
    const std::string at = make_in(layout_.v1_directory(controller), group, refusal.error_number);
    if (!at.empty()) {
      group.in |= bit_of(controller);
      if (set_v1(at, limits, controller, refusal)) return;
    } else {
      refusal.why = "cannot make a group in " + layout_.v1_directory(controller) + ": " +
                    describe_errno(refusal.error_number);
    }
    refusals.push_back(std::move(refusal));
  };
  const auto limit = [&](Controller controller) {
    Refusal refusal{controller, EOPNOTSUPP, {}};
    if (!layout_.v1_directory(controller).empty()) return in_v1(controller);
    if (layout_.has_unified(controller) && !unified.empty()) {
      if (set_unified(unified, limits, controller, refusal)) {
        group.needs_unified = true;
        return;
      }
    } else {
      refusal.why = "this host gives the daemon no " + std::string(name_of(controller)) + " controller";
    }
    refusals.push_back(std::move(refusal));
  };
  if (limits.cpu) limit(Controller::cpu);
  if (limits.memory) limit(Controller::memory);
  if (limits.pids) limit(Controller::pids);
  // Without a v2 tree these are what is left to count by, and to kill by.
  const bool limited = limits.any();
  const auto want = [&](Controller controller) {
    if (!layout_.v1_directory(controller).empty() && (group.in & bit_of(controller)) == 0) in_v1(controller);
  };
  if (unified.empty() && limits.cpu_time) want(Controller::cpuacct);
  if (unified.empty() && limited) want(Controller::pids);
  return group;
}

Result<Joining> Tree::open_to_join(const Group& group) const {
  Joining out;
  const std::string unified = group.number() != 0 ? numbered(group.number()) : directory(group, unified_bit);
  if (!unified.empty()) {
    out.unified = UniqueFd(::open(unified.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!out.unified) return system_error("cannot open " + unified, errno);
    if (group.needs_unified) {
      out.unified_procs = UniqueFd(::open((unified + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
      if (!out.unified_procs) return system_error("cannot open " + unified + "/cgroup.procs", errno);
    }
  }
  std::string before;
  for (const Controller each : all_controllers) {
    const std::string at = directory(group, bit_of(each));
    if (at.empty() || at == before) continue;  // cpu and cpuacct may be one hierarchy
    before = at;
    out.tasks.emplace_back(::open((at + "/tasks").c_str(), O_WRONLY | O_CLOEXEC));
    if (!out.tasks.back()) return system_error("cannot open " + at + "/tasks", errno);
  }
  return out;
}

bool Tree::populated(const Group& group) const {
  if (const std::string at = directory(group, unified_bit); !at.empty()) {
    const std::string text = text_of(at + "/cgroup.events");
    return number_of(text, "populated").value_or(0) != 0;
  }
  return !members(group).empty();
}

std::vector<pid_t> Tree::members(const Group& group) const {
  std::vector<pid_t> out;
  for (std::uint32_t bit = unified_bit; bit <= bit_of(Controller::pids); bit <<= 1) {
    const std::string at = directory(group, bit);
    if (at.empty()) continue;
    add_members(at, out);
    break;  // every one has the same processes
  }
  return out;
}

void Tree::kill(const Group& group) const {
  const std::string unified = directory(group, unified_bit);
  if (!unified.empty()) mark_killed(group);
  if (!unified.empty() && write_text(unified + "/cgroup.kill", "1") == 0) return;
  // Before Linux 5.14, or without v2: whoever may not fork any more is caught in the end.
  if (const std::string at = directory(group, bit_of(Controller::pids)); !at.empty())
    write_text(at + "/pids.max", "0");
  else if (!unified.empty())
    write_text(unified + "/cgroup.freeze", "1");
  for (int i = 0; i < kill_rounds; ++i) {
    const auto all = members(group);
    if (all.empty()) break;
    bool any = false;
    for (const pid_t each : all) any = ::kill(each, SIGKILL) == 0 || any;
    if (!any) break;
    ::usleep(100);
  }
  if (!unified.empty()) write_text(unified + "/cgroup.freeze", "0");
}

std::optional<std::uint64_t> Tree::cpu_us(const Group& group) const {
  if (const std::string at = directory(group, unified_bit); !at.empty()) {
    const std::string text = text_of(at + "/cpu.stat");
    if (const auto used = number_of(text, "usage_usec")) return used;
  }
  if (const std::string at = directory(group, bit_of(Controller::cpuacct)); !at.empty())
    if (const auto used = read_number(at + "/cpuacct.usage")) return *used / 1000;
  return std::nullopt;
}

GroupUse Tree::read_use(const Group& group) const {
  GroupUse out;
  out.cpu_us = cpu_us(group);
  const auto read = [&](std::uint32_t bit, const char* file, const char* name) -> std::uint64_t {
    const std::string at = directory(group, bit);
    const auto text = at.empty() ? std::nullopt : read_text(at + "/" + file);
    return text ? number_of(*text, name).value_or(0) : 0;
  };
  out.oom_kills = read(unified_bit, "memory.events", "oom_kill") +
                  read(bit_of(Controller::memory), "memory.oom_control", "oom_kill");
  out.pids_refused =
      read(unified_bit, "pids.events", "max") + read(bit_of(Controller::pids), "pids.events", "max");
  return out;
}

bool Tree::remove(const Group& group) const {
  bool out = true;
  for (std::uint32_t bit = unified_bit; bit <= bit_of(Controller::pids); bit <<= 1)
    if (const std::string at = directory(group, bit); !at.empty()) out = remove_directory(at) && out;
  return out;
}

int Tree::move_to_leaf() const {
  int error_number = make_directory(layout_.unified);
  // It may have been killed with a keeper that was in it; EBUSY where one still is.
  ::rmdir((layout_.unified + leaf).c_str());
  if (error_number == 0) error_number = make_directory(layout_.unified + leaf);
  if (error_number != 0) return error_number;
  return write_text(layout_.unified + leaf + "/cgroup.procs", std::to_string(::getpid()));
}

void Tree::mark_killed(const Group& group) const {
  if (group.number() == 0) return;
  const std::string at = numbered(group.number());
  auto whose = inscription_of(at);
  if (!whose || whose->key != group.key) return;
  whose->killed = true;
  inscribe(at, *whose);
}

bool Tree::vacate(const Group& group) const {
  if (group.number() == 0) return false;
  const std::string at = directory(group, unified_bit);
  const auto whose = at.empty() ? std::nullopt : inscription_of(at);
  if (!whose || whose->killed) return false;
  const auto text = read_text(at + "/cgroup.events");
  // Who was frozen and killed leaves it frozen.
  return text && number_of(*text, "populated") == 0 && number_of(*text, "frozen").value_or(0) == 0 &&
         erase_inscription(at) == 0;
}

bool Tree::is_as_new(std::uint32_t number) const {
  const UniqueFd at(::open(numbered(number).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat status {};
  // A directory below counts as a link; where they are not counted, st_nlink is 1.
  if (!at || ::fstat(at.get(), &status) != 0 || status.st_nlink != 2 || has_attributes(at.get()))
    return false;
  const auto is = [&](const char* file, std::string_view wanted) {
    const UniqueFd open(::openat(at.get(), file, O_RDONLY | O_CLOEXEC));
    char text[16];
    const ssize_t got = open ? ::read(open.get(), text, sizeof text) : -1;
    // Not every kernel has a file for the pressure.
    if (!open && errno == ENOENT) return wanted == "1";
    std::string_view found(text, got > 0 ? static_cast<std::size_t>(got) : 0);
    if (found.ends_with('\n')) found.remove_suffix(1);
    return got >= 0 && found == wanted;
  };
  return is("cgroup.type", "domain") && is("cgroup.max.depth", "max") &&
         is("cgroup.max.descendants", "max") && is("cgroup.pressure", "1") && is("cgroup.controllers", "");
}

Group Tree::use_again(std::uint32_t number, std::uint64_t key, bool detach) {
  {
    const std::lock_guard lock(enabling_);
    if (enabled_ != 0) return {};
  }
  if (inscribe(numbered(number), {key, detach}) != 0) return {};
  return {key, detach, unified_bit | number << number_shift, false};
}

void Tree::discard(std::uint32_t number) const {
  const std::string at = numbered(number);
  if (!inscription_of(at)) remove_directory(at);
}

std::vector<Group> Tree::found() const {
  std::vector<Group> out;
  const auto look = [&](const std::string& base, std::uint32_t bit) {
    if (base.empty()) return;
    for (const std::string& name : directories_in(base)) {
      const auto session = session_of(base, name);
      const std::uint32_t number = read_number_name(name).value_or(0);
      if (!session) {
        if (number != 0) discard(number);
        continue;
      }
      const auto known = std::find_if(out.begin(), out.end(), [&](const Group& each) {
        return each.key == session->key && each.detach == session->detach && number == 0 &&
               each.number() == 0;
      });
      if (known != out.end())
        known->in |= bit;
      else
        out.push_back({session->key, session->detach, bit | number << number_shift, false});
    }
  };
  look(layout_.unified, unified_bit);
  for (const Controller each : all_controllers) look(layout_.v1_directory(each), bit_of(each));
  return out;
}

void Tree::remove_base() const {
  if (!layout_.unified.empty()) {
    ::rmdir((layout_.unified + leaf).c_str());
    ::rmdir(layout_.unified.c_str());
  }
  for (const Controller each : all_controllers)
    if (const std::string& at = layout_.v1_directory(each); !at.empty()) ::rmdir(at.c_str());
}

}  // namespace kairo::cgroup
