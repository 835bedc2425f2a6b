// The kernel's socket in the file system (SPEC 3.1): made with its mode (0600 but for a daemon of several
// users), never through a symbolic link, never stolen from a live daemon; a stale one is replaced.
#pragma once

#include <cstdint>
#include <string>
#include <sys/types.h>
#include <utility>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace kairo::ipc {

/// Listens on `path`. Fails with E_ALREADY_EXISTS when a daemon answers there, E_PERMISSION_DENIED when the
/// place is a symbolic link, not a socket, or belongs to another user. Holds PATH.lock while it decides, so
/// that two daemons that start at once do not replace each other's socket.
class SocketFile {
 public:
  /// `mode`: of the file, which has it from its birth.
  static Result<SocketFile> listen(const std::string& path, mode_t mode = 0600);
  SocketFile(SocketFile&&) noexcept = default;
  SocketFile& operator=(SocketFile&&) noexcept = default;

  [[nodiscard]] int listener() const { return listener_.get(); }
  [[nodiscard]] UniqueFd take_listener() { return std::move(listener_); }

  /// Removes the file if it is still ours.
  void remove();

  /// The right to a socket's file, for a program that takes this one's place in the same process.
  struct Claim {
    std::string path;
    UniqueFd lock;
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
  };
  explicit SocketFile(Claim claim) : claim_(std::move(claim)) {}
  /// The file stays, whatever becomes of this object.
  [[nodiscard]] Claim take_claim() { return std::exchange(claim_, {}); }

 private:
  SocketFile() = default;
  Claim claim_;
  UniqueFd listener_;
};

}  // namespace kairo::ipc
