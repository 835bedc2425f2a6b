#include "bench/report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace kairo::bench {
namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20)
      out += ' ';
    else
      out += c;
  }
  return out + '"';
}

/// Five significant digits say more than any of these figures is worth; JSON has no infinities.
std::string number(double value) {
  if (!std::isfinite(value)) return "null";
  char text[40];
  const bool whole = std::abs(value) >= 1e5 && std::abs(value) < 1e15;
  std::snprintf(text, sizeof text, whole ? "%.0f" : "%.5g", value);
  return text;
}

class Line {
 public:
  void put(const std::string& name, const std::string& json) {
    text_ += text_.empty() ? '{' : ',';
    text_ += quoted(name) + ':' + json;
  }
  void put_number(const std::string& name, double value) { put(name, number(value)); }
  void print() const {
    std::printf("%s}\n", text_.c_str());
    std::fflush(stdout);
  }

 private:
  std::string text_;
};

bool is_met(const Goal& goal, double value, double ratio) {
  const double measured = goal.of == Goal::Of::ratio ? ratio : value;
  return goal.side == Goal::Side::at_least ? measured >= goal.bound : measured <= goal.bound;
}

}  // namespace

double median(std::vector<double> values) {
  const std::size_t middle = values.size() / 2;
  std::sort(values.begin(), values.end());
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double quantile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  const auto place = static_cast<std::size_t>(std::ceil(part * static_cast<double>(values.size())));
  return values[std::clamp<std::size_t>(place, 1, values.size()) - 1];
}

void report(const Figure& figure) {
  const double value = median(figure.values), raw = median(figure.raws);
  const auto [low, high] = std::minmax_element(figure.values.begin(), figure.values.end());
  const auto [raw_low, raw_high] = std::minmax_element(figure.raws.begin(), figure.raws.end());
  std::vector<double> ratios;
  for (std::size_t i = 0; i < figure.values.size(); ++i) ratios.push_back(figure.values[i] / figure.raws[i]);
  const auto [ratio_low, ratio_high] = std::minmax_element(ratios.begin(), ratios.end());

  Line line;
  line.put("scenario", quoted(figure.scenario));
  line.put("case", quoted(figure.variant));
  line.put_number("value", value);
  line.put("unit", quoted(figure.unit));
  line.put_number("raw", raw);
  line.put_number("ratio", value / raw);
  if (figure.goal.of == Goal::Of::nothing) {
    line.put("goal", "null");
  } else {
    line.put("goal", std::string("{\"of\":") +
                         (figure.goal.of == Goal::Of::ratio ? "\"ratio\"" : "\"value\"") +
                         (figure.goal.side == Goal::Side::at_least ? ",\"atLeast\":" : ",\"atMost\":") +
                         number(figure.goal.bound) + "}");
    line.put("met", is_met(figure.goal, value, value / raw) ? "true" : "false");
  }
  line.put_number("min", *low);
  line.put_number("max", *high);
  line.put_number("rawMin", *raw_low);
  line.put_number("rawMax", *raw_high);
  line.put_number("ratioMin", *ratio_low);
  line.put_number("ratioMax", *ratio_high);
  line.put_number("repeats", static_cast<double>(figure.values.size()));
  for (const auto& [name, each] : figure.numbers) line.put_number(name, each);
  for (const auto& [name, each] : figure.notes) line.put(name, quoted(each));
  double load = 0;
  if (::getloadavg(&load, 1) == 1) line.put_number("load", load);
  line.print();
}

void report_failure(const std::string& scenario, const std::string& problem) {
  Line line;
  line.put("scenario", quoted(scenario));
  line.put("error", quoted(problem));
  line.print();
}

}  // namespace kairo::bench
