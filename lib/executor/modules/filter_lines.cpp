// filter-lines: lets the lines pass that a regular expression is found in, or the others. A line's bytes are
// passed on as they came, its line feed included; a last line without one stays without.
#include <regex.h>

#include "executor/modules/stage.hpp"
#include "executor/modules/table.hpp"

namespace kairo::executor {
namespace {

/// The longest line: it is kept until it has ended.
constexpr std::size_t line_bytes = 1u << 20;

class FilterLines final : public Stage {
 public:
  FilterLines(const regex_t& pattern, bool invert) : pattern_(pattern), invert_(invert) {}
  ~FilterLines() override { ::regfree(&pattern_); }

 private:
  void take(std::string bytes) override {
    // Most of a piece are whole lines: only what is left of the last one is kept.
    std::string passing;
    std::size_t at = 0;
    if (!begun_.empty()) {
      const std::size_t end = bytes.find('\n');
      if (end == std::string::npos) return keep(bytes, passing);
      if (begun_.size() + end > line_bytes) return refuse(std::move(bytes), passing);
      begun_.append(bytes, 0, end + 1);
      judge(begun_, passing);
      begun_.clear();
      at = end + 1;
    }
    for (std::size_t end; (end = bytes.find('\n', at)) != std::string::npos; at = end + 1) {
      const std::string_view line = std::string_view(bytes).substr(at, end + 1 - at);
      if (line.size() > line_bytes + 1) return refuse(bytes.substr(at), passing);
      judge(line, passing);
    }
    keep(bytes.substr(at), passing);
  }

  void keep(std::string rest, std::string& passing) {
    if (begun_.size() + rest.size() > line_bytes) return refuse(std::move(rest), passing);
    begun_ += rest;
    give(std::move(passing));
  }

  void refuse(std::string rest, std::string& passing) {
    give(std::move(passing));
    fail(Error(Code::limit_exceeded, "filter-lines: a line is longer than " + std::to_string(line_bytes) +
                                         " bytes; it and all that follows was not passed on"),
         std::exchange(begun_, {}) + rest);
  }

  void judge(std::string_view line, std::string& passing) const {
    const std::string_view text = line.ends_with('\n') ? line.substr(0, line.size() - 1) : line;
    // With REG_STARTEND a line may hold any byte, NUL included.
    regmatch_t range{0, static_cast<regoff_t>(text.size())};
    const bool found = ::regexec(&pattern_, text.data(), 1, &range, REG_STARTEND) == 0;
    if (found != invert_) passing += line;
  }

  void input_over() override {
    std::string passing;
    if (!begun_.empty()) judge(std::exchange(begun_, {}), passing);
    give(std::move(passing));
    finish();
  }

  std::string held() override { return std::exchange(begun_, {}); }

  regex_t pattern_;
  bool invert_;
  std::string begun_;  ///< Of a line whose end has not come.
};

}  // namespace

Result<std::unique_ptr<StreamModule>> make_filter_lines(const reflect::Any& params,
                                                        const ModuleStart& start) {
  auto wanted = module_params<topology::FilterLinesParams>(params, start);
  if (!wanted) return std::move(wanted).error();
  if (wanted->match.find('\0') != std::string::npos)
    return refused_param(start, "match", "must not contain a NUL byte");
  regex_t pattern;
  if (const int failed = ::regcomp(&pattern, wanted->match.c_str(), REG_EXTENDED | REG_NOSUB); failed != 0) {
    char text[256];
    ::regerror(failed, &pattern, text, sizeof text);
    return refused_param(start, "match", "is no extended regular expression: " + std::string(text));
  }
  return std::unique_ptr<StreamModule>(new FilterLines(pattern, wanted->invert));
}

}  // namespace kairo::executor
