// The keeper becomes another program, and speaks with kairods of other versions.
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.hpp"
#include "keeper/start.hpp"
#include "keeper/succession.hpp"
#include "support/pattern.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

std::string program_of(pid_t pid) {
  std::error_code gone;
  return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/exe", gone).string();
}

/// The keeper's program once more, under a path of its own.
struct NextProgram {
  explicit NextProgram(const TempDir& dir, const std::string& name = "next") : path(dir.path() + "/" + name) {
    std::filesystem::copy_file(KEEPER_HOST, path);
    file = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    REQUIRE(file);
  }
  std::string path;
  UniqueFd file;
};

/// A kairod that leaves the keeper to the next one.
std::unique_ptr<Kairod> passing(const std::string& dir, int next_program = -1) {
  auto made = std::make_unique<Kairod>(dir, HostOptions{.next_program = next_program});
  made->stop_keeper_at_end = false;
  return made;
}

std::string patterned(std::size_t size) {
  std::string out(size, '\0');
  pattern_fill(out.data(), size, 0);
  return out;
}

/// The status of a session, whether its end was told before or comes yet.
int status_of(Kairod& kairod, std::vector<Link::Held>& held, std::uint64_t key) {
  for (const auto& each : held)
    if (each.session.key == key && each.session.wait_status) return *each.session.wait_status;
  return kairod.wait_exit(key).wait_status;
}

}  // namespace

