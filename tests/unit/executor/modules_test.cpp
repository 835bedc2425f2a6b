#include "topology/modules.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "base/unique_fd.hpp"
#include "contract.hpp"
#include "executor/worker.hpp"
#include "reflect/encode.hpp"
#include "support/temp_dir.hpp"
#include "wire/payload.hpp"

using namespace kairo;
using namespace kairo::executor;
using contract::numbered;
using contract::Recorder;
using kairo::test::TempDir;

namespace {

template <class P>
reflect::Any encoded(const P& params) {
  return {reflect::to_msgpack(params)};
}

std::size_t threads() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator("/proc/self/task")) ++count;
  return count;
}

/// A thread that was joined may still be listed for a moment.
void wait_for_threads(std::size_t wanted) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (threads() != wanted) REQUIRE(std::chrono::steady_clock::now() < give_up);
}

/// A worker, and the executor's loop, which the test turns.
struct Rig {
  explicit Rig(std::string_view module, const reflect::Any& params = {}, WorkerStart how = {},
               const std::string& cwd = "/nonexistent") {
    std::signal(SIGPIPE, SIG_IGN);  // as the executor has it
    auto made = Worker::start(io, module, params, cwd, "params", std::move(how));
    REQUIRE(made);
    worker = *std::move(made);
    worker->on_ended = [this](const Error* why) {
      ended = true;
      if (why) failed = *why;
    };
    input = worker->input();
    output = worker->output();
    output->start(out);
    output->resume();
  }

  void begin_input() { input->start(in); }
  void until(const std::function<bool()>& condition) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      REQUIRE(std::chrono::steady_clock::now() < give_up);
      io.restart();
      io.run_one_for(std::chrono::milliseconds(50));
    }
  }
  /// Writes in pieces and waits whenever told to, but not once the worker has ended.
  void feed(std::string_view bytes, std::size_t piece = 10'000) {
    while (!bytes.empty() && !ended) {
      const unsigned drains = in.drains;
      auto written = input->write(std::string(bytes.substr(0, piece)));
      if (!written) return;
      bytes.remove_prefix(std::min(piece, bytes.size()));
      if (!*written) until([&] { return in.drains > drains || ended || in.closes > 0; });
    }
  }
  void finish() {
    input->end();
    until([&] { return ended && out.ends == 1; });
  }
  std::string run(std::string_view bytes, std::size_t piece = 10'000) {
    begin_input();
    feed(bytes, piece);
    finish();
    CHECK_FALSE(failed);
    return out.data;
  }
  std::uint64_t figure(std::string_view name) const {
    const std::string figures = worker->figures();
    wire::PayloadDecoder decoder;
    auto map = decoder.decode(figures);
    REQUIRE(map);
    const msgpack::object* const member = wire::find_member(*map, name);
    REQUIRE(member);
    return member->as<std::uint64_t>();
  }

  boost::asio::io_context io;
  Recorder in, out;
  std::unique_ptr<Worker> worker;
  std::shared_ptr<Duplex> input, output;
  bool ended = false;
  std::optional<Error> failed;
};

std::string lines(std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i)
    out += "line " + std::to_string(i) + (i % 3 == 0 ? " fizz\n" : "\n");
  return out;
}

}  // namespace

// --- all of them ---------------------------------------------------------------------------------------

TEST_CASE("an unknown module and wrong parameters are refused with their path") {
  boost::asio::io_context io;
  const auto refused = [&](std::string_view module, const reflect::Any& params) {
    auto made = Worker::start(io, module, params, "/", "params.topology.nodes[1].params");
    REQUIRE_FALSE(made);
    CHECK(made.error().code == Code::invalid_params);
    REQUIRE(made.error().details.size() == 1);
    return std::get<std::string>(made.error().details[0].second);
  };
  const std::string at = "params.topology.nodes[1].params";
  CHECK(refused("no-such", {}) == "params.topology.nodes[1].module");
  CHECK(refused("file-source", {}) == at + ".path");
  CHECK(refused("file-source", encoded(topology::FileSourceParams{"", {}, {}})) == at + ".path");
  CHECK(refused("file-source", encoded(topology::FileSourceParams{"x", {}, 0})) == at + ".repeat");
  CHECK(refused("file-source", encoded(topology::FileSourceParams{"x", ~0ull, {}})) == at + ".offset");
  CHECK(refused("file-sink", encoded(topology::FileSinkParams{"", false, false})) == at + ".path");
  CHECK(refused("tee", encoded(topology::TeeParams{"", false})) == at + ".path");
  CHECK(refused("rate-limit", encoded(topology::RateLimitParams{0, {}})) == at + ".bytesPerSecond");
  CHECK(refused("rate-limit", encoded(topology::RateLimitParams{1, 0})) == at + ".burstBytes");
  CHECK(refused("filter-lines", encoded(topology::FilterLinesParams{"(", false})) == at + ".match");
  CHECK(refused("passthrough", encoded(topology::TeeParams{"x", false})) == at + ".path");
  CHECK(refused("passthrough", {"\x01"}) == at);
}

