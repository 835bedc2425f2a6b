// `kairoctl run` behaves like the program that it runs.
#include <csignal>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

using namespace kairo::test;

TEST_SUITE_BEGIN("run");

TEST_CASE(
    "the exit code is the program's, 128 + n after a signal, and 127, 126 or 125 when it could not start") {
  Daemon daemon;
  CHECK(daemon.ctl({"run", "--", "true"}).code == 0);
  CHECK(daemon.ctl(child({"run"}, {"exit", "3"})).code == 3);
  CHECK(daemon.ctl(child({"run"}, {"exit", "255"})).code == 255);
  CHECK(daemon.ctl(child({"run"}, {"die", "SIGTERM"})).code == 143);
  CHECK(daemon.ctl(child({"run"}, {"die", "SIGKILL"})).code == 137);

  const Ran missing = daemon.ctl({"run", "--", "no-such-program-anywhere"});
  CHECK(missing.code == 127);
  CHECK(missing.out.empty());
  CHECK(json_at(missing.err, "/error/code") == "E_SPAWN_FAILED");
  CHECK(json_at(missing.err, "/error/details/errnoName") == "ENOENT");
  CHECK(daemon.ctl({"run", "--", "/no/such/program"}).code == 127);

  const Ran directory = daemon.ctl({"run", "--", "/tmp"});
  CHECK(directory.code == 126);
  CHECK(json_at(directory.err, "/error/details/errnoName") == "EACCES");
  const std::string no_shebang = daemon.dir().put("script", "echo hello\n", 0755);
  const Ran script = daemon.ctl({"run", "--", no_shebang});
  CHECK(script.code == 126);
  CHECK(json_at(script.err, "/error/details/errnoName") == "ENOEXEC");
  const Ran not_executable = daemon.ctl({"run", "--", daemon.dir().put("text", "hello\n", 0644)});
  CHECK(not_executable.code == 126);

  const Ran bad_cwd = daemon.ctl({"run", "--cwd", "/no/such/directory", "--", "true"});
  CHECK(bad_cwd.code == 125);
  CHECK(json_at(bad_cwd.err, "/error/details/step") == "chdir");
  // None of these left a session behind that looks as if it had run.
  CHECK(lines_of(daemon.ctl({"ps", "-a", "-q"}).out).size() == 5);
}

TEST_CASE("stdout and stderr stay apart") {
  Daemon daemon;
  const Ran ran = daemon.ctl({"run", "--", "sh", "-c", "echo to stdout; echo to stderr >&2; exit 7"});
  CHECK(ran.code == 7);
  CHECK(ran.out == "to stdout\n");
  CHECK(ran.err == "to stderr\n");
}

TEST_CASE("60 KiB of a program that ends at once arrive whole, every time") {
  Daemon daemon;
  const std::string wanted = pattern(60 << 10);
  for (int i = 0; i < 50; ++i) {
    const Ran ran = daemon.ctl(child({"run", "--rm"}, {"spew", std::to_string(wanted.size())}));
    REQUIRE(ran.code == 0);
    REQUIRE(ran.out == wanted);
  }
}

TEST_CASE("every byte value passes unchanged") {
  Daemon daemon;
  std::string bytes, hex;
  for (int i = 0; i < 256; ++i) {
    bytes.push_back(static_cast<char>(i));
    hex.push_back("0123456789abcdef"[i >> 4]);
    hex.push_back("0123456789abcdef"[i & 15]);
  }
  const Ran ran = daemon.ctl(child({"run"}, {"bytes", hex, "bytes", hex, "stderr"}));
  CHECK(ran.out == bytes);
  CHECK(ran.err == bytes);
}

TEST_CASE("64 MiB pass whole through a log that keeps 64 KiB") {
  Daemon daemon;
  constexpr std::size_t size = 64u << 20;
  const Ran ran = daemon.ctl(child({"run", "--retain", "64K"}, {"spew", std::to_string(size)}));
  CHECK(ran.code == 0);
  CHECK(ran.out.size() == size);
  CHECK(ran.out == pattern(size));
}

TEST_CASE("8 MiB of stdin reach the program and come back") {
  Daemon daemon;
  const std::string data = pattern(8u << 20);
  const Ran piped = daemon.ctl(child({"run"}, {"cat"}), data);
  CHECK(piped.code == 0);
  CHECK(piped.out == data);
  StartOptions from_file;
  from_file.stdin_file = daemon.dir().put("data", data);
  const Ran file = daemon.ctl(child({"run"}, {"verify-stdin"}), {}, from_file);
  CHECK(file.out == "ok " + std::to_string(data.size()) + "\n");
}

