// Clients that outlive their daemon: it is killed with SIGKILL, again and again, and nobody may notice. The
// moments are random: after so many bytes of output, or between two pieces of input. The programs end when a
// file appears, once the daemon has been killed for the last time.
#include <csignal>
#include <filesystem>
#include <memory>
#include <random>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

using namespace kairo::test;

namespace {

/// Whether nothing of a process is left but what its parent has not asked for yet. While one of its threads
/// is there its sockets are open, and what is sent to them is lost.
bool is_gone(pid_t pid) {
  const std::string proc = "/proc/" + std::to_string(pid);
  const std::string stat = read_file(proc + "/stat");
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return true;
  std::error_code gone;
  const std::filesystem::directory_iterator tasks(proc + "/task", gone), none;
  return stat.compare(name_end, 3, ") Z") == 0 && (gone || std::distance(tasks, none) <= 1);
}

/// Kills the daemon that serves now, waiting for one that does; gives the pid that it had.
pid_t kill_daemon(const Daemon& place) {
  Daemon::Pids pids;
  eventually(
      [&] {
        try {
          pids = place.pids();
          return true;
        } catch (const std::exception&) {
          return false;  // none yet, or one that has just been killed
        }
      },
      "a daemon that answers");
  REQUIRE(kill(pids.daemon, SIGKILL) == 0);
  eventually([&] { return is_gone(pids.daemon); }, "the daemon's end");
  return pids.daemon;
}

StartOptions with_autostart() {
  StartOptions options;
  options.env = {{"KAIROD", kairod_path()}, {"KAIRO_IPC_SOCKET", std::nullopt}};
  return options;
}

std::unique_ptr<Program> ctl(const Daemon& place, const std::vector<std::string>& arguments,
                             bool stdin_null = true) {
  StartOptions options = with_autostart();
  options.stdin_null = stdin_null;
  return std::make_unique<Program>(place.ctl_argv(arguments), options);
}

/// Numbers on stdout and, fewer, on stderr until the file "gate" appears; then exit code 7.
std::vector<std::string> counter(const Daemon& place) {
  const std::string script =
      "n=1; until [ -e \"$0\" ]; do seq $n $((n + 4999)); echo $n >&2; n=$((n + 5000)); done; exit 7";
  return {"--", "sh", "-c", script, place.dir().file("gate")};
}

void open_gate(const Daemon& place) {
  place.dir().put("gate", "");
}

std::string numbers(std::size_t count, std::size_t step) {
  std::string out;
  for (std::size_t i = 1; out.size() < count; i += step) out += std::to_string(i) + "\n";
  return out;
}

std::vector<std::string> with(std::vector<std::string> first, const std::vector<std::string>& rest) {
  first.insert(first.end(), rest.begin(), rest.end());
  return first;
}

/// Rounds of kills: fewer for programs with sanitizers, whose daemons take many times as long to start.
int rounds(int count) {
  return sanitized() ? count / 3 : count;
}

std::mt19937& random_source() {
  static std::mt19937 source{std::random_device{}()};
  return source;
}

std::size_t up_to(std::size_t most) {
  return std::uniform_int_distribution<std::size_t>(0, most)(random_source());
}

}  // namespace

TEST_SUITE_BEGIN("reconnect");

