// The commands of kairo-test-child. Each takes its arguments from `Args`, does its work and returns; the next
// command follows. Those that never return say so. A failed system call ends the program with status 70.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace kairo::test {

/// The words of the command line that are not used yet.
class Args {
 public:
  explicit Args(char** words) : at_(words) {}
  [[nodiscard]] bool empty() const { return *at_ == nullptr; }
  [[nodiscard]] const char* peek() const { return *at_; }
  const char* text(const char* what);  ///< The next word; ends the program (64) when there is none.
  uint64_t number(const char* what);   ///< The next word as a whole number.
  double seconds(const char* what);    ///< The next word as a number of seconds, fractions allowed.
  bool take(const char* word);         ///< Takes the next word if it is this one.
  bool next_is_number() const;
  int stream();   ///< Takes "stdout" or "stderr" if it is next; 1 or 2 (1).
  char** rest();  ///< Takes every word that is left.

 private:
  char** at_;
};

[[noreturn]] void fail(const char* attempt);   ///< Message with errno, status 70.
[[noreturn]] void usage(const char* problem);  ///< Message, status 64.
void write_all(int fd, const void* data, size_t size);
void print(const char* text);  ///< To stdout, unbuffered.
void sleep_seconds(double seconds);
[[noreturn]] void sleep_forever();

// output.cpp
void spew(Args& args);
void lines(Args& args);
void bytes(Args& args);
void cat(Args& args);
void connect_named(Args& args);
void copy(Args& args);
void read_slowly(Args& args);
void verify_stdin(Args& args);
void await_line(Args& args);
void exit_without_reading(Args& args);
void close_stdin_then_sleep(Args& args);

// process.cpp
void exit_with(Args& args);
void die(Args& args);
void ignore_term(Args& args);
void sleep_for(Args& args);
void grandchild_holds_stdout(Args& args);
void double_fork(Args& args);
void sibling(Args& args);
void without_clone3(Args& args);

// report.cpp
void list_fds(Args& args);
void env(Args& args);
void cwd(Args& args);
void umask_of(Args& args);
void pid(Args& args);
void signal_state(Args& args);
void print_args(Args& args);

}  // namespace kairo::test
