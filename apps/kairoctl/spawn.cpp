// kairoctl spawn: start a program, print its session, leave.
#include <memory>

#include <CLI/CLI.hpp>

#include "context.hpp"
#include "program_options.hpp"

namespace kairo::ctl {
namespace {

struct Options {
  ProgramOptions program;
  std::string standard_output;
  std::string standard_error;
};

}  // namespace

Action declare_spawn(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_program_options(app, options->program);
  app.add_option("--stdout", options->standard_output, "pipe or null")
      ->type_name("KIND")
      ->check(CLI::IsMember({"pipe", "null"}));
  app.add_option("--stderr", options->standard_error, "pipe, stdout or null")
      ->type_name("KIND")
      ->check(CLI::IsMember({"pipe", "stdout", "null"}));
  return [options](Context& context) {
    api::SpawnParams params = spawn_params(options->program, context.program());
    if (options->standard_output == "null") params.options->standard_output = api::StdoutKind::null;
    if (options->standard_error == "null") params.options->standard_error = api::StderrKind::null;
    if (options->standard_error == "stdout") params.options->standard_error = api::StderrKind::stdout_;
    return call_and_print(context, "process.spawn", params);
  };
}

}  // namespace kairo::ctl
