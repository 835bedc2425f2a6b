#include "system/process_metrics.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "host.hpp"
#include "system/proc_text.hpp"

using namespace kairo;
using namespace kairo::system;

namespace {

class Host : public test::Host {
 public:
  /// A process with `ticks` of its own and of its children, two threads, three pages, two descriptors.
  void add(pid_t pid, int ticks, const char* state = "S") {
    const std::string at = "proc/" + std::to_string(pid) + "/", t = std::to_string(ticks);
    write(at + "stat", std::to_string(pid) + " (a ) (b) " + state + " 1 1 1 0 -1 0 1 2 3 4 " + t + " " + t +
                           " " + t + " " + t + " 20 0 2 0 5 1000 3 99\n");
    write(at + "io", "rchar: 10\nwchar: 20\nsyscr: 1\nsyscw: 1\nread_bytes: 30\nwrite_bytes: 40\n");
    write(at + "smaps_rollup", "0-1 [rollup]\nRss: 12 kB\nPrivate_Clean: 4 kB\nPrivate_Dirty: 8 kB\n");
    write(at + "fd/0", "");
    write(at + "fd/1", "");
  }
  [[nodiscard]] ProcessSampler sampler() const { return ProcessSampler(root()); }
};

const double tick = static_cast<double>(sysconf(_SC_CLK_TCK));

}  // namespace

TEST_CASE("stat is read behind the last parenthesis of a name that holds some") {
  const auto stat =
      parse_process_stat("7 (a) R 1) Z 3 1 1 0 -1 0 1 2 3 4 150 50 7 8 20 0 9 0 5 1000 33 99\n");
  REQUIRE(stat);
  CHECK(stat->ended);
  CHECK(stat->parent == 3);
  CHECK(stat->user_ticks == 150);
  CHECK(stat->system_ticks == 50);
  CHECK(stat->waited_user_ticks == 7);
  CHECK(stat->waited_system_ticks == 8);
  CHECK(stat->threads == 9);
  CHECK(stat->resident_pages == 33);
  CHECK_FALSE(parse_process_stat("7 (a) S 3 1 1"));
  CHECK_FALSE(parse_process_stat("7 a S 3"));
  CHECK_FALSE(parse_process_stat(""));
}

TEST_CASE("a session's figures are the sums over its processes, children that ended included") {
  Host host;
  host.add(10, 100);
  host.add(11, 50);
  auto sampler = host.sampler();
  const auto sum = sampler.sample(1, system_now() - std::chrono::seconds(10), {10, 11});
  REQUIRE(sum);
  CHECK(sum->processes == 2);
  CHECK(sum->threads == 4);
  CHECK(sum->cpu.user_seconds == doctest::Approx(300 / tick));
  CHECK(sum->cpu.system_seconds == doctest::Approx(300 / tick));
  CHECK(sum->cpu.interval_ms >= 10'000);
  CHECK(sum->cpu.usage_percent > 0);
  CHECK(sum->cpu.usage_percent <= 100 * 600 / tick / 10);
  CHECK(sum->resident_bytes == 6 * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)));
  CHECK(sum->private_bytes == 2u * 12 * 1024);
  REQUIRE(sum->io);
  CHECK(sum->io->read_bytes == 20);
  CHECK(sum->io->written_bytes == 40);
  CHECK(sum->io->disk_read_bytes == 60);
  CHECK(sum->io->disk_written_bytes == 80);
  CHECK(sum->descriptors == 4u);
  CHECK_FALSE(sum->unreadable);
}

TEST_CASE("a process that has gone is left out, and of a zombie only its time counts") {
  Host host;
  host.add(10, 100);
  host.add(11, 50, "Z");
  host.write("proc/12/io", "rchar: 1\n");  // its stat went meanwhile
  auto sampler = host.sampler();
  const auto sum = sampler.sample(1, system_now(), {10, 11, 12, 13});
  REQUIRE(sum);
  CHECK(sum->processes == 1);
  CHECK(sum->threads == 2);
  CHECK(sum->cpu.user_seconds == doctest::Approx(300 / tick));
  CHECK(sum->descriptors == 2u);
  CHECK_FALSE(sum->unreadable);
  CHECK_FALSE(sampler.sample(1, system_now(), {13}));
  CHECK_FALSE(sampler.sample(1, system_now(), {}));
}

TEST_CASE("what the system refuses of one process is absent of the sum, which says so") {
  Host host;
  host.add(10, 100);
  host.write("proc/11/stat", "11 (x) S 1 1 1 0 -1 0 1 2 3 4 1 1 1 1 20 0 2 0 5 1000 3 99\n");
  host.make_directory("proc/11/io");  // reading it is an error that is not "gone"
  host.make_directory("proc/11/smaps_rollup");
  host.write("proc/11/fd", "");  // no directory
  auto sampler = host.sampler();
  const auto sum = sampler.sample(1, system_now(), {10, 11});
  REQUIRE(sum);
  CHECK(sum->processes == 2);
  CHECK_FALSE(sum->io);
  CHECK_FALSE(sum->private_bytes);
  CHECK_FALSE(sum->descriptors);
  REQUIRE(sum->unreadable);
  CHECK(*sum->unreadable == std::vector<std::string>{"io", "privateBytes", "descriptors"});
}

TEST_CASE("readings compare with what is a second old, or else with the oldest") {
  using namespace std::chrono_literals;
  Readings<int> readings;
  const SteadyTime start{};
  CHECK(readings.before(start) == nullptr);
  readings.add(1, start);
  CHECK(readings.before(start + 100ms)->value == 1);
  readings.add(2, start + 500ms);  // too soon: not kept
  readings.add(3, start + 1000ms);
  CHECK(readings.before(start + 1100ms)->value == 1);
  CHECK(readings.before(start + 2000ms)->value == 3);
  readings.add(4, start + 7s);
  CHECK(readings.before(start + 7100ms)->value == 3);
  CHECK(readings.before(start + 9s)->value == 4);
}

TEST_CASE("this process' own tree is found and measured, a child that left its group included") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    close(ends[1]);
    setsid();
    const pid_t below = fork();
    char c = 0;
    [[maybe_unused]] const ssize_t got = read(ends[0], &c, 1);  // until the test closes its end
    if (below > 0) waitpid(below, nullptr, 0);
    _exit(0);
  }
  close(ends[0]);
  std::vector<pid_t> found;
  const auto deadline = SteadyClock::now() + std::chrono::seconds(20);
  while (found.size() < 2 && SteadyClock::now() < deadline)
    found = session_processes(child, getpid(), "none");
  CHECK(found.size() == 2);
  CHECK(std::find(found.begin(), found.end(), child) != found.end());
  ProcessSampler sampler;
  const auto sum = sampler.sample(1, system_now(), found);
  REQUIRE(sum);
  CHECK(sum->processes == 2);
  CHECK(sum->threads == 2);
  CHECK(sum->resident_bytes > 0);
  CHECK(session_processes(getpid(), child, "none").empty());  // not its child
  close(ends[1]);
  waitpid(child, nullptr, 0);
}
