// The devices of the host and who has claimed them: device.* (SPEC 10).
//
// The events kairo.device.added and kairo.device.removed carry a Device as their data; the latter's
// claimed_by says whose claim ended with it.
#pragma once

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "reflect/fields.hpp"

namespace kairo::api {

using reflect::field;

struct DeviceListParams {
  std::optional<std::string> subsystem;
  std::optional<std::string> type;
  static constexpr auto fields() {
    using S = DeviceListParams;
    return std::tuple(
        field("subsystem", &S::subsystem, "Only devices of this subsystem: block, net, tty, usb, ..."),
        field("type", &S::type, "Only devices of this type: disk, partition, usb_device, ..."));
  }
};

struct DeviceHolder {
  std::string owner;
  std::optional<std::string> process_id;
  static constexpr auto fields() {
    using S = DeviceHolder;
    return std::tuple(field("owner", &S::owner, "Principal that claimed it"),
                      field("processId", &S::process_id,
                            "Session that the claim belongs to; absent: it belongs to a connection"));
  }
};

struct Device {
  std::string id;
  std::string subsystem;
  std::optional<std::string> type;
  std::string path;
  std::optional<std::string> node;
  std::optional<std::string> vendor;
  std::optional<std::string> model;
  std::optional<std::string> serial;
  std::optional<DeviceHolder> claimed_by;
  static constexpr auto fields() {
    using S = Device;
    return std::tuple(
        field("id", &S::id, "Unique; the same after a restart, and where the device allows, in another port"),
        field("subsystem", &S::subsystem, "Subsystem of the kernel"),
        field("type", &S::type, "Type within the subsystem (DEVTYPE)"),
        field("path", &S::path, "Directory below /sys"), field("node", &S::node, "Device node below /dev"),
        field("vendor", &S::vendor, "Maker"), field("model", &S::model, "Model"),
        field("serial", &S::serial, "Serial number"),
        field("claimedBy", &S::claimed_by, "Who has claimed it; absent: nobody"));
  }
};

struct DeviceListResult {
  std::vector<Device> devices;
  static constexpr auto fields() {
    return std::tuple(field("devices", &DeviceListResult::devices, "In order of their ids"));
  }
};

struct DeviceClaimParams {
  std::string id;
  std::optional<std::string> process_id;
  static constexpr auto fields() {
    using S = DeviceClaimParams;
    return std::tuple(field("id", &S::id, "Device id"),
                      field("processId", &S::process_id,
                            "Session that the claim is to belong to; absent: to this connection"));
  }
};

struct DeviceParams {
  std::string id;
  static constexpr auto fields() { return std::tuple(field("id", &DeviceParams::id, "Device id")); }
};

}  // namespace kairo::api
