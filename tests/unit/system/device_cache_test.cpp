#include "system/device_cache.hpp"

#include <algorithm>
#include <set>

#include <doctest/doctest.h>

using namespace kairo;
using namespace kairo::system;

namespace {

FoundDevice link(const std::string& name, const std::string& serial = "") {
  FoundDevice out;
  out.names = {"net", serial, "", "/devices/virtual/net/" + name, name, ""};
  out.device.subsystem = "net";
  out.device.path = "/sys" + out.names.path;
  return out;
}

DeviceChange change(DeviceChange::Kind kind, FoundDevice found) {
  DeviceChange out;
  out.kind = kind;
  out.path = found.device.path;
  out.found = std::move(found);
  return out;
}
DeviceChange added(FoundDevice found) {
  return change(DeviceChange::Kind::added, std::move(found));
}
DeviceChange changed(FoundDevice found) {
  return change(DeviceChange::Kind::changed, std::move(found));
}
DeviceChange removed(const FoundDevice& found) {
  return change(DeviceChange::Kind::removed, found);
}

/// "+id" and "-id", in order.
std::vector<std::string> told(const std::vector<DeviceCache::News>& news) {
  std::vector<std::string> out;
  for (const auto& each : news) out.push_back((each.added ? "+" : "-") + each.device.id);
  return out;
}
using Told = std::vector<std::string>;

std::vector<std::string> ids(const DeviceCache& cache) {
  std::vector<std::string> out;
  for (const api::Device& each : cache.list({})) out.push_back(each.id);
  return out;
}

const std::string a_id = "net:/devices/virtual/net/a";
const std::string b_id = "net:/devices/virtual/net/b";

}  // namespace

TEST_CASE("what is there at first is no news; what comes and goes is, once") {
  DeviceCache cache;
  CHECK(told(cache.fill({link("a")})) == Told{});
  CHECK(told(cache.apply(added(link("b")))) == Told{"+" + b_id});
  CHECK(told(cache.apply(added(link("b")))) == Told{});
  CHECK(ids(cache) == std::vector<std::string>{a_id, b_id});
  CHECK(told(cache.apply(removed(link("a")))) == Told{"-" + a_id});
  CHECK(told(cache.apply(removed(link("a")))) == Told{});
  CHECK(cache.find(a_id) == nullptr);
  REQUIRE(cache.find(b_id) != nullptr);
}

TEST_CASE("a device that came while the first enumeration ran is news, though it was found") {
  DeviceCache cache;
  CHECK(told(cache.fill({link("a")})) == Told{});
  CHECK(told(cache.apply(added(link("a")))) == Told{"+" + a_id});
  CHECK(told(cache.apply(added(link("a")))) == Told{});
}

TEST_CASE("what the kernel is asked to say once more is no news, unless it was not known") {
  DeviceCache cache;
  cache.fill({link("a")});
  DeviceChange again = added(link("a"));
  again.repeated = true;
  CHECK(told(cache.apply(again)) == Told{});
  again = added(link("b"));
  again.repeated = true;
  CHECK(told(cache.apply(again)) == Told{"+" + b_id});
}

TEST_CASE("enumerating anew tells the differences, and what is heard of them later tells nothing") {
  DeviceCache cache;
  cache.fill({link("a")});
  CHECK(told(cache.fill({link("b")})) == Told{"-" + a_id, "+" + b_id});
  CHECK(told(cache.apply(added(link("b")))) == Told{});
  CHECK(told(cache.apply(removed(link("a")))) == Told{});
  CHECK(told(cache.fill({link("b")})) == Told{});
}

TEST_CASE("a change is taken over and is no news; of a device that was not known it is") {
  DeviceCache cache;
  cache.fill({link("a")});
  FoundDevice with_vendor = link("a");
  with_vendor.device.vendor = "Acme";
  CHECK(told(cache.apply(changed(with_vendor))) == Told{});
  CHECK(cache.find(a_id)->vendor == "Acme");
  CHECK(told(cache.apply(changed(link("b")))) == Told{"+" + b_id});
}

