// What every command shares: the global options, the connection, and how results and errors reach the user.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <msgpack.hpp>

#include "base/error.hpp"
#include "base/result.hpp"
#include "client/lasting_client.hpp"
#include "commands.hpp"

namespace kairo::ctl {

/// Exit codes (kairoctl(1); SPEC 11). `run` has those of the program beside them.
namespace exit_code {
inline constexpr int success = 0;
inline constexpr int request_failed = 1;
inline constexpr int usage = 64;
inline constexpr int no_daemon = 69;
inline constexpr int internal = 70;
inline constexpr int permission = 77;
inline constexpr int timeout = 124;
inline constexpr int run_failed = 125;
inline constexpr int cannot_execute = 126;
inline constexpr int not_found = 127;
}  // namespace exit_code

struct Globals {
  std::string socket;
  std::string state_dir;
  std::string correlation_id;
  std::string reconnect = "10s";
  bool no_autostart = false;
  bool any_owner = false;
  bool table = false;
};

/// Thrown while options are read, for what the parser cannot know; becomes E_INVALID_PARAMS and exit code 64.
struct UsageError {
  std::string message;
};

class Context {
 public:
  Context(Globals globals, std::vector<std::string> program)
      : globals_(std::move(globals)), program_(std::move(program)) {}

  [[nodiscard]] const Globals& globals() const { return globals_; }
  /// The command line that follows the options of `spawn` and `run`.
  [[nodiscard]] const std::vector<std::string>& program() const { return program_; }

  /// Where the daemon is, and how it is found again. Throws UsageError for a --reconnect that is no duration.
  [[nodiscard]] client::ReconnectOptions reconnect_options() const;
  /// Connects, starting a daemon where none answers and that is not forbidden.
  [[nodiscard]] Result<client::LastingClient> connect() const {
    return client::LastingClient::connect(reconnect_options());
  }

 private:
  Globals globals_;
  std::vector<std::string> program_;
};

/// Writes all of it to stdout, whatever that takes. Exits with 1 when it cannot be written.
void write_out(std::string_view text);
/// Bytes to a descriptor of our own; false with errno.
bool write_all(int fd, std::string_view bytes);

/// Prints the MsgPack value as one JSON document: one line, or indented on a terminal.
void print_json(std::string_view msgpack_value);
void print_json(const msgpack::object& value);
/// The same on one line always, for what streams.
void print_json_line(std::string_view msgpack_value);

/// Prints {"error": {...}} on stderr and returns the exit code that belongs to it.
int report(const Error& error);
int code_of(const Error& error);

/// The one request of a simple command: calls, prints, reports.
template <class Params>
int call_and_print(Context& context, std::string_view method, const Params& params) {
  auto client = context.connect();
  if (!client) return report(client.error());
  auto result = client->call_raw(method, params);
  if (!result) return report(result.error());
  print_json(*result);
  return exit_code::success;
}

}  // namespace kairo::ctl
