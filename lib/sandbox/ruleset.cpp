#include "sandbox/ruleset.hpp"

#include <cerrno>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/landlock.hpp"

namespace kairo::sandbox {
namespace {

/// -1 with errno.
UniqueFd open_path(const std::string& path, bool follow_links) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  if (!follow_links) how.resolve = RESOLVE_NO_SYMLINKS;
  return UniqueFd(static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
}

}  // namespace

std::variant<UniqueFd, RulesetFailure> make_ruleset(const Plan& plan) {
  UniqueFd ruleset = landlock::make_ruleset(plan.handled_files, plan.handled_ports, plan.scoped);
  if (!ruleset) return RulesetFailure{"landlock", errno, ""};
  for (const PathRule& rule : plan.paths) {
    if (rule.path.find('\0') != std::string::npos)
      return RulesetFailure{"permissions", EINVAL, "a path with NUL"};
    const UniqueFd path = open_path(rule.path, plan.follow_links);
    struct stat status {};
    const bool of_directory = (rule.access & ~landlock::of_files) != 0;
    if (!path || (of_directory && ::fstat(path.get(), &status) != 0)) {
      if (rule.optional) continue;
      return RulesetFailure{"permissions", errno, rule.path};
    }
    const std::uint64_t access = S_ISDIR(status.st_mode) ? rule.access : rule.access & landlock::of_files;
    if (landlock::allow_path(ruleset.get(), access, path.get()) != 0)
      return RulesetFailure{"permissions", errno, rule.path};
  }
  for (const PortRule& rule : plan.ports)
    if (landlock::allow_port(ruleset.get(), rule.access, rule.port) != 0)
      return RulesetFailure{"landlock", errno, "port " + std::to_string(rule.port)};
  return ruleset;
}

}  // namespace kairo::sandbox
