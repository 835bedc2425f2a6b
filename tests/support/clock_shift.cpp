// Preloaded into kairod: its system clock is off by as many seconds as the file named in KAIRO_CLOCK_SHIFT
// says, which a test may put in place at any time. Nothing else is changed.
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const auto result = static_cast<int>(::syscall(SYS_clock_gettime, clock, now));
  const char* const path = clock == CLOCK_REALTIME ? std::getenv("KAIRO_CLOCK_SHIFT") : nullptr;
  if (result != 0 || path == nullptr) return result;
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return result;
  char text[32] = {};
  if (::read(file, text, sizeof text - 1) > 0) now->tv_sec += std::strtol(text, nullptr, 10);
  ::close(file);
  return result;
}
