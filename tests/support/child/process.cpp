// Commands about life, death and descendants.
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/child/commands.hpp"

namespace kairo::test {
namespace {

void print_pid(pid_t value) {
  char text[32];
  snprintf(text, sizeof text, "%d\n", static_cast<int>(value));
  print(text);
}

int signal_by_name(const char* name) {
  if (strncmp(name, "SIG", 3) == 0) name += 3;
  for (int number = 1; number < SIGRTMIN; ++number) {
    const char* each = sigabbrev_np(number);
    if (each && strcmp(each, name) == 0) return number;
  }
  usage("die needs the name of a signal");
}

}  // namespace

void exit_with(Args& args) {
  _exit(static_cast<int>(args.number("exit needs N")));
}

void die(Args& args) {
  const int number = signal_by_name(args.text("die needs SIGNAME"));
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  signal(number, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, number);
  sigprocmask(SIG_UNBLOCK, &only, nullptr);
  raise(number);
}

void ignore_term(Args&) {
  signal(SIGTERM, SIG_IGN);
  print("ready\n");
  sleep_forever();
}

void sleep_for(Args& args) {
  sleep_seconds(args.seconds("sleep needs SECONDS"));
}

void grandchild_holds_stdout(Args& args) {
  const double seconds = args.seconds("grandchild-holds-stdout needs SECONDS");
  const pid_t child = fork();
  if (child < 0) fail("cannot fork");
  if (child == 0) {
    sleep_seconds(seconds);
    _exit(0);
  }
  print_pid(child);
}

void double_fork(Args& args) {
  const double seconds = args.seconds("double-fork needs SECONDS");
  const bool keep = !args.take("close");
  if (keep) args.take("keep");
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) fail("cannot make a pipe");
  const pid_t middle = fork();
  if (middle < 0) fail("cannot fork");
  if (middle == 0) {
    if (setsid() < 0) fail("cannot start a session");
    const pid_t daemon = fork();
    if (daemon < 0) fail("cannot fork");
    if (daemon > 0) _exit(0);
    const pid_t own = getpid();
    if (!keep) {
      // Closed before the pid is told: who has read the pid may rely on it.
      close(1);
      close(2);
    }
    write_all(report[1], &own, sizeof own);
    close(report[0]);
    close(report[1]);
    sleep_seconds(seconds);
    _exit(0);
  }
  close(report[1]);
  pid_t daemon = 0;
  ssize_t got = 0;
  do got = read(report[0], &daemon, sizeof daemon);
  while (got < 0 && errno == EINTR);
  if (got != sizeof daemon) fail("the daemon did not start");
  close(report[0]);
  while (waitpid(middle, nullptr, 0) < 0 && errno == EINTR) {
  }
  print_pid(daemon);
}

void sibling(Args&) {
  const long child = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (child < 0) fail("cannot clone");
  if (child == 0) _exit(0);
  print_pid(static_cast<pid_t>(child));
}

void without_clone3(Args& args) {
  char** const words = args.rest();
  if (!*words) usage("without-clone3 needs PROGRAM");
  sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog program{sizeof filter / sizeof *filter, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    fail("cannot set the filter");
  execvp(words[0], words);
  fail("cannot execute the program");
}

}  // namespace kairo::test
