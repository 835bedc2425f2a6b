// Files outside of the declaration: by every way to a path, and by what a path leads to.
#include <cerrno>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "break_in.hpp"

namespace kairo::break_in {
namespace {

std::string inside(const std::string& name) {
  return scene("inside/" + name);
}
std::string outside(const std::string& name) {
  return scene("outside/" + name);
}
std::string secret() {
  return outside("secret");
}

/// Whether the secret itself can be read by `fd`.
int reads_secret(int fd) {
  if (fd < 0) return errno;
  char bytes[16];
  const ssize_t got = ::read(fd, bytes, sizeof bytes);
  if (got < 0) return errno;
  return std::string(bytes, static_cast<std::size_t>(got)).starts_with("secret") ? in : ENODATA;
}

int opens(const std::string& path, int flags = O_RDONLY) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
  return (flags & O_ACCMODE) == O_RDONLY ? reads_secret(fd) : outcome(fd);
}

int read_path() {
  return opens(secret());
}
int read_dot_dot() {
  return opens(inside("../outside/secret"));
}
int read_relative() {
  if (::chdir(scene("outside").c_str()) != 0) return errno;
  return opens("secret");
}
int read_symlink() {
  ::unlink(inside("link").c_str());
  if (::symlink(secret().c_str(), inside("link").c_str()) != 0) return errno;
  return opens(inside("link"));
}
int read_planted_symlink() {
  return opens(inside("planted"));
}
int read_hard_link() {
  ::unlink(inside("hard").c_str());
  if (::link(secret().c_str(), inside("hard").c_str()) != 0) return errno;
  return opens(inside("hard"));
}
int read_self_root() {
  return opens("/proc/self/root" + secret());
}
int read_self_cwd() {
  return opens("/proc/self/cwd/../outside/secret");
}
int read_victim_root() {
  return opens("/proc/" + text("VICTIM") + "/root" + secret());
}
int read_at_directory() {
  const int directory = ::open(scene("outside").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return errno;
  return reads_secret(::openat(directory, "secret", O_RDONLY | O_CLOEXEC));
}
int reopen_descriptor() {
  const int path = ::open(secret().c_str(), O_PATH | O_CLOEXEC);
  if (path < 0) return errno;
  return opens("/proc/self/fd/" + std::to_string(path));
}
int read_by_handle() {
  alignas(file_handle) char room[sizeof(file_handle) + MAX_HANDLE_SZ];
  auto* handle = reinterpret_cast<file_handle*>(room);
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  if (::name_to_handle_at(AT_FDCWD, secret().c_str(), handle, &mount, 0) != 0) return errno;
  const int anchor = ::open(scene("readable").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (anchor < 0) return errno;
  return reads_secret(::open_by_handle_at(anchor, handle, O_RDONLY | O_CLOEXEC));
}
int list_directory() {
  return ::opendir(scene("outside").c_str()) ? in : errno;
}
int write_path() {
  return opens(outside("written"), O_WRONLY);
}
int append_path() {
  return opens(outside("written"), O_WRONLY | O_APPEND);
}
int write_readable() {
  return opens(scene("readable/file"), O_WRONLY);
}
int create_file() {
  return opens(outside("new"), O_WRONLY | O_CREAT | O_EXCL);
}
int create_unnamed() {
  return opens(scene("outside"), O_WRONLY | O_TMPFILE);
}
int make_directory() {
  return outcome(::mkdir(outside("new-dir").c_str(), 0755));
}
int make_symlink() {
  return outcome(::symlink("x", outside("new-link").c_str()));
}
int make_fifo() {
  return outcome(::mkfifo(outside("new-fifo").c_str(), 0644));
}
int make_device() {
  return outcome(::mknod(inside("new-device").c_str(), S_IFBLK | 0600, makedev(254, 0)));
}
int remove_file() {
  return outcome(::unlink(outside("doomed").c_str()));
}
int remove_directory() {
  return outcome(::rmdir(outside("doomed-dir").c_str()));
}
int rename_out() {
  return outcome(::rename(inside("mine").c_str(), outside("moved").c_str()));
}
int rename_in() {
  return outcome(::rename(outside("wanted").c_str(), inside("taken").c_str()));
}
int rename_exchange() {
  return outcome(
      ::renameat2(AT_FDCWD, inside("mine2").c_str(), AT_FDCWD, outside("written").c_str(), RENAME_EXCHANGE));
}
int link_out() {
  return outcome(::link(inside("mine3").c_str(), outside("linked").c_str()));
}
int truncate_path() {
  return outcome(::truncate(outside("written").c_str(), 0));
}
int truncate_open() {
  return outcome(::open(scene("readable/file").c_str(), O_RDONLY | O_TRUNC));
}
int execute_file() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::execl(outside("tool").c_str(), "tool", "ids", nullptr);
    ::_exit(errno);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}
int execute_by_loader() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::execl("/lib64/ld-linux-x86-64.so.2", "ld.so", outside("tool").c_str(), "ids", nullptr);
    ::_exit(errno);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (!WIFEXITED(status)) return EINTR;
  return WEXITSTATUS(status) == 0 ? in : EACCES;
}

// --- modes, owners, times, attributes ----------------------------------------------------------------

int change_mode() {
  return outcome(::chmod(secret().c_str(), 0666));
}
int change_mode_descriptor() {
  return outcome(::fchmod(::open(scene("readable/file").c_str(), O_RDONLY | O_CLOEXEC), 0666));
}
int change_mode_flags() {
  constexpr long fchmodat2 = 452;
  const long result = ::syscall(fchmodat2, AT_FDCWD, secret().c_str(), 0666, 0);
  return result != 0 && errno == ENOSYS ? moot : outcome(result);
}
int change_owner() {
  return outcome(::chown(secret().c_str(), ::geteuid(), ::getegid()));
}
int change_owner_at() {
  return outcome(::fchownat(AT_FDCWD, secret().c_str(), ::geteuid(), ::getegid(), AT_SYMLINK_NOFOLLOW));
}
int change_times() {
  const timeval times[2] = {{1, 0}, {1, 0}};
  return outcome(::utimes(secret().c_str(), times));
}
int change_attribute() {
  const int result = ::setxattr(secret().c_str(), "user.kairo", "x", 1, 0);
  return result != 0 && errno == ENOTSUP ? moot : outcome(result);
}
int change_flags() {
  const int fd = ::open(scene("readable/file").c_str(), O_RDONLY | O_CLOEXEC);
  int flags = 0;
  if (::ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return errno == ENOTTY ? moot : errno;
  flags ^= FS_NODUMP_FL;
  return outcome(::ioctl(fd, FS_IOC_SETFLAGS, &flags));
}
int change_flags_high_bits() {
  const int fd = ::open(scene("readable/file").c_str(), O_RDONLY | O_CLOEXEC);
  int flags = 0;
  if (::ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return errno == ENOTTY ? moot : errno;
  flags ^= FS_NODUMP_FL;
  return outcome(::syscall(SYS_ioctl, fd, FS_IOC_SETFLAGS | 1ul << 40, &flags));
}
/// ext4's own way to the generation of a file, on a descriptor that may only read it.
int change_generation() {
  const int fd = ::open(scene("readable/file").c_str(), O_RDONLY | O_CLOEXEC);
  long generation = 1;
  const int result = ::ioctl(fd, _IOW('f', 4, long), &generation);
  return result != 0 && (errno == ENOTTY || errno == EOPNOTSUPP) ? moot : outcome(result);
}
int lease_file() {
  const int fd = ::open(inside("mine").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return moot;
  const int result = ::fcntl(fd, F_SETLEASE, F_RDLCK);
  return result != 0 && (errno == EINVAL || errno == EAGAIN) ? moot : outcome(result);
}

// --- mounts and devices ------------------------------------------------------------------------------

int bind_mount() {
  if (::mount(scene("outside").c_str(), inside("mountpoint").c_str(), nullptr, MS_BIND, nullptr) != 0)
    return errno;
  const int result = opens(inside("mountpoint/secret"));
  ::umount2(inside("mountpoint").c_str(), MNT_DETACH);
  return result;
}
int bind_mount_own_namespace() {
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return errno;
  if (::mount(scene("outside").c_str(), inside("mountpoint").c_str(), nullptr, MS_BIND, nullptr) != 0)
    return errno;
  return opens(inside("mountpoint/secret"));
}
int clone_tree() {
  return outcome(::syscall(SYS_open_tree, AT_FDCWD, scene("outside").c_str(), 1));
}
int open_file_system() {
  return outcome(::syscall(SYS_fsopen, "tmpfs", 0));
}
int change_root() {
  return outcome(::chroot(scene("outside").c_str()));
}
int write_core_pattern() {
  return outcome(::open("/proc/sys/kernel/core_pattern", O_WRONLY | O_CLOEXEC));
}
int write_kernel_log() {
  return outcome(::open("/dev/kmsg", O_WRONLY | O_CLOEXEC));
}
int read_shadow() {
  return outcome(::open("/etc/shadow", O_RDONLY | O_CLOEXEC));
}
int widen_ruleset() {
  struct {
    std::uint64_t files, ports;
  } const attributes{1 << 2, 0};
  const long ruleset = ::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
  if (ruleset < 0) return moot;
  struct [[gnu::packed]] {
    std::uint64_t access;
    std::int32_t path;
  } const rule{1 << 2, ::open("/", O_PATH | O_CLOEXEC)};
  if (::syscall(SYS_landlock_add_rule, ruleset, 1, &rule, 0) != 0) return errno;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
    return errno;
  return opens(secret());
}

constexpr Attempt attempts[] = {
    {"read-path", read_path},
    {"read-dot-dot", read_dot_dot},
    {"read-relative", read_relative},
    {"read-symlink", read_symlink},
    {"read-planted-symlink", read_planted_symlink},
    {"read-hard-link", read_hard_link},
    {"read-self-root", read_self_root},
    {"read-self-cwd", read_self_cwd},
    {"read-victim-root", read_victim_root},
    {"read-at-directory", read_at_directory},
    {"reopen-descriptor", reopen_descriptor},
    {"read-by-handle", read_by_handle},
    {"list-directory", list_directory},
    {"write-path", write_path},
    {"append-path", append_path},
    {"write-readable", write_readable},
    {"create-file", create_file},
    {"create-unnamed", create_unnamed},
    {"make-directory", make_directory},
    {"make-symlink", make_symlink},
    {"make-fifo", make_fifo},
    {"make-device", make_device},
    {"remove-file", remove_file},
    {"remove-directory", remove_directory},
    {"rename-out", rename_out},
    {"rename-in", rename_in},
    {"rename-exchange", rename_exchange},
    {"link-out", link_out},
    {"truncate-path", truncate_path},
    {"truncate-open", truncate_open},
    {"execute-file", execute_file},
    {"execute-by-loader", execute_by_loader},
    {"change-mode", change_mode},
    {"change-mode-descriptor", change_mode_descriptor},
    {"change-mode-flags", change_mode_flags},
    {"change-owner", change_owner},
    {"change-owner-at", change_owner_at},
    {"change-times", change_times},
    {"change-attribute", change_attribute},
    {"change-flags", change_flags},
    {"change-flags-high-bits", change_flags_high_bits},
    {"change-generation", change_generation},
    {"lease-file", lease_file},
    {"bind-mount", bind_mount},
    {"bind-mount-own-namespace", bind_mount_own_namespace},
    {"clone-tree", clone_tree},
    {"open-file-system", open_file_system},
    {"change-root", change_root},
    {"write-core-pattern", write_core_pattern},
    {"write-kernel-log", write_kernel_log},
    {"read-shadow", read_shadow},
    {"widen-ruleset", widen_ruleset},
};

}  // namespace

std::span<const Attempt> file_attempts() {
  return attempts;
}

}  // namespace kairo::break_in
