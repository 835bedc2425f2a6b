#include "system/devices.hpp"

#include <algorithm>
#include <filesystem>
#include <set>

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

TEST_CASE("this host's devices have ids that are unique and the same each time") {
  auto all = list_devices({});
  REQUIRE(all);
  REQUIRE_FALSE(all->empty());
  std::set<std::string> ids;
  for (const api::Device& each : *all) {
    ids.insert(each.id);
    CHECK(each.path.starts_with("/sys/"));
    CHECK(std::filesystem::exists(each.path));
  }
  CHECK(ids.size() == all->size());
  auto again = list_devices({});
  REQUIRE(again);
  std::set<std::string> same;
  for (const api::Device& each : *again) same.insert(each.id);
  CHECK(same == ids);
}

TEST_CASE("devices are listed by subsystem and by type, with the ids they have without") {
  auto memory = list_devices({"mem", std::nullopt});
  REQUIRE(memory);
  const auto null =
      std::find_if(memory->begin(), memory->end(), [](const auto& each) { return each.node == "/dev/null"; });
  REQUIRE(null != memory->end());
  CHECK(null->subsystem == "mem");
  for (const api::Device& each : *memory) CHECK(each.subsystem == "mem");

  auto block = list_devices({"block", std::nullopt});
  auto disks = list_devices({"block", "disk"});
  REQUIRE(block);
  REQUIRE(disks);
  for (const api::Device& each : *disks) {
    CHECK(each.type == "disk");
    CHECK(std::any_of(block->begin(), block->end(), [&](const auto& one) { return one.id == each.id; }));
  }
}

TEST_CASE("a subsystem that is none has no devices, also when it is a pattern") {
  for (const char* name : {"no-such-subsystem", "*", "m?m", ""}) {
    auto none = list_devices({name, std::nullopt});
    REQUIRE(none);
    CHECK(none->empty());
  }
}