TEST_CASE("a device keeps its id when another one like it comes, also when that is enumerated") {
  DeviceCache cache;
  cache.fill({link("a", "S1")});
  CHECK(told(cache.apply(added(link("b", "S1")))) == Told{"+net:S1@b"});
  CHECK(told(cache.fill({link("a", "S1"), link("b", "S1"), link("c", "S1")})) == Told{"+net:S1@c"});
  CHECK(ids(cache) == std::vector<std::string>{"net:S1", "net:S1@b", "net:S1@c"});
  CHECK(told(cache.apply(removed(link("a", "S1")))) == Told{"-net:S1"});
  // Two like it are still there.
  CHECK(told(cache.apply(added(link("d", "S1")))) == Told{"+net:S1@d"});
}

TEST_CASE("a renamed device that has a serial number stays the same; by its path it is another") {
  DeviceCache cache;
  cache.fill({link("a"), link("x", "S1")});
  DeviceChange renamed = changed(link("y", "S1"));
  renamed.old_path = link("x").device.path;
  CHECK(told(cache.apply(renamed)) == Told{});
  CHECK(cache.find("net:S1")->path == link("y").device.path);
  renamed = changed(link("b"));
  renamed.old_path = link("a").device.path;
  CHECK(told(cache.apply(renamed)) == Told{"-" + a_id, "+" + b_id});
  CHECK(told(cache.apply(renamed)) == Told{});
  CHECK(cache.size() == 2);
}

TEST_CASE("another device in the same place is another device") {
  DeviceCache cache;
  cache.fill({link("a", "S1")});
  CHECK(told(cache.apply(changed(link("a", "S2")))) == Told{"-net:S1", "+net:S2"});
  CHECK(told(cache.fill({link("a", "S3")})) == Told{"-net:S2", "+net:S3"});
}

TEST_CASE("a device of the time before keeps its id, in another port, too, or is told to be gone") {
  DeviceCache before;
  before.fill({link("a", "S1"), link("b", "S2")});
  before.apply(added(link("c", "S2")));
  DeviceCache cache;
  for (const char* id : {"net:S1", "net:S2", "net:S2@c"}) cache.recall(*before.find(id));
  api::Device gone = link("gone").device;
  gone.id = "net:gone";
  cache.recall(gone);
  CHECK(told(cache.fill({link("c", "S2"), link("moved", "S1"), link("b", "S2"), link("new")})) ==
        Told{"-net:gone"});
  CHECK(ids(cache) ==
        std::vector<std::string>{"net:/devices/virtual/net/new", "net:S1", "net:S2", "net:S2@c"});
  CHECK(cache.find("net:S1")->path == link("moved").device.path);
}

TEST_CASE("devices are listed by subsystem and by type, and a pattern is no subsystem") {
  DeviceCache cache;
  FoundDevice disk = link("d");
  disk.device.subsystem = disk.names.subsystem = "block";
  disk.device.type = "disk";
  cache.fill({link("a"), disk});
  CHECK(cache.list({"block", std::nullopt}).size() == 1);
  CHECK(cache.list({std::nullopt, "disk"}).size() == 1);
  CHECK(cache.list({"net", "disk"}).empty());
  for (const char* name : {"no-such-subsystem", "*", "n?t", ""})
    CHECK(cache.list({name, std::nullopt}).empty());
}

TEST_CASE("this host's devices have ids that are unique and the same each time") {
  const auto all_ids = [] {
    auto found = find_devices();
    REQUIRE(found);
    DeviceCache cache;
    cache.fill(std::move(*found));
    const auto listed = ids(cache);
    CHECK(listed.size() == cache.size());
    return std::set<std::string>(listed.begin(), listed.end());
  };
  CHECK(all_ids().size() > 10);
  // Others may make devices at the same time; most are the same all the same.
  const auto first = all_ids();
  const auto again = all_ids();
  CHECK(std::count_if(first.begin(), first.end(), [&](const auto& id) { return again.contains(id); }) * 2 >
        static_cast<std::ptrdiff_t>(first.size()));
}
