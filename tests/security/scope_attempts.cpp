// Other processes, the kernel's many doors, and rights that a program may gain.
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/fanotify.h>
#include <linux/kcmp.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <sched.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "break_in.hpp"

namespace kairo::break_in {
namespace {

pid_t victim_pid() {
  return static_cast<pid_t>(number("VICTIM"));
}
std::string victim_file(const char* name) {
  return "/proc/" + text("VICTIM") + "/" + name;
}

// --- signals and tracing -----------------------------------------------------------------------------

int signal_kill() {
  return outcome(::kill(victim_pid(), SIGCONT));
}
int signal_thread() {
  return outcome(::syscall(SYS_tgkill, victim_pid(), victim_pid(), SIGCONT));
}
int signal_queue() {
  return outcome(::sigqueue(victim_pid(), SIGCONT, {}));
}
int signal_descriptor() {
  const long process = ::syscall(SYS_pidfd_open, victim_pid(), 0);
  if (process < 0) return errno;
  return outcome(::syscall(SYS_pidfd_send_signal, process, SIGCONT, nullptr, 0));
}
int signal_starter() {
  return outcome(::kill(static_cast<pid_t>(number("KEEPER")), SIGCONT));
}
int trace_attach() {
  return outcome(::ptrace(PTRACE_SEIZE, victim_pid(), nullptr, nullptr));
}
int read_memory() {
  char byte = 0;
  iovec ours{&byte, 1};
  iovec theirs{reinterpret_cast<void*>(number("VICTIM_ADDRESS")), 1};
  return outcome(::process_vm_readv(victim_pid(), &ours, 1, &theirs, 1, 0));
}
int write_memory() {
  char byte = 'x';
  iovec ours{&byte, 1};
  iovec theirs{reinterpret_cast<void*>(number("VICTIM_ADDRESS")), 1};
  return outcome(::process_vm_writev(victim_pid(), &ours, 1, &theirs, 1, 0));
}
int take_descriptor() {
  const long process = ::syscall(SYS_pidfd_open, victim_pid(), 0);
  if (process < 0) return errno;
  return outcome(::syscall(SYS_pidfd_getfd, process, 0, 0));
}
int compare_descriptors() {
  return outcome(::syscall(SYS_kcmp, ::getpid(), victim_pid(), KCMP_VM, 0, 0));
}
int read_environment() {
  const int fd = ::open(victim_file("environ").c_str(), O_RDONLY | O_CLOEXEC);
  char byte;
  return fd < 0 ? errno : outcome(::read(fd, &byte, 1));
}
int open_memory() {
  return outcome(::open(victim_file("mem").c_str(), O_RDWR | O_CLOEXEC));
}
int open_command_line() {
  return outcome(::open(victim_file("cmdline").c_str(), O_RDONLY | O_CLOEXEC));
}
int open_descriptor_of_victim() {
  return outcome(::open(victim_file("fd/0").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}
int change_limits() {
  rlimit limit{};
  return outcome(::prlimit(victim_pid(), RLIMIT_CORE, nullptr, &limit) != 0
                     ? -1
                     : ::prlimit(victim_pid(), RLIMIT_CORE, &limit, nullptr));
}

// --- namespaces --------------------------------------------------------------------------------------

int unshare_user() {
  return outcome(::unshare(CLONE_NEWUSER));
}
int unshare_network() {
  return outcome(::unshare(CLONE_NEWNET));
}
int unshare_mounts() {
  return outcome(::unshare(CLONE_NEWNS));
}
int clone_user() {
  const long pid = ::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) ::_exit(0);
  return outcome(pid);
}
/// A child of whoever started this process, who does not know of it.
int clone_sibling() {
  const long pid = ::syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) ::_exit(0);
  return outcome(pid);
}
int clone3_user() {
  clone_args args{};
  args.flags = CLONE_NEWUSER;
  args.exit_signal = SIGCHLD;
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) ::_exit(0);
  return outcome(pid);
}
int join_namespace() {
  const long process = ::syscall(SYS_pidfd_open, victim_pid(), 0);
  if (process < 0) return errno;
  return outcome(::setns(static_cast<int>(process), CLONE_NEWNET));
}

// --- the kernel's doors ------------------------------------------------------------------------------

int ring() {
  char params[120] = {};
  const long result = ::syscall(SYS_io_uring_setup, 4, params);
  return result < 0 && errno == ENOSYS ? moot : outcome(result);
}
int key_add() {
  const long result = ::syscall(SYS_add_key, "user", "kairo-break-in", "x", 1, KEY_SPEC_PROCESS_KEYRING);
  return result < 0 && errno == ENOSYS ? moot : outcome(result);
}
int key_ring() {
  const long result = ::syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1);
  return result < 0 && errno == ENOSYS ? moot : outcome(result);
}
int program_kernel() {
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = attributes.value_size = 4;
  attributes.max_entries = 1;
  const long result = ::syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes);
  return result < 0 && errno == ENOSYS ? moot : outcome(result);
}
int performance_events() {
  perf_event_attr attributes{};
  attributes.size = sizeof attributes;
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.config = PERF_COUNT_SW_TASK_CLOCK;
  attributes.exclude_kernel = 1;
  const long result = ::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
  return result < 0 && errno == ENOSYS ? moot : outcome(result);
}
int user_faults() {
  constexpr long user_mode_only = 1;
  const long result = ::syscall(SYS_userfaultfd, user_mode_only | O_CLOEXEC);
  return result < 0 && errno == ENOSYS ? moot : outcome(result);
}
int load_module() {
  const long result = ::syscall(SYS_init_module, nullptr, 0, "");
  return result < 0 && errno == ENOSYS ? moot : reached(result);
}
int restart_machine() {
  return reached(::syscall(SYS_reboot, 0, 0, 0, nullptr));  // without its magic numbers it is only looked at
}
int swap_on() {
  return reached(::syscall(SYS_swapon, "/nonexistent", 0));
}
int name_host() {
  char name[65] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return errno;
  return outcome(::sethostname(name, std::strlen(name)));
}
int set_clock() {
  timespec impossible{0, -1};
  return reached(::syscall(SYS_clock_settime, CLOCK_REALTIME, &impossible));
}
int watch_files() {
  const long result = ::syscall(SYS_fanotify_init, FAN_CLASS_NOTIF | FAN_REPORT_FID, O_RDONLY);
  return result < 0 && errno == ENOSYS ? moot : outcome(result);
}
int type_on_terminal() {
  return reached(::ioctl(0, TIOCSTI, "x"));
}
int type_on_terminal_high_bits() {
  return reached(::syscall(SYS_ioctl, 0, TIOCSTI | 1ul << 40, "x"));
}
int console_selection() {
  char subcode = 2;
  return reached(::ioctl(0, TIOCLINUX, &subcode));
}
/// By the numbers of the 32-bit ABI, where another filter would be needed.
int other_abi() {
#if defined(__x86_64__)
  const pid_t pid = ::fork();
  if (pid == 0) {
    long result = 20;  // getpid there
    asm volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    ::_exit(result == ::getpid() ? in : ENOSYS);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (WIFSIGNALED(status)) return WTERMSIG(status) == SIGSYS ? EPERM : moot;
  return WEXITSTATUS(status) == in ? in : moot;
#else
  return moot;
#endif
}

// --- rights ------------------------------------------------------------------------------------------

int capabilities() {
  __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &head, data) != 0) return errno;
  return data[0].effective != 0 || data[0].permitted != 0 ? in : EPERM;
}
/// Root gets them back by an exec, where nothing forbids it.
int capabilities_by_exec() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(::open("/dev/null", O_WRONLY | O_CLOEXEC), 1);
    ::execl("/proc/self/exe", "kairo-break-in", "capabilities", nullptr);
    ::execl(text("SELF").c_str(), "kairo-break-in", "capabilities", nullptr);
    ::_exit(errno);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? in : EPERM;
}
int set_user_id_program() {
  if (::geteuid() == 0 || ::getenv("SET_USER_ID") == nullptr) return moot;
  int ends[2];
  if (::pipe(ends) != 0) return errno;
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(ends[1], 1);
    ::execl(text("SET_USER_ID").c_str(), "kairo-break-in", "ids", nullptr);
    ::_exit(errno);
  }
  ::close(ends[1]);
  char id[16] = {};
  const ssize_t got = ::read(ends[0], id, sizeof id - 1);
  ::waitpid(pid, nullptr, 0);
  return got > 0 && std::string(id) == "0\n" ? in : EPERM;
}
int become_other_user() {
  return outcome(::setresuid(4242, 4242, 4242));
}
int inherited_descriptors() {
  const char* given = ::getenv("KAIRO_IPC_FD");
  for (int fd = 3; fd < 4096; ++fd)
    if (::fcntl(fd, F_GETFD) >= 0 && !(given && std::to_string(fd) == given) && fd != number("RESULT_FD"))
      return in;
  return EBADF;
}