TEST_CASE("stdin is read no faster than the program takes it") {
  Daemon daemon;
  Program program(daemon.ctl_argv(child({"run"}, {"await-line", "sleep", "600"})));
  // What fits on the way: our pipe, the client's unanswered writes, the daemon's queue, the program's pipe.
  const std::size_t taken = program.write_some("\n" + pattern(32u << 20), std::chrono::seconds(1));
  CHECK(taken > (512u << 10));
  CHECK(taken < (8u << 20));
  program.signal(SIGTERM);
  CHECK(program.wait().code == 143);
}

TEST_CASE("a program that ends without reading its stdin ends the run") {
  Daemon daemon;
  Program program(daemon.ctl_argv(child({"run"}, {"exit-without-reading", "4"})));
  program.write(pattern(1u << 20));
  CHECK(program.wait().code == 4);
}

TEST_CASE("a program that closes its stdin ends the forwarding, and whoever writes there is told") {
  Daemon daemon;
  Program program(daemon.ctl_argv(child({"run"}, {"close-stdin-then-sleep"})));
  program.await_out("ready");
  const std::string data = pattern(1u << 20);
  bool taken = true;
  for (int i = 0; taken && i < 64; ++i) taken = program.write(data);
  CHECK_FALSE(taken);
  program.signal(SIGTERM);
  CHECK(program.wait().code == 143);
}

TEST_CASE("with /dev/null as stdin the program gets the end of file at once") {
  Daemon daemon;
  CHECK(daemon.ctl({"run", "--", "cat"}).code == 0);
  CHECK(daemon.ctl({"run", "--", "readlink", "/proc/self/fd/0"}).out == "/dev/null\n");
}

TEST_CASE("signals reach the program") {
  Daemon daemon;
  const std::string script =
      "for s in INT TERM HUP QUIT USR1 USR2 WINCH; do trap \"echo $s\" $s; done; echo ready; "
      "while :; do sleep 0.02; done";
  Program program(daemon.ctl_argv({"run", "--", "sh", "-c", script}));
  program.await_out("ready\n");
  const std::vector<std::pair<int, std::string>> signals = {
      {SIGINT, "INT"},   {SIGTERM, "TERM"}, {SIGHUP, "HUP"},    {SIGQUIT, "QUIT"},
      {SIGUSR1, "USR1"}, {SIGUSR2, "USR2"}, {SIGWINCH, "WINCH"}};
  for (const auto& [number, name] : signals) {
    program.signal(number);
    program.await_out(name + "\n");
  }
  daemon.ctl({"kill", "-s", "KILL", lines_of(daemon.ctl({"ps", "-q"}).out).at(0)});
  CHECK(program.wait().code == 137);
}

TEST_CASE("a signal gets through while nobody reads the output") {
  Daemon daemon;
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  kairo::UniqueFd read_end(ends[0]), write_end(ends[1]);
  StartOptions options;
  options.stdin_null = true;
  options.stdout_fd = write_end.get();
  Program program(daemon.ctl_argv(child({"run"}, {"spew", "1073741824"})), options);
  char byte = 0;
  REQUIRE(read(read_end.get(), &byte, 1) == 1);
  program.signal(SIGTERM);
  eventually([&] { return daemon.ctl({"ps", "-q"}).out.empty(); }, "the program's end");
  read_end.reset();
  write_end.reset();
  CHECK(program.wait().code == 143);
  struct stat status {};
  CHECK(fstat(1, &status) == 0);
}

TEST_CASE("the reader's O_NONBLOCK is left alone") {
  Daemon daemon;
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  kairo::UniqueFd read_end(ends[0]), write_end(ends[1]);
  StartOptions options;
  options.stdin_null = true;
  options.stdout_fd = write_end.get();
  Program program(daemon.ctl_argv({"run", "--", "sh", "-c", "echo x; sleep 600"}), options);
  char byte = 0;
  REQUIRE(read(read_end.get(), &byte, 1) == 1);
  CHECK((fcntl(write_end.get(), F_GETFL) & O_NONBLOCK) == 0);
  program.signal(SIGTERM);
  CHECK(program.wait().code == 143);
}

TEST_CASE("a closed stdout brings the program SIGPIPE") {
  Daemon daemon;
  StartOptions options;
  options.stdin_null = true;
  options.stdout_closed = true;
  Program program(daemon.ctl_argv({"run", "--", "yes"}), options);
  CHECK(program.wait().code == 141);
}

TEST_CASE("a program that ignores SIGPIPE and goes on writing to nobody is terminated") {
  Daemon daemon;
  StartOptions options;
  options.stdin_null = true;
  options.stdout_closed = true;
  Program program(daemon.ctl_argv({"run", "--", "sh", "-c", "trap '' PIPE; while :; do echo y; done"}),
                  options);
  CHECK(program.wait().code == 143);
}

