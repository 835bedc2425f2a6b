#include "system/devices.hpp"

#include <cerrno>
#include <initializer_list>
#include <optional>

#include "system/udev.hpp"

namespace kairo::system {
namespace {

std::optional<std::string> present(const char* text) {
  std::string value = text_or_empty(text);
  if (value.empty()) return std::nullopt;
  return value;
}

std::optional<std::string> first_property(udev_device* device, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (auto value = present(udev_device_get_property_value(device, name))) return value;
  return std::nullopt;
}

std::optional<std::string> first_attribute(udev_device* device, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (auto value = present(udev_device_get_sysattr_value(device, name))) return value;
  return std::nullopt;
}

api::Device describe(udev_device* device) {
  api::Device out;
  out.subsystem = text_or_empty(udev_device_get_subsystem(device));
  out.type = present(udev_device_get_devtype(device));
  out.path = text_or_empty(udev_device_get_syspath(device));
  out.node = present(udev_device_get_devnode(device));
  out.vendor = first_property(device, {"ID_VENDOR_FROM_DATABASE", "ID_VENDOR"});
  if (!out.vendor) out.vendor = first_attribute(device, {"manufacturer", "device/vendor", "vendor"});
  out.model = first_property(device, {"ID_MODEL_FROM_DATABASE", "ID_MODEL"});
  if (!out.model) out.model = first_attribute(device, {"product", "device/model", "model"});
  out.serial = first_property(device, {"ID_SERIAL_SHORT", "ID_SERIAL"});
  if (!out.serial) out.serial = first_attribute(device, {"serial", "device/serial"});
  return out;
}

DeviceNames names_of(udev_device* device) {
  DeviceNames names;
  names.subsystem = text_or_empty(udev_device_get_subsystem(device));
  names.serial = text_or_empty(udev_device_get_property_value(device, "ID_SERIAL"));
  names.bus_place = text_or_empty(udev_device_get_property_value(device, "ID_PATH"));
  names.path = text_or_empty(udev_device_get_devpath(device));
  names.kernel_name = text_or_empty(udev_device_get_sysname(device));
  if (text_or_empty(udev_device_get_devtype(device)) == "partition")
    names.partition = text_or_empty(udev_device_get_sysattr_value(device, "partition"));
  return names;
}

}  // namespace

FoundDevice describe_device(udev_device* device) {
  return {describe(device), names_of(device)};
}

std::string plain_device_id(const DeviceNames& names) {
  if (names.serial.empty() && names.bus_place.empty()) return names.subsystem + ":" + names.path;
  std::string id = names.subsystem + ":" + (names.serial.empty() ? names.bus_place : names.serial);
  // The path below /sys names the partition already.
  if (!names.partition.empty()) id += "-part" + names.partition;
  return id;
}

std::vector<std::string> make_device_ids(const std::vector<DeviceNames>& devices,
                                         const DeviceIdUses& others) {
  std::vector<std::string> ids;
  DeviceIdUses uses = others;
  for (const DeviceNames& each : devices) ++uses[ids.emplace_back(plain_device_id(each))];
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (uses.find(ids[i])->second > 1) ids[i] += "@" + devices[i].kernel_name;
  return ids;
}

Result<std::vector<FoundDevice>> find_devices() {
  const Udev udev(udev_new());
  if (!udev) return system_error("cannot list devices: udev could not be opened", errno);
  const UdevEnumeration enumeration(udev_enumerate_new(udev.get()));
  if (!enumeration) return system_error("cannot list devices: udev gave no enumeration", errno);
  const int failed = udev_enumerate_scan_devices(enumeration.get());
  if (failed < 0) return system_error("cannot list devices: udev could not scan /sys", -failed);

  std::vector<FoundDevice> found;
  udev_list_entry* entry = nullptr;
  udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(enumeration.get())) {
    const UdevDevice device(udev_device_new_from_syspath(udev.get(), udev_list_entry_get_name(entry)));
    if (device) found.push_back(describe_device(device.get()));  // else it went away since the scan
  }
  return found;
}

}  // namespace kairo::system
