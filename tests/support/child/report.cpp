// Commands that tell what the program was started with, in JSON.
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/child/commands.hpp"

namespace kairo::test {
namespace {

/// Bytes beyond ASCII are written as \u0080 to \u00ff: the reader takes each character for one byte.
void put_json(const char* text, size_t size) {
  putchar('"');
  for (size_t i = 0; i < size; ++i) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (c == '"' || c == '\\')
      printf("\\%c", c);
    else if (c < 0x20 || c >= 0x7f)
      printf("\\u%04x", c);
    else
      putchar(c);
  }
  putchar('"');
}

void put_signals(const char* name, bool (*in)(int, const void*), const void* context) {
  printf("\"%s\":[", name);
  bool first = true;
  for (int number = 1; number < SIGRTMIN; ++number) {
    if (!in(number, context)) continue;
    printf("%s\"SIG%s\"", first ? "" : ",", sigabbrev_np(number));
    first = false;
  }
  printf("]");
}

int by_number(const void* a, const void* b) {
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

}  // namespace

void list_fds(Args&) {
  DIR* directory = opendir("/proc/self/fd");
  if (!directory) fail("cannot open /proc/self/fd");
  constexpr size_t most = 65536;
  static int open_fds[most];
  size_t count = 0;
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    const int fd = atoi(entry->d_name);
    if (fd != dirfd(directory) && count < most) open_fds[count++] = fd;
  }
  closedir(directory);
  qsort(open_fds, count, sizeof(int), by_number);
  printf("[");
  for (size_t i = 0; i < count; ++i) printf("%s%d", i ? "," : "", open_fds[i]);
  printf("]\n");
  fflush(stdout);
}

void env(Args&) {
  printf("{");
  for (char** each = environ; *each; ++each) {
    const char* equals = strchr(*each, '=');
    if (!equals) continue;
    if (each != environ) printf(",");
    put_json(*each, static_cast<size_t>(equals - *each));
    printf(":");
    put_json(equals + 1, strlen(equals + 1));
  }
  printf("}\n");
  fflush(stdout);
}

void cwd(Args&) {
  char path[PATH_MAX];
  if (!getcwd(path, sizeof path)) fail("cannot tell the working directory");
  puts(path);
  fflush(stdout);
}

void umask_of(Args&) {
  const mode_t mask = umask(0);
  umask(mask);
  printf("%04o\n", static_cast<unsigned>(mask));
  fflush(stdout);
}

void pid(Args&) {
  printf("%d\n", static_cast<int>(getpid()));
  fflush(stdout);
}

void signal_state(Args&) {
  sigset_t blocked;
  sigprocmask(SIG_BLOCK, nullptr, &blocked);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  printf("{");
  put_signals(
      "blocked",
      [](int number, const void* set) { return sigismember(static_cast<const sigset_t*>(set), number) == 1; },
      &blocked);
  printf(",");
  put_signals(
      "ignored",
      [](int number, const void*) {
        struct sigaction action {};
        return sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
      },
      nullptr);
  printf(",\"nofile\":{\"soft\":%llu,\"hard\":%llu}}\n", static_cast<unsigned long long>(files.rlim_cur),
         static_cast<unsigned long long>(files.rlim_max));
  fflush(stdout);
}

void print_args(Args& args) {
  printf("[");
  bool first = true;
  for (char** each = args.rest(); *each; ++each, first = false) {
    if (!first) printf(",");
    put_json(*each, strlen(*each));
  }
  printf("]\n");
  fflush(stdout);
}

}  // namespace kairo::test
