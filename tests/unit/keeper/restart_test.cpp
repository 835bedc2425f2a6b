// kairod goes and comes back; the keeper stays.
#include <fcntl.h>
#include <filesystem>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.hpp"
#include "keeper/start.hpp"
#include "support/pattern.hpp"

using namespace kairo;
using namespace kairo::test;

TEST_CASE("a second kairod finds sessions, exit statuses, records and stdin rings again") {
  const TempDir dir;
  std::uint64_t ended_key, living_key;
  std::uint32_t living_slot;
  std::int32_t keeper, living_pid;
  std::string keeper_id;
  const std::string record("record\0\xff", 8);
  {
    Kairod first(dir.path());
    first.stop_keeper_at_end = false;
    keeper = first.link->keeper_pid();
    keeper_id = first.link->keeper_id();
    auto ended = first.launch({.argv = words({"exit", "7"})});
    first.wait_exit(ended->key);
    ended_key = ended->key;
    auto living =
        first.launch({.argv = words({"verify-stdin"}), .standard_input = Stdio::pipe, .record = record});
    living_key = living->key;
    living_slot = living->slot;
    living_pid = living->pid();
    Ring ring;
    std::string data(500'000, '\0');
    pattern_fill(data.data(), data.size(), 0);
    CHECK(ring.write(*first.link, living->key, first.slot(living).standard_input, data) == data.size());
  }
  Kairod second(dir.path());
  CHECK(second.link->keeper_pid() == keeper);
  CHECK(second.link->keeper_id() == keeper_id);
  auto held = second.link->take_held();
  REQUIRE(held.size() == 2);
  if (held[0].session.key != ended_key) std::swap(held[0], held[1]);
  CHECK(held[0].session.key == ended_key);
  REQUIRE(held[0].session.wait_status.has_value());
  CHECK(WEXITSTATUS(*held[0].session.wait_status) == 7);
  CHECK(held[0].session.exited_us > 0);
  CHECK_FALSE(held[0].stdin_ring);
  CHECK(held[1].session.key == living_key);
  CHECK(held[1].session.slot == living_slot);
  CHECK(held[1].session.pid == living_pid);
  CHECK(held[1].session.record.data == record);
  CHECK_FALSE(held[1].session.wait_status.has_value());
  REQUIRE(held[1].stdin_ring);

  StdinSlot& slot = second.link->table().slot(living_slot).standard_input;
  Ring ring;
  ring.file = std::move(held[1].stdin_ring);
  ring.passed = true;
  ring.close(*second.link, living_key, slot);
  CHECK(second.wait_exit(living_key).wait_status == 0);
  CHECK(second.read_log(living_key, living_slot) == "ok 500000\n");
  second.link->release(living_key);
  second.link->release(ended_key);
}

TEST_CASE("what a dead kairod accepted and did not ring for is still fed") {
  const TempDir dir;
  std::uint64_t key;
  std::uint32_t index;
  {
    Kairod first(dir.path());
    first.stop_keeper_at_end = false;
    auto session = first.launch({.argv = words({"await-line", "exit", "3"}), .standard_input = Stdio::pipe});
    key = session->key;
    index = session->slot;
    Ring ring;
    StdinSlot& slot = first.slot(session).standard_input;
    ring.write(*first.link, key, slot, "x");
    first.run_until([&] {
      slot.wake.store(1);
      return slot.head == 1 && slot.idle == 1;
    });
    // Dies between taking the bell and ringing it.
    REQUIRE(::pwrite(ring.file.get(), "\n", 1, 1) == 1);
    slot.idle.store(0);
    slot.tail.store(2);
  }
  Kairod second(dir.path());
  const auto held = second.link->take_held();
  REQUIRE(held.size() == 1);
  int status = 0;
  if (held[0].session.wait_status)
    status = *held[0].session.wait_status;
  else
    status = second.wait_exit(key).wait_status;
  CHECK(WEXITSTATUS(status) == 3);
  CHECK(second.link->table().slot(index).standard_input.head == 2);
  second.link->release(key);
}

TEST_CASE("without kairod the output goes on, past pins that nobody wants") {
  const TempDir dir;
  const std::size_t size = 4u << 20;
  std::uint64_t key;
  std::uint32_t index;
  {
    Kairod first(dir.path());
    first.stop_keeper_at_end = false;
    auto session = first.launch({.argv = words({"spew", std::to_string(size)}),
                                 .standard_error = Stdio::null,
                                 .retain_bytes = 64u << 10,
                                 .pin = 0});
    key = session->key;
    index = session->slot;
    first.wait_stream(index, 0, [](auto& each) { return (each.flags & stream::log_held) != 0; });
  }
  Kairod second(dir.path());
  stream::StreamSlot& slot = second.link->table().slot(index).streams[0];
  second.wait_stream(index, 0, [](auto& each) { return (each.flags & stream::log_eof) != 0; });
  CHECK(slot.tail == size);
  const auto held = second.link->take_held();
  REQUIRE(held.size() == 1);
  if (!held[0].session.wait_status) second.wait_exit(key);
  second.link->release(key);
}

TEST_CASE("a hold that is wanted outlives kairod and belongs to the next one") {
  const TempDir dir;
  std::uint64_t key;
  std::uint32_t index;
  const auto is_held = [](stream::StreamSlot& each) { return (each.flags & stream::log_held) != 0; };
  {
    Kairod first(dir.path());
    first.stop_keeper_at_end = false;
    auto session = first.launch({.argv = words({"spew", "1000000"}),
                                 .standard_error = Stdio::null,
                                 .retain_bytes = 64u << 10,
                                 .pin = 0});
    key = session->key;
    index = session->slot;
    first.slot(session).kairod_wants_hold = 1;
    first.wait_stream(index, 0, is_held);
  }
  Kairod second(dir.path());
  stream::StreamSlot& slot = second.link->table().slot(index).streams[0];
  CHECK(is_held(slot));
  CHECK(slot.pin == 0);
  CHECK(slot.floor == 0);
  slot.pin.store(stream::no_pin);
  second.link->resume_pump(key);
  second.wait_exit(key);
  CHECK(slot.tail == 1'000'000);
  second.link->release(key);
}

TEST_CASE("hundreds of sessions with stdin rings are all told to the next kairod") {
  const TempDir dir;
  constexpr std::size_t count = 450;  // three pages of descriptors
  {
    Kairod first(dir.path());
    first.stop_keeper_at_end = false;
    Ring ring;
    for (std::size_t i = 0; i < count; ++i) {
      auto session = first.launch({.argv = words({"sleep", "1000"}),
                                   .standard_input = Stdio::pipe,
                                   .standard_output = Stdio::null,
                                   .standard_error = Stdio::null,
                                   .record = std::string(5000, 'r')});
      REQUIRE(first.link->stdin_ring(session->key, ring.file.get(), [] {}).ok());
    }
  }
  Kairod second(dir.path());
  const auto held = second.link->take_held();
  REQUIRE(held.size() == count);
  for (const auto& each : held) {
    CHECK(each.stdin_ring);
    second.link->signal(each.session.key, SIGKILL, SignalScope::group, [](int) {});
  }
  second.run_until([&] { return second.exits.size() == count; });
  for (const auto& each : held) second.link->release(each.session.key);
}

TEST_CASE("a keeper without kairod and without sessions ends by itself") {
  const TempDir dir;
  pid_t keeper;
  {
    Kairod only(dir.path(), {.idle_seconds = "0"});
    only.stop_keeper_at_end = false;
    keeper = only.link->keeper_pid();
  }
  eventually([&] { return !alive(keeper); });
  Kairod next(dir.path());
  CHECK(next.link->keeper_pid() != keeper);
}

TEST_CASE("the end of the keeper is told, also to those who wait for an answer") {
  const TempDir dir;
  Kairod kairod(dir.path());
  kairod.launch({.argv = words({"sleep", "0"})});
  ::kill(kairod.link->keeper_pid(), SIGSTOP);
  auto waiting = kairod.order({.argv = {"/bin/true"}});
  ::kill(kairod.link->keeper_pid(), SIGKILL);
  kairod.run_until([&] { return kairod.lost; });
  REQUIRE(waiting->result.has_value());
  CHECK_FALSE(waiting->result->ok());
}

TEST_CASE("the keeper is nobody's child here, has its own session and no descriptor too many") {
  const TempDir dir;
  const UniqueFd extra(::open("/dev/null", O_RDONLY));  // not close-on-exec
  Kairod kairod(dir.path());
  const pid_t keeper = kairod.link->keeper_pid();
  CHECK(::waitpid(keeper, nullptr, WNOHANG) == -1);
  CHECK(::getsid(keeper) == keeper);
  CHECK(std::filesystem::read_symlink("/proc/" + std::to_string(keeper) + "/cwd") == "/");
  // 0-2, listener, state, logs, table, epoll, signals, control; for each of two launching threads its six
  // low ones and what they copy, where listeners are sent, an eventfd, a timer, its connection
  CHECK(open_descriptors(keeper) <= 10 + 2 * 11);
}

TEST_CASE("a state directory deeper than a socket address is possible") {
  const TempDir dir;
  std::string deep = dir.path();
  while (deep.size() < 300) deep += "/abcdefghijklmnopqrstuvwxyz";
  std::filesystem::create_directories(deep);
  Kairod kairod(deep);
  CHECK(kairod.output_of({.argv = {"/bin/echo", "deep"}}) == "deep\n");
}

TEST_CASE("a keeper that cannot be started is told at once") {
  const TempDir dir;
  boost::asio::io_context io;
  const auto missing = Link::connect(io, {dir.path(), "x", {"/no/such/keeper"}});
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().message.find("ENOENT") != std::string::npos);
  const auto ends = Link::connect(io, {dir.path(), "x", {"/bin/false"}});
  REQUIRE_FALSE(ends.ok());
  CHECK(ends.error().message.find("keeper.log") != std::string::npos);
}

