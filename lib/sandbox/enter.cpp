#include "sandbox/enter.hpp"

#include <cerrno>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <linux/sockios.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// As in the launcher: no instrumentation may keep books on the parent's memory, and no canary is set up.
#define KAIRO_IN_CHILD __attribute__((no_sanitize("address", "undefined"), no_stack_protector, noinline))

namespace kairo::sandbox {
namespace {

/// LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON, ABI 7: what is denied after the exec is told, too.
constexpr long log_new_exec = 1 << 1;

KAIRO_IN_CHILD long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) {
  const long result = ::syscall(number, a, b, c, d, e);
  return result == -1 ? -errno : result;
}

template <class T>
KAIRO_IN_CHILD long word(T* pointer) {
  return reinterpret_cast<long>(pointer);
}

KAIRO_IN_CHILD long put_number(char* to, unsigned long number) {
  char digits[20];
  long count = 0;
  do digits[count++] = static_cast<char>('0' + number % 10);
  while (number /= 10);
  for (long i = 0; i < count; ++i) to[i] = digits[count - 1 - i];
  return count;
}

KAIRO_IN_CHILD long write_file(const char* path, const char* text, long length) {
  const long file = call(SYS_openat, AT_FDCWD, word(path), O_WRONLY | O_CLOEXEC);
  if (file < 0) return file;
  const long result = call(SYS_write, file, word(text), length);
  call(SYS_close, file);
  return result < 0 ? result : 0;
}

/// The one id that an unprivileged process may map: its own, to itself.
KAIRO_IN_CHILD long map_id(const char* path, long id) {
  char line[48];
  long length = put_number(line, static_cast<unsigned long>(id));
  line[length++] = ' ';
  length += put_number(line + length, static_cast<unsigned long>(id));
  line[length++] = ' ';
  line[length++] = '1';
  return write_file(path, line, length);
}

KAIRO_IN_CHILD long own_user_and_network() {
  const long uid = call(SYS_geteuid);
  const long gid = call(SYS_getegid);
  long result = call(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNET);
  if (result < 0) return result;
  if ((result = map_id("/proc/self/uid_map", uid)) < 0) return result;
  if ((result = write_file("/proc/self/setgroups", "deny", 4)) < 0) return result;
  return map_id("/proc/self/gid_map", gid);
}

KAIRO_IN_CHILD long raise_loopback() {
  const long socket = call(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return socket;
  ifreq request;
  for (unsigned i = 0; i < sizeof request; ++i) reinterpret_cast<volatile char*>(&request)[i] = 0;
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP;
  const long result = call(SYS_ioctl, socket, SIOCSIFFLAGS, word(&request));
  call(SYS_close, socket);
  return result;
}

/// From every set that a process has, and root's exec gives none back: no_new_privs forbids it, and so do the
/// bits. The bounding set is left: to empty it takes 41 calls, which cost half as much as all the rest, and
/// nothing can take from it any more.
KAIRO_IN_CHILD long drop_capabilities() {
  constexpr long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
                        SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                        SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  call(SYS_prctl, PR_SET_SECUREBITS, bits);  // EPERM without CAP_SETPCAP
  call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
  __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
  return call(SYS_capset, word(&head), word(none));
}

/// One byte with the descriptor.
KAIRO_IN_CHILD long send_descriptor(long socket, long descriptor) {
  struct {
    std::size_t length;  // as struct cmsghdr, with what follows it
    int level;
    int type;
    int descriptor;
    int padding;
  } control;
  static_assert(sizeof control == CMSG_SPACE(sizeof(int)));
  control.length = CMSG_LEN(sizeof(int));
  control.level = SOL_SOCKET;
  control.type = SCM_RIGHTS;
  control.descriptor = static_cast<int>(descriptor);
  control.padding = 0;
  char byte = 0;
  iovec data;
  data.iov_base = &byte;
  data.iov_len = 1;
  msghdr message;
  message.msg_name = nullptr;
  message.msg_namelen = 0;
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  message.msg_flags = 0;
  const long sent = call(SYS_sendmsg, socket, word(&message), MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent < 0 ? sent : 0;
}

KAIRO_IN_CHILD long load_filter(const Confinement& confinement, const void* filter, long flags) {
  sock_fprog program;
  program.len = confinement.filter_length;
  program.filter = const_cast<sock_filter*>(static_cast<const sock_filter*>(filter));
  return call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, word(&program));
}

/// 0: a filter with a listener is in force, and who launches has the listener.
KAIRO_IN_CHILD long load_told_filter(const Confinement& confinement) {
  constexpr long listened = SECCOMP_FILTER_FLAG_NEW_LISTENER;
  // Once its call was taken the caller waits for the answer whatever signals come, so that no call is asked
  // about twice. Linux 5.19.
  constexpr long killable = SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  long listener = load_filter(confinement, confinement.told_filter, listened | killable);
  if (listener == -EINVAL) listener = load_filter(confinement, confinement.told_filter, listened);
  return listener < 0 ? listener : send_descriptor(confinement.teller, listener);
}

}  // namespace

KAIRO_IN_CHILD long enter_private_network() {
  long result = call(SYS_unshare, CLONE_NEWNET);
  if (result == -EPERM) result = own_user_and_network();
  return result < 0 ? result : raise_loopback();
}

KAIRO_IN_CHILD const char* enter(const Confinement& confinement, long& result) {
  if ((result = call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) < 0) return "no-new-privileges";
  if ((result = drop_capabilities()) < 0) return "capabilities";
  result = call(SYS_landlock_restrict_self, confinement.ruleset, confinement.audited ? log_new_exec : 0);
  if (result < 0) return "landlock";
  if (confinement.told_filter && load_told_filter(confinement) == 0) return nullptr;
  // Of two filters the one that refuses by itself decides, should a listener have been made and not sent.
  result = load_filter(confinement, confinement.filter, 0);
  return result < 0 ? "seccomp" : nullptr;
}

}  // namespace kairo::sandbox
