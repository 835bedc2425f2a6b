// The command line itself: what it refuses, what it explains, and whether help, manual and completions agree.
#include <regex>
#include <set>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

using namespace kairo::test;

namespace {

/// The commands that the help of `family` lists; of all where there is none.
std::set<std::string> commands(const std::string& family = {}) {
  std::set<std::string> out;
  bool listed = false;
  std::vector<std::string> argv{kairoctl_path()};
  if (!family.empty()) argv.push_back(family);
  argv.emplace_back("--help");
  for (const std::string& line : lines_of(run(argv).out)) {
    if (line == "Subcommands:") listed = true;
    std::smatch found;
    if (listed && std::regex_search(line, found, std::regex("^  ([a-z-]+) "))) out.insert(found[1]);
  }
  return out;
}

std::set<std::string> long_options(const std::string& help) {
  std::set<std::string> out;
  const std::regex pattern("--[a-z][a-z-]*");
  for (const std::string& line : lines_of(help)) {
    if (line.rfind("  -", 0) != 0) continue;
    const std::string names = line.substr(2, line.find("  ", 2) - 2);
    for (std::sregex_iterator at(names.begin(), names.end(), pattern), end; at != end; ++at)
      out.insert(at->str());
  }
  return out;
}

}  // namespace

TEST_SUITE_BEGIN("usage");

TEST_CASE("a wrong command line is exit code 64 and one JSON document") {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"no-such-command"},
      {"run"},
      {"run", "--"},
      {"spawn", "--no-such-option", "--", "true"},
      {"spawn", "--env", "=x", "--", "true"},
      {"spawn", "--label", "novalue", "--", "true"},
      {"spawn", "--timeout", "soon", "--", "true"},
      {"spawn", "--retain", "much", "--", "true"},
      {"spawn", "--stdin", "fd", "--", "true"},
      {"status"},
      {"kill", "-s", "NOSUCH", "x"},
      {"kill", "--scope", "everyone", "x"},
      {"ps", "--status", "asleep"},
      {"wait", "--timeout", "1h30", "x"},
      {"--socket"},
      {"completion", "tcsh"},
      {"kernel"},
      {"kernel", "restart"},
      {"kernel", "stop", "--processes", "some"},
      {"kernel", "upgrade", "--processes", "keep"},
      {"control"},
      {"topology"},
      {"topology", "upp"},
      {"topology", "up"},
      {"topology", "graph"},
      {"topology", "graph", "x", "-f", "y"},
      {"topology", "cutover", "x"},
      {"topology", "cutover", "x", "y", "--boundary", "word"},
      {"topology", "cutover", "x", "y", "--params", "{"},
      {"topology", "cutover", "x", "y", "--module", "tee", "--", "cat"},
      {"topology", "down", "x", "--drain-timeout", "soon"}};
  for (const auto& words : wrong) {
    std::vector<std::string> argv{kairoctl_path(), "--no-autostart", "--socket", "/nonexistent/socket"};
    argv.insert(argv.end(), words.begin(), words.end());
    CAPTURE(words.empty() ? "" : words.back());
    const Ran ran = run(argv);
    CHECK(ran.code == 64);
    CHECK(ran.out.empty());
    CHECK(json_at(ran.err, "/error/code") == "E_INVALID_PARAMS");
  }
}

TEST_CASE("a typo brings the nearest name") {
  CHECK(json_at(run({kairoctl_path(), "spwan"}).err, "/error/details/suggestion") == "spawn");
  CHECK(json_at(run({kairoctl_path(), "ps", "--labl", "x"}).err, "/error/details/suggestion") == "--label");
  CHECK(json_at(run({kairoctl_path(), "topology", "cutovr"}).err, "/error/details/suggestion") == "cutover");
  CHECK(json_at(run({kairoctl_path(), "topology", "cutover", "x", "y", "--modul", "tee"}).err,
                "/error/details/suggestion") == "--module");
}

TEST_CASE("an empty command line for run is told apart from a program named by an option's value") {
  const Ran ran =
      run({kairoctl_path(), "--no-autostart", "--socket", "/nonexistent/socket", "run", "--id", "true"});
  CHECK(ran.code == 64);
}

