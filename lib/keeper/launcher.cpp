#include "keeper/launcher.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "base/clock.hpp"
#include "sandbox/enter.hpp"
#include "sandbox/filter.hpp"

// The child runs on the launcher's memory: no instrumentation may keep books there, and no canary is set up.
#define KAIRO_IN_CHILD __attribute__((no_sanitize("address", "undefined"), no_stack_protector, noinline))

namespace kairo::keeper {

/// What the child is to do, and what became of it. `low`: the descriptors that become 0, 1 and 2.
struct ChildTask {
  const char* const* candidates;  ///< Paths to execute, in this order; ends with nullptr.
  char* const* argv;
  char* const* env;
  const char* cwd;
  mode_t umask;
  rlimit files;
  const gid_t* gids;  ///< nullptr: it stays who the keeper is.
  std::size_t gid_count;
  uid_t uid;
  gid_t gid;
  rlimit cpu_seconds;                                  ///< rlim_max 0: as the keeper's.
  rlimit file_size;                                    ///< The same.
  int groups[std::size(cgroup::all_controllers) + 1];  ///< Files of control groups, to join by "0".
  unsigned group_count;
  int low[3];
  unsigned first_low;
  unsigned past_low;
  int ipc = -1;        ///< The descriptor that becomes 3.
  bool began = false;  ///< The child has run.
  const sandbox::Confinement* confinement = nullptr;
  const char* step = nullptr;
  int error_number = 0;
};

namespace {

constexpr std::size_t stack_bytes = 64u << 10;
/// Of Launch::ipc in the program; the reserved ones lie above it.
constexpr int ipc_descriptor = 3;
/// Places among the low descriptors.
constexpr int low_ipc = 3;
constexpr int low_ruleset = 4;
constexpr int low_teller = 5;
constexpr std::string_view default_path = "/usr/local/bin:/usr/bin:/bin";

/// Not glibc's wrappers: syscall() touches nothing but errno, which the launcher does not look at meanwhile.
KAIRO_IN_CHILD long call(long number, long a = 0, long b = 0, long c = 0, long d = 0) {
  const long result = ::syscall(number, a, b, c, d);
  return result == -1 ? -errno : result;
}

template <class T>
KAIRO_IN_CHILD long word(T* pointer) {
  return reinterpret_cast<long>(pointer);
}

KAIRO_IN_CHILD void fail(ChildTask& task, const char* step, long result) {
  task.step = step;
  task.error_number = static_cast<int>(-result);
  call(SYS_exit_group, 127);
}

/// As execvp goes through PATH, but without a shell for what is no program.
KAIRO_IN_CHILD long execute(const ChildTask& task) {
  long worst = -ENOENT;
  for (const char* const* each = task.candidates; *each; ++each) {
    const long result = call(SYS_execve, word(*each), word(task.argv), word(task.env));
    switch (-result) {
      case EACCES: worst = result; break;
      case ENOENT:
      case ENOTDIR:
      case ESTALE:
      case ENODEV:
      case ETIMEDOUT: break;
      default: return result;
    }
  }
  return worst;
}

KAIRO_IN_CHILD int run_child(void* argument) {
  ChildTask& task = *static_cast<ChildTask*>(argument);
  task.began = true;
  long result;
  if ((result = call(SYS_setsid)) < 0) fail(task, "session", result);
  // "0" is whoever writes it, which takes no lock that all processors must agree on.
  for (unsigned i = 0; i < task.group_count; ++i)
    if ((result = call(SYS_write, task.groups[i], word("0"), 1)) < 0) fail(task, "limits", result);
  // Also what another launching thread has below: it would keep another child's pipe open until the exec.
  result = call(SYS_close_range, task.past_low, ~0u, CLOSE_RANGE_UNSHARE);
  if (result == 0 && task.first_low > 3) result = call(SYS_close_range, 3, task.first_low - 1, 0);
  if (result == -ENOSYS || result == -EINVAL)
    result = call(SYS_unshare, CLONE_FILES);  // all others close on exec
  if (result < 0) fail(task, "descriptors", result);
  for (int i = 0; i < 3; ++i)
    if ((result = call(SYS_dup3, task.low[i], i, 0)) < 0) fail(task, "stdio", result);
  result = call(SYS_prlimit64, 0, RLIMIT_NOFILE, word(&task.files), 0);
  if (result < 0) fail(task, "limits", result);
  if (task.cpu_seconds.rlim_max != 0 &&
      (result = call(SYS_prlimit64, 0, RLIMIT_CPU, word(&task.cpu_seconds), 0)) < 0)
    fail(task, "limits", result);
  if (task.file_size.rlim_max != 0 &&
      (result = call(SYS_prlimit64, 0, RLIMIT_FSIZE, word(&task.file_size), 0)) < 0)
    fail(task, "limits", result);
  // While it still is who the keeper is: what another user may not do, root does for it.
  if (task.confinement && task.confinement->private_network)
    if ((result = sandbox::enter_private_network()) < 0) fail(task, "network", result);
  if (task.gids) {
    // The keeper's session keyring is its user's; a kernel without keyrings has none to keep from anybody.
    result = call(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0);
    if (result < 0 && result != -ENOSYS && result != -EPERM) fail(task, "identity", result);
    // These change this task alone; glibc's wrappers would change every thread of the keeper.
    if ((result = call(SYS_setgroups, static_cast<long>(task.gid_count), word(task.gids))) < 0)
      fail(task, "identity", result);
    if ((result = call(SYS_setresgid, task.gid, task.gid, task.gid)) < 0) fail(task, "identity", result);
    if ((result = call(SYS_setresuid, task.uid, task.uid, task.uid)) < 0) fail(task, "identity", result);
  }
  call(SYS_umask, task.umask);
  if ((result = call(SYS_chdir, word(task.cwd))) < 0) fail(task, "chdir", result);
  const std::uint64_t none = 0;
  if ((result = call(SYS_rt_sigprocmask, SIG_SETMASK, word(&none), 0, sizeof none)) < 0)
    fail(task, "signals", result);
  if (task.ipc >= 0 && (result = call(SYS_dup3, task.ipc, ipc_descriptor, 0)) < 0)
    fail(task, "stdio", result);
  if (task.confinement)
    if (const char* step = sandbox::enter(*task.confinement, result)) fail(task, step, result);
  fail(task, "exec", execute(task));
  return 127;
}

/// clone3 with a stack for the child, which calls run_child(&task) on it. glibc has no wrapper for it.
/// Returns as the kernel does: pid or -errno; -ENOSYS where this program does not know how.
[[gnu::noinline]] long clone3(clone_args& args, int (*function)(void*), void* argument) {
#if defined(__x86_64__)
  register int (*entry)(void*) asm("r12") = function;
  register void* given asm("r13") = argument;
  long result;
  asm volatile(
      "syscall\n\t"
      "testq %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xorl %%ebp, %%ebp\n\t"
      "movq %%r13, %%rdi\n\t"
      "callq *%%r12\n\t"
      "hlt\n"
      "1:"
      : "=a"(result)
      : "a"(SYS_clone3), "D"(&args), "S"(sizeof args), "r"(entry), "r"(given)
      : "rcx", "r11", "cc", "memory");
  return result;
#elif defined(__aarch64__)
  register int (*entry)(void*) asm("x19") = function;
  register void* given asm("x20") = argument;
  register long number asm("x8") = SYS_clone3;
  register long x0 asm("x0") = reinterpret_cast<long>(&args);
  register long x1 asm("x1") = sizeof args;
  asm volatile(
      "svc #0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x29, #0\n\t"
      "mov x30, #0\n\t"
      "mov x0, x20\n\t"
      "blr x19\n\t"
      "brk #0\n"
      "1:"
      : "+r"(x0)
      : "r"(number), "r"(x1), "r"(entry), "r"(given)
      : "cc", "memory");
  return x0;
#else
  static_cast<void>(args), static_cast<void>(function), static_cast<void>(argument);
  return -ENOSYS;
#endif
}

/// No more than this process may have itself: that holds already.
rlimit at_most(__rlimit_resource resource, std::uint64_t soft, std::uint64_t hard) {
  rlimit own{};
  if (::getrlimit(resource, &own) == 0 && own.rlim_max != RLIM_INFINITY) {
    hard = std::min<std::uint64_t>(hard, own.rlim_max);
    soft = std::min(soft, hard);
  }
  return {soft, hard};
}

void set_limits(ChildTask& task, const LaunchLimits& limits, bool cpu_is_counted) {
  if (limits.open_files) {
    task.files.rlim_max = std::min<rlim_t>(task.files.rlim_max, *limits.open_files);
    task.files.rlim_cur = task.files.rlim_max;
  }
  // SIGXCPU first, which says why; SIGKILL for what goes on regardless. Its clock is not
  // quite that of a control group: where kairod reads one, that alone decides while kairod is there.
  if (limits.cpu_seconds) {
    const std::uint64_t soft = *limits.cpu_seconds + (cpu_is_counted ? 1 : 0);
    task.cpu_seconds = at_most(RLIMIT_CPU, soft, soft + 2);
  }
  if (limits.file_size) task.file_size = at_most(RLIMIT_FSIZE, *limits.file_size, *limits.file_size);
}

bool has_nul(const std::string& text) {
  return text.find('\0') != std::string::npos;
}

std::vector<char*> pointers(const std::vector<std::string>& from) {
  std::vector<char*> out;
  out.reserve(from.size() + 1);
  for (const std::string& each : from) out.push_back(const_cast<char*>(each.c_str()));
  out.push_back(nullptr);
  return out;
}

/// The variables of an environment whose last one ends with NUL.
std::vector<char*> pointers(const reflect::Bytes& env) {
  std::vector<char*> out;
  for (std::size_t begin = 0; begin < env.data.size(); begin = env.data.find('\0', begin) + 1)
    out.push_back(const_cast<char*>(env.data.data() + begin));
  out.push_back(nullptr);
  return out;
}

std::string_view search_path(const Launch& order) {
  for (const char* each : pointers(order.env))
    if (each && std::strncmp(each, "PATH=", 5) == 0) return each + 5;
  return default_path;
}

/// The paths to try for argv[0].
std::vector<std::string> candidates(const std::string& program, std::string_view path) {
  std::vector<std::string> out;
  if (program.find('/') != std::string::npos || program.empty()) {
    out.push_back(program);
    return out;
  }
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    std::string each(path.substr(begin, end - begin));
    if (!each.empty()) each += '/';
    out.push_back(each + program);
    begin = end + 1;
  }
  return out;
}

/// What a failed exec was about, for people: "foo in PATH /usr/bin:/bin", "./foo in /home/me", "/bin/foo".
std::string exec_object(const Launch& order, int error_number) {
  const std::string& program = order.argv[0];
  const char* confined =
      error_number == EACCES && order.confinement ? " (its permissions may not cover it)" : "";
  if (program.find('/') == std::string::npos)
    return program + " in PATH " + std::string(search_path(order)) + confined;
  std::string object = program[0] == '/' ? program : program + " in " + order.cwd;
  const std::string full = program[0] == '/' ? program : order.cwd + "/" + program;
  struct stat status {};
  if (error_number == ENOENT && ::stat(full.c_str(), &status) == 0) object += " (its interpreter)";
  return object + confined;
}

/// While it lives this thread looks up paths as another user, and no more than that user can: what is not
/// there and what may not be looked at are then told apart by nobody who could not tell them apart himself.
/// The raw calls change this thread alone.
class LookingAs {
 public:
  explicit LookingAs(const std::optional<Identity>& identity) {
    if (!identity || ::geteuid() != 0) return;
    const int count = ::getgroups(0, nullptr);
    own_groups_.resize(static_cast<std::size_t>(std::max(count, 0)));
    if (count > 0) ::getgroups(count, own_groups_.data());
    static const gid_t none = 0;
    const auto& theirs = identity->groups;
    ::syscall(SYS_setgroups, theirs.size(), theirs.empty() ? &none : theirs.data());
    ::syscall(SYS_setfsgid, identity->gid);
    ::syscall(SYS_setfsuid, identity->uid);
    changed_ = true;
  }
  ~LookingAs() {
    if (!changed_) return;
    ::syscall(SYS_setfsuid, 0);
    ::syscall(SYS_setfsgid, ::getegid());
    static const gid_t none = 0;
    ::syscall(SYS_setgroups, own_groups_.size(), own_groups_.empty() ? &none : own_groups_.data());
  }
  LookingAs(const LookingAs&) = delete;
  LookingAs& operator=(const LookingAs&) = delete;

