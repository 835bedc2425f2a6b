// kairoctl spawn: start a program, print its session, leave.
#include <memory>

#include "context.hpp"
#include "option_set.hpp"
#include "program_options.hpp"

namespace kairo::ctl {
namespace {

struct Options {
  ProgramOptions program;
  std::string standard_output;
  std::string standard_error;
};

int spawn(Context& context, const Options& options) {
  api::SpawnParams params = spawn_params(options.program, context.program());
  if (options.standard_output == "null") params.options->standard_output = api::StdoutKind::null;
  if (options.standard_error == "null") params.options->standard_error = api::StderrKind::null;
  if (options.standard_error == "stdout") params.options->standard_error = api::StderrKind::stdout_;
  return call_and_print(context, "process.spawn", params);
}

}  // namespace

Action declare_spawn(OptionSet& set) {
  auto options = std::make_shared<Options>();
  declare_program_options(set, options->program);
  set.choice("--stdout", options->standard_output, "KIND", {"pipe", "null"}, "pipe or null");
  set.choice("--stderr", options->standard_error, "KIND", {"pipe", "stdout", "null"}, "pipe, stdout or null");
  return [options](Context& context) { return spawn(context, *options); };
}

Action plain_spawn() {
  return [](Context& context) { return spawn(context, {}); };
}

}  // namespace kairo::ctl
