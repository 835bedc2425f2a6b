#include "metrics/exposition.hpp"

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "metrics/histogram.hpp"

using namespace kairo;
using namespace kairo::metrics;

TEST_CASE("a family has its HELP, its TYPE and a line for each set of labels") {
  api::MetricFamily family{"kairo_requests_total", api::MetricKind::counter, "Requests.", {}};
  family.samples.push_back({{{"method", "kernel.ping"}, {"code", "x"}}, 12.0, {}, {}, {}});
  family.samples.push_back({{}, 0.5, {}, {}, {}});
  CHECK(render({family}) ==
        "# HELP kairo_requests_total Requests.\n"
        "# TYPE kairo_requests_total counter\n"
        "kairo_requests_total{code=\"x\",method=\"kernel.ping\"} 12\n"
        "kairo_requests_total 0.5\n");
}

TEST_CASE("labels escape quotes, backslashes and newlines; help leaves quotes alone") {
  api::MetricFamily family{"a", api::MetricKind::gauge, "say \"x\"\\\nnext", {}};
  family.samples.push_back({{{"l", "q\"b\\n\nend"}}, 1.0, {}, {}, {}});
  CHECK(render({family}) ==
        "# HELP a say \"x\"\\\\\\nnext\n"
        "# TYPE a gauge\n"
        "a{l=\"q\\\"b\\\\n\\nend\"} 1\n");
}

TEST_CASE("a histogram's buckets are cumulative and end with +Inf, which is its count") {
  Histogram histogram;
  using namespace std::chrono_literals;
  histogram.observe(10us);
  histogram.observe(11us, 2);
  histogram.observe(1s);
  histogram.observe(20s);
  api::MetricFamily family{"h_seconds", api::MetricKind::histogram, "H.", {histogram.sample({{"m", "x"}})}};
  const std::string text = render({family});
  CHECK(text.find("h_seconds_bucket{m=\"x\",le=\"1e-05\"} 1\n") != std::string::npos);
  CHECK(text.find("h_seconds_bucket{m=\"x\",le=\"2.5e-05\"} 3\n") != std::string::npos);
  CHECK(text.find("h_seconds_bucket{m=\"x\",le=\"0.1\"} 3\n") != std::string::npos);
  CHECK(text.find("h_seconds_bucket{m=\"x\",le=\"1\"} 4\n") != std::string::npos);
  CHECK(text.find("h_seconds_bucket{m=\"x\",le=\"10\"} 4\n") != std::string::npos);
  CHECK(text.find("h_seconds_bucket{m=\"x\",le=\"+Inf\"} 5\nh_seconds_sum{m=\"x\"} 21.000032\n"
                  "h_seconds_count{m=\"x\"} 5\n") != std::string::npos);
}

TEST_CASE("a family without samples keeps its head") {
  CHECK(render({{"a_total", api::MetricKind::counter, "A.", {}}}) ==
        "# HELP a_total A.\n# TYPE a_total counter\n");
}

TEST_CASE("numbers are whole where they are, and have the format's words") {
  CHECK(number_text(0) == "0");
  CHECK(number_text(-3) == "-3");
  CHECK(number_text(1e6) == "1000000");
  CHECK(number_text(9007199254740992.0) == "9007199254740992");
  CHECK(number_text(1e300) == "1e+300");
  CHECK(number_text(0.25) == "0.25");
  CHECK(number_text(std::nan("")) == "NaN");
  CHECK(number_text(std::numeric_limits<double>::infinity()) == "+Inf");
  CHECK(number_text(-std::numeric_limits<double>::infinity()) == "-Inf");
}
