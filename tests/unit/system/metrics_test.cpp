#include "system/metrics.hpp"

#include <filesystem>
#include <fstream>
#include <stdlib.h>
#include <string>
#include <unistd.h>

#include <doctest/doctest.h>

#include "host.hpp"
#include "reflect/encode.hpp"

using namespace kairo;
using namespace kairo::system;

namespace {

class Host : public test::Host {
 public:
  [[nodiscard]] MetricsSampler sampler() const { return MetricsSampler(root()); }
};

}  // namespace

TEST_CASE("the first sample has no use of the processor, the second has that of the interval") {
  Host host;
  host.write("proc/stat", "cpu  100 0 0 900 0 0 0 0 0 0\ncpu0 50 0 0 450 0 0 0 0\ncpu1 50 0 0 450 0 0 0 0\n");
  auto sampler = host.sampler();
  auto first = sampler.sample();
  REQUIRE(first);
  REQUIRE(first->cpu);
  CHECK(first->cpu->cores == 2);
  CHECK_FALSE(first->cpu->usage_percent);
  CHECK_FALSE(first->cpu->per_core);
  CHECK_FALSE(first->cpu->interval_ms);

  host.write("proc/stat",
             "cpu  160 0 0 940 0 0 0 0 0 0\ncpu0 100 0 0 450 0 0 0 0\ncpu1 60 0 0 490 0 0 0 0\ncpu2 1 0 0 1 "
             "0 0 0 0\n");
  auto second = sampler.sample();
  REQUIRE(second);
  CHECK(second->cpu->usage_percent == doctest::Approx(60.0));
  CHECK(second->cpu->interval_ms);
  REQUIRE(second->cpu->per_core);
  REQUIRE(second->cpu->per_core->size() ==
          2);  // the third core came since: there is nothing to compare it with
  CHECK(second->cpu->per_core->at(0).usage_percent == doctest::Approx(100.0));
  CHECK(second->cpu->per_core->at(1).usage_percent == doctest::Approx(20.0));
}

TEST_CASE("a sample within the same tick keeps the interval open for the next") {
  Host host;
  host.write("proc/stat", "cpu  100 0 0 900 0 0 0 0\n");
  auto sampler = host.sampler();
  REQUIRE(sampler.sample());
  auto same = sampler.sample();
  REQUIRE(same);
  CHECK_FALSE(same->cpu->usage_percent);
  host.write("proc/stat", "cpu  150 0 0 950 0 0 0 0\n");
  auto later = sampler.sample();
  REQUIRE(later);
  CHECK(later->cpu->usage_percent == doctest::Approx(50.0));
}

TEST_CASE("what the host does not tell is absent and not on the wire") {
  Host host;
  host.write("proc/loadavg", "0.10 0.20 0.30 1/2 3\n");
  auto sampler = host.sampler();
  auto sample = sampler.sample();
  REQUIRE(sample);
  CHECK(sample->load->five == doctest::Approx(0.2));
  CHECK_FALSE(sample->cpu);
  CHECK_FALSE(sample->memory);
  CHECK_FALSE(sample->swap);
  CHECK_FALSE(sample->pressure);
  CHECK_FALSE(sample->disks);
  CHECK_FALSE(sample->network);
  CHECK_FALSE(sample->temperature);
  CHECK_FALSE(sample->battery);
  CHECK_FALSE(sample->uptime_seconds);
  CHECK_FALSE(sample->daemon.private_bytes);
  CHECK_FALSE(sample->daemon.open_descriptors);
  const std::string wire = reflect::to_msgpack(*sample);
  CHECK(wire.find("load") != std::string::npos);
  for (const char* absent : {"memory", "swap", "pressure", "temperature", "battery", "privateBytes"})
    CHECK(wire.find(absent) == std::string::npos);
}

TEST_CASE("a host without /proc is an error that names the place") {
  Host host;
  auto sampler = host.sampler();
  auto sample = sampler.sample();
  REQUIRE_FALSE(sample);
  CHECK(sample.error().code == Code::internal);
  CHECK(sample.error().message.find("/proc") != std::string::npos);
}

TEST_CASE("the daemon's own use comes from its files") {
  Host host;
  host.write("proc/self/status", "Name:\tkairod\nVmRSS:\t    4096 kB\nThreads:\t3\n");
  host.write("proc/self/stat", "7 (kairod) S 1 7 7 0 -1 0 1 2 3 4 150 50 0 0 20 0 3 0 5\n");
  host.write("proc/self/smaps_rollup",
             "00400000-7ff [rollup]\nRss: 4096 kB\nPrivate_Clean: 100 kB\nPrivate_Dirty: 28 kB\n");
  for (const char* fd : {"0", "1", "2", "1000001"}) host.write(std::string("proc/self/fd/") + fd, "");
  auto sampler = host.sampler();
  auto sample = sampler.sample();
  REQUIRE(sample);
  const auto& daemon = sample->daemon;
  CHECK(daemon.pid == getpid());
  CHECK(daemon.resident_bytes == 4096u * 1024);
  CHECK(daemon.private_bytes == 128u * 1024);
  CHECK(daemon.cpu_seconds == doctest::Approx(200.0 / static_cast<double>(sysconf(_SC_CLK_TCK))));
  CHECK(daemon.threads == 3u);
  CHECK(daemon.open_descriptors == 4u);
}

