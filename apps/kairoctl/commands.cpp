#include "commands.hpp"

#include <algorithm>

namespace kairo::ctl {

Action declare_spawn(OptionSet& set);        // spawn.cpp
Action declare_run(OptionSet& set);          // run.cpp
Action declare_attach(OptionSet& set);       // attach.cpp
Action declare_logs(OptionSet& set);         // logs.cpp
Action declare_write(OptionSet& set);        // stdin.cpp
Action declare_close_stdin(OptionSet& set);  // stdin.cpp
Action declare_wait(OptionSet& set);         // lifecycle.cpp
Action declare_status(OptionSet& set);       // query.cpp
Action declare_explain(OptionSet& set);      // query.cpp
Action declare_ps(OptionSet& set);           // query.cpp
Action declare_kill(OptionSet& set);         // lifecycle.cpp
Action declare_pause(OptionSet& set);        // lifecycle.cpp
Action declare_resume(OptionSet& set);       // lifecycle.cpp
Action declare_cancel(OptionSet& set);       // lifecycle.cpp
Action declare_forget(OptionSet& set);       // lifecycle.cpp
Action declare_events(OptionSet& set);       // events.cpp
Action declare_audit(OptionSet& set);        // audit.cpp
Action declare_metrics(OptionSet& set);      // system.cpp
Action declare_devices(OptionSet& set);      // devices.cpp
Action declare_policy(OptionSet& set);       // policy.cpp
Action declare_control(OptionSet& set);      // control.cpp
Action declare_ping(OptionSet& set);         // system.cpp
Action declare_info(OptionSet& set);         // system.cpp
Action declare_introspect(OptionSet& set);   // system.cpp
Action declare_kernel(OptionSet& set);       // kernel.cpp
Action declare_completion(OptionSet& set);   // completion.cpp

Action plain_spawn();  // spawn.cpp
Action plain_run();    // run.cpp

std::span<const Command> topology_actions();  // topology.cpp

namespace {
constexpr Command commands[] = {
    {"spawn", "Start a program and leave it alone; print its session", declare_spawn, plain_spawn},
    {"run", "Run a program as if it were run here: its bytes, its exit code", declare_run, plain_run},
    {"attach", "Follow a session's output", declare_attach},
    {"logs", "Print what a session has written", declare_logs},
    {"write", "Write to a session's standard input", declare_write},
    {"close-stdin", "End a session's standard input", declare_close_stdin},
    {"wait", "Wait until sessions have ended", declare_wait},
    {"status", "Print sessions", declare_status},
    {"explain", "Say what a session's permissions cover, or what it was denied", declare_explain},
    {"ps", "List sessions", declare_ps},
    {"kill", "Send a signal", declare_kill},
    {"pause", "Stop sessions where they are", declare_pause},
    {"resume", "Let paused sessions go on", declare_resume},
    {"cancel", "Terminate sessions, with a reason that is recorded", declare_cancel},
    {"forget", "Remove ended sessions and their logs", declare_forget},
    {"events", "Print events: those stored, or with -f those to come", declare_events},
    {"audit", "Print who asked for what; verify that no record was changed", declare_audit},
    {"metrics", "Print the state of the machine", declare_metrics},
    {"devices", "List the machine's devices, claim and release them", declare_devices},
    {"policy", "Ask what the policy says to a call", declare_policy},
    {"control", "Speak for a node of a topology: hello, heartbeats, messages, shutdown", declare_control},
    {"topology", "Run what a file declares: programs, what flows between them, and their replacement",
     nullptr, nullptr, topology_actions},
    {"ping", "Ask whether the daemon answers", declare_ping},
    {"info", "Print the daemon's version, limits and features", declare_info},
    {"introspect", "Print every method with the schema of its parameters and result", declare_introspect},
    {"kernel", "Stop the daemon, or replace it by a newer one in place", declare_kernel},
    {"completion", "Print the completion script of a shell", declare_completion},
};
}  // namespace

std::span<const Command> all_commands() {
  return commands;
}

const Command* find_command(std::span<const Command> among, std::string_view name) {
  const auto found =
      std::find_if(among.begin(), among.end(), [&](const Command& each) { return each.name == name; });
  return found == among.end() ? nullptr : &*found;
}

}  // namespace kairo::ctl
