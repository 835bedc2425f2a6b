// kairo-test-child COMMAND [ARGS] [COMMAND [ARGS]]...: a child that does exactly what a test needs, and
// nothing by chance. Commands run in order; when all are done it exits with 0. `kairo-test-child help` lists
// them.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support/child/commands.hpp"

namespace kairo::test {
namespace {

void help(Args& args);

struct Command {
  const char* name;
  const char* arguments;
  void (*run)(Args&);
  const char* text;
};

constexpr Command commands[] = {
    {"exit", "N", exit_with, "ends with status N"},
    {"die", "SIGNAME", die, "ends by that signal"},
    {"spew", "BYTES [stdout|stderr]", spew, "writes numbered data (support/pattern.hpp), 64 KiB per write"},
    {"lines", "COUNT [LEN]", lines,
     "writes `line 0`, `line 1`, ..., padded with dots to LEN bytes before the newline"},
    {"bytes", "HEX [stdout|stderr]", bytes, "writes these bytes with one write"},
    {"cat", "", cat, "copies stdin to stdout until the end of stdin"},
    {"connect", "", connect_named,
     "connects stdin to the socket of KAIRO_NODE_INPUT and stdout to that of KAIRO_NODE_OUTPUT, where they "
     "are"},
    {"copy", "BYTES", copy,
     "copies so many bytes of stdin to stdout and reads no further; where stdin ends before, ends with 0"},
    {"read-slowly", "BYTES_PER_READ MS", read_slowly, "reads stdin so, then prints `read TOTAL`"},
    {"verify-stdin", "", verify_stdin,
     "reads stdin to its end; prints `ok TOTAL`, or `wrong AT` and exits with 1"},
    {"await-line", "", await_line, "reads stdin up to and including one newline, a byte at a time"},
    {"exit-without-reading", "N", exit_without_reading,
     "waits until stdin has bytes, reads none, ends with status N"},
    {"close-stdin-then-sleep", "", close_stdin_then_sleep, "closes stdin, prints `ready`, sleeps forever"},
    {"ignore-term", "", ignore_term, "ignores SIGTERM, prints `ready`, sleeps forever"},
    {"sleep", "SECONDS", sleep_for, "sleeps"},
    {"grandchild-holds-stdout", "SECONDS", grandchild_holds_stdout,
     "forks a child that keeps stdout open; prints its pid"},
    {"double-fork", "SECONDS [keep|close]", double_fork,
     "starts a daemon in a session of its own that keeps (default) or closes stdout and stderr; prints its "
     "pid"},
    {"sibling", "", sibling, "makes its parent a child that ends at once (CLONE_PARENT); prints its pid"},
    {"without-clone3", "PROGRAM [ARGS...]", without_clone3,
     "executes it under a filter that answers clone3 with ENOSYS, as some containers do"},
    {"list-fds", "", list_fds, "prints the open descriptors as a JSON array"},
    {"env", "", env, "prints the environment as a JSON object"},
    {"cwd", "", cwd, "prints the working directory"},
    {"umask", "", umask_of, "prints the umask, four octal digits"},
    {"pid", "", pid, "prints its pid"},
    {"sigmask", "", signal_state,
     "prints blocked and ignored signals and the descriptor limit as a JSON object"},
    {"print-args", "[ARGS...]", print_args, "prints all further words as a JSON array"},
    {"help", "", help, "prints this list"},
};

void help(Args&) {
  for (const Command& each : commands) printf("  %s %s\n      %s\n", each.name, each.arguments, each.text);
  fflush(stdout);
}

}  // namespace

void usage(const char* problem) {
  fprintf(stderr, "kairo-test-child: %s; see `kairo-test-child help`\n", problem);
  _exit(64);
}

void fail(const char* attempt) {
  fprintf(stderr, "kairo-test-child: %s: %s\n", attempt, strerror(errno));
  _exit(70);
}

const char* Args::text(const char* what) {
  if (empty()) usage(what);
  return *at_++;
}

uint64_t Args::number(const char* what) {
  const char* word = text(what);
  char* end = nullptr;
  errno = 0;
  const unsigned long long value = strtoull(word, &end, 10);
  if (errno != 0 || end == word || *end != '\0') usage(what);
  return value;
}

double Args::seconds(const char* what) {
  const char* word = text(what);
  char* end = nullptr;
  const double value = strtod(word, &end);
  if (end == word || *end != '\0' || !(value >= 0)) usage(what);
  return value;
}

bool Args::take(const char* word) {
  if (empty() || strcmp(*at_, word) != 0) return false;
  ++at_;
  return true;
}

bool Args::next_is_number() const {
  return !empty() && **at_ >= '0' && **at_ <= '9';
}

int Args::stream() {
  if (take("stderr")) return 2;
  take("stdout");
  return 1;
}

char** Args::rest() {
  char** all = at_;
  while (*at_ != nullptr) ++at_;
  return all;
}

void write_all(int fd, const void* data, size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t put = write(fd, at, size);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("cannot write");
    at += put;
    size -= static_cast<size_t>(put);
  }
}

void print(const char* text) {
  write_all(1, text, strlen(text));
}

void sleep_seconds(double seconds) {
  timespec left{};
  left.tv_sec = static_cast<time_t>(seconds);
  left.tv_nsec = static_cast<long>((seconds - static_cast<double>(left.tv_sec)) * 1e9);
  while (nanosleep(&left, &left) != 0)
    if (errno != EINTR) fail("cannot sleep");
}

void sleep_forever() {
  for (;;) pause();
}

}  // namespace kairo::test

int main(int, char** argv) {
  using namespace kairo::test;
  Args args(argv + 1);
  while (!args.empty()) {
    const Command* found = nullptr;
    for (const Command& each : commands)
      if (strcmp(args.peek(), each.name) == 0) found = &each;
    if (!found) usage("no such command");
    args.text("");
    found->run(args);
  }
  return 0;
}