TEST_CASE("whoever speaks nonsense loses its connection and nothing else happens") {
  const TempDir dir;
  Kairod kairod(dir.path());
  const UniqueFd state(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::string stop;
  append_message(stop, MessageType::stop, Stop{});
  std::string second_control;
  append_message(second_control, MessageType::hello, Hello{protocol_version, "control", "other"});
  std::string foreign_launch;
  append_message(foreign_launch, MessageType::hello, Hello{protocol_version, "launch", "other"});
  std::string too_old;
  append_message(too_old, MessageType::hello, Hello{0, "launch", "other"});
  for (const std::string& bytes :
       {std::string("\xff\xff\xff\xff"), stop, second_control, foreign_launch, too_old}) {
    auto socket = connect_keeper(state.get());
    REQUIRE((socket.ok() && socket->has_value()));
    Channel channel(std::move(**socket));
    REQUIRE(::send(channel.socket(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
    // One that is too old is told so first.
    const SteadyTime deadline = SteadyClock::now() + std::chrono::seconds(20);
    Channel::Received received = Channel::Received::some;
    while (received != Channel::Received::closed) {
      REQUIRE(wait_readable(channel, deadline));
      received = channel.receive();
      CHECK((received != Channel::Received::some || bytes == too_old));
    }
  }
  CHECK(kairod.output_of({.argv = {"/bin/echo", "unmoved"}}) == "unmoved\n");
}
