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
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/unique_fd.hpp"

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
/// where an error in the system's check would be the worst; every name makes each spawn some 0.5 us slower.
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
constexpr std::array<std::uint64_t, 7> namespace_flags{
    CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET};
constexpr std::uint64_t new_time_namespace = 0x80;

constexpr std::uint64_t low_half = 0xffffffff;

/// Marks, while the program is made, an errno that stands for what a declaration could allow. In no
/// errno that the system knows, below the largest that libseccomp takes, and gone before anybody loads the
/// program.
constexpr int tellable_mark = 0x800;
constexpr int tellable(int error) {
  return error | tellable_mark;
}

/// Collects rules; the first failure stays.
class Rules {
 public:
  Rules() : context_(::seccomp_init(SCMP_ACT_ALLOW)) {
    if (!context_) fail(ENOMEM);
    if (!context_) return;
    // A balanced tree: the price of a system call that is allowed.
    fail(::seccomp_attr_set(context_, SCMP_FLTATR_CTL_OPTIMIZE, 2));
    fail(::seccomp_attr_set(context_, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
  }
  ~Rules() {
    if (context_) ::seccomp_release(context_);
  }
  Rules(const Rules&) = delete;
  Rules& operator=(const Rules&) = delete;

  /// Refuses the call with `error`, always or where all comparisons hold.
  template <class... Compare>
  void refuse(const char* name, int error, Compare... where) {
    const int number = ::seccomp_syscall_resolve_name(name);
    if (number >= 0) refuse_number(number, error, where...);  // negative: this machine has none of that name
  }
  template <class... Compare>
  void refuse_number(int number, int error, Compare... where) {
    if (!context_ || failed_ != 0) return;
    const std::array<scmp_arg_cmp, sizeof...(Compare)> all{where...};
    fail(::seccomp_rule_add_array(context_, SCMP_ACT_ERRNO(static_cast<unsigned>(error)), number, all.size(),
                                  all.data()));
  }

  Result<std::string> program() {
    const UniqueFd file(::memfd_create("filter", MFD_CLOEXEC));
    if (!file) return system_error("cannot compile a seccomp filter", errno);
    if (failed_ == 0) fail(::seccomp_export_bpf(context_, file.get()));
    struct stat status {};
    if (failed_ == 0 && ::fstat(file.get(), &status) != 0) fail(-errno);
    if (failed_ != 0) return system_error("cannot compile a seccomp filter", failed_, Code::unsupported);
    std::string out(static_cast<std::size_t>(status.st_size), '\0');
    if (::pread(file.get(), out.data(), out.size(), 0) != static_cast<ssize_t>(out.size()))
      return system_error("cannot read the compiled seccomp filter", errno);
    return out;
  }

 private:
  void fail(int result) {
    if (failed_ == 0 && result != 0) failed_ = result < 0 ? -result : result;
  }
  scmp_filter_ctx context_;
  int failed_ = 0;
};

scmp_arg_cmp is(unsigned argument, std::uint64_t value) {
  return {argument, SCMP_CMP_MASKED_EQ, low_half, value};
}
scmp_arg_cmp has(unsigned argument, std::uint64_t bits, std::uint64_t value) {
  return {argument, SCMP_CMP_MASKED_EQ, bits, value};
}
scmp_arg_cmp is_not(unsigned argument, std::uint64_t value) {
  return {argument, SCMP_CMP_NE, value, 0};
}
scmp_arg_cmp above(unsigned argument, std::uint64_t value) {
  return {argument, SCMP_CMP_GT, value, 0};
}

/// Blocks of numbers that one comparison covers.
void close_requests(Rules& rules, const Requests& requests, int error) {
  constexpr unsigned both = 0xffff;
  for (unsigned next = requests.first; next <= requests.last;) {
    unsigned size = 256;
    while (next % size != 0 || next + size - 1 > requests.last) size /= 2;
    rules.refuse("ioctl", error, has(1, both & ~(size - 1), requests.type << 8 | next));
    next += size;
  }
}

/// Bits rather than values wherever they say the same: a filter is the slower the longer it is.
void close_sockets(Rules& rules, const FilterShape& shape) {
  using Network = FilterShape::Network;
  if (!shape.ipc) {
    // Pairs are no way out, but those of datagrams: they can be connected to any path. 1 and 5 are streams.
    rules.refuse("socketpair", tellable(EACCES), is_not(0, AF_UNIX));
    rules.refuse("socketpair", tellable(EACCES), has(1, 1, 0));
    rules.refuse("socketpair", tellable(EACCES), has(1, 2, 2));
    rules.refuse("socketpair", tellable(EACCES), has(1, 8, 8));
  }
  switch (shape.network) {
    case Network::open:
      if (!shape.ipc) rules.refuse("socket", tellable(EACCES), is(0, AF_UNIX));
      return;
    case Network::apart:
      // Unix is 1, IPv4 2, IPv6 10, netlink 16, packets 17. Others have no network namespace (vsock) or were
      // not looked at.
      rules.refuse("socket", tellable(EACCES), above(0, AF_PACKET));
      rules.refuse("socket", tellable(EACCES), is(0, AF_UNSPEC));
      rules.refuse("socket", tellable(EACCES), has(0, 4, 4));   // 4 to 7, 12 to 15
      rules.refuse("socket", tellable(EACCES), has(0, 3, 3));   // 3, 11
      rules.refuse("socket", tellable(EACCES), has(0, 10, 8));  // 8, 9
      if (shape.ipc)
        rules.refuse("socketpair", tellable(EACCES), is_not(0, AF_UNIX));
      else
        rules.refuse("socket", tellable(EACCES), is(0, AF_UNIX));
      return;
    case Network::none:
      if (shape.ipc)
        rules.refuse("socket", tellable(EACCES), is_not(0, AF_UNIX));
      else
        rules.refuse("socket", tellable(EACCES));
      return;
    case Network::connecting_ports: rules.refuse("listen", tellable(EACCES)); break;
    case Network::ports: break;
  }
  // IPv4 is 2, IPv6 10, Unix 1.
  rules.refuse("socket", tellable(EACCES), above(0, AF_INET6));
  if (shape.ipc) {
    for (const unsigned domain : {0, 3, 4, 5, 6, 7, 8, 9})
      rules.refuse("socket", tellable(EACCES), is(0, domain));
  } else {
    rules.refuse("socket", tellable(EACCES), has(0, 2, 0));
    rules.refuse("socket", tellable(EACCES), has(0, 1, 1));
    rules.refuse("socket", tellable(EACCES), has(0, 4, 4));
  }
  // TCP by its own name alone (stream, protocol 0 or 6): MPTCP, SCTP and SMC are streams as well, and
  // Landlock does not look at them. Of the domains that are left IPv4 and IPv6 have the second bit.
  const auto internet = has(0, 2, 2);
  rules.refuse("socket", tellable(EACCES), internet, has(1, 1, 0));
  for (const unsigned bit : {2u, 4u, 8u})
    rules.refuse("socket", tellable(EACCES), internet, has(1, bit, bit));
  rules.refuse("socket", tellable(EACCES), internet, above(2, IPPROTO_TCP));
  rules.refuse("socket", tellable(EACCES), internet, has(2, 1, 1));
  for (const unsigned protocol : {2, 4}) rules.refuse("socket", tellable(EACCES), internet, is(2, protocol));
  // A connection without connect(), and a TCP socket that becomes another protocol's.
  rules.refuse("sendto", tellable(EACCES), has(3, MSG_FASTOPEN, MSG_FASTOPEN));
  rules.refuse("sendmsg", tellable(EACCES), has(2, MSG_FASTOPEN, MSG_FASTOPEN));
  rules.refuse("sendmmsg", tellable(EACCES), has(3, MSG_FASTOPEN, MSG_FASTOPEN));
  rules.refuse("setsockopt", tellable(EACCES), is(1, IPPROTO_TCP), is(2, TCP_ULP));
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

/// Takes the marks out of a program and tells where they were.
std::vector<std::uint16_t> take_marks(std::string& program) {
  std::vector<std::uint16_t> out;
  for (std::size_t i = 0; i < program.size() / sizeof(sock_filter); ++i) {
    sock_filter each = instruction(program, i);
    if (!refuses(each) || (each.k & tellable_mark) == 0) continue;
    each.k &= ~static_cast<unsigned>(tellable_mark);
    std::memcpy(program.data() + i * sizeof each, &each, sizeof each);
    out.push_back(static_cast<std::uint16_t>(i));
  }
  return out;
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
  for (const std::uint64_t flag : namespace_flags) {
    rules.refuse("clone", EPERM, has(0, flag, flag));
    rules.refuse("unshare", EPERM, has(0, flag, flag));
  }
  rules.refuse("unshare", EPERM, has(0, new_time_namespace, new_time_namespace));
  // A child of whoever started this program, who knows nothing of it.
  rules.refuse("clone", EPERM, has(0, CLONE_PARENT, CLONE_PARENT));
  // Others' open and exec of a file would wait for whoever holds it.
  rules.refuse("fcntl", EPERM, is(1, F_SETLEASE));
  // Limits of other processes of the same user.
  rules.refuse("prlimit64", EPERM, is_not(0, 0));
  // Typing on the terminal of whoever watches.
  rules.refuse("ioctl", EPERM, is(1, TIOCSTI));
  rules.refuse("ioctl", EPERM, is(1, TIOCLINUX));
  for (const Requests& each : tree_requests) close_requests(rules, each, EPERM);
  if (!shape.write) {
    for (const char* name : metadata_calls) rules.refuse(name, tellable(EPERM));
    for (const int number : metadata_numbers) rules.refuse_number(number, tellable(EPERM));
    for (const Requests& each : metadata_requests) close_requests(rules, each, tellable(EPERM));
  }
  if (!shape.ipc)
    for (const char* name : ipc_calls) rules.refuse(name, tellable(EACCES));
  close_sockets(rules, shape);
  auto program = rules.program();
  if (!program) return std::move(program).error();
  // In front of it: another architecture ends the process, an unknown number is no system call.
  const sock_filter prelude[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, native_architecture, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, newest_system_call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
  };
  program->insert(0, reinterpret_cast<const char*>(prelude), sizeof prelude);
  if (program->size() / sizeof(sock_filter) > BPF_MAXINSNS)
    return Error(Code::internal,
                 "a seccomp filter of " + std::to_string(program->size()) + " bytes is too long");
  Filter out;
  out.program = *std::move(program);
  out.tellable = take_marks(out.program);
  return out;
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