TEST_CASE("every module comes to its end without a byte") {
  const TempDir directory;
  const std::string empty = directory.put("empty", "");
  for (const std::string module : {"passthrough", "uppercase", "meter", "count", "rate-limit", "filter-lines",
                                   "tee", "file-source", "file-sink"}) {
    CAPTURE(module);
    reflect::Any params;
    if (module == "rate-limit") params = encoded(topology::RateLimitParams{1, {}});
    if (module == "filter-lines") params = encoded(topology::FilterLinesParams{"x", false});
    if (module == "tee") params = encoded(topology::TeeParams{directory.file("tee"), false});
    if (module == "file-source") params = encoded(topology::FileSourceParams{empty, {}, {}});
    if (module == "file-sink")
      params = encoded(topology::FileSinkParams{directory.file("sink"), false, true});
    Rig rig(module, params);
    CHECK(rig.run("") == (module == "count" ? "{\"bytes\":0,\"lines\":0}\n" : ""));
  }
  CHECK(std::filesystem::exists(directory.file("tee")));
  CHECK(std::filesystem::exists(directory.file("sink")));
}

TEST_CASE("a worker whose output nobody takes any more ends in order, and its writer hears so") {
  const TempDir directory;
  for (const std::string module : {"passthrough", "tee"}) {
    CAPTURE(module);
    const auto params =
        module == "tee" ? encoded(topology::TeeParams{directory.file("tee"), false}) : reflect::Any{};
    Rig rig(module, params);
    rig.begin_input();
    rig.feed("something");
    rig.until([&] { return rig.out.data == "something"; });
    rig.output->destroy();
    rig.until([&] { return rig.ended; });
    CHECK_FALSE(rig.failed);
    rig.until([&] {
      if (rig.in.closes == 0) (void)rig.input->write("more");
      return rig.in.closes > 0;
    });
    CHECK(rig.in.why->code == Code::stdin_closed);
  }
}

