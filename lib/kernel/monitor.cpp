#include "kernel/monitor.hpp"

#include <memory>

#include <boost/asio/post.hpp>

#include "kernel/kernel.hpp"

namespace kairo::kernel {
namespace {

system::Thresholds::Bounds bounds_of(const Settings& settings) {
  system::Thresholds::Bounds out;
  out.load_high = settings.load_high_percent;
  out.load_low = settings.load_low_percent;
  out.memory_pressure_high = settings.memory_pressure_high_percent;
  out.memory_pressure_low = settings.memory_pressure_low_percent;
  out.battery_critical = settings.battery_critical_percent;
  out.battery_recovered = settings.battery_recovered_percent;
  out.hold = std::chrono::seconds(settings.high_seconds);
  return out;
}

}  // namespace

void Monitor::start() {
  read_now();
  wake();
}

void Monitor::read_now() {
  looked_at_ = SteadyClock::now();
  boost::asio::post(kernel_.worker(), [this] { static_cast<void>(kernel_.metrics().look()); });
}

void Monitor::wake() {
  if (kernel_.stopping() || (kernel_.clients() == 0 && kernel_.sessions().live() == 0)) return;
  if (timer_ == 0) plan();
}

void Monitor::plan() {
  timer_ = kernel_.timers().after(std::chrono::seconds(kernel_.settings().sample_seconds), [this] {
    timer_ = 0;
    if (kernel_.stopping()) return;
    if (kernel_.clients() == 0 && kernel_.sessions().live() == 0) return thresholds_.interrupt();
    if (!looking_) look();
    plan();
  });
}

void Monitor::look() {
  looking_ = true;
  looked_at_ = SteadyClock::now();
  boost::asio::post(kernel_.worker(), [this] {
    auto sample = std::make_shared<api::SystemMetrics>(kernel_.metrics().look());
    boost::asio::post(kernel_.io(), [this, sample] {
      looking_ = false;
      if (!kernel_.stopping()) judge(*sample);
    });
  });
}

void Monitor::judge(const api::SystemMetrics& sample) {
  const auto reached = thresholds_.observe(sample, SteadyClock::now(), bounds_of(kernel_.settings()));
  for (const auto* load : {&reached.load, &reached.memory})
    if (*load) kernel_.emit_kernel("kairo.system.load.high", reflect::Any{reflect::to_msgpack(**load)});
  if (reached.power)
    kernel_.emit_kernel("kairo.system.power.critical", reflect::Any{reflect::to_msgpack(*reached.power)});
}

}  // namespace kairo::kernel
