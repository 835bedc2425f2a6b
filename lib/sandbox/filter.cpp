#include "sandbox/filter.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <map>
#include <mutex>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/filter_program.hpp"

namespace kairo::sandbox {
namespace {

#if defined(__x86_64__)
constexpr unsigned native_architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr unsigned native_architecture = AUDIT_ARCH_AARCH64;
#else
constexpr unsigned native_architecture = 0;
#endif

/// The newest system call that was looked through: file_setattr, Linux 6.17. On x86-64 this also refuses x32.
constexpr unsigned newest_system_call = 469;

/// Closed under every declaration: ways out of it. What only needs capabilities, which are gone, is here
/// where an error in the system's check would be the worst.
constexpr std::array always_closed{
    // other processes
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    // work that the kernel does on one's behalf, past this filter
    "io_uring_setup", "io_uring_enter", "io_uring_register",
    // namespaces and mounts
    "setns", "mount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fspick",
    "mount_setattr",
    // keyrings
    "add_key", "request_key", "keyctl",
    // the machine
    "bpf", "perf_event_open", "userfaultfd", "kexec_load", "kexec_file_load", "init_module", "finit_module",
    "reboot", "swapon", "clock_settime", "syslog", "fanotify_init",
    // files past their paths
    "open_by_handle_at"};
/// The same of those that libseccomp does not know by name: open_tree_attr.
constexpr std::array always_closed_numbers{467};

constexpr std::array metadata_calls{"chmod",        "fchmod",      "fchmodat",  "chown",     "fchown",
                                    "lchown",       "fchownat",    "utime",     "utimes",    "futimesat",
                                    "utimensat",    "setxattr",    "lsetxattr", "fsetxattr", "removexattr",
                                    "lremovexattr", "fremovexattr"};
/// fchmodat2, setxattrat, removexattrat, file_setattr
constexpr std::array metadata_numbers{452, 463, 466, 469};

/// Requests of ioctl, by their low 16 bits, type and number: 32-bit and later forms of a request differ from
/// it in the upper half alone.
struct Requests {
  unsigned type;
  unsigned first;
  unsigned last;
};
/// btrfs does these on directories that are open for reading alone, and Landlock does not look: subvolumes
/// and snapshots made and removed, the trees of everybody searched, names by number, the default, flags,
/// what was received.
constexpr std::array<Requests, 7> tree_requests{{{0x94, 1, 1},
                                                 {0x94, 14, 15},
                                                 {0x94, 17, 19},
                                                 {0x94, 23, 24},
                                                 {0x94, 26, 26},
                                                 {0x94, 37, 38},
                                                 {0x94, 63, 63}}};
/// Those that change a file which is open for reading alone: of 'f' (flags, versions, keys, verity, what ext4
/// has) all but what only reads, f2fs's, FAT's attributes, what XFS and the file attributes have.
constexpr std::array<Requests, 11> metadata_requests{{{'f', 0, 0},
                                                      {'f', 2, 2},
                                                      {'f', 4, 10},
                                                      {'f', 12, 19},
                                                      {'f', 23, 25},
                                                      {'f', 28, 133},
                                                      {'f', 136, 255},
                                                      {'v', 2, 2},
                                                      {'X', 32, 255},
                                                      {0xf5, 0, 255},
                                                      {'r', 0x11, 0x11}}};

constexpr std::array ipc_calls{"shmget",       "shmat",           "shmctl",    "shmdt",        "semget",
                               "semop",        "semctl",          "msgget",    "msgsnd",       "msgrcv",
                               "msgctl",       "semtimedop",      "ipc",       "mq_open",      "mq_unlink",
                               "mq_timedsend", "mq_timedreceive", "mq_notify", "mq_getsetattr"};

/// CLONE_NEWTIME, which clone cannot be asked for, is among the signal's bits there.
constexpr std::uint32_t namespace_flags =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
constexpr std::uint32_t new_time_namespace = 0x80;

/// Whether what is refused is a declaration's to allow.
enum class Told { no, yes };

Condition any_of(unsigned argument, std::uint32_t bits) {
  return {Condition::Kind::any_of, argument, bits};
}
Condition none_of(unsigned argument, std::uint32_t bits) {
  return {Condition::Kind::none_of, argument, bits};
}
Condition masked(unsigned argument, std::uint32_t bits, std::uint32_t value) {
  return {Condition::Kind::masked, argument, bits, value};
}
Condition is(unsigned argument, std::uint32_t value) {
  return {Condition::Kind::equal, argument, value};
}
Condition is_not(unsigned argument, std::uint32_t value) {
  return {Condition::Kind::differs, argument, value};
}
Condition above(unsigned argument, std::uint32_t value) {
  return {Condition::Kind::above, argument, value};
}

class Rules {
 public:
  /// Refuses the call with `error`, always or where all conditions hold.
  void refuse(const char* name, int error, Told told = Told::no, std::vector<Condition> where = {}) {
    const int number = ::seccomp_syscall_resolve_name(name);
    if (number >= 0) refuse_number(number, error, told, std::move(where));  // negative: this machine has none
  }
  void refuse_number(int number, int error, Told told = Told::no, std::vector<Condition> where = {}) {
    rules_.push_back({static_cast<unsigned>(number), error, told == Told::yes, std::move(where)});
  }
  /// What a declaration could allow.
  void deny(const char* name, std::vector<Condition> where = {}) {
    refuse(name, EACCES, Told::yes, std::move(where));
  }
  void refuse_requests(const Requests& requests, Told told) {
    const std::uint32_t type = requests.type << 8;
    refuse("ioctl", EPERM, told, {{Condition::Kind::within, 1, type | requests.first, type | requests.last}});
  }
  [[nodiscard]] const std::vector<Rule>& all() const { return rules_; }

