// The kernel's socket in the file system (SPEC 3.1): made with mode 0600, never through a symbolic link,
// never stolen from a live daemon; a stale one is replaced.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace kairo::ipc {

/// Listens on `path`. Fails with E_ALREADY_EXISTS when a daemon answers there, E_PERMISSION_DENIED when the
/// place is a symbolic link, not a socket, or belongs to another user. Holds PATH.lock while it decides, so
/// that two daemons that start at once do not replace each other's socket.
class SocketFile {
 public:
  static Result<SocketFile> listen(const std::string& path);
  SocketFile(SocketFile&&) noexcept = default;
  SocketFile& operator=(SocketFile&&) noexcept = default;

  [[nodiscard]] int listener() const { return listener_.get(); }
  [[nodiscard]] UniqueFd take_listener() { return std::move(listener_); }

  /// Removes the file if it is still ours.
  void remove();

 private:
  SocketFile() = default;
  std::string path_;
  UniqueFd listener_;
  UniqueFd lock_;
  std::uint64_t device_ = 0;
  std::uint64_t inode_ = 0;
};

}  // namespace kairo::ipc
