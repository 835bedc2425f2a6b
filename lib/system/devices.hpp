// The devices that udev knows (SPEC 10): device.list.
//
// Ids. A device's id is "SUBSYSTEM:NAME", where NAME is the first of these that it has: its serial number
// (ID_SERIAL, the same in every port), its place on the bus (ID_PATH), its path below /sys (the same as long
// as devices are found in the same order). A partition's name is its disk's with "-part" and its number.
// Where several devices of a subsystem would share an id (the input nodes of one keyboard), "@" and the
// kernel's name of the device follow.
//
// Without a running udevd, as in most containers, the kernel's devices are all there but have neither serial
// numbers nor bus places, since it is udevd's rules that find those; what /sys itself tells is used then.
#pragma once

#include <string>
#include <vector>

#include "api/system.hpp"
#include "base/result.hpp"

namespace kairo::system {

/// What an id is made from; empty where a device has none of it.
struct DeviceNames {
  std::string subsystem;
  std::string serial;     ///< ID_SERIAL
  std::string bus_place;  ///< ID_PATH
  std::string path;       ///< below /sys, "/devices/..."
  std::string kernel_name;
  std::string partition;  ///< number of the partition
};

/// The ids of devices that exist together, in the order of `devices`.
std::vector<std::string> make_device_ids(const std::vector<DeviceNames>& devices);

/// Every device that matches, in order of ids. Blocks on /sys: call it from the worker thread. E_INTERNAL
/// when udev refuses; a subsystem that the host does not have simply has no devices.
Result<std::vector<api::Device>> list_devices(const api::DeviceListParams& params);

}  // namespace kairo::system
