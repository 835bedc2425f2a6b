#include "system/thresholds.hpp"

#include <doctest/doctest.h>

using namespace kairo;
using namespace kairo::system;
using namespace std::chrono_literals;

namespace {

const SteadyTime start{};

Thresholds::Bounds bounds() {
  return {200, 150, 20, 10, 10, 15, 30s};
}

api::SystemMetrics loaded(double one, std::uint32_t cores = 4) {
  api::SystemMetrics out;
  out.cpu = api::CpuMetrics{cores, {}, {}, {}};
  out.load = api::LoadMetrics{one, 0, 0};
  return out;
}

api::SystemMetrics pressed(double avg10) {
  api::SystemMetrics out;
  api::ResourcePressure memory;
  memory.some = api::PressureShare{avg10, 0, 0, 0};
  out.pressure = api::PressureMetrics{{}, memory, {}};
  out.memory = api::MemoryMetrics{100, 5, 95, 1, {}, {}};
  return out;
}

api::SystemMetrics charged(double percent, const char* status) {
  api::SystemMetrics out;
  out.battery = {{"BAT0", percent, status}};
  return out;
}

}  // namespace

TEST_CASE("a level is told once it has lasted, and again only after it was low") {
  Level level;
  const Level::Bounds b{10, 5, 20s};
  CHECK_FALSE(level.observe(10, start, b));
  CHECK_FALSE(level.observe(12, start + 19s, b));
  CHECK(level.observe(12, start + 20s, b) == 20s);
  CHECK_FALSE(level.observe(15, start + 40s, b));
  CHECK_FALSE(level.observe(5, start + 50s, b));  // not below low
  CHECK_FALSE(level.observe(11, start + 60s, b));
  CHECK_FALSE(level.observe(11, start + 90s, b));
  CHECK_FALSE(level.observe(4.9, start + 100s, b));
  CHECK_FALSE(level.observe(11, start + 110s, b));
  CHECK(level.observe(11, start + 130s, b) == 20s);
}

TEST_CASE("one sample below begins the time anew, and so does a while without samples") {
  Level level;
  const Level::Bounds b{10, 5, 20s};
  CHECK_FALSE(level.observe(10, start, b));
  CHECK_FALSE(level.observe(9.9, start + 15s, b));
  CHECK_FALSE(level.observe(10, start + 20s, b));
  CHECK_FALSE(level.observe(10, start + 39s, b));
  level.interrupt();
  CHECK_FALSE(level.observe(10, start + 60s, b));
  CHECK(level.observe(10, start + 80s, b) == 20s);
}

TEST_CASE("load counts in percent of the cores and tells its figures") {
  Thresholds thresholds;
  CHECK_FALSE(thresholds.observe(loaded(7.9), start, bounds()).load);
  CHECK_FALSE(thresholds.observe(loaded(8), start + 30s, bounds()).load);
  const auto reached = thresholds.observe(loaded(9), start + 60s, bounds());
  REQUIRE(reached.load);
  CHECK(reached.load->resource == api::LoadResource::cpu);
  CHECK(reached.load->percent == doctest::Approx(225));
  CHECK(reached.load->threshold_percent == 200);
  CHECK(reached.load->lasted_ms == 30'000);
  CHECK(reached.load->load->one == doctest::Approx(9));
  CHECK(reached.load->cpu->cores == 4);
  CHECK_FALSE(reached.memory);
  CHECK_FALSE(reached.power);
}

TEST_CASE("memory pressure has a level of its own") {
  Thresholds thresholds;
  CHECK_FALSE(thresholds.observe(pressed(25), start, bounds()).memory);
  const auto reached = thresholds.observe(pressed(25), start + 30s, bounds());
  REQUIRE(reached.memory);
  CHECK(reached.memory->resource == api::LoadResource::memory);
  CHECK(reached.memory->percent == doctest::Approx(25));
  CHECK(reached.memory->memory->available_bytes == 5);
  CHECK(reached.memory->pressure->some->avg10 == doctest::Approx(25));
  CHECK_FALSE(thresholds.observe(pressed(10), start + 60s, bounds()).memory);
  CHECK_FALSE(thresholds.observe(pressed(30), start + 100s, bounds()).memory);
  CHECK_FALSE(thresholds.observe(pressed(30), start + 200s, bounds()).memory);
}

TEST_CASE("a battery that is discharged to its bound is told at once, and again only after it recovered") {
  Thresholds thresholds;
  CHECK_FALSE(thresholds.observe(charged(11, "discharging"), start, bounds()).power);
  const auto reached = thresholds.observe(charged(10, "discharging"), start + 5s, bounds());
  REQUIRE(reached.power);
  CHECK(reached.power->percent == doctest::Approx(10));
  CHECK(reached.power->threshold_percent == 10);
  REQUIRE(reached.power->battery.size() == 1);
  CHECK(reached.power->battery[0].name == "BAT0");
  CHECK_FALSE(thresholds.observe(charged(8, "discharging"), start + 10s, bounds()).power);
  CHECK_FALSE(thresholds.observe(charged(9, "charging"), start + 15s, bounds()).power);
  CHECK_FALSE(thresholds.observe(charged(8, "discharging"), start + 20s, bounds()).power);
  CHECK_FALSE(thresholds.observe(charged(16, "charging"), start + 25s, bounds()).power);
  CHECK(thresholds.observe(charged(10, "discharging"), start + 30s, bounds()).power);
}

TEST_CASE("a battery that is charged is not critical, nor is one whose charge is unknown") {
  Thresholds thresholds;
  CHECK_FALSE(thresholds.observe(charged(3, "charging"), start, bounds()).power);
  api::SystemMetrics unknown;
  unknown.battery = {{"BAT0", {}, "discharging"}};
  CHECK_FALSE(thresholds.observe(unknown, start, bounds()).power);
  CHECK(thresholds.observe(charged(3, "discharging"), start, bounds()).power);
}

TEST_CASE("0 means never, and what is absent changes nothing") {
  Thresholds thresholds;
  Thresholds::Bounds never;
  for (int i = 0; i < 3; ++i) {
    auto sample = loaded(1000);
    sample.pressure = pressed(100).pressure;
    sample.battery = charged(0, "discharging").battery;
    const auto reached = thresholds.observe(sample, start + i * 60s, never);
    CHECK_FALSE(reached.load);
    CHECK_FALSE(reached.memory);
    CHECK_FALSE(reached.power);
  }
  CHECK_FALSE(thresholds.observe(loaded(8), start, bounds()).load);
  CHECK_FALSE(thresholds.observe({}, start + 10s, bounds()).load);
  CHECK(thresholds.observe(loaded(8), start + 30s, bounds()).load);
}