TEST_CASE("disks are the local file systems, each once, and whatever stands at the root") {
  Host host;
  host.write("proc/loadavg", "0 0 0 1/2 3\n");
  host.write("proc/filesystems", "nodev\tproc\nnodev\ttmpfs\nnodev\toverlay\n\text4\n\tsquashfs\n");
  host.write("proc/self/mountinfo",
             "1 0 0:30 / / rw - overlay overlay rw\n"
             "2 1 0:5 / /proc rw - proc proc rw\n"
             "3 1 0:40 / /tmp rw - tmpfs tmpfs rw\n"
             "4 1 254:1 / /data rw - ext4 /dev/vdb rw\n"
             "5 1 254:1 /sub /bind rw - ext4 /dev/vdb rw\n"
             "6 1 7:0 / /snap rw - squashfs /dev/loop0 rw\n"
             "7 1 0:50 / /net rw - nfs4 server:/x rw\n"
             "8 1 254:2 / /gone rw - ext4 /dev/vdc rw\n");
  for (const char* place : {"data", "bind", "snap", "net", "tmp"}) host.make_directory(place);
  auto sampler = host.sampler();
  auto sample = sampler.sample();
  REQUIRE(sample);
  REQUIRE(sample->disks);
  REQUIRE(sample->disks->size() == 2);
  CHECK(sample->disks->at(0).mount_point == "/");
  CHECK(sample->disks->at(0).file_system == "overlay");
  CHECK(sample->disks->at(1).mount_point == "/data");
  CHECK(sample->disks->at(1).device == "/dev/vdb");
  CHECK(sample->disks->at(1).total_bytes > 0);
  CHECK(sample->disks->at(1).total_bytes ==
        sample->disks->at(1).used_bytes + sample->disks->at(1).free_bytes);
}

TEST_CASE("temperatures come from zones and from other sensors, no sensor twice") {
  Host host;
  host.write("proc/loadavg", "0 0 0 1/2 3\n");
  host.write("sys/class/thermal/thermal_zone0/type", "acpi-tz\n");
  host.write("sys/class/thermal/thermal_zone0/temp", "41500\n");
  host.write("sys/class/thermal/thermal_zone1/type", "broken\n");
  host.write("sys/class/thermal/cooling_device0/type", "Processor\n");
  host.write("sys/class/hwmon/hwmon0/name", "acpi_tz\n");
  host.write("sys/class/hwmon/hwmon0/temp1_input", "41500\n");
  host.write("sys/class/hwmon/hwmon1/name", "coretemp\n");
  host.write("sys/class/hwmon/hwmon1/temp1_input", "-5250\n");
  host.write("sys/class/hwmon/hwmon1/temp1_label", "Package id 0\n");
  host.write("sys/class/hwmon/hwmon1/fan1_input", "900\n");
  auto sampler = host.sampler();
  auto sample = sampler.sample();
  REQUIRE(sample);
  REQUIRE(sample->temperature);
  REQUIRE(sample->temperature->size() == 2);
  CHECK(sample->temperature->at(0).name == "acpi-tz");
  CHECK(sample->temperature->at(0).celsius == doctest::Approx(41.5));
  CHECK(sample->temperature->at(1).name == "coretemp Package id 0");
  CHECK(sample->temperature->at(1).celsius == doctest::Approx(-5.25));
}

TEST_CASE("batteries are those of the host, and an unknown charge is absent") {
  Host host;
  host.write("proc/loadavg", "0 0 0 1/2 3\n");
  host.write("sys/class/power_supply/AC/type", "Mains\n");
  host.write("sys/class/power_supply/BAT0/type", "Battery\n");
  host.write("sys/class/power_supply/BAT0/capacity", "83\n");
  host.write("sys/class/power_supply/BAT0/status", "Not charging\n");
  host.write("sys/class/power_supply/BAT1/type", "Battery\n");
  host.write("sys/class/power_supply/BAT1/status", "Unknown\n");
  host.write("sys/class/power_supply/BAT2/type", "Battery\n");
  host.write("sys/class/power_supply/BAT2/present", "0\n");
  host.write("sys/class/power_supply/mouse/type", "Battery\n");
  host.write("sys/class/power_supply/mouse/scope", "Device\n");
  auto sampler = host.sampler();
  auto sample = sampler.sample();
  REQUIRE(sample);
  REQUIRE(sample->battery);
  REQUIRE(sample->battery->size() == 2);
  CHECK(sample->battery->at(0).name == "BAT0");
  CHECK(sample->battery->at(0).percent == doctest::Approx(83.0));
  CHECK(sample->battery->at(0).status == "not-charging");
  CHECK_FALSE(sample->battery->at(1).percent);
  CHECK_FALSE(sample->battery->at(1).status);
}

TEST_CASE("this host tells real values") {
  MetricsSampler sampler;
  auto sample = sampler.sample();
  REQUIRE(sample);
  REQUIRE(sample->cpu);
  CHECK(sample->cpu->cores >= 1);
  REQUIRE(sample->memory);
  CHECK(sample->memory->total_bytes > 16u << 20);
  CHECK(sample->memory->available_bytes <= sample->memory->total_bytes);
  CHECK(sample->load);
  REQUIRE(sample->uptime_seconds);
  CHECK(*sample->uptime_seconds > 0);
  REQUIRE(sample->disks);
  CHECK_FALSE(sample->disks->empty());
  REQUIRE(sample->network);
  CHECK(sample->daemon.threads >= 1u);
  CHECK(sample->daemon.resident_bytes > 1u << 20);
  CHECK(sample->daemon.cpu_seconds >= 0.0);
  REQUIRE(sample->daemon.open_descriptors);

  const int extra = dup(0);
  REQUIRE(extra >= 0);
  auto more = sampler.sample();
  close(extra);
  REQUIRE(more);
  CHECK(*more->daemon.open_descriptors == *sample->daemon.open_descriptors + 1);
}
