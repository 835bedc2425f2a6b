#include "executor/worker_pipe_adapter.hpp"

#include <future>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include "contract.hpp"

using namespace kairo;
using namespace kairo::executor;
using contract::Recorder;
using contract::Side;
using namespace std::chrono_literals;

namespace {

/// Both loops are turned by the test itself.
class Turned {
 public:
  explicit Turned(std::size_t high_water) : pair_(WorkerPipeAdapter::make(io_[0], io_[1], high_water)) {}
  std::shared_ptr<Duplex> duplex(Side side) { return side == Side::near ? pair_.first : pair_.second; }
  void on(Side, const std::function<void()>& call) { call(); }
  bool turn() {
    std::size_t done = 0;
    for (auto& io : io_) {
      io.restart();
      done += io.poll();
    }
    return done > 0;
  }
  void settle() {
    while (turn()) {
    }
  }

 private:
  boost::asio::io_context io_[2];
  WorkerPipeAdapter::Pair pair_;
};

/// Each loop has a thread, as in use.
class Threaded {
 public:
  explicit Threaded(std::size_t high_water) : pair_(WorkerPipeAdapter::make(io_[0], io_[1], high_water)) {
    for (int i : {0, 1}) threads_[i] = std::thread([this, i] { io_[i].run(); });
  }
  ~Threaded() {
    for (auto& each : guards_) each.reset();
    for (auto& each : threads_) each.join();
  }
  std::shared_ptr<Duplex> duplex(Side side) { return side == Side::near ? pair_.first : pair_.second; }
  void on(Side side, const std::function<void()>& call) {
    std::promise<void> done;
    boost::asio::post(io_[side == Side::far], [&] {
      call();
      done.set_value();
    });
    done.get_future().get();
  }
  void turn() { std::this_thread::yield(); }
  /// What either loop was to do has been done when both have twice come to what was posted behind it.
  void settle() {
    for (int i = 0; i < 4; ++i)
      for (const Side side : {Side::near, Side::far}) on(side, [] {});
  }

 private:
  using Guard = boost::asio::executor_work_guard<boost::asio::io_context::executor_type>;
  boost::asio::io_context io_[2];
  Guard guards_[2] = {boost::asio::make_work_guard(io_[0]), boost::asio::make_work_guard(io_[1])};
  std::thread threads_[2];
  WorkerPipeAdapter::Pair pair_;
};

/// One loop for both sides of a pipe of one way.
struct OneWay {
  boost::asio::io_context io;
  Recorder wrote, read;
  WorkerPipeAdapter::Pair pair = WorkerPipeAdapter::make_one_way(io, io, 1000);
  WorkerPipeAdapter& writer = *pair.first;
  WorkerPipeAdapter& reader = *pair.second;

  OneWay() {
    writer.start(wrote);
    reader.start(read);
  }
  void settle() {
    io.restart();
    io.poll();
  }
};

}  // namespace

TEST_CASE("a WorkerPipeAdapter keeps the contract") {
  contract::duplex_contract<Turned>();
}

TEST_CASE("a WorkerPipeAdapter between two threads keeps the contract") {
  contract::duplex_contract<Threaded>();
}

TEST_CASE("a string that is written is the very one that is read") {
  OneWay way;
  std::string bytes(500, 'x');
  const char* const at = bytes.data();
  const char* got = nullptr;
  std::string owned;
  way.read.at_data = [&](std::string_view view) {
    got = view.data();
    owned = way.reader.own(view);
  };
  way.reader.resume();
  REQUIRE(way.writer.write(std::move(bytes)));
  way.settle();
  CHECK(got == at);
  CHECK(owned.data() == at);
  CHECK(owned == std::string(500, 'x'));
}

TEST_CASE("a paused reader accepts nothing") {
  OneWay way;
  int accepted = 0;
  for (int i = 0; i < 2; ++i)
    REQUIRE(way.writer.write(std::string(500, 'x'), [&](Result<void> how) { accepted += how ? 1 : 0; }));
  way.settle();
  CHECK(accepted == 0);
  CHECK(way.writer.unaccepted() == 1000);
  CHECK(way.writer.write("y").error().code == Code::limit_exceeded);
  way.read.at_data = [&](std::string_view) { way.reader.pause(); };
  way.reader.resume();
  way.settle();
  CHECK(accepted == 1);
  CHECK(way.writer.unaccepted() == 500);
}

TEST_CASE("one way: only the first side writes, and the end closes both") {
  OneWay way;
  CHECK(way.reader.write("no").error().code == Code::stdin_closed);
  REQUIRE(way.writer.write("word"));
  way.writer.end();
  way.reader.resume();
  way.settle();
  CHECK(way.read.calls == std::vector<std::string>{"data", "end", "close"});
  CHECK(way.wrote.calls == std::vector<std::string>{"close"});
  CHECK_FALSE(way.wrote.why);
}

