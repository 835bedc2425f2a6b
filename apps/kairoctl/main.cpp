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
  set.flag("--table", globals.table,
           "Print a table instead of JSON (ps, status, devices, topology, metrics, info)");
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

int fail_unknown(std::span<const Command> among, const std::string& name, const std::string& family) {
  std::vector<std::string_view> names;
  for (const Command& each : among) names.emplace_back(each.name);
  std::string near(reflect::nearest_name(name, names.data(), names.size()));
  std::string message = "there is no command \"" + family + name + "\"";
  if (!near.empty()) message += "; did you mean \"" + family + near + "\"?";
  return fail_usage(std::move(message) + " See kairoctl " + family + "--help", std::move(near));
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

/// The list of the actions of `command`.
int print_help(const Command& command, CLI::App& app) {
  for (const Command& each : command.actions()) app.add_subcommand(each.name, each.text);
  write_out(app.help("kairoctl") + "\nkairoctl " + command.name +
            " SUBCOMMAND --help tells more; kairoctl(1) tells all.\n");
  return exit_code::success;
}

bool asks_for_help(std::span<const std::string> words) {
  return std::any_of(words.begin(), words.end(),
                     [](const std::string& word) { return word == "-h" || word == "--help"; });
}

/// Does what the action says; a value that it cannot use is the user's error. `name` is "spawn", "topology
/// up".
int act(const std::string& name, const Action& action, Context& context) {
  try {
    return action(context);
  } catch (const UsageError& error) {
    return fail_usage("kairoctl " + name + ": " + error.message);
  }
}

int run(std::vector<std::string> words) {
  if (words.size() > 1 && (words[1] == "--" || !words[1].starts_with('-'))) {
    const Command* command = find_command(all_commands(), words[0]);
    if (command && command->takes_program()) {
      words.erase(words.begin(), words.begin() + (words[1] == "--" ? 2 : 1));
      Context context({}, std::move(words));
      return act(command->name, command->plain(), context);
    }
  }
  Globals globals;
  CLI::App root("Runs programs under Kairo, the process kernel", "kairoctl");
  declare_globals(root, globals);
  root.set_help_flag("-h,--help", "Print this help");
  root.set_version_flag("--version", std::string("kairoctl " KAIRO_VERSION), "Print the version");
  root.require_subcommand(1);

  std::size_t at = first_plain_word(words, 0, nullptr, root);
  if (asks_for_help(std::span(words).first(at))) return print_help(root);
  const Command* command = at < words.size() ? find_command(all_commands(), words[at]) : nullptr;
  if (at < words.size() && !command) return fail_unknown(all_commands(), words[at], {});

  CLI::App* app = nullptr;
  Action action;
  std::string name;
  std::vector<std::string> program;
  if (command && command->actions) {
    app = root.add_subcommand(command->name, command->text);
    app->require_subcommand(1);
    app->fallthrough();
    name = std::string(command->name) + " ";
    const std::size_t next = first_plain_word(words, at + 1, nullptr, root);
    if (asks_for_help(std::span(words).subspan(at, next - at))) return print_help(*command, *app);
    if (next == words.size()) return fail_usage("no command was given; see kairoctl " + name + "--help");
    const Command* of_family = find_command(command->actions(), words[next]);
    if (!of_family) return fail_unknown(command->actions(), words[next], name);
    command = of_family;
    at = next;
  }
  if (command) {
    name += command->name;
    app = (app ? app : &root)->add_subcommand(command->name, command->text);
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
    if (command->program_behind_dashes) {
      const auto dashes = std::find(words.begin() + static_cast<std::ptrdiff_t>(at), words.end(), "--");
      if (dashes != words.end()) program.assign(dashes + 1, words.end());
      words.erase(dashes, words.end());
    }
  }
  try {
    std::vector<std::string> reversed(words.rbegin(), words.rend());
    root.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    std::string help =
        app->help(name == command->name ? "kairoctl" : "kairoctl " + name.substr(0, name.find(' ')));
    if (const std::size_t place = help.find("[OPTIONS]");
        command->takes_program() && place != std::string::npos)
      help.insert(place + 9, " [--] PROGRAM [ARGUMENT]...");
    if (const std::size_t usage = help.find("Usage: ");
        command->program_behind_dashes && usage != std::string::npos)
      help.insert(help.find('\n', usage), " [-- PROGRAM [ARGUMENT]...]");
    write_out(help);
    return exit_code::success;
  } catch (const CLI::CallForVersion& version) {
    write_out(std::string(version.what()) + "\n");
    return exit_code::success;
  } catch (const CLI::ParseError& error) {
    if (!app) return fail_usage("no command was given; see kairoctl --help");
    std::string message = "kairoctl " + name + ": " + error.what();
    std::string near = unknown_option(*app, root, words);
    if (!near.empty()) message += "; did you mean " + near + "?";
    return fail_usage(std::move(message), std::move(near));
  }
  Context context(std::move(globals), std::move(program));
  return act(name, action, context);
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