 private:
  bool changed_ = false;
  std::vector<gid_t> own_groups_;
};

/// What a child has sent, if it has.
UniqueFd receive_listener(int socket) {
  char byte = 0;
  iovec data{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  while ((got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) {
  }
  const cmsghdr* head = got == 1 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (!head || head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(sizeof(int))) return UniqueFd();
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(head), sizeof descriptor);
  return UniqueFd(descriptor);
}

void reap(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

LaunchError pipe_error(int error_number) {
  const bool exhausted = error_number == EMFILE || error_number == ENFILE;
  return LaunchError{exhausted ? "descriptors" : "pipe", error_number, ""};
}

}  // namespace

Result<Launcher> Launcher::make(FileLimit files) {
  rlimit own{};  // a child cannot be given more than this process may have
  if (::getrlimit(RLIMIT_NOFILE, &own) == 0 && own.rlim_max != RLIM_INFINITY) {
    files.hard = std::min<std::uint64_t>(files.hard, own.rlim_max);
    files.soft = std::min(files.soft, files.hard);
  }
  Launcher out(files);
  const UniqueFd opened(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (opened) out.null_ = UniqueFd(::fcntl(opened.get(), F_DUPFD_CLOEXEC, low_descriptors_end));
  if (!out.null_) return system_error("cannot open /dev/null", errno);
  for (UniqueFd& each : out.low_) {
    each = UniqueFd(::fcntl(out.null_.get(), F_DUPFD_CLOEXEC, ipc_descriptor + 1));
    if (!each) return system_error("cannot reserve descriptors for launches", errno);
  }
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return system_error("cannot make sockets for launches", errno);
  const UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  out.listeners_ = UniqueFd(::fcntl(ours.get(), F_DUPFD_CLOEXEC, low_descriptors_end));
  if (!out.listeners_ || ::dup3(theirs.get(), out.low_[low_teller].get(), O_CLOEXEC) < 0)
    return system_error("cannot reserve descriptors for launches", errno);
  void* stack =
      ::mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return system_error("cannot make a stack for launches", errno);
  out.stack_ = static_cast<char*>(stack);
  return out;
}

Launcher::Launcher(Launcher&& other) noexcept
    : files_(other.files_),
      null_(std::move(other.null_)),
      low_{std::move(other.low_[0]), std::move(other.low_[1]), std::move(other.low_[2]),
           std::move(other.low_[3]), std::move(other.low_[4]), std::move(other.low_[5])},
      rulesets_(std::move(other.rulesets_)),
      listeners_(std::move(other.listeners_)),
      stack_(std::exchange(other.stack_, nullptr)),
      has_clone3_(other.has_clone3_),
      has_into_cgroup_(other.has_into_cgroup_) {}

Launcher::~Launcher() {
  if (stack_) ::munmap(stack_, stack_bytes);
}

/// As clone3; `group`: a cgroup's directory, or -1.
long Launcher::try_clone3(ChildTask& task, char* stack, int group, Child& child, LaunchWatch& watch) {
  clone_args args{};
  args.flags = CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
  args.pidfd = reinterpret_cast<std::uint64_t>(watch.process());
  args.exit_signal = SIGCHLD;
  args.stack = reinterpret_cast<std::uint64_t>(stack);
  args.stack_size = stack_bytes;
  if (group >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<std::uint64_t>(group);
  }
  watch.begin();
  const long result = clone3(args, run_child, &task);
  if (result > 0) child.process = UniqueFd(*watch.process());
  child.ended = watch.end() && result > 0;
  return result;
}

pid_t Launcher::clone_child(ChildTask& task, const cgroup::Joining& joining, Child& child,
                            LaunchWatch& watch) {
  const auto answer = [](long result) {
    if (result < 0) errno = static_cast<int>(-result);
    return result < 0 ? -1 : static_cast<pid_t>(result);
  };
  if (has_clone3_ && has_into_cgroup_ && joining.unified) {
    const long result = try_clone3(task, stack_, joining.unified.get(), child, watch);
    child.in_unified = child.born_in_unified = result > 0;
    if (result > 0 || result == -EAGAIN || result == -ENOMEM) return answer(result);
    // Linux before 5.7, or a container that forbids it; EACCES: it may not leave the cgroup it is in.
    if (result == -ENOSYS || result == -EPERM || result == -EINVAL || result == -E2BIG)
      has_into_cgroup_ = false;
  }
  if (joining.unified_procs) {
    task.groups[task.group_count++] = joining.unified_procs.get();
    child.in_unified = true;
  }
  if (has_clone3_) {
    const long result = try_clone3(task, stack_, -1, child, watch);
    if (result != -ENOSYS && result != -EPERM && result != -EINVAL) return answer(result);
    has_clone3_ = false;  // an old kernel, or a container that forbids it
  }
  watch.begin();
  const pid_t pid =
      ::clone(run_child, stack_ + stack_bytes, CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_PIDFD | SIGCHLD,
              &task, watch.process());
  const int error_number = errno;
  if (pid > 0) child.process = UniqueFd(*watch.process());
  child.ended = watch.end() && pid > 0;
  errno = error_number;
  return pid;
}

std::variant<Child, LaunchError> Launcher::launch(const Launch& order, std::span<UniqueFd> descriptors,
                                                  const cgroup::Joining& joining, const Elsewhere& elsewhere,
                                                  bool cpu_is_counted, LaunchWatch& watch) {
  if (order.argv.empty()) return LaunchError{"argv", EINVAL, ""};
  if (std::any_of(order.argv.begin(), order.argv.end(), has_nul))
    return LaunchError{"argv", EINVAL, "an argument with NUL"};
  if (!order.env.data.empty() && order.env.data.back() != '\0')
    return LaunchError{"env", EINVAL, "a variable without its end"};
  if (has_nul(order.cwd)) return LaunchError{"chdir", EINVAL, "a directory with NUL"};

  Child child;
  UniqueFd theirs[3];
  const Stdio kinds[3] = {order.standard_input, order.standard_output, order.standard_error};
  std::size_t next_descriptor = 0;
  for (int i = 0; i < 3; ++i) {
    if (kinds[i] == Stdio::fd) {
      if (next_descriptor >= descriptors.size())
        return LaunchError{"descriptors", EBADF, "too few came with the order"};
      theirs[i] = std::move(descriptors[next_descriptor++]);
    } else if (kinds[i] == Stdio::pipe) {
      int ends[2];
      if (::pipe2(ends, O_CLOEXEC) != 0) return pipe_error(errno);
      UniqueFd& ours = i == 0 ? child.standard_input : child.output[i - 1];
      ours = UniqueFd(ends[i == 0 ? 1 : 0]);
      theirs[i] = UniqueFd(ends[i == 0 ? 0 : 1]);
      // Of this open file description only; the child's end stays blocking.
      if (::fcntl(ours.get(), F_SETFL, O_NONBLOCK) != 0) return LaunchError{"pipe", errno, ""};
    } else if (kinds[i] == Stdio::to_stdout && i != 2) {
      return LaunchError{"stdio", EINVAL, "only stderr can go where stdout goes"};
    }
  }

  UniqueFd ipc;
  if (order.ipc) {
    if (next_descriptor >= descriptors.size())
      return LaunchError{"descriptors", EBADF, "too few came with the order"};
    ipc = std::move(descriptors[next_descriptor++]);
  }
  int ruleset = -1;  // borrowed
  sandbox::Confinement confinement;
  std::optional<std::string> told_filter;
  if (order.confinement) {
    const LookingAs caller(order.identity);
    auto made = rulesets_.get(*order.confinement);
    if (auto* failed = std::get_if<sandbox::RulesetFailure>(&made))
      return LaunchError{failed->step, failed->error_number, std::move(failed->object)};
    ruleset = std::get<int>(made);
    const std::string& filter = order.confinement->filter.data;
    if (filter.empty() || filter.size() % sizeof(sock_filter) != 0 ||
        filter.size() / sizeof(sock_filter) > BPF_MAXINSNS)
      return LaunchError{"seccomp", EINVAL, "a filter that is none"};
    confinement.private_network = order.confinement->private_network;
    confinement.filter = filter.data();
    confinement.filter_length = static_cast<std::uint16_t>(filter.size() / sizeof(sock_filter));
    confinement.audited = order.confinement->audited;
    if (!order.confinement->tellable.empty()) {
      told_filter = sandbox::told(filter, order.confinement->tellable);
      if (!told_filter) return LaunchError{"seccomp", EINVAL, "a filter that is another one"};
      confinement.told_filter = told_filter->data();
    }
  }

  ChildTask task{};
  const auto argv = pointers(order.argv);
  const auto env = pointers(order.env);
  const auto paths = candidates(order.argv[0], search_path(order));
  const auto path_pointers = pointers(paths);
  task.candidates = path_pointers.data();
  task.argv = argv.data();
  task.env = env.data();
  task.cwd = order.cwd.empty() ? "/" : order.cwd.c_str();
  task.umask = static_cast<mode_t>(order.umask & 0777);
  task.files = {files_.soft, files_.hard};
  static const gid_t no_groups = 0;
  if (order.identity) {
    task.gids = order.identity->groups.empty() ? &no_groups : order.identity->groups.data();
    task.gid_count = order.identity->groups.size();
    task.uid = order.identity->uid;
    task.gid = order.identity->gid;
  }
  if (order.limits) set_limits(task, *order.limits, cpu_is_counted);
  for (const UniqueFd& each : joining.tasks)
    if (task.group_count < std::size(cgroup::all_controllers)) task.groups[task.group_count++] = each.get();
  // While a low descriptor is a pipe's end, that pipe does not end.
  const auto clear_low = [&] {
    for (int i = 0; i < low_teller; ++i) ::dup3(null_.get(), low_[i].get(), O_CLOEXEC);
  };
  task.first_low = static_cast<unsigned>(low_[0].get());
  if (order.ipc) task.ipc = low_[low_ipc].get();
  if (order.confinement) {
    confinement.ruleset = low_[low_ruleset].get();
    confinement.teller = low_[low_teller].get();
    task.confinement = &confinement;
  }
  for (int i = 0; i < low_descriptors; ++i) {
    if (i < 3) task.low[i] = low_[i].get();
    task.first_low = std::min(task.first_low, static_cast<unsigned>(low_[i].get()));
    task.past_low = std::max(task.past_low, static_cast<unsigned>(low_[i].get()) + 1);
    if ((i == low_ipc && !ipc) || (i == low_ruleset && ruleset < 0) || i == low_teller) continue;
    const int from = i == low_ipc                   ? ipc.get()
                     : i == low_ruleset             ? ruleset
                     : theirs[i]                    ? theirs[i].get()
                     : kinds[i] == Stdio::to_stdout ? low_[1].get()
                                                    : null_.get();
    if (::dup3(from, low_[i].get(), O_CLOEXEC) < 0) {
      const int error_number = errno;
      clear_low();
      return LaunchError{"stdio", error_number, ""};
    }
  }
  for (UniqueFd& each : theirs) each.reset();
  ipc.reset();
  pid_t pid = clone_child(task, joining, child, watch);
  while (pid > 0 && !task.began && child.born_in_unified && !child.ended) {
    // Killed before its first step, as whoever is born into a group that was killed (cgroup/tree.hpp).
    const cgroup::Joining* other = elsewhere();
    if (!other) {
      task.step = "limits";
      task.error_number = EMFILE;
      break;
    }
    reap(pid);
    child.process.reset();
    child.in_unified = child.born_in_unified = false;
    pid = clone_child(task, *other, child, watch);
    if (task.began && other->kills_at_birth) has_into_cgroup_ = false;
  }
  const int clone_errno = errno;
  clear_low();
  // Also of a launch that failed: nothing is left for the next one to find.
  if (told_filter) child.listener = receive_listener(listeners_.get());
  if (pid < 0) return LaunchError{"clone", clone_errno, ""};
  if (child.ended) {
    // What it did last is no matter: it never becomes a session.
    task.step = "exec";
    task.error_number = ETIMEDOUT;
  }
  if (task.step) {
    reap(pid);
    std::string object;
    if (std::strcmp(task.step, "exec") == 0) object = exec_object(order, task.error_number);
    if (std::strcmp(task.step, "chdir") == 0) object = order.cwd;
    if (std::strcmp(task.step, "identity") == 0) object = "user " + std::to_string(order.identity->uid);
    return LaunchError{task.step, task.error_number, object};
  }
  child.pid = pid;
  child.started_boot_us = boot_clock_us();
  child.started_us = static_cast<std::uint64_t>(system_now().time_since_epoch().count());
  return child;
}

}  // namespace kairo::keeper
