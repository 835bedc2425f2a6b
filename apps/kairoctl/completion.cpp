// kairoctl completion: the script that a shell needs, from the files in completions/.
#include <memory>

#include "context.hpp"
#include "option_set.hpp"

namespace kairo::ctl {

Action declare_completion(OptionSet& set) {
  auto shell = std::make_shared<std::string>();
  set.argument_choice("SHELL", *shell, {"bash", "zsh", "fish"}, "bash, zsh or fish");
  return [shell](Context&) {
    write_out(*shell == "bash" ? bash_completion : *shell == "zsh" ? zsh_completion : fish_completion);
    return exit_code::success;
  };
}

}  // namespace kairo::ctl
