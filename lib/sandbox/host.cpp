#include "sandbox/host.hpp"

#include <cerrno>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.hpp"
#include "sandbox/denial.hpp"
#include "sandbox/enter.hpp"
#include "sandbox/filter.hpp"
#include "sandbox/landlock.hpp"

namespace kairo::sandbox {
namespace {

constexpr std::size_t stack_bytes = 64u << 10;

__attribute__((no_sanitize("address", "undefined"), no_stack_protector, noinline)) int try_network(
    void* result) {
  *static_cast<long*>(result) = enter_private_network();
  ::syscall(SYS_exit, 0);
  return 0;
}

/// As the launcher makes its children. 0 or -errno.
long try_private_network() {
  void* stack =
      ::mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return -errno;
  long result = -EPERM;
  const pid_t pid =
      ::clone(try_network, static_cast<char*>(stack) + stack_bytes, CLONE_VM | CLONE_VFORK, &result);
  if (pid < 0) result = -errno;
  while (pid > 0 && ::waitpid(pid, nullptr, __WALL) < 0 && errno == EINTR) {
  }
  ::munmap(stack, stack_bytes);
  return result;
}

bool has_seccomp() {
  const unsigned action = SECCOMP_RET_ERRNO;
  return ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 && compiled_filter({}).ok();
}

Host look() {
  Host out;
  out.landlock_abi = landlock::abi();
  out.seccomp = has_seccomp();
  out.tells = out.seccomp && host_tells();
  const long network = try_private_network();
  out.private_network = network >= 0;
  if (network < 0)
    out.private_network_missing =
        "a network namespace of one's own: " + describe_errno(static_cast<int>(-network));
  return out;
}

}  // namespace

const Host& host() {
  static const Host found = look();
  return found;
}

std::vector<std::string> missing(const Host& host) {
  std::vector<std::string> out;
  if (host.landlock_abi == 0)
    out.emplace_back("Landlock: the kernel has none, it is switched off, or it is forbidden here");
  else if (host.landlock_abi < landlock::needed_abi)
    out.push_back("Landlock ABI " + std::to_string(landlock::needed_abi) +
                  " (Linux 6.12), which keeps signals and abstract sockets inside: this kernel has ABI " +
                  std::to_string(host.landlock_abi));
  if (!host.seccomp) out.emplace_back("seccomp filters");
  return out;
}

}  // namespace kairo::sandbox
