#include "metrics/exposition.hpp"

#include <charconv>
#include <cmath>

#include "reflect/fields.hpp"

namespace kairo::metrics {
namespace {

/// Whole numbers are exact in a double up to here, and are written as such.
constexpr double exact_most = 9'007'199'254'740'992.0;

void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '\n')
      out += "\\n";
    else if (c == '"' && quotes)
      out += "\\\"";
    else
      out += c;
  }
}

using Labels = std::map<std::string, std::string>;

/// {a="1",le="0.5"}; nothing without labels.
void append_labels(std::string& out, const Labels& labels, std::string_view at_most = {}) {
  if (labels.empty() && at_most.empty()) return;
  char before = '{';
  for (const auto& [name, value] : labels) {
    out.append(1, before).append(name).append("=\"");
    append_escaped(out, value, true);
    out += '"';
    before = ',';
  }
  if (!at_most.empty()) out.append(1, before).append("le=\"").append(at_most).append("\"");
  out += '}';
}

void append_line(std::string& out, const std::string& name, std::string_view suffix, const Labels& labels,
                 std::string_view at_most, const std::string& value) {
  out.append(name).append(suffix);
  append_labels(out, labels, at_most);
  out.append(1, ' ').append(value).append(1, '\n');
}

}  // namespace

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[32];
  const bool whole = std::abs(value) <= exact_most && value == std::trunc(value);
  const auto written = whole ? std::to_chars(text, text + sizeof text, static_cast<std::int64_t>(value))
                             : std::to_chars(text, text + sizeof text, value);
  return std::string(text, written.ptr);
}

std::string render(const std::vector<api::MetricFamily>& families) {
  std::string out;
  for (const api::MetricFamily& family : families) {
    out.append("# HELP ").append(family.name).append(1, ' ');
    append_escaped(out, family.help, false);
    out.append("\n# TYPE ").append(family.name).append(1, ' ').append(reflect::enum_name(family.kind));
    out += '\n';
    for (const api::MetricSample& sample : family.samples) {
      if (sample.value) append_line(out, family.name, "", sample.labels, {}, number_text(*sample.value));
      if (!sample.buckets) continue;
      const std::string all = std::to_string(sample.count.value_or(0));
      for (const api::MetricBucket& bucket : *sample.buckets)
        append_line(out, family.name, "_bucket", sample.labels, number_text(bucket.at_most),
                    std::to_string(bucket.count));
      append_line(out, family.name, "_bucket", sample.labels, "+Inf", all);
      append_line(out, family.name, "_sum", sample.labels, {}, number_text(sample.sum.value_or(0)));
      append_line(out, family.name, "_count", sample.labels, {}, all);
    }
  }
  return out;
}

}  // namespace kairo::metrics