 private:
  std::vector<Rule> rules_;
};

/// Bits rather than values wherever they say the same: a filter is the slower the longer it is.
void close_sockets(Rules& rules, const FilterShape& shape) {
  using Network = FilterShape::Network;
  if (!shape.ipc) {
    // Pairs are no way out, but those of datagrams: they can be connected to any path. 1 and 5 are streams.
    rules.deny("socketpair", {is_not(0, AF_UNIX)});
    rules.deny("socketpair", {none_of(1, 1)});
    rules.deny("socketpair", {any_of(1, 2 | 8)});
  }
  switch (shape.network) {
    case Network::open:
      if (!shape.ipc) rules.deny("socket", {is(0, AF_UNIX)});
      return;
    case Network::apart:
      // Unix is 1, IPv4 2, IPv6 10, netlink 16, packets 17. Others have no network namespace (vsock) or were
      // not looked at.
      rules.deny("socket", {above(0, AF_PACKET)});
      rules.deny("socket", {is(0, AF_UNSPEC)});
      rules.deny("socket", {any_of(0, 4)});      // 4 to 7, 12 to 15
      rules.deny("socket", {masked(0, 3, 3)});   // 3, 11
      rules.deny("socket", {masked(0, 10, 8)});  // 8, 9
      if (shape.ipc)
        rules.deny("socketpair", {is_not(0, AF_UNIX)});
      else
        rules.deny("socket", {is(0, AF_UNIX)});
      return;
    case Network::none:
      if (shape.ipc)
        rules.deny("socket", {is_not(0, AF_UNIX)});
      else
        rules.deny("socket");
      return;
    case Network::connecting_ports: rules.deny("listen"); break;
    case Network::ports: break;
  }
  // IPv4 is 2, IPv6 10, Unix 1.
  rules.deny("socket", {above(0, AF_INET6)});
  if (shape.ipc) {
    for (const unsigned domain : {0, 3, 4, 5, 6, 7, 8, 9}) rules.deny("socket", {is(0, domain)});
  } else {
    rules.deny("socket", {none_of(0, 2)});
    rules.deny("socket", {any_of(0, 1 | 4)});
  }
  // TCP by its own name alone (stream, protocol 0 or 6): MPTCP, SCTP and SMC are streams as well, and
  // Landlock does not look at them. Of the domains that are left IPv4 and IPv6 have the second bit.
  const Condition internet = any_of(0, 2);
  rules.deny("socket", {internet, none_of(1, 1)});
  rules.deny("socket", {internet, any_of(1, 2 | 4 | 8)});
  rules.deny("socket", {internet, above(2, IPPROTO_TCP)});
  rules.deny("socket", {internet, any_of(2, 1)});
  for (const unsigned protocol : {2, 4}) rules.deny("socket", {internet, is(2, protocol)});
  // A connection without connect(), and a TCP socket that becomes another protocol's.
  rules.deny("sendto", {any_of(3, MSG_FASTOPEN)});
  rules.deny("sendmsg", {any_of(2, MSG_FASTOPEN)});
  rules.deny("sendmmsg", {any_of(3, MSG_FASTOPEN)});
  rules.deny("setsockopt", {is(1, IPPROTO_TCP), is(2, TCP_ULP)});
}

Result<Filter> compile(const FilterShape& shape) {
  if (native_architecture == 0)
    return Error(Code::unsupported,
                 "there is no seccomp filter for this machine's architecture: x86-64 and aarch64 alone");
  Rules rules;
  for (const char* name : always_closed) rules.refuse(name, EPERM);
  for (const int number : always_closed_numbers) rules.refuse_number(number, EPERM);
  // Its flags lie in memory, where a filter cannot look; libraries then use clone.
  rules.refuse("clone3", ENOSYS);
  // CLONE_PARENT: a child of whoever started this program, who knows nothing of it.
  rules.refuse("clone", EPERM, Told::no, {any_of(0, namespace_flags | CLONE_PARENT)});
  rules.refuse("unshare", EPERM, Told::no, {any_of(0, namespace_flags | new_time_namespace)});
  // Others' open and exec of a file would wait for whoever holds it.
  rules.refuse("fcntl", EPERM, Told::no, {is(1, F_SETLEASE)});
  // Limits of other processes of the same user.
  rules.refuse("prlimit64", EPERM, Told::no, {is_not(0, 0)});
  // Typing on the terminal of whoever watches.
  rules.refuse("ioctl", EPERM, Told::no, {is(1, TIOCSTI)});
  rules.refuse("ioctl", EPERM, Told::no, {is(1, TIOCLINUX)});
  for (const Requests& each : tree_requests) rules.refuse_requests(each, Told::no);
  if (!shape.write) {
    for (const char* name : metadata_calls) rules.refuse(name, EPERM, Told::yes);
    for (const int number : metadata_numbers) rules.refuse_number(number, EPERM, Told::yes);
    for (const Requests& each : metadata_requests) rules.refuse_requests(each, Told::yes);
  }
  if (!shape.ipc)
    for (const char* name : ipc_calls) rules.deny(name);
  close_sockets(rules, shape);
  return assemble(native_architecture, newest_system_call, rules.all());
}

sock_filter instruction(const std::string& program, std::size_t index) {
  sock_filter out{};
  std::memcpy(&out, program.data() + index * sizeof out, sizeof out);
  return out;
}

bool refuses(const sock_filter& instruction) {
  return instruction.code == (BPF_RET | BPF_K) &&
         (instruction.k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO;
}

}  // namespace

Result<const Filter*> compiled_filter(const FilterShape& shape) {
  static std::mutex mutex;
  static std::map<unsigned, Filter> kept;
  const unsigned key =
      static_cast<unsigned>(shape.network) << 2 | unsigned{shape.ipc} << 1 | unsigned{shape.write};
  const std::lock_guard lock(mutex);
  const auto found = kept.find(key);
  if (found != kept.end()) return &found->second;
  auto made = compile(shape);
  if (!made) return std::move(made).error();
  return &kept.emplace(key, *std::move(made)).first->second;
}

std::optional<std::string> told(const std::string& program, const std::vector<std::uint16_t>& tellable) {
  std::string out = program;
  for (const std::uint16_t index : tellable) {
    if (index >= out.size() / sizeof(sock_filter)) return std::nullopt;
    sock_filter each = instruction(out, index);
    if (!refuses(each)) return std::nullopt;
    each.k = SECCOMP_RET_USER_NOTIF;
    std::memcpy(out.data() + index * sizeof each, &each, sizeof each);
  }
  return out;
}

bool changes_metadata(int call) {
  static const std::vector<int> numbers = [] {
    std::vector<int> out(metadata_numbers.begin(), metadata_numbers.end());
    for (const char* name : metadata_calls) out.push_back(::seccomp_syscall_resolve_name(name));
    out.push_back(SYS_ioctl);
    std::sort(out.begin(), out.end());
    return out;
  }();
  return std::binary_search(numbers.begin(), numbers.end(), call);
}

}  // namespace kairo::sandbox
