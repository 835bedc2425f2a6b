// The kernel's counters, and what can be read off its state, as families of metrics.
#pragma once

#include <vector>

#include "api/metrics.hpp"

namespace kairo::kernel {

class Kernel;

/// On the kernel's thread; some tens of microseconds, whatever the number of sessions. Methods that were
/// never called are left out.
std::vector<api::MetricFamily> self_metrics(Kernel& kernel);

}  // namespace kairo::kernel
