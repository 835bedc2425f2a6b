// libudev's handles, for the files of this module that speak to it.
#pragma once

#include <memory>
#include <string>

#include <libudev.h>

#include "system/devices.hpp"
#include "system/proc_text.hpp"

namespace kairo::system {

struct UdevUnref {
  void operator()(udev* handle) const { udev_unref(handle); }
  void operator()(udev_enumerate* handle) const { udev_enumerate_unref(handle); }
  void operator()(udev_device* handle) const { udev_device_unref(handle); }
  void operator()(udev_monitor* handle) const { udev_monitor_unref(handle); }
};
using Udev = std::unique_ptr<udev, UdevUnref>;
using UdevEnumeration = std::unique_ptr<udev_enumerate, UdevUnref>;
using UdevDevice = std::unique_ptr<udev_device, UdevUnref>;
using UdevMonitor = std::unique_ptr<udev_monitor, UdevUnref>;

inline std::string text_or_empty(const char* text) {
  return text ? std::string(trimmed(text)) : std::string();
}

/// Reads what /sys tells of it; may block.
FoundDevice describe_device(udev_device* device);

}  // namespace kairo::system
