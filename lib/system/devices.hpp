// The devices that udev knows (SPEC 10): what is told of one, and enumerating them all.
//
// Ids. A device's id is "SUBSYSTEM:NAME", where NAME is the first of these that it has: its serial number
// (ID_SERIAL, the same in every port), its place on the bus (ID_PATH), its path below /sys (the same as long
// as devices are found in the same order). A partition's name is its disk's with "-part" and its number.
// Where several devices of a subsystem would share an id (the input nodes of one keyboard), "@" and the
// kernel's name of the device follow. One that is there already keeps its id when another one like it comes.
//
// Without a running udevd, as in most containers, the kernel's devices are all there but have neither serial
// numbers nor bus places, since it is udevd's rules that find those; what /sys itself tells is used then.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "api/device.hpp"
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

/// A device that has not got its id yet.
struct FoundDevice {
  api::Device device;
  DeviceNames names;
};

/// The id of a device that shares it with no other.
std::string plain_device_id(const DeviceNames& names);

/// How many devices have a plain id.
using DeviceIdUses = std::map<std::string, std::size_t, std::less<>>;

/// The ids of devices that exist together, in the order of `devices`, beside others that are there already.
std::vector<std::string> make_device_ids(const std::vector<DeviceNames>& devices,
                                         const DeviceIdUses& others = {});

/// Every device there is. Blocks on /sys: call it from the worker thread. E_INTERNAL when udev refuses.
Result<std::vector<FoundDevice>> find_devices();

}  // namespace kairo::system
