// Metrics as text that Prometheus reads: its exposition format 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/). A pure function, used by the daemon's HTTP
// endpoint and by `kairoctl metrics --prometheus` alike.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/metrics.hpp"

namespace kairo::metrics {

/// What HTTP calls it.
inline constexpr std::string_view exposition_type = "text/plain; version=0.0.4; charset=utf-8";

/// HELP, TYPE and samples of every family, in the order given. Names are written as they are; texts and
/// values of labels are escaped. A histogram's buckets end with +Inf.
std::string render(const std::vector<api::MetricFamily>& families);

/// As the format wants a number: whole ones without exponent, NaN, +Inf, -Inf.
std::string number_text(double value);

}  // namespace kairo::metrics
