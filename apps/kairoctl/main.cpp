// kairoctl: the command line of Kairo. See kairoctl(1).
//
// A start in three steps, each doing no more than it must: find the command's name among the words, declare
// the options of that command alone, parse. The whole tree is only built for help.
#include <algorithm>
#include <fcntl.h>
#include <span>
#include <string>
#include <unistd.h>
#include <vector>

#include <CLI/CLI.hpp>

#include "commands.hpp"
#include "context.hpp"
#include "option_set.hpp"
#include "reflect/fields.hpp"

namespace kairo::ctl {
namespace {

int fail_usage(std::string message, std::string suggestion = {}) {
  Error error(Code::invalid_params, std::move(message));
  if (!suggestion.empty()) error.details.emplace_back("suggestion", std::move(suggestion));
  report(error);
  return exit_code::usage;
}

void declare_globals(CLI::App& app, Globals& globals) {
  OptionSet set(app);
  set.value("--socket", globals.socket, "PATH",
            "Socket of the daemon (KAIRO_IPC_SOCKET, /tmp/kairo-kernel.sock)");
  set.flag("--no-autostart", globals.no_autostart, "Do not start a daemon when none answers");
  set.value("--reconnect", globals.reconnect, "DURATION",
            "How long a daemon that went away is sought again (10s); 0: not at all");
  set.value("--state-dir", globals.state_dir, "DIR", "State directory of a daemon that is started");
  set.flag("--any-owner", globals.any_owner, "Talk to a daemon that runs as another user");
  set.value("--correlation-id", globals.correlation_id, "ID", "Mark what follows from this command");
  set.flag("--table", globals.table, "Print a table instead of JSON (ps, status, devices, metrics, info)");
}

const CLI::Option* find_option(const CLI::App& app, std::string_view word) {
  const std::string name(word.substr(0, word.find('=')));
  return app.get_option_no_throw(name);
}

/// Whether the option that `word` names takes its value from the next word.
bool takes_next_word(const CLI::App* app, const CLI::App& root, std::string_view word) {
  if (word.find('=') != std::string_view::npos) return false;
  if (!word.starts_with("--")) {
    // Short options in one word: only the last may take the next one, and one that takes a value ends the
    // word.
    for (std::size_t i = 1; i < word.size(); ++i) {
      const CLI::Option* option = app ? find_option(*app, std::string("-") + word[i]) : nullptr;
      if (option && option->get_items_expected_max() > 0) return i + 1 == word.size();
    }
    return false;
  }
  const CLI::Option* option = app ? find_option(*app, word) : nullptr;
  if (!option) option = find_option(root, word);
  return option && option->get_items_expected_max() > 0;
}

/// Index of the first word from `from` on that is no option and no option's value; words.size() when there is
/// none.
std::size_t first_plain_word(const std::vector<std::string>& words, std::size_t from, const CLI::App* app,
                             const CLI::App& root) {
  for (std::size_t i = from; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--" || word.size() < 2 || word[0] != '-') return i;
    if (takes_next_word(app, root, word)) ++i;
  }
  return words.size();
}

std::string unknown_command(const std::string& name) {
  std::vector<std::string_view> names;
  for (const Command& each : all_commands()) names.emplace_back(each.name);
  return std::string(reflect::nearest_name(name, names.data(), names.size()));
}

/// The long option nearest to the first word that the parser did not know.
std::string unknown_option(const CLI::App& app, const CLI::App& root, const std::vector<std::string>& words) {
  std::vector<std::string> names;
  for (const CLI::App* each : {&app, &root})
    for (const CLI::Option* option : each->get_options())
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  const std::vector<std::string_view> candidates(names.begin(), names.end());
  for (const std::string& word : words) {
    const std::string name = word.substr(0, word.find('='));
    if (!name.starts_with("--") || name.size() == 2 ||
        std::find(names.begin(), names.end(), name) != names.end())
      continue;
    return std::string(reflect::nearest_name(name, candidates.data(), candidates.size()));
  }
  return {};
}

/// The list of all commands.
int print_help(CLI::App& root) {
  for (const Command& each : all_commands()) root.add_subcommand(each.name, each.text);
  write_out(root.help() + "\nkairoctl COMMAND --help tells more; kairoctl(1) tells all.\n");
  return exit_code::success;
}

/// Does what the action says; a value that it cannot use is the user's error.
int act(const Command& command, const Action& action, Context& context) {
  try {
    return action(context);
  } catch (const UsageError& error) {
    return fail_usage(std::string("kairoctl ") + command.name + ": " + error.message);
  }
}

int run(std::vector<std::string> words) {
  if (words.size() > 1 && (words[1] == "--" || !words[1].starts_with('-'))) {
    const Command* command = find_command(words[0]);
    if (command && command->takes_program()) {
      words.erase(words.begin(), words.begin() + (words[1] == "--" ? 2 : 1));
      Context context({}, std::move(words));
      return act(*command, command->plain(), context);
    }
  }
  Globals globals;
  CLI::App root("Runs programs under Kairo, the process kernel", "kairoctl");
  declare_globals(root, globals);
  root.set_help_flag("-h,--help", "Print this help");
  root.set_version_flag("--version", std::string("kairoctl " KAIRO_VERSION), "Print the version");
  root.require_subcommand(1);

  const std::size_t at = first_plain_word(words, 0, nullptr, root);
  if (std::find_if(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(at),
                   [](const std::string& word) { return word == "-h" || word == "--help"; }) !=
      words.begin() + static_cast<std::ptrdiff_t>(at))
    return print_help(root);
  const Command* command = at < words.size() ? find_command(words[at]) : nullptr;
  if (at < words.size() && !command) {
    std::string near = unknown_command(words[at]);
    std::string message = "there is no command \"" + words[at] + "\"";
    if (!near.empty()) message += "; did you mean \"" + near + "\"?";
    return fail_usage(std::move(message) + " See kairoctl --help", std::move(near));
  }

  CLI::App* app = nullptr;
  Action action;
  std::vector<std::string> program;
  if (command) {
    app = root.add_subcommand(command->name, command->text);
    app->fallthrough();
    app->set_help_flag("-h,--help", "Print this help");
    OptionSet set(*app);
    action = command->declare(set);
    if (command->takes_program()) {
      const std::size_t begin = first_plain_word(words, at + 1, app, root);
      const std::size_t skip = begin < words.size() && words[begin] == "--" ? 1 : 0;
      program.assign(words.begin() + static_cast<std::ptrdiff_t>(begin + skip), words.end());
      words.resize(begin);
    }
  }
  try {
    std::vector<std::string> reversed(words.rbegin(), words.rend());
    root.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    std::string help = app->help("kairoctl");
    if (const std::size_t place = help.find("[OPTIONS]");
        command->takes_program() && place != std::string::npos)
      help.insert(place + 9, " [--] PROGRAM [ARGUMENT]...");
    write_out(help);
    return exit_code::success;
  } catch (const CLI::CallForVersion& version) {
    write_out(std::string(version.what()) + "\n");
    return exit_code::success;
  } catch (const CLI::ParseError& error) {
    if (!app) return fail_usage("no command was given; see kairoctl --help");
    std::string message = std::string("kairoctl ") + command->name + ": " + error.what();
    std::string near = unknown_option(*app, root, words);
    if (!near.empty()) message += "; did you mean " + near + "?";
    return fail_usage(std::move(message), std::move(near));
  }
  Context context(std::move(globals), std::move(program));
  return act(*command, action, context);
}

}  // namespace
}  // namespace kairo::ctl

int main(int argc, char** argv) {
  // A standard descriptor that the caller closed must not become the daemon's socket.
  for (int fd = 0; fd <= 2; ++fd)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) return 70;
  // Destructors of what lives as long as the process have nothing to do; the kernel is quicker.
  _exit(kairo::ctl::run({argv + 1, argv + argc}));
}
