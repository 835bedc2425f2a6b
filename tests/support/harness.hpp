// What end-to-end and system tests stand on: a temporary directory, programs that are driven and watched, and
// a daemon of its own per test. Everything waits for conditions; nothing sleeps for a guessed time. A wait
// that takes longer than `patience` throws, which fails the test.
//
//   Daemon daemon;                                        // starts kairod, waits until it answers
//   const Ran ran = daemon.ctl({"run", "--", "true"});    // kairoctl against it
//   CHECK(ran.code == 0);
//                                                         // the destructor ends it all and looks for leaks
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "base/unique_fd.hpp"
#include "support/temp_dir.hpp"

namespace kairo::test {

/// Whether the programs under test were built with sanitizers. The tests themselves may have been built
/// without (KAIRO_TEST_DRIVERS in tests/CMakeLists.txt): KAIRO_TEST_SANITIZED says it then.
bool sanitized();

/// How long a condition may take to come true; programs with sanitizers start many times slower.
inline const std::chrono::seconds patience{sanitized() ? 120 : 30};

/// Paths of the programs under test.
std::string kairod_path();
std::string kairoctl_path();
std::string test_child_path();

std::string read_file(const std::string& path);

/// Where two long texts part, with a few bytes of each; empty where they are the same. A failed comparison of
/// the texts themselves would print them whole.
std::string difference(std::string_view is, std::string_view wanted);

/// How a program ended and what it wrote.
struct Ran {
  int code = -1;  ///< Exit code; 128 + n after signal n.
  std::string out;
  std::string err;
};

struct StartOptions {
  std::map<std::string, std::optional<std::string>> env = {};  ///< Beside our own; nothing: unset it.
  std::string cwd = {};
  bool stdin_null = false;  ///< /dev/null instead of a pipe that write() and close_stdin() drive.
  std::string stdin_file = {};
  int stdout_fd = -1;          ///< A descriptor to write to, instead of the pipe behind out().
  bool stdout_closed = false;  ///< A pipe that nobody reads.
};

/// A program that runs beside the test. Its outputs are collected whenever the test waits for something.
/// Killed at the end if it still runs.
class Program {
 public:
  explicit Program(std::vector<std::string> argv, const StartOptions& options = {});
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const std::string& out() const { return ran_.out; }
  [[nodiscard]] const std::string& err() const { return ran_.err; }
  void signal(int number) const;
  /// Writes all of it, collecting output meanwhile. False when the program closed its stdin.
  bool write(std::string_view bytes);
  /// Writes until all is written or nothing was taken for `quiet`; how much was.
  std::size_t write_some(std::string_view bytes, std::chrono::milliseconds quiet);
  void close_stdin() { stdin_.reset(); }
  /// Until stdout holds `text`.
  void await_out(const std::string& text);
  void await_err(const std::string& text);
  void await(const std::function<bool()>& condition, const char* what);
  /// Collects what it has written so far.
  void look() { collect(std::chrono::milliseconds(0)); }
  [[nodiscard]] bool ended();
  /// Until it has ended and its outputs are at their end.
  const Ran& wait();

 private:
  bool collect(std::chrono::milliseconds pause, bool writable = false);
  void throw_late(const std::string& what) const;

  std::vector<std::string> argv_;
  pid_t pid_ = -1;
  UniqueFd stdin_, stdout_, stderr_;
  Ran ran_;
  bool reaped_ = false;
};

/// Starts it, gives it `input` as stdin, waits for its end.
Ran run(std::vector<std::string> argv, const std::string& input = {}, const StartOptions& options = {});

/// Waits until `condition` holds, looking every millisecond or so.
void eventually(const std::function<bool()>& condition, const char* what);

/// A place for one daemon: directory, socket, state directory. With `start` the daemon is started in the
/// foreground; otherwise the first kairoctl starts it (autostart). At the end every session is killed and
/// forgotten, the daemon stopped, and the test fails when a process or a descriptor is left that should not
/// be.
class Daemon {
 public:
  struct Options {
    bool start = true;
    std::vector<std::string> arguments = {};  ///< Further ones of kairod.
    std::string program = kairod_path();
    std::map<std::string, std::optional<std::string>> env = {};  ///< Of kairod.
    std::vector<std::string> behind = {};  ///< Words before kairod's own: mounting(), beside().
    bool keep = false;                     ///< --on-shutdown keep, for a daemon that another one follows.
  };
  Daemon();
  explicit Daemon(const Options& options);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  [[nodiscard]] const TempDir& dir() const { return dir_; }
  [[nodiscard]] std::string socket() const { return dir_.file("kairo.sock"); }
  [[nodiscard]] std::string state_dir() const { return dir_.file("state"); }
  /// Pids of the daemon that answers and of its keeper.
  struct Pids {
    pid_t daemon = -1;
    pid_t keeper = -1;
  };
  [[nodiscard]] Pids pids() const;
  /// A path of the state directory as the daemon sees it.
  [[nodiscard]] std::string inside(const std::string& name) const;
  /// Starts a daemon once more, after the test has ended the one before.
  void start(const Options& options);

  /// kairoctl's command line against this place.
  [[nodiscard]] std::vector<std::string> ctl_argv(const std::vector<std::string>& arguments) const;
  Ran ctl(const std::vector<std::string>& arguments, const std::string& input = {},
          const StartOptions& options = {}) const;

  /// What the daemon has said on its stderr so far.
  std::string said();
  /// Ends it now, as the destructor would.
  void stop();

 private:
  void end_sessions();
  void check_descriptors(const Pids& pids);
  void complain(const std::string& problem);

  TempDir dir_;
  std::optional<Program> daemon_;
  std::map<pid_t, std::size_t> descriptors_;  ///< Of daemon and keeper when they were idle at the start.
  bool stopped_ = false;
};

/// Whether file systems may be mounted here, in a namespace of our own.
bool can_mount();
/// Daemon::Options::behind of a daemon in a mount namespace of its own, in which `script` (sh, $STATE is the
/// state directory) has mounted something; needs can_mount().
std::vector<std::string> mounting(const std::string& script);
/// The same of a program in the mount namespace of this process.
std::vector<std::string> beside(pid_t pid);

/// Processes whose environment has this entry ("KAIRO_IPC_SOCKET=...").
std::vector<pid_t> processes_with(const std::string& entry);

}  // namespace kairo::test
