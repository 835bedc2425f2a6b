#include "system/devices.hpp"

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <map>
#include <memory>
#include <string_view>

#include <libudev.h>

#include "system/proc_text.hpp"

namespace kairo::system {
namespace {

struct Unref {
  void operator()(udev* handle) const { udev_unref(handle); }
  void operator()(udev_enumerate* handle) const { udev_enumerate_unref(handle); }
  void operator()(udev_device* handle) const { udev_device_unref(handle); }
};
using Udev = std::unique_ptr<udev, Unref>;
using Enumeration = std::unique_ptr<udev_enumerate, Unref>;
using UdevDevice = std::unique_ptr<udev_device, Unref>;

std::string text_or_empty(const char* text) {
  return text ? std::string(trimmed(text)) : std::string();
}

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

std::vector<std::string> make_device_ids(const std::vector<DeviceNames>& devices) {
  std::vector<std::string> ids;
  std::map<std::string, std::size_t, std::less<>> uses;
  for (const DeviceNames& each : devices) {
    const bool has_name = !each.serial.empty() || !each.bus_place.empty();
    std::string id = each.subsystem + ":" +
                     (!each.serial.empty() ? each.serial
                      : has_name           ? each.bus_place
                                           : each.path);
    // The path below /sys names the partition already.
    if (has_name && !each.partition.empty()) id += "-part" + each.partition;
    ++uses[id];
    ids.push_back(std::move(id));
  }
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (uses.find(ids[i])->second > 1) ids[i] += "@" + devices[i].kernel_name;
  return ids;
}

Result<std::vector<api::Device>> list_devices(const api::DeviceListParams& params) {
  const Udev udev(udev_new());
  if (!udev) return system_error("cannot list devices: udev could not be opened", errno);
  const Enumeration enumeration(udev_enumerate_new(udev.get()));
  if (!enumeration) return system_error("cannot list devices: udev gave no enumeration", errno);
  // Ids are made within a subsystem, so it may be matched here; the type may not, or an id would depend on
  // the question.
  if (params.subsystem) {
    const int failed = udev_enumerate_add_match_subsystem(enumeration.get(), params.subsystem->c_str());
    if (failed < 0) return system_error("cannot list devices of \"" + *params.subsystem + "\"", -failed);
  }
  const int failed = udev_enumerate_scan_devices(enumeration.get());
  if (failed < 0) return system_error("cannot list devices: udev could not scan /sys", -failed);

  std::vector<api::Device> found;
  std::vector<DeviceNames> names;
  udev_list_entry* entry = nullptr;
  udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(enumeration.get())) {
    const UdevDevice device(udev_device_new_from_syspath(udev.get(), udev_list_entry_get_name(entry)));
    if (!device) continue;  // it went away since the scan
    found.push_back(describe(device.get()));
    names.push_back(names_of(device.get()));
  }
  std::vector<std::string> ids = make_device_ids(names);
  std::vector<api::Device> out;
  for (std::size_t i = 0; i < found.size(); ++i) {
    found[i].id = std::move(ids[i]);
    // udev takes a subsystem for a pattern; a subsystem's name here is itself and nothing else.
    if (params.subsystem && found[i].subsystem != *params.subsystem) continue;
    if (!params.type || found[i].type == *params.type) out.push_back(std::move(found[i]));
  }
  std::sort(out.begin(), out.end(), [](const api::Device& a, const api::Device& b) { return a.id < b.id; });
  return out;
}

}  // namespace kairo::system