TEST_CASE("one way: a writer hears at once that its reader is gone") {
  OneWay way;
  way.reader.destroy();
  way.settle();
  CHECK(way.wrote.calls == std::vector<std::string>{"close"});
  REQUIRE(way.wrote.why);
  CHECK(way.wrote.why->code == Code::stdin_closed);
}

TEST_CASE("a side that is dropped without a word is as one that was destroyed") {
  boost::asio::io_context io;
  Recorder heard;
  auto [near, far] = WorkerPipeAdapter::make(io, io);
  near->start(heard);
  near->resume();
  REQUIRE(far->write("never taken"));
  far.reset();
  io.run();
  CHECK(heard.calls == std::vector<std::string>{"end", "close"});
  REQUIRE(heard.why);
  CHECK(heard.why->code == Code::stdin_closed);
}

TEST_CASE("nobody is called any more once a duplex is gone") {
  boost::asio::io_context io;
  Recorder heard;
  auto [near, far] = WorkerPipeAdapter::make(io, io);
  near->start(heard);
  near->resume();
  REQUIRE(far->write("word"));
  near.reset();
  io.run();
  CHECK(heard.calls.empty());
}

TEST_CASE(
    "a successor begins with what was given back, then what waits, and the writer hears nothing of it") {
  OneWay way;
  way.read.at_data = [&](std::string_view bytes) {
    way.reader.give_back(std::string(bytes.substr(2)));
    way.reader.leave();
  };
  way.reader.resume();
  int accepted = 0;
  for (const char* each : {"one", "two", "three"})
    REQUIRE(way.writer.write(each, [&](Result<void> how) { accepted += how ? 1 : 0; }));
  way.settle();
  CHECK(way.read.data == "one");
  CHECK(accepted == 1);
  CHECK(way.reader.unread() == 1 + 3 + 5);

  Recorder next;
  boost::asio::io_context io;
  const auto successor = way.reader.successor(io);
  way.pair.second.reset();
  way.settle();
  CHECK(way.wrote.calls.empty());
  successor->start(next);
  successor->resume();
  io.run();
  CHECK(next.data == "etwothree");
  way.writer.end();
  io.restart();
  io.run();
  way.settle();
  CHECK(accepted == 3);
  CHECK(next.calls == std::vector<std::string>{"data", "end", "close"});
  CHECK(way.wrote.calls == std::vector<std::string>{"close"});
  CHECK_FALSE(way.wrote.why);
}

TEST_CASE("what was not read can be taken, also what a destroyed writer had not got accepted") {
  OneWay way;
  REQUIRE(way.writer.write("one"));
  REQUIRE(way.writer.write("two"));
  way.reader.give_back("zero");
  way.writer.destroy();
  way.settle();
  CHECK(way.reader.unread() == 10);
  CHECK(way.reader.take_unread() == "zeroonetwo");
  CHECK(way.reader.unread() == 0);
}

TEST_CASE("between threads nothing is lost, doubled or turned round at any moment of a destroy") {
  for (int round = 0; round < 200; ++round) {
    boost::asio::io_context mine, theirs;
    auto guard = boost::asio::make_work_guard(theirs), own_guard = boost::asio::make_work_guard(mine);
    auto pair = WorkerPipeAdapter::make_one_way(mine, theirs, 4096);
    struct Reader final : DuplexHandler {
      std::string data;
      std::promise<void> closed;
      void on_data(std::string_view bytes) override { data += bytes; }
      void on_end() override {}
      void on_close(const Error*) override { closed.set_value(); }
    } reader;
    boost::asio::post(theirs, [&] {
      pair.second->start(reader);
      pair.second->resume();
    });
    std::thread thread([&] { theirs.run(); });
    Recorder wrote;
    pair.first->start(wrote);
    std::size_t taken = 0;
    const std::string all = contract::numbered(64'000);
    // Destroyed after so many pieces, wherever the reader is by then.
    for (int piece = 0; piece < round; ++piece) {
      const std::string next = all.substr(static_cast<std::size_t>(piece) * 300, 300);
      while (pair.first->unaccepted() >= 4096) mine.run_one();
      REQUIRE(pair.first->write(next, [&](Result<void> how) { taken += how ? next.size() : 0; }));
      mine.poll();
    }
    pair.first->destroy();
    reader.closed.get_future().get();
    mine.poll();
    guard.reset();
    thread.join();
    CHECK(wrote.closes == 1);
    CHECK(reader.data.size() >= taken);
    CHECK((reader.data == all.substr(0, reader.data.size())));
  }
}
