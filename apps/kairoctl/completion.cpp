// kairoctl completion: the script that a shell needs, from the files in completions/.
#include <memory>

#include <CLI/CLI.hpp>

#include "context.hpp"

namespace kairo::ctl {

Action declare_completion(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  app.add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  return [shell](Context&) {
    write_out(*shell == "bash" ? bash_completion : *shell == "zsh" ? zsh_completion : fish_completion);
    return exit_code::success;
  };
}

}  // namespace kairo::ctl
