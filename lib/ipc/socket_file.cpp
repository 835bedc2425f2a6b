#include "ipc/socket_file.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace kairo::ipc {
namespace {

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return Error(Code::invalid_params, "cannot listen on \"" + path + "\": a socket's path has 1 to " +
                                           std::to_string(sizeof address.sun_path - 1) + " bytes");
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

bool somebody_answers(const sockaddr_un& address) {
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return true;  // not known: better to refuse than to steal
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return true;
  return errno != ECONNREFUSED && errno != ENOENT;
}

}  // namespace

Result<SocketFile> SocketFile::listen(const std::string& path, mode_t mode) {
  auto address = address_of(path);
  if (!address) return std::move(address).error();
  SocketFile out;
  out.claim_.path = path;
  const std::string attempt = "cannot listen on " + path;

  const std::string lock_path = path + ".lock";
  out.claim_.lock.reset(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!out.claim_.lock) {
    if (errno == ELOOP)
      return Error(Code::permission_denied, attempt + ": " + lock_path + " is a symbolic link");
    return system_error(attempt + ": cannot open " + lock_path, errno,
                        errno == EACCES ? Code::permission_denied : Code::internal);
  }
  struct stat lock_status {};
  if (::fstat(out.claim_.lock.get(), &lock_status) != 0 || lock_status.st_uid != ::geteuid())
    return Error(Code::permission_denied, attempt + ": " + lock_path + " belongs to another user");
  if (::flock(out.claim_.lock.get(), LOCK_EX | LOCK_NB) != 0)
    return Error(Code::already_exists, attempt + ": a daemon is serving it");

  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) {
    if (S_ISLNK(status.st_mode))
      return Error(Code::permission_denied,
                   attempt + ": it is a symbolic link, and sockets are never made through one");
    if (!S_ISSOCK(status.st_mode))
      return Error(Code::permission_denied, attempt + ": there is something that is no socket");
    if (status.st_uid != ::geteuid())
      return Error(Code::permission_denied,
                   attempt + ": it belongs to user " + std::to_string(status.st_uid));
    if (somebody_answers(*address)) return Error(Code::already_exists, attempt + ": a daemon is serving it");
    if (::unlink(path.c_str()) != 0) return system_error(attempt + ": cannot remove the stale socket", errno);
  }

  out.listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!out.listener_) return system_error(attempt, errno);
  const mode_t old_mask = ::umask(0777 & ~mode);
  const int bound =
      ::bind(out.listener_.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address);
  const int bind_error = errno;
  ::umask(old_mask);
  if (bound != 0) return system_error(attempt, bind_error);
  if (::lstat(path.c_str(), &status) == 0) {
    out.claim_.device = status.st_dev;
    out.claim_.inode = status.st_ino;
  }
  if (::listen(out.listener_.get(), SOMAXCONN) != 0) return system_error(attempt, errno);
  return out;
}

void SocketFile::remove() {
  struct stat status {};
  if (claim_.inode != 0 && ::lstat(claim_.path.c_str(), &status) == 0 && status.st_dev == claim_.device &&
      status.st_ino == claim_.inode)
    ::unlink(claim_.path.c_str());
  claim_.inode = 0;
}

}  // namespace kairo::ipc
