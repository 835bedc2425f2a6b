#include "commands.hpp"

#include <algorithm>

namespace kairo::ctl {

Action declare_spawn(CLI::App& app);        // spawn.cpp
Action declare_run(CLI::App& app);          // run.cpp
Action declare_attach(CLI::App& app);       // attach.cpp
Action declare_logs(CLI::App& app);         // logs.cpp
Action declare_write(CLI::App& app);        // stdin.cpp
Action declare_close_stdin(CLI::App& app);  // stdin.cpp
Action declare_wait(CLI::App& app);         // lifecycle.cpp
Action declare_status(CLI::App& app);       // query.cpp
Action declare_ps(CLI::App& app);           // query.cpp
Action declare_kill(CLI::App& app);         // lifecycle.cpp
Action declare_pause(CLI::App& app);        // lifecycle.cpp
Action declare_resume(CLI::App& app);       // lifecycle.cpp
Action declare_cancel(CLI::App& app);       // lifecycle.cpp
Action declare_forget(CLI::App& app);       // lifecycle.cpp
Action declare_events(CLI::App& app);       // events.cpp
Action declare_metrics(CLI::App& app);      // system.cpp
Action declare_devices(CLI::App& app);      // system.cpp
Action declare_ping(CLI::App& app);         // system.cpp
Action declare_info(CLI::App& app);         // system.cpp
Action declare_introspect(CLI::App& app);   // system.cpp
Action declare_completion(CLI::App& app);   // completion.cpp

namespace {
constexpr Command commands[] = {
    {"spawn", "Start a program and leave it alone; print its session", declare_spawn, true},
    {"run", "Run a program as if it were run here: its bytes, its exit code", declare_run, true},
    {"attach", "Follow a session's output", declare_attach},
    {"logs", "Print what a session has written", declare_logs},
    {"write", "Write to a session's standard input", declare_write},
    {"close-stdin", "End a session's standard input", declare_close_stdin},
    {"wait", "Wait until sessions have ended", declare_wait},
    {"status", "Print sessions", declare_status},
    {"ps", "List sessions", declare_ps},
    {"kill", "Send a signal", declare_kill},
    {"pause", "Stop sessions where they are", declare_pause},
    {"resume", "Let paused sessions go on", declare_resume},
    {"cancel", "Terminate sessions, with a reason that is recorded", declare_cancel},
    {"forget", "Remove ended sessions and their logs", declare_forget},
    {"events", "Print events as they happen", declare_events},
    {"metrics", "Print the state of the machine", declare_metrics},
    {"devices", "List the machine's devices", declare_devices},
    {"ping", "Ask whether the daemon answers", declare_ping},
    {"info", "Print the daemon's version, limits and features", declare_info},
    {"introspect", "Print every method with the schema of its parameters and result", declare_introspect},
    {"completion", "Print the completion script of a shell", declare_completion},
};
}  // namespace

std::span<const Command> all_commands() {
  return commands;
}

const Command* find_command(std::string_view name) {
  const auto* found = std::find_if(std::begin(commands), std::end(commands),
                                   [&](const Command& c) { return c.name == name; });
  return found == std::end(commands) ? nullptr : found;
}

}  // namespace kairo::ctl
