// Looks at the host every few seconds (sampleSeconds) and tells when a threshold has been reached
// (kairo.system.load.high, kairo.system.power.critical), while there is anybody to be told: with neither a
// connection nor a live session an idle daemon is not woken.
//
// The files are read on the worker thread, about 0.2 ms each time; the verdict falls on the kernel's. A look
// takes no notice of sessions, so that its price does not grow with them.
//
// Order of calls, on the kernel's thread: start() once; wake() whenever somebody came.
#pragma once

#include "api/system.hpp"
#include "base/clock.hpp"
#include "kernel/timers.hpp"
#include "system/thresholds.hpp"

namespace kairo::kernel {

class Kernel;

class Monitor {
 public:
  explicit Monitor(Kernel& kernel) : kernel_(kernel) {}

  /// Takes the first reading of the processor, which later ones are compared with.
  void start();
  void wake();
  /// When a reading was last ordered. Nobody looks while there is neither a connection nor a live session.
  [[nodiscard]] SteadyTime looked_at() const { return looked_at_; }
  /// Takes a reading, which later ones are compared with.
  void read_now();

 private:
  void plan();
  void look();
  void judge(const api::SystemMetrics& sample);

  Kernel& kernel_;
  system::Thresholds thresholds_;
  Timers::Id timer_ = 0;
  SteadyTime looked_at_{};
  bool looking_ = false;  ///< The worker has not answered yet; a slow one is not asked twice.
};

}  // namespace kairo::kernel
