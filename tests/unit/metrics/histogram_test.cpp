#include "metrics/histogram.hpp"

#include <algorithm>

#include <doctest/doctest.h>

using namespace kairo::metrics;
using namespace std::chrono_literals;

TEST_CASE("the bounds rise") {
  CHECK(std::is_sorted(Histogram::bounds.begin(), Histogram::bounds.end()));
  CHECK(std::adjacent_find(Histogram::bounds.begin(), Histogram::bounds.end()) == Histogram::bounds.end());
}

TEST_CASE("a value stands in the bucket of its bound and in all above") {
  Histogram histogram;
  histogram.observe(25us);
  histogram.observe(25us + 1ns, 3);
  const auto sample = histogram.sample({});
  REQUIRE(sample.buckets);
  CHECK(sample.buckets->at(0).count == 0);
  CHECK(sample.buckets->at(1).count == 1);
  CHECK(sample.buckets->at(2).count == 4);
  CHECK(sample.buckets->back().count == 4);
  CHECK(sample.count == 4u);
  CHECK(histogram.count() == 4);
  CHECK(histogram.sum_seconds() == doctest::Approx(100e-6));
}

TEST_CASE("what lasts longer than the last bound stands in the count alone, and for ever overflows nothing") {
  Histogram histogram;
  histogram.observe(std::chrono::hours(24 * 365), 1'000'000);
  const auto sample = histogram.sample({});
  CHECK(sample.buckets->back().count == 0);
  CHECK(sample.count == 1'000'000u);
  CHECK(sample.sum == doctest::Approx(3600.0 * 24 * 365 * 1e6));
}

TEST_CASE("a clock that stepped back counts as nothing") {
  Histogram histogram;
  histogram.observe(-5ms);
  CHECK(histogram.sample({}).buckets->front().count == 1);
  CHECK(histogram.sum_seconds() == 0);
}