TEST_CASE("end() ends a worker at once, and what it did not use can be taken") {
  Rig rig("rate-limit", encoded(topology::RateLimitParams{1, 100}));
  rig.begin_input();
  const std::string bytes = numbered(20'000);
  rig.feed(bytes);
  rig.until([&] { return rig.out.data.size() >= 100; });
  rig.worker->end();
  rig.until([&] { return rig.ended; });
  CHECK_FALSE(rig.failed);
  CHECK(rig.worker->unread() == bytes.size() - rig.out.data.size());
  const std::string unread = rig.worker->take_unread();
  CHECK((rig.out.data + unread == bytes));
  CHECK(rig.worker->unread() == 0);
}

TEST_CASE("a hundred workers at once, destroyed at any moment, leave no thread") {
  const TempDir directory;
  const std::size_t before = threads();
  boost::asio::io_context io;
  for (int moment = 0; moment < 6; ++moment) {
    std::vector<std::unique_ptr<Worker>> workers;
    std::vector<std::unique_ptr<Recorder>> heard;
    for (int i = 0; i < 100; ++i) {
      const std::string name = std::to_string(i);
      auto made =
          i % 4 == 0   ? Worker::start(io, "file-source",
                                       encoded(topology::FileSourceParams{"/dev/zero", {}, {}}), "/", "p")
          : i % 4 == 1 ? Worker::start(io, "file-sink", encoded(topology::FileSinkParams{name, false, false}),
                                       directory.path(), "p")
          : i % 4 == 2 ? Worker::start(io, "meter", {}, "/", "p", {.name = "a name longer than a thread's"})
                       : Worker::start(io, "rate-limit", encoded(topology::RateLimitParams{1, {}}), "/", "p");
      REQUIRE(made);
      heard.push_back(std::make_unique<Recorder>());
      (*made)->output()->start(*heard.back());
      heard.push_back(std::make_unique<Recorder>());
      (*made)->input()->start(*heard.back());
      (void)(*made)->input()->write(std::string(50'000, 'x'));
      if (moment > 2) (*made)->output()->resume();
      workers.push_back(*std::move(made));
    }
    CHECK(threads() >= before);
    io.restart();
    for (int turn = 0; turn < moment * 40; ++turn) io.poll_one();
    workers.clear();
    io.restart();
    io.poll();
    wait_for_threads(before);
  }
}

TEST_CASE("a successor goes on where a worker failed: no byte is missing, none comes twice") {
  // A line that is too long fails filter-lines; the successor is a passthrough, which minds no line.
  Rig first("filter-lines", encoded(topology::FilterLinesParams{"", false}));
  first.begin_input();
  const std::string good = lines(20'000);
  const std::string bytes = good + std::string(1'500'000, 'x') + "\nand more\n";
  first.feed(bytes);
  first.until([&] { return first.ended && first.out.ends == 1; });
  REQUIRE(first.failed);
  CHECK(first.failed->code == Code::limit_exceeded);
  CHECK((first.out.data == good));
  CHECK(first.in.closes == 0);
  CHECK(first.worker->unread() > 0);

  boost::asio::io_context& io = first.io;
  const auto inherited = first.worker->take_input();
  REQUIRE(inherited);
  CHECK(inherited->duplex() == first.input);
  first.worker.reset();
  auto second = Worker::start(io, "passthrough", {}, "/", "params", {.continues = true, .input = inherited});
  REQUIRE(second);
  CHECK((*second)->input() == first.input);
  Recorder out;
  (*second)->output()->start(out);
  (*second)->output()->resume();
  first.ended = false;
  (*second)->on_ended = [&](const Error* why) {
    CHECK(why == nullptr);
    first.ended = true;
  };
  first.input->end();
  first.until([&] { return first.ended && out.ends == 1; });
  CHECK((first.out.data + out.data == bytes.substr(0, first.out.data.size() + out.data.size())));
  CHECK(out.data.size() > 1u << 20);
}

TEST_CASE("the input of one kind of module is not given to the other, and can be given to a third then") {
  const TempDir directory;
  Rig first("filter-lines", encoded(topology::FilterLinesParams{"", false}));
  first.begin_input();
  first.feed(std::string(1'500'000, 'x'));
  first.until([&] { return first.ended; });
  const auto inherited = first.worker->take_input();
  REQUIRE(inherited);
  auto second = Worker::start(first.io, "file-sink", encoded(topology::FileSinkParams{"x", false, false}),
                              directory.path(), "params", {.continues = true, .input = inherited});
  REQUIRE_FALSE(second);
  second = Worker::start(first.io, "filter-lines", encoded(topology::FilterLinesParams{"(", false}), "/",
                         "params", {.continues = true, .input = inherited});
  REQUIRE_FALSE(second);
  first.io.restart();
  first.io.poll();
  CHECK(first.in.closes == 0);
  const std::uint64_t unread = inherited->unread();
  CHECK(unread > 1u << 20);
  auto third = Worker::start(first.io, "count", {}, "/", "params", {.continues = true, .input = inherited});
  REQUIRE(third);
  Recorder out;
  (*third)->output()->start(out);
  (*third)->output()->resume();
  first.input->end();
  first.until([&] { return out.ends == 1; });
  CHECK(out.data == "{\"bytes\":" + std::to_string(unread) + ",\"lines\":1}\n");
}

// --- those that compute --------------------------------------------------------------------------------

TEST_CASE("passthrough gives what it takes") {
  const std::string bytes = numbered(3'000'000);
  CHECK((Rig("passthrough").run(bytes, 100'000) == bytes));
  CHECK((Rig("passthrough").run(bytes.substr(0, 20'000), 1) == bytes.substr(0, 20'000)));
}

TEST_CASE("uppercase turns a to z and nothing else") {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  std::string wanted = all;
  for (char c = 'a'; c <= 'z'; ++c) wanted[static_cast<std::size_t>(c)] = static_cast<char>(c - 'a' + 'A');
  CHECK(Rig("uppercase").run(all, 7) == wanted);
}

TEST_CASE("meter gives what it takes and has its figures") {
  Rig rig("meter");
  const std::string bytes = lines(1000) + "half a line";
  CHECK((rig.run(bytes) == bytes));
  CHECK(rig.figure("bytes") == bytes.size());
  CHECK(rig.figure("lines") == 1001);
  CHECK(rig.figure("chunks") >= 1);
  CHECK(rig.figure("bytesPerSecond") <= bytes.size());
}

TEST_CASE("count gives one line at the end") {
  Rig rig("count");
  rig.begin_input();
  rig.feed("one\ntwo\nthree");
  rig.until([&] { return rig.figure("bytes") == 13; });
  CHECK(rig.out.data.empty());
  rig.finish();
  CHECK(rig.out.data == "{\"bytes\":13,\"lines\":3}\n");
}

TEST_CASE("filter-lines passes lines on, byte by byte or whole") {
  const std::string bytes = lines(3000) + "the last fizz";
  std::string with, without;
  std::istringstream in(bytes);
  for (std::string line; std::getline(in, line);) {
    std::string& to = line.find("fizz") != std::string::npos ? with : without;
    to += line + (in.eof() ? "" : "\n");
  }
  for (const std::size_t piece : {1u, 7u, 4096u, 1u << 20}) {
    CAPTURE(piece);
    CHECK((Rig("filter-lines", encoded(topology::FilterLinesParams{"fizz$", false})).run(bytes, piece) ==
           with));
    CHECK((Rig("filter-lines", encoded(topology::FilterLinesParams{"fi(z)+", true})).run(bytes, piece) ==
           without));
  }
}

TEST_CASE("filter-lines minds neither NUL bytes nor empty lines") {
  const std::string bytes("a\0b\n\nb\0a\n\0", 10);
  CHECK(Rig("filter-lines", encoded(topology::FilterLinesParams{"^$", false})).run(bytes) == "\n");
  CHECK(Rig("filter-lines", encoded(topology::FilterLinesParams{"b$", false})).run(bytes) ==
        std::string("a\0b\n", 4));
}

TEST_CASE("filter-lines takes a line of a mebibyte and refuses a longer one, which stays unread") {
  const std::string longest(1u << 20, 'x');
  CHECK((Rig("filter-lines", encoded(topology::FilterLinesParams{"x", false})).run(longest + "\n") ==
         longest + "\n"));
  CHECK((Rig("filter-lines", encoded(topology::FilterLinesParams{"x", false})).run(longest, 1u << 20) ==
         longest));

  Rig rig("filter-lines", encoded(topology::FilterLinesParams{"", false}));
  rig.begin_input();
  const std::string bytes = "before\n" + longest + "x\nafter\n";
  // As much as fits is waiting when it fails, whatever it has taken by then.
  rig.feed(bytes, 1u << 16);
  rig.until([&] { return rig.ended && rig.out.ends == 1; });
  REQUIRE(rig.failed);
  CHECK(rig.failed->code == Code::limit_exceeded);
  CHECK(rig.out.data == "before\n");
  const std::string unread = rig.worker->take_unread();
  CHECK(unread.size() > 1u << 20);
  CHECK((unread == bytes.substr(7, unread.size())));
}

TEST_CASE("rate-limit lets everything pass, no faster than told, and stops the writer meanwhile") {
  Rig rig("rate-limit", encoded(topology::RateLimitParams{2'000'000, 100'000}));
  const std::string bytes = numbered(900'000);
  const auto began = std::chrono::steady_clock::now();
  CHECK((rig.run(bytes, 50'000) == bytes));
  // Never earlier: the burst, then the rate.
  CHECK(std::chrono::steady_clock::now() - began >= std::chrono::milliseconds(400));
  CHECK(rig.in.drains >= 1);
}

TEST_CASE("rate-limit with a burst of one byte") {
  CHECK(Rig("rate-limit", encoded(topology::RateLimitParams{2000, 1})).run("word by word") == "word by word");
}

TEST_CASE("a paused reader stops a stage and its writer") {
  Rig rig("passthrough");
  rig.output->pause();
  rig.begin_input();
  std::size_t given = 0;
  // Until nothing has moved while the worker's thread had every chance: its input stays full.
  for (bool room = true; room || rig.in.drains > 0;) {
    rig.in.drains = 0;
    while (rig.input->unaccepted() < rig.input->high_water()) {
      auto written = rig.input->write(std::string(10'000, 'x'));
      REQUIRE(written);
      given += 10'000;
      room = *written;
    }
    const auto patience = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
    while (rig.in.drains == 0 && std::chrono::steady_clock::now() < patience) {
      rig.io.restart();
      rig.io.run_one_for(std::chrono::milliseconds(20));
    }
  }
  CHECK(given <= 2 * rig.input->high_water() + 100'000);
  rig.output->resume();
  rig.finish();
  CHECK(rig.out.data.size() == given);
}

// --- those that move files -----------------------------------------------------------------------------

TEST_CASE("file-source gives a file, from an offset, and as often as told") {
  const TempDir directory;
  const std::string bytes = numbered(3'000'001);
  const std::string path = directory.put("f", bytes);
  CHECK((Rig("file-source", encoded(topology::FileSourceParams{path, {}, {}})).run("") == bytes));
  CHECK((Rig("file-source", encoded(topology::FileSourceParams{"f", {}, {}}), {}, directory.path()).run("") ==
         bytes));
  CHECK((Rig("file-source", encoded(topology::FileSourceParams{path, 2'999'999, 3})).run("") ==
         bytes.substr(2'999'999) + bytes.substr(2'999'999) + bytes.substr(2'999'999)));
  CHECK(Rig("file-source", encoded(topology::FileSourceParams{path, 5'000'000, 2})).run("").empty());
}

TEST_CASE("file-source says what is wrong with its file") {
  const TempDir directory;
  for (const std::string& path : {directory.file("missing"), directory.path()}) {
    CAPTURE(path);
    Rig rig("file-source", encoded(topology::FileSourceParams{path, {}, {}}));
    rig.until([&] { return rig.ended && rig.out.ends == 1; });
    REQUIRE(rig.failed);
    CHECK(rig.failed->message.find(path) != std::string::npos);
    CHECK(rig.failed->message.find(path == directory.path() ? "EISDIR" : "ENOENT") != std::string::npos);
  }
}

TEST_CASE("file-source reads ahead no further than its pipe holds, and goes on when its reader does") {
  Rig rig("file-source", encoded(topology::FileSourceParams{"/dev/zero", {}, {}}));
  rig.out.at_data = [&](std::string_view) { rig.output->pause(); };
  rig.until([&] { return rig.out.pieces == 1; });
  for (unsigned piece = 2; piece < 50; ++piece) {
    rig.output->resume();
    rig.until([&] { return rig.out.pieces == piece; });
  }
  CHECK(rig.out.data == std::string(rig.out.data.size(), '\0'));
  // What waits stands in the pipe; the thread holds no bytes of its own.
  rig.output->destroy();
  rig.until([&] { return rig.ended; });
  CHECK_FALSE(rig.failed);
}

TEST_CASE("file-source waits for the writer of a named pipe, and ends with it") {
  const TempDir directory;
  const std::string fifo = directory.file("fifo");
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  Rig rig("file-source", encoded(topology::FileSourceParams{fifo, {}, {}}));
  UniqueFd writer;
  // It is opened for reading by and by.
  rig.until([&] {
    writer.reset(::open(fifo.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    return static_cast<bool>(writer);
  });
  CHECK_FALSE(rig.ended);
  REQUIRE(::write(writer.get(), "said", 4) == 4);
  rig.until([&] { return rig.out.data == "said"; });
  CHECK_FALSE(rig.ended);
  writer.reset();
  rig.until([&] { return rig.ended; });
  CHECK_FALSE(rig.failed);
}

TEST_CASE("workers that wait for the other end of a named pipe can be destroyed") {
  const TempDir directory;
  const std::string fifo = directory.file("fifo");
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const std::size_t before = threads();
  { Rig source("file-source", encoded(topology::FileSourceParams{fifo, {}, {}})); }
  { Rig sink("file-sink", encoded(topology::FileSinkParams{fifo, false, false})); }
  { Rig tee("tee", encoded(topology::TeeParams{fifo, false})); }
  wait_for_threads(before);
}

TEST_CASE("file-sink writes a file anew, or behind what it holds") {
  const TempDir directory;
  const std::string bytes = numbered(3'000'001);
  directory.put("f", "older and longer than nothing");
  Rig("file-sink", encoded(topology::FileSinkParams{"f", false, true}), {}, directory.path())
      .run(bytes, 100'000);
  CHECK((directory.get("f") == bytes));
  Rig("file-sink", encoded(topology::FileSinkParams{"f", true, false}), {}, directory.path()).run("behind");
  CHECK((directory.get("f") == bytes + "behind"));
  Rig("file-sink", encoded(topology::FileSinkParams{"f", false, false}), {.continues = true},
      directory.path())
      .run(", too");
  CHECK((directory.get("f") == bytes + "behind, too"));
  Rig("file-sink", encoded(topology::FileSinkParams{"f", false, false}), {}, directory.path()).run("anew");
  CHECK(directory.get("f") == "anew");
}

TEST_CASE("file-sink of a full disk fails, and what was not written is there for a successor") {
  const TempDir directory;
  Rig rig("file-sink", encoded(topology::FileSinkParams{"/dev/full", false, false}));
  rig.begin_input();
  const std::string bytes = numbered(100'000);
  rig.feed(bytes);
  rig.until([&] { return rig.ended; });
  REQUIRE(rig.failed);
  CHECK(rig.failed->message.find("/dev/full") != std::string::npos);
  CHECK(rig.failed->message.find("ENOSPC") != std::string::npos);
  CHECK(rig.in.closes == 0);
  rig.ended = false;
  rig.feed("and more");
  rig.until([&] { return rig.worker->unread() == bytes.size() + 8; });

  const auto inherited = rig.worker->take_input();
  REQUIRE(inherited);
  auto successor = Worker::start(rig.io, "file-sink", encoded(topology::FileSinkParams{"f", false, false}),
                                 directory.path(), "params", {.continues = true, .input = inherited});
  REQUIRE(successor);
  bool over = false;
  (*successor)->on_ended = [&](const Error* why) {
    CHECK(why == nullptr);
    over = true;
  };
  rig.input->end();
  rig.until([&] { return over; });
  CHECK((directory.get("f") == bytes + "and more"));
}

TEST_CASE("file-sink of a directory or below none fails with its reason") {
  const TempDir directory;
  for (const std::string& path : {directory.path(), directory.file("no/such")}) {
    Rig rig("file-sink", encoded(topology::FileSinkParams{path, false, false}));
    rig.begin_input();
    rig.until([&] { return rig.ended; });
    REQUIRE(rig.failed);
    CHECK(rig.failed->message.find(path) != std::string::npos);
  }
}

TEST_CASE("file-sink writes into a named pipe once that has a reader") {
  const TempDir directory;
  const std::string fifo = directory.file("fifo");
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  Rig rig("file-sink", encoded(topology::FileSinkParams{fifo, false, false}));
  rig.begin_input();
  rig.feed("said");
  const UniqueFd reader(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  REQUIRE(reader);
  char got[8];
  ssize_t count = 0;
  rig.until([&] { return (count = ::read(reader.get(), got, sizeof got)) > 0; });
  CHECK(std::string(got, static_cast<std::size_t>(count)) == "said");
  rig.finish();
  CHECK_FALSE(rig.failed);
}

TEST_CASE("tee gives what it takes, and the file gets it, too") {
  const TempDir directory;
  const std::string bytes = numbered(3'000'001);
  Rig first("tee", encoded(topology::TeeParams{"f", false}), {}, directory.path());
  CHECK((first.run(bytes, 100'000) == bytes));
  CHECK((directory.get("f") == bytes));
  Rig second("tee", encoded(topology::TeeParams{"f", true}), {}, directory.path());
  CHECK(second.run("behind") == "behind");
  CHECK((directory.get("f") == bytes + "behind"));
}

TEST_CASE("tee waits for the reader of its output, and its writer with it") {
  const TempDir directory;
  Rig rig("tee", encoded(topology::TeeParams{"f", false}), {}, directory.path());
  rig.output->pause();
  rig.begin_input();
  std::size_t given = 0;
  for (bool full = false; !full;) {
    auto written = rig.input->write(numbered(10'000, given));
    REQUIRE(written);
    given += 10'000;
    const unsigned drains = rig.in.drains;
    if (*written) continue;
    // Full when the file has got all that the output's pipe could take, and the input's is full behind it.
    const auto patience = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
    while (rig.in.drains == drains && std::chrono::steady_clock::now() < patience) {
      rig.io.restart();
      rig.io.run_one_for(std::chrono::milliseconds(20));
    }
    full = rig.in.drains == drains;
  }
  CHECK(given < 8u << 20);
  rig.output->resume();
  rig.finish();
  CHECK((rig.out.data == numbered(given)));
  CHECK((directory.get("f") == numbered(given)));
}

TEST_CASE("tee of a full disk fails: what it gave is what the file got, the rest is unread") {
  Rig rig("tee", encoded(topology::TeeParams{"/dev/full", false}));
  rig.begin_input();
  const std::string bytes = numbered(50'000);
  rig.feed(bytes);
  rig.until([&] { return rig.ended && rig.out.ends == 1; });
  REQUIRE(rig.failed);
  CHECK(rig.failed->message.find("ENOSPC") != std::string::npos);
  CHECK(rig.out.data.empty());
  CHECK((rig.worker->take_unread() == bytes));
}
