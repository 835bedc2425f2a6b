#include "system/device_monitor.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.hpp"
#include "system/udev.hpp"

namespace kairo::system {
namespace {

/// Messages that are thrown away at once: more than can wait, less than a flood can keep it busy with.
constexpr int most_discarded = 65'536;

std::string below_sys(const char* path) {
  return "/sys" + text_or_empty(path);
}

/// In a user namespace the kernel's messages come from a user that is not root there, and libudev throws them
/// away without a word.
bool in_user_namespace() {
  std::ifstream map("/proc/self/uid_map");
  std::uint64_t inside = 0, outside = 0, count = 0;
  return map >> inside >> outside >> count && (inside != 0 || outside != 0 || count != UINT32_MAX);
}

/// What a message says; nothing for what enumerating would not find either: drivers, modules, queues of
/// network interfaces, and a device that is gone already.
std::optional<DeviceChange> change_of(udev_device* device) {
  const std::string_view action = udev_device_get_action(device) ? udev_device_get_action(device) : "";
  DeviceChange out;
  out.path = text_or_empty(udev_device_get_syspath(device));
  if (action == "remove") {
    out.kind = DeviceChange::Kind::removed;
    return out;
  }
  if (::access((out.path + "/subsystem").c_str(), F_OK) != 0) return std::nullopt;
  out.kind = action == "add" ? DeviceChange::Kind::added : DeviceChange::Kind::changed;
  out.repeated = udev_device_get_property_value(device, "SYNTH_UUID") != nullptr;
  if (const char* old = udev_device_get_property_value(device, "DEVPATH_OLD"); old && action == "move")
    out.old_path = below_sys(old);
  out.found = describe_device(device);
  return out;
}

}  // namespace

struct DeviceMonitor::Handles {
  Udev udev;
  UdevMonitor monitor;
};

DeviceMonitor::DeviceMonitor(std::unique_ptr<Handles> handles) : handles_(std::move(handles)) {}
DeviceMonitor::~DeviceMonitor() = default;

Result<std::unique_ptr<DeviceMonitor>> DeviceMonitor::create() {
  const char* const attempt = "cannot hear of devices that come and go: udev gave no monitor";
  if (in_user_namespace())
    return Error(Code::unsupported, "cannot hear of devices that come and go in a user namespace");
  auto handles = std::make_unique<Handles>();
  handles->udev.reset(udev_new());
  if (!handles->udev) return system_error(attempt, errno);
  const bool udevd = ::access("/run/udev/control", F_OK) == 0;
  handles->monitor.reset(udev_monitor_new_from_netlink(handles->udev.get(), udevd ? "udev" : "kernel"));
  if (!handles->monitor) return system_error(attempt, errno);
  return std::unique_ptr<DeviceMonitor>(new DeviceMonitor(std::move(handles)));
}

Result<void> DeviceMonitor::listen() {
  // Without the right to more, what the system allows has to do.
  static_cast<void>(
      udev_monitor_set_receive_buffer_size(handles_->monitor.get(), limits::device_message_bytes));
  const int failed = udev_monitor_enable_receiving(handles_->monitor.get());
  if (failed < 0) return system_error("cannot hear of devices that come and go", -failed);
  return {};
}

int DeviceMonitor::fd() const {
  return udev_monitor_get_fd(handles_->monitor.get());
}

DeviceMonitor::Taken DeviceMonitor::take(std::size_t most) {
  Taken out;
  while (out.messages < most && !out.overrun) {
    errno = 0;
    const UdevDevice device(udev_monitor_receive_device(handles_->monitor.get()));
    if (!device && errno == EAGAIN) break;
    ++out.messages;
    if (!device)
      out.overrun = errno == ENOBUFS;  // any other error is one message's
    else if (auto change = change_of(device.get()))
      out.changes.push_back(std::move(*change));
  }
  return out;
}

void DeviceMonitor::discard() {
  std::array<char, 16> start{};  // the rest of a message is cut off
  for (int i = 0; i < most_discarded; ++i)
    if (::recv(fd(), start.data(), start.size(), MSG_DONTWAIT) < 0 && errno != ENOBUFS && errno != EINTR)
      return;
}

}  // namespace kairo::system