constexpr Attempt attempts[] = {
    {"signal-kill", signal_kill},
    {"signal-thread", signal_thread},
    {"signal-queue", signal_queue},
    {"signal-descriptor", signal_descriptor},
    {"signal-starter", signal_starter},
    {"trace-attach", trace_attach},
    {"read-memory", read_memory},
    {"write-memory", write_memory},
    {"take-descriptor", take_descriptor},
    {"compare-descriptors", compare_descriptors},
    {"read-environment", read_environment},
    {"open-memory", open_memory},
    {"open-command-line", open_command_line},
    {"open-descriptor-of-victim", open_descriptor_of_victim},
    {"change-limits", change_limits},
    {"unshare-user", unshare_user},
    {"unshare-network", unshare_network},
    {"unshare-mounts", unshare_mounts},
    {"clone-user", clone_user},
    {"clone3-user", clone3_user},
    {"clone-sibling", clone_sibling},
    {"join-namespace", join_namespace},
    {"ring", ring},
    {"key-add", key_add},
    {"key-ring", key_ring},
    {"program-kernel", program_kernel},
    {"performance-events", performance_events},
    {"user-faults", user_faults},
    {"load-module", load_module},
    {"restart-machine", restart_machine},
    {"swap-on", swap_on},
    {"name-host", name_host},
    {"set-clock", set_clock},
    {"watch-files", watch_files},
    {"type-on-terminal", type_on_terminal},
    {"type-on-terminal-high-bits", type_on_terminal_high_bits},
    {"console-selection", console_selection},
    {"other-abi", other_abi},
    {"capabilities", capabilities},
    {"capabilities-by-exec", capabilities_by_exec},
    {"set-user-id-program", set_user_id_program},
    {"become-other-user", become_other_user},
    {"inherited-descriptors", inherited_descriptors},
};

}  // namespace

std::span<const Attempt> scope_attempts() {
  return attempts;
}

}  // namespace kairo::break_in
