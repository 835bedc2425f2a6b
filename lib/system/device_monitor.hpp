// Hears of devices that come and go: what the kernel, or udevd after its rules, says on a netlink socket.
//
// Where udevd runs (/run/udev/control), its messages are taken, which have serial numbers and bus places;
// elsewhere, as in containers, the kernel's. Of network interfaces only those of the daemon's own network
// namespace are heard. In a user namespace nothing can be heard: create() is E_UNSUPPORTED there.
//
// Order of calls: create() makes the socket, which hears nothing before listen(). Then wait until fd() is
// readable and take() what has come. take() and discard() read /sys and may block: one worker thread calls
// them, one at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/result.hpp"
#include "system/device_cache.hpp"

namespace kairo::system {

class DeviceMonitor {
 public:
  static Result<std::unique_ptr<DeviceMonitor>> create();
  ~DeviceMonitor();
  DeviceMonitor(const DeviceMonitor&) = delete;
  DeviceMonitor& operator=(const DeviceMonitor&) = delete;

  Result<void> listen();
  [[nodiscard]] int fd() const;  ///< Borrowed; does not block.

  struct Taken {
    std::vector<DeviceChange> changes;
    std::size_t messages = 0;
    bool overrun = false;  ///< Messages are lost: enumerate anew.
  };
  /// At most `most` messages.
  Taken take(std::size_t most);
  /// Throws away what has come so far.
  void discard();

 private:
  struct Handles;
  explicit DeviceMonitor(std::unique_ptr<Handles> handles);
  std::unique_ptr<Handles> handles_;
};

}  // namespace kairo::system
