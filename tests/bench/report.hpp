// What comes out: one JSON object per line.
//
//   {"scenario":"stream","case":"binary","value":1510.2,"unit":"MB/s","raw":1690.4,"ratio":0.893,
//    "goal":{"of":"ratio","atLeast":0.85},"met":true,"min":...,"max":...,"rawMin":...,"rawMax":...,
//    "ratioMin":...,"ratioMax":...,"repeats":5,"load":0.4, further members of the scenario}
//
// value and raw are the medians of all repeats, ratio is value / raw, min and max are the extremes of value,
// load is the machine's load average of the last minute.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace kairo::bench {

/// Medians are what is reported; the mean of the middle two when the count is even. Not of an empty list.
double median(std::vector<double> values);
/// The smallest value that at least `part` (0 to 1) of all values do not exceed.
double quantile(std::vector<double> values, double part);

struct Goal {
  enum class Of { nothing, value, ratio };
  enum class Side { at_least, at_most };
  Of of = Of::nothing;
  Side side = Side::at_least;
  double bound = 0;
};
inline Goal ratio_at_least(double bound) {
  return {Goal::Of::ratio, Goal::Side::at_least, bound};
}
inline Goal ratio_at_most(double bound) {
  return {Goal::Of::ratio, Goal::Side::at_most, bound};
}
inline Goal value_at_least(double bound) {
  return {Goal::Of::value, Goal::Side::at_least, bound};
}
inline Goal value_at_most(double bound) {
  return {Goal::Of::value, Goal::Side::at_most, bound};
}

struct Figure {
  std::string scenario;
  std::string variant;  ///< `case` in the JSON.
  std::string unit;
  std::vector<double> values;  ///< Kairo's, one per repeat.
  std::vector<double> raws;    ///< The counterpart's, in the same order.
  Goal goal = {};
  std::vector<std::pair<std::string, double>> numbers = {};     ///< Further members.
  std::vector<std::pair<std::string, std::string>> notes = {};  ///< Further members: text.
};

/// Prints the line, at once.
void report(const Figure& figure);

/// A scenario that could not be measured: {"scenario":...,"error":...}.
void report_failure(const std::string& scenario, const std::string& problem);

}  // namespace kairo::bench
