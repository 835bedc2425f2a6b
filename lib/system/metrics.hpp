// MetricsSampler reads what system.get_metrics answers from /proc and /sys (SPEC 10). It owns the reading
// before, from which the use of the processor follows; so one sampler serves one series of samples, and the
// first has no use.
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

namespace kairo::system {

class MetricsSampler {
 public:
  /// `root` stands before every path that is read; tests give a tree of their own.
  explicit MetricsSampler(std::string root = "/") : host_(std::move(root)) {}

  /// What the host tells now; a part that it does not tell is absent. E_INTERNAL when it tells nothing at
  /// all, which means that /proc is not mounted.
  Result<api::SystemMetrics> sample();

 private:
  struct Reading {
    CpuStat stat;
    SteadyTime time;
  };

  std::optional<api::CpuMetrics> sample_cpu();
  [[nodiscard]] std::optional<api::PressureMetrics> sample_pressure() const;
  [[nodiscard]] api::DaemonMetrics sample_daemon() const;

  HostFiles host_;
  std::optional<Reading> before_;
};

}  // namespace kairo::system
