#include "context.hpp"

#include <cerrno>
#include <unistd.h>

#include "json.hpp"
#include "units.hpp"

namespace kairo::ctl {

client::ReconnectOptions Context::reconnect_options() const {
  client::ReconnectOptions options;
  options.start.connect.socket = globals_.socket;
  options.start.connect.any_owner = globals_.any_owner;
  options.start.state_dir = globals_.state_dir;
  options.autostart = !globals_.no_autostart;
  options.trace.correlation_id = globals_.correlation_id;
  options.patience = parse_duration("--reconnect", globals_.reconnect);
  return options;
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return true;
}

void write_out(std::string_view text) {
  if (write_all(STDOUT_FILENO, text)) return;
  report(system_error("cannot write to standard output", errno));
  _exit(exit_code::request_failed);
}

void print_json(std::string_view msgpack_value) {
  write_out(to_json(msgpack_value, isatty(STDOUT_FILENO) == 1) + "\n");
}

void print_json(const msgpack::object& value) {
  write_out(to_json(value, isatty(STDOUT_FILENO) == 1) + "\n");
}

void print_json_line(std::string_view msgpack_value) {
  write_out(to_json(msgpack_value, false) + "\n");
}

int report(const Error& error) {
  // Nothing can be done where stderr is gone, too.
  static_cast<void>(write_all(STDERR_FILENO, error_to_json(error, isatty(STDERR_FILENO) == 1) + "\n"));
  return code_of(error);
}

int code_of(const Error& error) {
  if (client::is_unreachable(error)) return exit_code::no_daemon;
  switch (error.code) {
    case Code::permission_denied: return exit_code::permission;
    case Code::timeout: return exit_code::timeout;
    case Code::internal: return exit_code::internal;
    default: return exit_code::request_failed;
  }
}

}  // namespace kairo::ctl