TEST_CASE(
    "run: both streams are whole and the exit code is the program's, however often the daemon is killed") {
  Daemon place({.start = false});
  const auto program = ctl(place, with({"run", "--rm", "--id", "counter"}, counter(place)));
  program->await_out("5000\n");
  for (int i = 0; i < rounds(150); ++i) {
    kill_daemon(place);
    const std::size_t wanted = program->out().size() + up_to(400'000);
    program->await([&] { return program->out().size() >= wanted; }, "output across the kill");
  }
  kill_daemon(place);
  open_gate(place);
  const Ran& ran = program->wait();
  CHECK_MESSAGE(ran.code == 7, ran.err);
  CHECK(difference(ran.out, numbers(ran.out.size(), 1)) == "");
  CHECK(difference(ran.err, numbers(ran.err.size(), 5000)) == "");
  CHECK(place.ctl({"status", "counter"}).code == 1);
}

TEST_CASE("run: a log of 64 KiB behind a reader that is slower than the kills has no gap") {
  Daemon place({.start = false});
  const auto program = ctl(place, with({"run", "--retain", "64K"}, counter(place)));
  program->await_out("5000\n");
  for (int i = 0; i < 20; ++i) {
    // Nobody reads meanwhile: our pipe is full, the client holds what the killed daemon had sent.
    kill_daemon(place);
    eventually([&] { return place.ctl({"--no-autostart", "ping"}).code == 0; }, "the client's next daemon");
    const std::size_t wanted = program->out().size() + up_to(200'000);
    program->await([&] { return program->out().size() >= wanted; }, "output across the kill");
  }
  open_gate(place);
  const Ran& ran = program->wait();
  CHECK_MESSAGE(ran.code == 7, ran.err);
  CHECK(difference(ran.out, numbers(ran.out.size(), 1)) == "");
  CHECK(difference(ran.err, numbers(ran.err.size(), 5000)) == "");
}

TEST_CASE("run: stdin arrives once and whole, there and back, and its end too") {
  Daemon place({.start = false});
  const std::string data = pattern(12u << 20);
  const auto echo = ctl(place, child({"run"}, {"cat"}), false);
  const auto check = ctl(place, child({"run"}, {"verify-stdin"}), false);
  eventually([&] { return lines_of(place.ctl({"ps", "-q"}).out).size() == 2; }, "both programs");
  for (std::size_t at = 0; at < data.size();) {
    const std::string_view piece = std::string_view(data).substr(at, 1 + up_to(900'000));
    REQUIRE(echo->write(piece));
    kill_daemon(place);
    REQUIRE(check->write(piece));
    at += piece.size();
  }
  echo->close_stdin();
  check->close_stdin();
  const Ran& echoed = echo->wait();
  CHECK_MESSAGE(echoed.code == 0, echoed.err);
  CHECK(difference(echoed.out, data) == "");
  const Ran& checked = check->wait();
  CHECK_MESSAGE(checked.code == 0, checked.err);
  CHECK(checked.out == "ok " + std::to_string(data.size()) + "\n");
}

TEST_CASE("run: a daemon that is killed before or after a spawn leaves one program, not none and not two") {
  Daemon place({.start = false});
  for (const bool replace : {false, true}) {
    for (int i = 0; i < rounds(20); ++i) {
      CAPTURE(i);
      REQUIRE(place.ctl({"ping"}).code == 0);
      const std::string trace = place.dir().put("trace", "");
      std::vector<std::string> words{"run"};
      if (replace) words = {"run", "--id", "again", "--replace"};
      words = with(words, {"--", "sh", "-c", "echo started >> \"$0\"; cat; exit 3", trace});
      const bool heard = i % 2 == 0;
      const pid_t daemon = place.pids().daemon;
      if (!heard) kill(daemon, SIGSTOP);  // the system takes connection and request for it; it sees neither
      const auto program = ctl(place, words, false);
      if (heard) {
        eventually([&] { return !read_file(trace).empty(); }, "the program's start");
        kill_daemon(place);
      } else {
        usleep(static_cast<useconds_t>(up_to(3000)));
        kill(daemon, SIGKILL);
      }
      REQUIRE(program->write("hello\n"));
      program->await_out("hello\n");
      const Ran& ran = program->wait();
      CHECK_MESSAGE(ran.code == 3, ran.err);
      CHECK(ran.out == "hello\n");
      CHECK(read_file(trace) == "started\n");
    }
  }
}

TEST_CASE("run: a daemon that is killed within a spawn leaves one program") {
  Daemon place({.start = false});
  REQUIRE(place.ctl({"ping"}).code == 0);
  for (int i = 0; i < rounds(60); ++i) {
    const std::string trace = place.dir().put("trace", "");
    const auto program =
        ctl(place, {"run", "--rm", "--", "sh", "-c", "echo started >> \"$0\"; cat; exit 3", trace}, false);
    usleep(static_cast<useconds_t>(up_to(5000)));
    kill_daemon(place);
    REQUIRE(program->write("hello\n"));
    program->await_out("hello\n");
    const Ran& ran = program->wait();
    CHECK_MESSAGE(ran.code == 3, ran.err);
    CHECK(read_file(trace) == "started\n");
  }
}

TEST_CASE("run: signals reach the program under the next daemon") {
  Daemon place({.start = false});
  const auto program =
      ctl(place, {"run", "--", "sh", "-c",
                  "trap 'echo hup' HUP; trap 'exit 9' TERM; echo up; while :; do sleep 0.02; done"});
  program->await_out("up\n");
  kill_daemon(place);
  program->signal(SIGHUP);
  program->await_out("hup\n");
  kill_daemon(place);
  program->signal(SIGTERM);
  CHECK(program->wait().code == 9);
}

TEST_CASE("attach, logs -f and wait go on where they were") {
  Daemon place({.start = false});
  // Only the first reader holds the program up; the log has room for all that the others are behind.
  const std::string id = spawned(place, with({"--retain", "4G"}, counter(place)));
  std::vector<std::unique_ptr<Program>> readers;
  readers.push_back(ctl(place, {"attach", "--lossless", id}));
  readers.push_back(ctl(place, {"attach", "--line", id}));
  readers.push_back(ctl(place, {"logs", "-f", id}));
  readers.push_back(ctl(place, {"attach", "--json", "--stream", "stderr", id}));
  const auto stamped = ctl(place, {"logs", "-f", "-t", "--stream", "stdout", id});
  const auto waiter = ctl(place, {"wait", id});
  const auto impatient = ctl(place, {"wait", "--timeout", "300ms", id});
  for (const auto& each : readers) each->await([&] { return !each->out().empty(); }, "output");
  for (int i = 0; i < 12; ++i) {
    kill_daemon(place);
    const auto& one = readers[up_to(2)];
    const std::size_t wanted = one->out().size() + up_to(100'000);
    one->await([&] { return one->out().size() >= wanted; }, "output across the kill");
  }
  CHECK(impatient->wait().code == 124);
  kill_daemon(place);
  open_gate(place);
  const std::string whole = readers[0]->wait().out;
  CHECK(difference(whole, numbers(whole.size(), 1)) == "");
  for (std::size_t i = 0; i < 3; ++i) {
    const Ran& ran = readers[i]->wait();
    CAPTURE(i);
    CHECK_MESSAGE(ran.code == 0, ran.err);
    CHECK(difference(ran.out, whole) == "");
    CHECK(difference(ran.err, numbers(ran.err.size(), 5000)) == "");
  }
  std::string chunks;
  for (const std::string& line : lines_of(readers[3]->wait().out)) chunks += json_at(line, "/chunk");
  CHECK(difference(chunks, readers[0]->err()) == "");
  std::string unstamped;
  for (const std::string& line : lines_of(stamped->wait().out)) {
    const std::size_t space = line.find(' ');
    REQUIRE(space == std::string("2026-11-21T01:37:37.991664Z").size());
    unstamped += line.substr(space + 1) + "\n";
  }
  CHECK(difference(unstamped, whole) == "");
  const Ran& waited = waiter->wait();
  CHECK_MESSAGE(waited.code == 0, waited.err);
  CHECK(json_at(waited.out, "/exitCode") == "7");
}

TEST_CASE("write: all of stdin arrives once, and close-stdin is done") {
  Daemon place({.start = false});
  const std::string data = pattern(8u << 20);
  const std::string id = spawned(place, child({}, {"verify-stdin"}));
  const auto writer = ctl(place, {"write", "--close", id}, false);
  for (std::size_t at = 0; at < data.size();) {
    const std::string_view piece = std::string_view(data).substr(at, 1 + up_to(700'000));
    REQUIRE(writer->write(piece));
    at += piece.size();
    // A writer that waits for more to write does not look for another daemon.
    REQUIRE(place.ctl({"ping"}).code == 0);
    if (at < data.size()) kill_daemon(place);
  }
  const Ran& written = writer->wait();
  CHECK_MESSAGE(written.code == 0, written.err);
  CHECK(json_at(written.out, "/written") == std::to_string(data.size()));
  CHECK(json_at(written.out, "/offset") == std::to_string(data.size()));
  CHECK(place.ctl({"wait", id}).code == 0);
  CHECK(place.ctl({"logs", id}).out == "ok " + std::to_string(data.size()) + "\n");
}

TEST_CASE("without autostart a daemon that is gone is sought for as long as --reconnect says") {
  Daemon place({.start = false});
  const std::string id = spawned(place, counter(place));
  const auto began = [&](const std::string& patience) {
    auto program = ctl(place, {"--no-autostart", "--reconnect", patience, "attach", id});
    program->await([&] { return !program->out().empty(); }, "output");
    return program;
  };
  const auto hasty = began("0");
  const auto bounded = began("300ms");
  const auto patient = began("60");
  const auto runner = ctl(place, {"--no-autostart", "--reconnect", "0", "run", "--", "sleep", "600"});
  eventually([&] { return place.ctl({"ps"}).out.find("600") != std::string::npos; }, "the second session");
  kill_daemon(place);
  const auto lost_at = std::chrono::steady_clock::now();
  CHECK(hasty->wait().code == 69);
  CHECK(json_at(hasty->err().substr(hasty->err().find('{')), "/error/code") == "E_NOT_RUNNING");
  CHECK(runner->wait().code == 125);
  CHECK(bounded->wait().code == 69);
  CHECK(std::chrono::steady_clock::now() - lost_at >= std::chrono::milliseconds(250));
  CHECK_FALSE(patient->ended());
  REQUIRE(place.ctl({"ping"}).code == 0);  // starts one
  const std::size_t had = patient->out().size();
  patient->await([&] { return patient->out().size() > had; }, "output of the next daemon");
  open_gate(place);
  const Ran& ran = patient->wait();
  CHECK(ran.code == 0);
  CHECK(difference(ran.out, numbers(ran.out.size(), 1)) == "");
}

TEST_CASE("a session that the next daemon does not know is told plainly") {
  Daemon place({.start = false});
  const std::string id = spawned(place, {"--", "cat"});  // it ends with its keeper
  const auto attached = ctl(place, {"attach", id});
  const auto waiter = ctl(place, {"wait", id});
  // Both must have been heard by the daemon that dies: what is asked of the next one for the first time is
  // new to it.
  REQUIRE(place.ctl({"write", id}, "heard\n").code == 0);
  attached->await_out("heard\n");
  eventually(
      [&] {
        const std::string counted = place.ctl({"metrics", "--prometheus"}).out;
        return counted.find("kairo_requests_total{method=\"process.wait\"} ") != std::string::npos;
      },
      "the daemon has been asked to wait");
  attached->signal(SIGSTOP);
  waiter->signal(SIGSTOP);
  const Daemon::Pids pids = place.pids();
  kill_daemon(place);
  REQUIRE(kill(pids.keeper, SIGKILL) == 0);
  eventually([&] { return is_gone(pids.keeper); }, "the keeper's end");
  std::filesystem::remove_all(place.state_dir() + "/sessions");  // else it would be known to be lost
  attached->signal(SIGCONT);
  waiter->signal(SIGCONT);
  for (Program* each : {attached.get(), waiter.get()}) {
    const Ran& ran = each->wait();
    CHECK(ran.code == 1);
    CHECK(json_at(ran.err, "/error/code") == "E_NOT_FOUND");
    CHECK(json_at(ran.err, "/error/message").find("the daemon that answers now does not know it") !=
          std::string::npos);
  }
}

TEST_SUITE_END();
