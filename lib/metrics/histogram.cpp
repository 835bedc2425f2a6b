#include "metrics/histogram.hpp"

#include <numeric>

namespace kairo::metrics {

std::uint64_t Histogram::count() const {
  return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
}

api::MetricSample Histogram::sample(std::map<std::string, std::string> labels) const {
  api::MetricSample out;
  out.labels = std::move(labels);
  out.buckets.emplace();
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    below += counts_[i];
    out.buckets->push_back({static_cast<double>(bounds[i]) / 1e6, below});
  }
  out.sum = sum_seconds_;
  out.count = below + counts_.back();
  return out;
}

}  // namespace kairo::metrics
