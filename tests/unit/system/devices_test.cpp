#include "system/devices.hpp"

#include <algorithm>

#include <doctest/doctest.h>

using namespace kairo;
using namespace kairo::system;

namespace {

DeviceNames disk(std::string serial, std::string partition = "") {
  return {"block",           std::move(serial), "pci-0000:00:1f.2-ata-1", "/devices/pci/sda" + partition,
          "sda" + partition, partition};
}

}  // namespace

TEST_CASE("an id is made from the serial number, else the place on the bus, else the path") {
  const auto ids = make_device_ids({disk("WDC_123"),
                                    {"net", "", "pci-0000:00:03.0", "/devices/pci/net/eth0", "eth0", ""},
                                    {"mem", "", "", "/devices/virtual/mem/null", "null", ""}});
  CHECK(ids ==
        std::vector<std::string>{"block:WDC_123", "net:pci-0000:00:03.0", "mem:/devices/virtual/mem/null"});
}

TEST_CASE("a partition's id is its disk's and its number") {
  CHECK(make_device_ids({disk("WDC_123"), disk("WDC_123", "1"), disk("WDC_123", "2")}) ==
        std::vector<std::string>{"block:WDC_123", "block:WDC_123-part1", "block:WDC_123-part2"});
  CHECK(make_device_ids({{"block", "", "", "/devices/virtio1/block/vda/vda1", "vda1", "1"}}) ==
        std::vector<std::string>{"block:/devices/virtio1/block/vda/vda1"});
}

TEST_CASE("devices that would share an id are told apart by the kernel's name") {
  const DeviceNames event{"input", "Logi_1", "usb-1", "/devices/usb1/input/input5/event5", "event5", ""};
  const DeviceNames mouse{"input", "Logi_1", "usb-1", "/devices/usb1/input/input5/mouse0", "mouse0", ""};
  const DeviceNames hid{"hid", "Logi_1", "usb-1", "/devices/usb1/hid0", "hid0", ""};
  CHECK(make_device_ids({event, mouse, hid}) ==
        std::vector<std::string>{"input:Logi_1@event5", "input:Logi_1@mouse0", "hid:Logi_1"});
}

TEST_CASE("a device that comes beside one like it is told apart, whatever the other is called") {
  const DeviceNames mouse{"input", "Logi_1", "usb-1", "/devices/usb1/input/input5/mouse0", "mouse0", ""};
  CHECK(make_device_ids({mouse}, {{"input:Logi_1", 1}}) == std::vector<std::string>{"input:Logi_1@mouse0"});
  CHECK(make_device_ids({mouse}, {{"hid:Logi_1", 1}}) == std::vector<std::string>{"input:Logi_1"});
}

TEST_CASE("this host's devices have paths below /sys, and /dev/null is one of them") {
  auto all = find_devices();
  REQUIRE(all);
  REQUIRE_FALSE(all->empty());
  for (const FoundDevice& each : *all) {
    CHECK(each.device.path.starts_with("/sys/"));
    CHECK(each.device.path == "/sys" + each.names.path);
    CHECK(each.device.subsystem == each.names.subsystem);
  }
  CHECK(std::any_of(all->begin(), all->end(), [](const FoundDevice& each) {
    return each.device.node == "/dev/null" && each.device.subsystem == "mem";
  }));
}
