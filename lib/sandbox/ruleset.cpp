#include "sandbox/ruleset.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/landlock.hpp"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

namespace kairo::sandbox {
namespace {

/// STATX_MNT_ID_UNIQUE, Linux 6.8, which every kernel has that can confine at all.
constexpr unsigned unique_mount_id = 0x4000;

/// -1 with errno.
UniqueFd open_path(const std::string& path, bool follow_links) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  if (!follow_links) how.resolve = RESOLVE_NO_SYMLINKS;
  return UniqueFd(static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
}

/// Whether this file system gives no number twice while the inode is held.
bool numbers_by_itself(int fd) {
  struct statfs status {};
  if (::fstatfs(fd, &status) != 0) return false;
  switch (static_cast<unsigned long>(status.f_type)) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case PROC_SUPER_MAGIC: return true;
    default: return false;
  }
}

}  // namespace

std::variant<int, RulesetFailure> Rulesets::get(const Plan& plan) {
  other_.reset();
  const SteadyTime now = SteadyClock::now();
  forget(now);
  const auto found = std::find_if(kept_.begin(), kept_.end(),
                                  [&](const Kept& each) { return each.ruleset && is_of(each, plan); });
  // Where links may not be followed every path is opened: statx cannot be told so.
  if (found != kept_.end() && plan.follow_links && still_holds(*found)) {
    found->used = now;
    return found->ruleset.get();
  }
  std::vector<std::optional<Seen>> seen;
  bool may_be_kept = plan.follow_links;
  auto made = make(plan, seen, may_be_kept);
  if (auto* failed = std::get_if<RulesetFailure>(&made)) return std::move(*failed);
  UniqueFd ruleset = std::get<UniqueFd>(std::move(made));
  ++made_;
  if (!may_be_kept) {
    other_ = std::move(ruleset);
    return other_.get();
  }
  Kept& place = found != kept_.end()
                    ? *found
                    : *std::min_element(kept_.begin(), kept_.end(),
                                        [](const Kept& a, const Kept& b) { return a.used < b.used; });
  place = {plan.handled_files, plan.handled_ports, plan.scoped,        plan.paths,
           plan.ports,         std::move(seen),    std::move(ruleset), now};
  return place.ruleset.get();
}

void Rulesets::forget(SteadyTime now) {
  for (Kept& each : kept_)
    if (each.ruleset && now - each.used >= ruleset_kept_for) each = {};
}

bool Rulesets::empty() const {
  return std::none_of(kept_.begin(), kept_.end(), [](const Kept& each) { return bool(each.ruleset); });
}

bool Rulesets::is_of(const Kept& kept, const Plan& plan) {
  return kept.handled_files == plan.handled_files && kept.handled_ports == plan.handled_ports &&
         kept.scoped == plan.scoped && kept.paths == plan.paths && kept.ports == plan.ports;
}

bool Rulesets::still_holds(const Kept& kept) {
  for (std::size_t i = 0; i < kept.paths.size(); ++i)
    if (look(AT_FDCWD, kept.paths[i].path.c_str()) != kept.seen[i]) return false;
  return true;
}

/// `path` "": the descriptor itself.
std::optional<Rulesets::Seen> Rulesets::look(int directory, const char* path) {
  struct statx status {};
  const int flags = AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC | (*path == '\0' ? AT_EMPTY_PATH : 0);
  const unsigned wanted = STATX_TYPE | STATX_INO | unique_mount_id;
  if (::statx(directory, path, flags, wanted, &status) != 0) return std::nullopt;
  if ((status.stx_mask & wanted) != wanted) return std::nullopt;
  return Seen{status.stx_mnt_id, status.stx_ino, status.stx_dev_major, status.stx_dev_minor,
              status.stx_mode & unsigned{S_IFMT}};
}

std::variant<UniqueFd, RulesetFailure> Rulesets::make(const Plan& plan,
                                                      std::vector<std::optional<Seen>>& seen,
                                                      bool& may_be_kept) {
  UniqueFd ruleset = landlock::make_ruleset(plan.handled_files, plan.handled_ports, plan.scoped);
  if (!ruleset) return RulesetFailure{"landlock", errno, ""};
  seen.reserve(plan.paths.size());
  for (const PathRule& rule : plan.paths) {
    if (rule.path.find('\0') != std::string::npos)
      return RulesetFailure{"permissions", EINVAL, "a path with NUL"};
    const UniqueFd path = open_path(rule.path, plan.follow_links);
    struct stat status {};
    if (!path || ::fstat(path.get(), &status) != 0) {
      if (!rule.optional) return RulesetFailure{"permissions", errno, rule.path};
      seen.emplace_back();
      continue;
    }
    const bool is_directory = S_ISDIR(status.st_mode);
    const std::uint64_t access = is_directory ? rule.access : rule.access & landlock::of_files;
    if (landlock::allow_path(ruleset.get(), access, path.get()) != 0)
      return RulesetFailure{"permissions", errno, rule.path};
    seen.push_back(look(path.get(), ""));
    // What is kept holds its inodes, also of what is removed: a directory is little, of a file that somebody
    // names nobody knows.
    if (!seen.back() || (!is_directory && !rule.optional) || (may_be_kept && !numbers_by_itself(path.get())))
      may_be_kept = false;
  }
  for (const PortRule& rule : plan.ports)
    if (landlock::allow_port(ruleset.get(), rule.access, rule.port) != 0)
      return RulesetFailure{"landlock", errno, "port " + std::to_string(rule.port)};
  return ruleset;
}

}  // namespace kairo::sandbox
