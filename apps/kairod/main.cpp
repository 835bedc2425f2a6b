// kairod: the daemon, and what it starts: the keeper (`kairod keeper`) and executors (`kairod executor`).
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "base/version.hpp"
#include "daemon.hpp"
#include "executor.hpp"
#include "verify_audit.hpp"

namespace {

using namespace kairo;

int fail(const std::string& message, int code) {
  std::fprintf(stderr, "kairod: %s\n", message.c_str());
  return code;
}

int run(int argc, char** argv) {
  const daemon::Origin origin = daemon::origin_of(argc, argv);
  CLI::App app("Kairo's daemon: serves the process kernel on a Unix domain socket", "kairod");
  app.set_version_flag("--version", version());
  std::string socket, state_dir, config_file, on_shutdown, socket_mode, metrics_listen, host_root;
  bool check = false, verify_audit = false;
  daemon::Invocation invocation;
  app.add_option("--socket", socket, "Path to listen on (KAIRO_IPC_SOCKET, /tmp/kairo-kernel.sock)");
  app.add_option("--state-dir", state_dir, "Directory of logs and locks");
  app.add_option("--config", config_file, "Configuration file, read after those of the system and the user");
  app.add_flag("--check-config", check, "Check the configuration, print what it comes to, and exit");
  app.add_flag("--verify-audit", verify_audit,
               "Prove the audit of the state directory whole, or name the first broken record, and exit");
  app.add_flag("--daemonize", invocation.daemonize, "Go to the background once it serves");
  app.add_option("--on-shutdown", on_shutdown, "What SIGTERM does to the processes: keep (default) or stop")
      ->check(CLI::IsMember({"keep", "stop"}));
  app.add_option("--metrics-listen", metrics_listen,
                 "Serve metrics to Prometheus at unix:/PATH, 127.0.0.1:PORT or [::1]:PORT (none)");
  app.add_option("--host-root", host_root, "Read the host's /proc and /sys below this directory (/)");
  app.add_option(
      "--socket-mode", socket_mode,
      "Mode of the socket (0600); with one that lets others in, such as 0666, root's daemon serves "
      "every user, each process as its caller");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : daemon::exit_usage;
  }
  // Relative paths are the caller's; the daemon's cwd is going to be another.
  const auto absolute = [](const std::string& path) {
    if (path.empty() || path[0] == '/') return path;
    char buffer[4096];
    return std::string(::getcwd(buffer, sizeof buffer) ? buffer : "") + "/" + path;
  };
  if (!config_file.empty()) invocation.config_file = absolute(config_file);
  auto config = daemon::load_config(invocation.config_file);
  if (!config) return fail(config.error().message, daemon::exit_usage);
  invocation.config = std::move(*config);
  if (const char* named = std::getenv("KAIRO_IPC_SOCKET"); named && *named)
    invocation.config.socket = absolute(named);
  if (!socket.empty()) invocation.config.socket = absolute(socket);
  if (!state_dir.empty()) invocation.config.state_dir = absolute(state_dir);
  if (!on_shutdown.empty()) {
    invocation.on_shutdown = on_shutdown == "keep" ? kernel::OnShutdown::keep : kernel::OnShutdown::stop;
    invocation.config.on_shutdown = *invocation.on_shutdown;
  }
  if (!metrics_listen.empty()) {
    auto address = ipc::HttpAddress::parse(metrics_listen);
    if (!address) return fail(address.error().message, daemon::exit_usage);
    invocation.metrics_listen = *address;
    invocation.config.metrics_listen = std::move(*address);
  }
  if (!socket_mode.empty()) {
    const auto mode = daemon::parse_socket_mode(socket_mode);
    if (!mode)
      return fail(
          "--socket-mode must be octal permission bits that let the owner in, for instance 0660; not " +
              socket_mode,
          daemon::exit_usage);
    invocation.config.socket_mode = *mode;
  }
  if (invocation.config.socket_mode.serves_users() && ::geteuid() != 0)
    return fail(
        "a socket that other users may open is root's alone to serve: only root can start each process "
        "as its caller (socketMode, --socket-mode)",
        daemon::exit_usage);
  if (!host_root.empty()) invocation.host_root = absolute(host_root);
  if (check) {
    std::puts(daemon::effective_config(invocation.config).c_str());
    return 0;
  }
  if (verify_audit)
    return daemon::verify_audit(
        daemon::resolve_state_dir(invocation.config, daemon::resolve_socket(invocation.config)));
  invocation.origin = origin;
  return daemon::run_daemon(std::move(invocation));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "keeper") == 0) return kairo::daemon::run_keeper_command(argc, argv);
  if (argc > 1 && std::strcmp(argv[1], "executor") == 0) return kairo::daemon::run_executor_command();
  return run(argc, argv);
}
