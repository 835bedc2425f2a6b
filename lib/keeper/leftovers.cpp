#include "keeper/leftovers.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/unique_fd.hpp"
#include "keeper/process_tree.hpp"

namespace kairo::keeper {
namespace {

/// When the process began, Unix time in microseconds, to a clock tick; 0 when it is not there.
std::uint64_t begun_us(pid_t pid) {
  static const std::uint64_t boot_us = [] {
    timespec wall{}, since_boot{};
    ::clock_gettime(CLOCK_REALTIME, &wall);
    ::clock_gettime(CLOCK_BOOTTIME, &since_boot);
    const auto us = [](const timespec& time) {
      return static_cast<std::int64_t>(time.tv_sec) * 1'000'000 + time.tv_nsec / 1000;
    };
    return static_cast<std::uint64_t>(us(wall) - us(since_boot));
  }();
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"), std::fclose);
  if (!file) return 0;
  char text[1024];
  const std::size_t size = std::fread(text, 1, sizeof text - 1, file.get());
  text[size] = '\0';
  // The name, in brackets, may hold anything; the start time is the 20th field behind it (proc(5)).
  const std::string_view all(text, size);
  std::size_t at = all.rfind(')');
  for (int field = 0; field < 20 && at != std::string_view::npos; ++field) at = all.find(' ', at + 1);
  if (at == std::string_view::npos) return 0;
  const auto ticks = std::strtoull(text + at, nullptr, 10);
  return boot_us + ticks * 1'000'000 / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
}

bool is_main(pid_t pid, const Leftover& session) {
  constexpr std::uint64_t slack_us = 2'000'000;  // a tick, and a clock that was set
  const std::uint64_t begun = begun_us(pid);
  return begun != 0 && begun + slack_us >= session.started_us && begun <= session.started_us + slack_us;
}

}  // namespace

std::size_t signal_leftovers(const std::vector<Leftover>& sessions, const std::string& socket, int number) {
  std::size_t found = 0;
  for (const pid_t pid : all_processes()) {
    if (pid == ::getpid()) continue;
    // Held while it is looked at, so that the signal reaches whoever was looked at.
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process) continue;
    const std::string environment = environment_of(pid);
    const std::string_view id = variable_in(environment, "KAIRO_PROCESS_ID");
    const bool ours = !id.empty() && variable_in(environment, "KAIRO_IPC_SOCKET") == socket;
    const bool hit = std::any_of(sessions.begin(), sessions.end(), [&](const Leftover& each) {
      if (each.main == pid) return is_main(pid, each);
      return ours && !each.detach && each.id == id;
    });
    if (!hit) continue;
    ++found;
    ::syscall(SYS_pidfd_send_signal, process.get(), number, nullptr, 0);
    if (number == SIGTERM) ::syscall(SYS_pidfd_send_signal, process.get(), SIGCONT, nullptr, 0);
  }
  return found;
}

}  // namespace kairo::keeper
