#include "system/proc_text.hpp"

#include <doctest/doctest.h>

#include "system/disks.hpp"

using namespace kairo;
using namespace kairo::system;

TEST_CASE("the cpu lines of /proc/stat count idle and iowait as not busy") {
  const auto stat = parse_stat(
      "cpu  100 20 30 800 50 1 2 3 40 5\n"
      "cpu0 60 10 20 400 10 0 0 0 0 0\n"
      "cpu2 40 10 10 400 40 1 2 3 0 0\n"
      "intr 12 3 4\nctxt 5\n");
  REQUIRE(stat);
  CHECK(stat->all.total == 1006);  // guest time stands in user time already
  CHECK(stat->all.busy == 156);
  REQUIRE(stat->cores.size() == 2);
  CHECK(stat->cores[1].core == 2);
  CHECK(stat->cores[1].ticks.busy == 66);
}

TEST_CASE("a /proc/stat without a whole cpu line is nothing") {
  CHECK_FALSE(parse_stat(""));
  CHECK_FALSE(parse_stat("intr 1\n"));
  CHECK_FALSE(parse_stat("cpu  1 2 3\n"));
  CHECK_FALSE(parse_stat("cpu  1 2 x 4\n"));
  CHECK_FALSE(parse_stat("cpuset 1 2 3 4\n"));
}

TEST_CASE("use of the processor is the busy part of the ticks between two readings") {
  CHECK(usage_percent({100, 1000}, {150, 1200}) == doctest::Approx(25.0));
  CHECK(usage_percent({100, 1000}, {300, 1200}) == doctest::Approx(100.0));
  CHECK(usage_percent({100, 1000}, {90, 1200}) == doctest::Approx(0.0));
  CHECK_FALSE(usage_percent({100, 1000}, {100, 1000}));
  CHECK_FALSE(usage_percent({100, 1000}, {90, 900}));
}

TEST_CASE("load averages are read, and nothing else is taken for them") {
  const auto load = parse_loadavg("0.52 1.04 12.00 2/1083 4018\n");
  REQUIRE(load);
  CHECK(load->one == doctest::Approx(0.52));
  CHECK(load->five == doctest::Approx(1.04));
  CHECK(load->fifteen == doctest::Approx(12.0));
  CHECK_FALSE(parse_loadavg("0.52 1.04\n"));
  CHECK_FALSE(parse_loadavg("a b c\n"));
}

TEST_CASE("memory is in bytes, and a host without swap has none") {
  constexpr std::string_view text =
      "MemTotal:       24684096 kB\nMemFree:        24218656 kB\nMemAvailable:   24281888 kB\n"
      "Buffers:            2052 kB\nCached:           295316 kB\nSwapCached:            0 kB\n";
  std::optional<api::SwapMetrics> swap;
  const auto memory =
      parse_memory(std::string(text) + "SwapTotal:             0 kB\nSwapFree:  0 kB\n", swap);
  REQUIRE(memory);
  CHECK(memory->total_bytes == 24684096ull * 1024);
  CHECK(memory->used_bytes == (24684096ull - 24281888) * 1024);
  CHECK(memory->cached_bytes == 295316ull * 1024);
  CHECK_FALSE(swap);
  REQUIRE(parse_memory(std::string(text) + "SwapTotal:          1000 kB\nSwapFree:         400 kB\n", swap));
  REQUIRE(swap);
  CHECK(swap->used_bytes == 600 * 1024);
  CHECK_FALSE(parse_memory("MemTotal: 5 kB\n", swap));
}

TEST_CASE("pressure has what its file has") {
  const auto both = parse_pressure(
      "some avg10=0.39 avg60=1.83 avg300=1.62 total=20777146\n"
      "full avg10=0.00 avg60=0.10 avg300=0.00 total=7\n");
  REQUIRE(both);
  REQUIRE(both->some);
  CHECK(both->some->avg60 == doctest::Approx(1.83));
  CHECK(both->some->total_us == 20777146);
  REQUIRE(both->full);
  CHECK(both->full->total_us == 7);
  const auto one = parse_pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n");
  REQUIRE(one);
  CHECK_FALSE(one->full);
  CHECK_FALSE(parse_pressure(""));
  CHECK_FALSE(parse_pressure("some avg10=x avg60=0 avg300=0 total=1\n"));
}

TEST_CASE("interfaces are counted in both directions, also when a number touches the colon") {
  const auto network = parse_net_dev(
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo "
      "colls\n"
      "    lo:    3367      31    0    0    0     0          0         0     3368      32    0    0    0     "
      "0\n"
      "  eth0:39538657 952 1 2 0 0 0 0 77 88 3 4 0 0 0 0\n");
  REQUIRE(network.size() == 2);
  CHECK(network[0].name == "lo");
  CHECK(network[0].tx_bytes == 3368);
  CHECK(network[1].name == "eth0");
  CHECK(network[1].rx_bytes == 39538657);
  CHECK(network[1].rx_errors == 1);
  CHECK(network[1].rx_dropped == 2);
  CHECK(network[1].tx_packets == 88);
  CHECK(network[1].tx_dropped == 4);
}

TEST_CASE("a process's time is found behind any name it may have") {
  CHECK(parse_process_ticks("42 (a) b (c)) S 1 42 42 0 -1 4194560 1 2 3 4 700 30 0 0 20 0 1 0 5\n") == 730u);
  CHECK_FALSE(parse_process_ticks("42 (a S 1"));
  CHECK_FALSE(parse_process_ticks("42 (a) S 1 42\n"));
}

TEST_CASE("a value in kB is found by its whole name") {
  constexpr std::string_view text = "VmRSSx:  1 kB\nVmRSS:\t   512 kB\nThreads:\t9\n";
  CHECK(find_kilobytes(text, "VmRSS") == 512u * 1024);
  CHECK_FALSE(find_kilobytes(text, "Vm"));
  CHECK_FALSE(find_kilobytes(text, "Threads"));
  CHECK(find_count(text, "Threads") == 9u);
}

TEST_CASE("a mount is read past its optional fields, with its escapes undone") {
  const auto mounts = parse_mountinfo(
      "26 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw\n"
      "30 26 254:1 / /mnt/two\\040words\\134 rw - xfs /dev/vdb rw\n"
      "broken line\n");
  REQUIRE(mounts.size() == 2);
  CHECK(mounts[0].file_system == "ext4");
  CHECK(mounts[0].source == "/dev/vda");
  CHECK(mounts[1].mount_point == "/mnt/two words\\");
  CHECK(mounts[1].device_number == "254:1");
}