TEST_CASE("through upgrades at full speed no byte is missing, and no exit status") {
  const TempDir dir;
  const NextProgram programs[2] = {NextProgram(dir, "one"), NextProgram(dir, "two")};
  const std::size_t size = 512u << 20;
  auto kairod = passing(dir.path());
  const pid_t keeper = kairod->link->keeper_pid();
  const std::string keeper_id = kairod->link->keeper_id();
  const std::size_t descriptors = open_descriptors(keeper);
  const std::string record("record\0\xff", 8);
  const auto spewing = kairod->launch({.argv = words({"spew", std::to_string(size), "exit", "7"}),
                                       .retain_bytes = 1u << 30,
                                       .record = record});
  const auto reading = kairod->launch({.argv = words({"verify-stdin"}), .standard_input = Stdio::pipe});
  Ring ring;
  const std::string input = patterned(900'000);
  std::size_t written = 0;
  std::vector<std::shared_ptr<Kairod::Started>> brief;
  std::vector<Link::Held> held;
  int upgrades = 0;
  for (; upgrades < 12; ++upgrades) {
    // Ends while the keeper is on its way, too.
    brief.push_back(kairod->launch({.argv = words({"exit", std::to_string(upgrades)})}));
    brief.push_back(kairod->launch(
        {.argv = {"/bin/sh", "-c", "sleep 0.00" + std::to_string(upgrades) + "; kill -USR1 $$"}}));
    written += ring.write(*kairod->link, reading->key, kairod->slot(reading).standard_input,
                          std::string_view(input).substr(written, 70'000));
    kairod.reset();
    kairod = passing(dir.path(), programs[upgrades % 2].file.get());
    CHECK_FALSE(kairod->link->not_upgraded().has_value());
    CHECK(kairod->link->keeper_pid() == keeper);
    CHECK(kairod->link->keeper_id() == keeper_id);
    CHECK(program_of(keeper) == programs[upgrades % 2].path);
    held = kairod->link->take_held();
    CHECK(held.size() == 2 + brief.size());
    for (const auto& each : held)
      if (each.session.key == spewing->key) CHECK(each.session.record.data == record);
  }
  written += ring.write(*kairod->link, reading->key, kairod->slot(reading).standard_input,
                        std::string_view(input).substr(written));
  REQUIRE(written == input.size());
  ring.close(*kairod->link, reading->key, kairod->slot(reading).standard_input);
  CHECK(status_of(*kairod, held, reading->key) == 0);
  CHECK(kairod->read_log(reading->key, reading->slot) == "ok 900000\n");
  CHECK(WEXITSTATUS(status_of(*kairod, held, spewing->key)) == 7);
  const std::string output = kairod->read_log(spewing->key, spewing->slot);
  REQUIRE(output.size() == size);
  CHECK(pattern_mismatch(output.data(), output.size(), 0) == output.size());
  for (std::size_t i = 0; i < brief.size(); ++i) {
    const int status = status_of(*kairod, held, brief[i]->key);
    CHECK(status == (i % 2 == 0 ? static_cast<int>(i / 2) << 8 : SIGUSR1));
    kairod->link->release(brief[i]->key);
  }
  kairod->link->release(spewing->key);
  kairod->link->release(reading->key);
  eventually([&] { return open_descriptors(keeper) == descriptors; });
  CHECK(zombies_of(keeper) == 0);
  kairod->stop_keeper_at_end = true;
}

TEST_CASE("a program that cannot be executed leaves the keeper as it was") {
  const TempDir dir;
  auto kairod = passing(dir.path());
  const pid_t keeper = kairod->link->keeper_pid();
  const auto session =
      kairod->launch({.argv = words({"await-line", "exit", "4"}), .standard_input = Stdio::pipe});
  const std::size_t descriptors = open_descriptors(keeper);
  kairod.reset();
  const UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  kairod = passing(dir.path(), nothing.get());
  REQUIRE(kairod->link->not_upgraded().has_value());
  CHECK(kairod->link->not_upgraded()->find("EACCES") != std::string::npos);
  CHECK(kairod->link->keeper_pid() == keeper);
  CHECK(program_of(keeper) == KEEPER_HOST);
  // It launches, with threads that are new, and knows the children of the old ones.
  CHECK(kairod->output_of({.argv = {"/bin/echo", "on"}}) == "on\n");
  CHECK(kairod->output_of({.argv = words({"list-fds"})}).find("4") == std::string::npos);
  Ring ring;
  ring.write(*kairod->link, session->key, kairod->slot(session).standard_input, "\n");
  CHECK(WEXITSTATUS(kairod->wait_exit(session->key).wait_status) == 4);
  eventually([&] { return open_descriptors(keeper) <= descriptors; });
  kairod->link->release(session->key);
  kairod->stop_keeper_at_end = true;
}

TEST_CASE("after an upgrade launches are as before it: descriptors, limits, signals") {
  const TempDir dir;
  const NextProgram next(dir);
  const Order looks[] = {{.argv = words({"list-fds"})},
                         {.argv = {"/bin/sh", "-c", "ulimit -n; ulimit -Hn; umask; pwd"}},
                         {.argv = words({"sigmask"})},
                         {.argv = {"/usr/bin/env"}}};
  std::vector<std::string> before, after;
  auto kairod = passing(dir.path());
  const auto living = kairod->launch({.argv = words({"sleep", "1000"}), .standard_input = Stdio::pipe});
  for (const Order& each : looks) before.push_back(kairod->output_of(each));
  kairod.reset();
  kairod = passing(dir.path(), next.file.get());
  CHECK_FALSE(kairod->link->not_upgraded().has_value());
  for (const Order& each : looks) after.push_back(kairod->output_of(each));
  CHECK(before == after);
  CHECK(kairod->signal(living->key, SIGKILL, SignalScope::all) == 0);
  CHECK(WTERMSIG(kairod->wait_exit(living->key).wait_status) == SIGKILL);
  kairod->link->release(living->key);
  kairod->stop_keeper_at_end = true;
}

TEST_CASE("what is to be done to descendants is done by the next program") {
  const TempDir dir;
  const NextProgram next(dir);
  auto kairod = passing(dir.path());
  // A grandchild that ignores SIGTERM and holds stdout: SIGKILL is due after the grace.
  const auto session =
      kairod->launch({.argv = {"/bin/sh", "-c",
                               "(trap '' TERM; exec setsid " TEST_CHILD " ignore-term) & sleep 0.2; exit 3"},
                      .env = {"PATH=/usr/bin:/bin", "KAIRO_PROCESS_ID=marked"},
                      .grace_ms = 1500,
                      .mark = "marked"});
  kairod->wait_stream(session->slot, 0, [](auto& each) { return each.tail > 0; });
  // One whose main process ends only under the next program.
  const auto later =
      kairod->launch({.argv = {"/bin/sh", "-c", TEST_CHILD " ignore-term & echo $!; read line; exit 5"},
                      .standard_input = Stdio::pipe,
                      .grace_ms = 100});
  kairod->wait_stream(later->slot, 0, [](auto& each) { return each.tail > 0; });
  eventually([&] { return !alive(session->pid()); });
  kairod.reset();
  kairod = passing(dir.path(), next.file.get());
  CHECK_FALSE(kairod->link->not_upgraded().has_value());
  auto held = kairod->link->take_held();
  Ring ring;
  ring.write(*kairod->link, later->key, kairod->slot(later).standard_input, "\n");
  CHECK(WEXITSTATUS(status_of(*kairod, held, later->key)) == 5);
  CHECK(WEXITSTATUS(status_of(*kairod, held, session->key)) == 3);
  const pid_t keeper = kairod->link->keeper_pid();
  eventually([&] {
    const std::string children = [&] {
      std::string all;
      for (const auto& task :
           std::filesystem::directory_iterator("/proc/" + std::to_string(keeper) + "/task")) {
        std::ifstream file(task.path() / "children");
        all.append(std::istreambuf_iterator<char>(file), {});
      }
      return all;
    }();
    return children.empty();
  });
  kairod->link->release(session->key);
  kairod->link->release(later->key);
  kairod->stop_keeper_at_end = true;
}

TEST_CASE("a stream that a pin holds is held on, and an ended session is told again") {
  const TempDir dir;
  const NextProgram next(dir);
  auto kairod = passing(dir.path());
  const auto is_held = [](stream::StreamSlot& each) { return (each.flags & stream::log_held) != 0; };
  const auto pinned = kairod->launch({.argv = words({"spew", "1000000"}),
                                      .standard_error = Stdio::null,
                                      .retain_bytes = 64u << 10,
                                      .pin = 0});
  kairod->slot(pinned).kairod_wants_hold = 1;
  kairod->wait_stream(pinned->slot, 0, is_held);
  const auto ended = kairod->launch({.argv = words({"exit", "9"})});
  kairod->wait_exit(ended->key);
  kairod->link->note(ended->key, "noted");
  for (int i = 0; i < 3; ++i) {
    kairod.reset();
    kairod = passing(dir.path(), next.file.get());
    CHECK_FALSE(kairod->link->not_upgraded().has_value());
    CHECK(is_held(kairod->slot(pinned).streams[0]));
    CHECK(kairod->slot(pinned).streams[0].floor == 0);
  }
  auto held = kairod->link->take_held();
  for (const auto& each : held)
    if (each.session.key == ended->key) CHECK(each.session.note.data == "noted");
  CHECK(WEXITSTATUS(status_of(*kairod, held, ended->key)) == 9);
  kairod->slot(pinned).streams[0].pin.store(stream::no_pin);
  kairod->link->resume_pump(pinned->key);
  kairod->wait_exit(pinned->key);
  CHECK(kairod->slot(pinned).streams[0].tail == 1'000'000);
  kairod->link->release(pinned->key);
  kairod->link->release(ended->key);
  kairod->stop_keeper_at_end = true;
}

TEST_CASE("letters come back as they were written; what is none is refused") {
  Letters letters;
  letters.keeper.keeper_id = "keeper";
  letters.keeper.sessions = 2;
  letters.keeper.watches.push_back({7, true, false, 123'456'789'012, {"mark\xff"}});
  SessionLetter session;
  session.key = UINT64_MAX;
  session.record.data = std::string(3u << 20, '\xfe');
  session.output.push_back({4, 5, 65536, 1, {"carried"}});
  session.timers.push_back({-5, true});
  letters.sessions = {session, session};
  auto memory = write_letters(letters);
  REQUIRE(memory.ok());
  const auto read = read_letters(memory->get());
  REQUIRE(read.ok());
  CHECK(read->keeper.keeper_id == "keeper");
  CHECK(read->keeper.watches.at(0).mark.data == "mark\xff");
  REQUIRE(read->sessions.size() == 2);
  CHECK(read->sessions[1].key == UINT64_MAX);
  CHECK(read->sessions[1].record.data == session.record.data);
  CHECK(read->sessions[1].output.at(0).carry.data == "carried");
  CHECK(read->sessions[1].timers.at(0).at_ns == -5);
  CHECK(descriptors_of(*read) == std::vector<int>{4, 5, 4, 5});

  letters.keeper.version = letter_version + 1;
  CHECK(read_letters(write_letters(letters)->get()).error().code == Code::unsupported);
  REQUIRE(::ftruncate(memory->get(), 3u << 20) == 0);
  CHECK_FALSE(read_letters(memory->get()).ok());
  REQUIRE(::ftruncate(memory->get(), 0) == 0);
  CHECK_FALSE(read_letters(memory->get()).ok());
}

// --- versions of the protocol ------------------------------------------------------------------------

TEST_CASE("a keeper that is older or newer by one version serves this kairod") {
  for (const char* program : {KEEPER_HOST_OLDER, KEEPER_HOST_NEWER}) {
    CAPTURE(program);
    const TempDir dir;
    const NextProgram next(dir);
    pid_t keeper;
    std::shared_ptr<Kairod::Started> session;
    {
      Kairod first(dir.path(), {.program = program});
      first.stop_keeper_at_end = false;
      keeper = first.link->keeper_pid();
      CHECK(first.output_of({.argv = {"/bin/echo", "understood"}}) == "understood\n");
      session = first.launch({.argv = words({"await-line", "exit", "6"}), .standard_input = Stdio::pipe});
    }
    Kairod second(dir.path(), {.program = program, .next_program = next.file.get()});
    CHECK(second.link->keeper_pid() == keeper);
    CHECK_FALSE(second.link->not_upgraded().has_value());
    CHECK(program_of(keeper) == next.path);
    Ring ring;
    ring.write(*second.link, session->key, second.slot(session).standard_input, "\n");
    CHECK(WEXITSTATUS(second.wait_exit(session->key).wait_status) == 6);
    second.link->release(session->key);
  }
}

TEST_CASE("a keeper of the version before is not asked what was denied") {
  const TempDir dir;
  Kairod kairod(dir.path(), {.program = KEEPER_HOST_OLDER});
  CHECK_FALSE(kairod.link->tells_denials());
  bool answered = false;
  std::optional<DenialReport> report;
  kairod.link->denials(1, [&](std::optional<DenialReport> told) {
    answered = true;
    report = std::move(told);
  });
  kairod.run_until([&] { return answered; });
  CHECK_FALSE(report.has_value());
  // It would have closed the connection.
  CHECK(kairod.output_of({.argv = {"/bin/echo", "understood"}}) == "understood\n");
}

TEST_CASE("a keeper that is further away is refused with both versions, at once, and is left alone") {
  for (const char* program : {KEEPER_HOST_ANCIENT, KEEPER_HOST_FUTURE}) {
    CAPTURE(program);
    const TempDir dir;
    boost::asio::io_context io;
    const SteadyTime began = SteadyClock::now();
    const auto refused = Link::connect(io, {dir.path(), "x", {program, "1000", "2000", "0"}});
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Code::unsupported);
    const std::string& message = refused.error().message;
    CHECK_MESSAGE(message.find("this kairod " + std::to_string(oldest_protocol_version) + " to " +
                               std::to_string(protocol_version)) != std::string::npos,
                  message);
    CHECK(SteadyClock::now() - began < std::chrono::seconds(8));
  }
}
