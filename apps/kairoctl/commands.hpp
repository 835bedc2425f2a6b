// The commands of kairoctl. Each has a function that declares its options and returns what is
// to be done once they are parsed. Only the command that was named is declared, so that starting costs
// little.
#pragma once

#include <functional>
#include <span>
#include <string_view>

namespace kairo::ctl {

class Context;
class OptionSet;

/// Does the command's work; returns the exit code.
using Action = std::function<int(Context&)>;

struct Command {
  const char* name;
  const char* text;  ///< One line for the list of commands.
  Action (*declare)(OptionSet& set);
  /// Set where what follows the options is another program's command line, left untouched: the action when no
  /// option was given, which needs no parser. Scripts start these most, in this form.
  Action (*plain)() = nullptr;
  /// Set where the next word names one of several actions, each with options of its own (`topology up`); then
  /// there is no `declare`.
  std::span<const Command> (*actions)() = nullptr;
  /// Whether a program's command line may follow the command's own words behind "--".
  bool program_behind_dashes = false;

  [[nodiscard]] constexpr bool takes_program() const { return plain != nullptr; }
};

/// All of them, in the order in which help lists them.
std::span<const Command> all_commands();
/// nullptr when there is none of this name.
const Command* find_command(std::span<const Command> commands, std::string_view name);

extern const std::string_view bash_completion;
extern const std::string_view zsh_completion;
extern const std::string_view fish_completion;

}  // namespace kairo::ctl