TEST_CASE("every command and long option that help knows stands in the manual and in all completions") {
  const auto all = commands();
  CHECK(all.size() == 27);
  const std::string source = KAIRO_TEST_SOURCE;
  // mdoc writes "--name" as "Fl -name".
  const std::string manual = read_file(source + "/man/kairoctl.1");
  const std::string bash = read_file(source + "/completions/kairoctl.bash");
  const std::string zsh = read_file(source + "/completions/kairoctl.zsh");
  const std::string fish = read_file(source + "/completions/kairoctl.fish");
  const auto holds = [](const std::string& text, const std::string& pattern) {
    return std::regex_search(text, std::regex(pattern));
  };
  std::set<std::string> options = long_options(run({kairoctl_path(), "--help"}).out);
  CHECK(options.count("--socket") == 1);
  for (const std::string& command : all) {
    CAPTURE(command);
    CHECK(holds(manual, "\n\\.It Cm " + command + "[ \n]"));
    CHECK(holds(bash, "[\" \n]" + command + "[\" \n]"));
    CHECK(holds(zsh, "['\"]" + command + ":"));
    CHECK(holds(fish, "-a " + command + " "));
    const Ran help = run({kairoctl_path(), command, "--help"});
    CHECK(help.code == 0);
    options.merge(long_options(help.out));
    for (const std::string& action : commands(command)) {
      CAPTURE(action);
      CHECK(holds(manual, "\n\\.It Cm " + command + " Cm " + action + "[ \n]"));
      CHECK(holds(bash, "[\" \n]" + action + "[\" \n]"));
      CHECK(holds(zsh, "['\"]" + action + ":"));
      CHECK(holds(fish, "-a " + action + " "));
      const Ran of_action = run({kairoctl_path(), command, action, "--help"});
      CHECK(of_action.code == 0);
      options.merge(long_options(of_action.out));
    }
  }
  CHECK(commands("topology").size() == 9);
  CHECK(options.size() > 40);
  for (const std::string& option : options) {
    CAPTURE(option);
    const std::string name = option.substr(2);
    CHECK(holds(manual, "Fl -" + name + "[ \n]"));
    CHECK(holds(bash, "[\" \n]" + option + "[\" \n]"));
    CHECK(holds(zsh, option + "[\\['}]"));
    CHECK(holds(fish, "-l " + name + " "));
  }
}

TEST_CASE("completion prints the script of each shell, which that shell accepts") {
  TempDir dir;
  for (const std::string shell : {"bash", "zsh", "fish"}) {
    CAPTURE(shell);
    const Ran ran = run({kairoctl_path(), "completion", shell});
    CHECK(ran.code == 0);
    CHECK(ran.out == read_file(std::string(KAIRO_TEST_SOURCE) + "/completions/kairoctl." + shell));
    const std::string script = dir.put("script", ran.out);
    if (run({"sh", "-c", "command -v " + shell}).code == 0)
      CHECK(run({shell, "-n", script}).code == 0);
    else
      MESSAGE(shell << " is not here; its syntax was not checked");
  }
}

TEST_CASE("ids complete in bash") {
  Daemon daemon;
  spawned(daemon, {"--id", "alpha-one", "--", "sleep", "600"});
  spawned(daemon, {"--id", "alpha-ended", "--", "true"});
  daemon.ctl({"wait", "alpha-ended"});
  const std::string script =
      "PATH=${0%/*}:$PATH; source \"$1/completions/kairoctl.bash\"; shift; COMP_WORDS=(\"$@\"); "
      "COMP_CWORD=$(($# - 1)); _kairoctl; printf '%s\\n' \"${COMPREPLY[@]}\"";
  const auto complete = [&](std::vector<std::string> words) {
    std::vector<std::string> argv{"bash", "-c", script, kairoctl_path(), KAIRO_TEST_SOURCE, "kairoctl"};
    argv.insert(argv.end(), words.begin(), words.end());
    StartOptions options;
    options.env = {{"KAIRO_IPC_SOCKET", daemon.socket()}};
    return run(argv, {}, options).out;
  };
  CHECK(complete({"kill", "alpha"}) == "alpha-one\n");
  CHECK(complete({"logs", "-f", "alpha-e"}) == "alpha-ended\n");
  CHECK(complete({"cl"}) == "close-stdin\n");
  CHECK(complete({"ps", "--status", "ex"}) == "exited\n");
  CHECK(complete({"--socket", daemon.socket(), "wait", "alpha-o"}) == "alpha-one\n");
}

TEST_CASE("the version is told") {
  const Ran ran = run({kairoctl_path(), "--version"});
  CHECK(ran.code == 0);
  CHECK(ran.out.rfind("kairoctl ", 0) == 0);
}

TEST_SUITE_END();
