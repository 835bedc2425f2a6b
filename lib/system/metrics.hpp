// MetricsSampler reads what system.get_metrics answers from /proc and /sys (SPEC 10). It owns the readings
// before, from which the use of the processor follows; the first sample of all has no use. kairod takes one
// at its start and then every few seconds while somebody is there (kernel/monitor.hpp), so that a client's
// first one has.
//
// sample() blocks on the kernel's own files (about a millisecond) and on statvfs of local disks: call it from
// the worker thread, one call at a time.
#pragma once

#include <optional>
#include <string>

#include "api/system.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "system/host_files.hpp"
#include "system/proc_text.hpp"
#include "system/readings.hpp"

namespace kairo::system {

class MetricsSampler {
 public:
  /// `root` stands before every path that is read, but for what the daemon reads of itself, where `own` does;
  /// tests give a tree of their own.
  explicit MetricsSampler(const std::string& root = "/") : MetricsSampler(root, root) {}
  MetricsSampler(std::string root, std::string own) : host_(std::move(root)), own_(std::move(own)) {}

  /// What the host tells now; a part that it does not tell is absent. E_INTERNAL when it tells nothing at
  /// all, which means that /proc is not mounted.
  Result<api::SystemMetrics> sample();
  /// A cheap one for the thresholds: processor, load, memory, pressure and batteries alone.
  api::SystemMetrics look();

 private:
  std::optional<api::CpuMetrics> sample_cpu();
  [[nodiscard]] std::optional<api::PressureMetrics> sample_pressure() const;
  [[nodiscard]] api::DaemonMetrics sample_daemon() const;

  void read_vitals(api::SystemMetrics& metrics);

  HostFiles host_;
  HostFiles own_;
  Readings<CpuStat> readings_;
};

}  // namespace kairo::system