TEST_CASE("a killed client leaves the session running") {
  Daemon daemon;
  Program program(daemon.ctl_argv({"run", "--id", "left", "--", "sh", "-c", "echo up; sleep 600"}));
  program.await_out("up");
  program.signal(SIGKILL);
  CHECK(program.wait().code == 137);
  CHECK(json_at(daemon.ctl({"status", "left"}).out, "/status") == "running");
}

TEST_CASE("with --on-owner-exit kill a killed client takes the session along") {
  Daemon daemon;
  Program program(daemon.ctl_argv(
      {"run", "--id", "taken", "--on-owner-exit", "kill", "--", "sh", "-c", "echo up; sleep 600"}));
  program.await_out("up");
  program.signal(SIGKILL);
  program.wait();
  const Ran waited = daemon.ctl({"wait", "taken"});
  CHECK(json_at(waited.out, "/outcome/reason") == "owner-gone");
}

TEST_CASE("the program has the caller's cwd, umask, environment and words, and three descriptors") {
  Daemon daemon;
  StartOptions options;
  options.cwd = daemon.dir().path();
  options.env = {{"KAIRO_E2E", "with = sign and\nnewline"}};
  const mode_t before = umask(0027);
  CHECK(daemon.ctl(child({"run"}, {"cwd"}), {}, options).out == daemon.dir().path() + "\n");
  CHECK(daemon.ctl(child({"run"}, {"umask"}), {}, options).out == "0027\n");
  umask(before);
  const Ran env = daemon.ctl(child({"run", "-e", "ADDED=1"}, {"env"}), {}, options);
  CHECK(json_at(env.out, "/KAIRO_E2E") == "with = sign and\nnewline");
  CHECK(json_at(env.out, "/ADDED") == "1");
  CHECK(json_at(env.out, "/KAIRO_IPC_SOCKET") == daemon.socket());
  CHECK_FALSE(json_at(env.out, "/KAIRO_PROCESS_ID").empty());
  const Ran clean = daemon.ctl(child({"run", "--clean-env", "-e", "ADDED=1"}, {"env"}), {}, options);
  CHECK(json_at(clean.out, "/KAIRO_E2E").empty());
  CHECK(json_at(clean.out, "/ADDED") == "1");
  const Ran words =
      daemon.ctl(child({"run"}, {"print-args", "", "a b", "--id", "x", "--", "$HOME", "*", "a\nb"}));
  CHECK(json_at(words.out, "/0").empty());
  CHECK(json_at(words.out, "/1") == "a b");
  CHECK(json_at(words.out, "/2") == "--id");
  CHECK(json_at(words.out, "/4") == "--");
  CHECK(json_at(words.out, "/5") == "$HOME");
  CHECK(json_at(words.out, "/6") == "*");
  CHECK(json_at(words.out, "/7") == "a\nb");
  CHECK(daemon.ctl({"run", "--", "printf", "%s", "\xc3\xa4\xff"}).out == "\xc3\xa4\xff");
  CHECK(daemon.ctl(child({"run"}, {"list-fds"})).out.substr(0, 9) == "[0,1,2]\n");
}

TEST_CASE("the -- may be left out") {
  Daemon daemon;
  CHECK(daemon.ctl({"run", "sh", "-c", "exit 9"}).code == 9);
  CHECK(daemon.ctl({"run", "--rm", "-e", "A=b", "sh", "-c", "test $A = b"}).code == 0);
}

TEST_CASE("--rm forgets the session, otherwise it stays") {
  Daemon daemon;
  daemon.ctl({"run", "--rm", "--id", "gone", "--", "true"});
  daemon.ctl({"run", "--id", "stays", "--", "true"});
  CHECK(daemon.ctl({"status", "gone"}).code == 1);
  CHECK(json_at(daemon.ctl({"status", "stays"}).out, "/exitCode") == "0");
}

TEST_CASE("-t is refused for now, -T and -i are accepted") {
  Daemon daemon;
  const Ran tty = daemon.ctl({"run", "-t", "--", "true"});
  CHECK(tty.code == 125);
  CHECK(json_at(tty.err, "/error/code") == "E_UNSUPPORTED");
  CHECK(daemon.ctl({"run", "-T", "-i", "--", "true"}).code == 0);
}

TEST_CASE("an id that is taken is Kairo's failure, not the program's") {
  Daemon daemon;
  spawned(daemon, {"--id", "taken", "--", "sleep", "600"});
  const Ran ran = daemon.ctl({"run", "--id", "taken", "--", "true"});
  CHECK(ran.code == 125);
  CHECK(json_at(ran.err, "/error/code") == "E_ALREADY_EXISTS");
}

TEST_SUITE_END();
