#include "denial_lines.hpp"

#include "api/methods.hpp"
#include "base/shown.hpp"
#include "reflect/decode.hpp"

namespace kairo::ctl {
namespace {

/// The rest is told by `kairoctl explain`.
constexpr std::size_t lines_max = 10;

}  // namespace

std::vector<std::string> denial_lines(const msgpack::object& explained, const std::string& id) {
  std::vector<std::string> out;
  const auto result = reflect::from_object<api::ExplainResult>(explained, "result", reflect::Unknown::ignore);
  if (!result || !result->denials) return out;
  for (const api::Denied& each : *result->denials) {
    if (out.size() == lines_max) {
      out.push_back("kairoctl: denied: " + std::to_string(result->denials->size() - lines_max) +
                    " more; kairoctl explain " + id + " lists them\n");
      break;
    }
    std::string line = "kairoctl: denied: " + shown(each.what);
    // Names of files are whatever a program makes of them.
    if (each.target) line += " " + shell_word(*each.target);
    if (each.count > 1) line += " (" + std::to_string(each.count) + " times)";
    line += each.would ? "; " + shown(*each.would) + " would allow it" : "; no option allows it";
    if (each.note) line += ": " + shown(*each.note);
    out.push_back(line + "\n");
  }
  if (!out.empty() && !result->complete.value_or(true))
    out.emplace_back("kairoctl: denied: perhaps more, of which there is no list\n");
  return out;
}

}  // namespace kairo::ctl
