#include "keeper/leftovers.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.hpp"
#include "base/unique_fd.hpp"
#include "keeper/process_tree.hpp"

namespace kairo::keeper {
namespace {

struct Found {
  std::uint64_t begun = 0;  ///< boot_clock_us(), to a clock tick; 0: it is not there.
  pid_t session = 0;
};

/// Two fields of /proc/PID/stat (proc(5)): the session, 6th, and the start time, 22nd.
Found look_at(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"), std::fclose);
  if (!file) return {};
  char text[1024];
  const std::size_t size = std::fread(text, 1, sizeof text - 1, file.get());
  text[size] = '\0';
  // The name, in brackets, may hold anything; what follows it is counted from the third field on.
  const std::string_view all(text, size);
  Found found;
  std::size_t at = all.rfind(')');
  for (int field = 3; field <= 22 && at != std::string_view::npos; ++field) {
    at = all.find(' ', at + 1);
    if (at == std::string_view::npos) return {};
    if (field == 6) found.session = static_cast<pid_t>(std::strtol(text + at, nullptr, 10));
  }
  if (at == std::string_view::npos) return {};
  found.begun =
      std::strtoull(text + at, nullptr, 10) * 1'000'000 / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  return found;
}

bool is_main(const Found& found, const Leftover& session) {
  constexpr std::uint64_t slack_us = 2'000'000;  // clock ticks, and the time that an answer takes
  if (session.started_boot_us == 0) return false;
  return found.begun + slack_us >= session.started_boot_us &&
         found.begun <= session.started_boot_us + slack_us;
}

}  // namespace

std::size_t signal_leftovers(const std::vector<Leftover>& sessions, const std::string& socket,
                             std::uint64_t lost_at, int number) {
  std::size_t signaled = 0;
  for (const pid_t pid : all_processes()) {
    if (pid == ::getpid()) continue;
    // Held while it is looked at, so that the signal reaches whoever was looked at.
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process) continue;
    const Found found = look_at(pid);
    if (found.begun == 0 || found.begun > lost_at) continue;
    const std::string environment = environment_of(pid);
    const std::string_view id = variable_in(environment, "KAIRO_PROCESS_ID");
    const bool ours = !id.empty() && variable_in(environment, "KAIRO_IPC_SOCKET") == socket;
    const bool hit = std::any_of(sessions.begin(), sessions.end(), [&](const Leftover& each) {
      if (each.main == pid && is_main(found, each)) return true;
      if (each.detach && each.main != 0) return false;
      return (ours && each.id == id) || (each.main != 0 && found.session == each.main);
    });
    if (!hit) continue;
    ++signaled;
    ::syscall(SYS_pidfd_send_signal, process.get(), number, nullptr, 0);
    if (number == SIGTERM) ::syscall(SYS_pidfd_send_signal, process.get(), SIGCONT, nullptr, 0);
  }
  return signaled;
}

}  // namespace kairo::keeper
