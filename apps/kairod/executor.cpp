#include "executor.hpp"

#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>

#include "base/clock.hpp"
#include "daemon.hpp"
#include "executor/executor.hpp"

namespace kairo::daemon {
namespace {

void log_line(const std::string& line) {
  const std::string text = to_iso8601(system_now()) + " executor: " + line + "\n";
  [[maybe_unused]] const ssize_t put = ::write(2, text.data(), text.size());
}

}  // namespace

int run_executor_command() {
  int listening = 0;
  socklen_t size = sizeof listening;
  const char* const id = std::getenv("KAIRO_PROCESS_ID");
  const char* const directory = std::getenv("KAIRO_TOPOLOGY_DIR");
  if (::getsockopt(0, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening == 0 || !id ||
      !directory) {
    std::fputs("kairod executor: is started by kairod alone, for `kairoctl topology up`\n", stderr);
    return exit_usage;
  }
  ::signal(SIGPIPE, SIG_IGN);
  // Every node takes a few descriptors. The nodes are the kernel's children and keep their own limit.
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  executor::ExecutorOptions options;
  options.listening.reset(::fcntl(0, F_DUPFD_CLOEXEC, 3));
  // Nothing is to be mistaken for a standard input.
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (!options.listening || null < 0 || ::dup2(null, 0) < 0) return exit_internal;
  ::close(null);
  options.process_id = id;
  options.directory = directory;
  options.log = log_line;
  boost::asio::io_context io(1);
  executor::Executor executor(io, std::move(options));
  if (auto started = executor.start(); !started) {
    log_line(started.error().message);
    return exit_unavailable;
  }
  io.run();
  return executor.exit_code();
}

}  // namespace kairo::daemon
