#include "executor/flow.hpp"

#include <algorithm>
#include <cerrno>
#include <random>
#include <sstream>

#include "contract.hpp"
#include "flow_rig.hpp"

using namespace kairo;
using namespace kairo::executor;
using namespace kairo::executor::test;
using api::Boundary;
using api::ConnectionType;
using api::NodeIo;
using contract::numbered;

namespace {

constexpr NodeIo both_kinds[] = {NodeIo::sockets, NodeIo::pipes};

/// Writes into a node's output whatever it takes, piece by piece, and closes it behind the last.
struct Writer {
  NodeEnd& to;
  std::string bytes;
  std::size_t piece = 100'000;
  std::size_t at = 0;
  void step() {
    if (at == bytes.size()) return to.close();
    at += to.write(std::string_view(bytes).substr(at, piece));
  }
};

}  // namespace

TEST_CASE("a direct edge passes everything and the end, between sockets and pipes") {
  for (const NodeIo from_io : both_kinds)
    for (const NodeIo to_io : both_kinds) {
      const std::size_t before = open_descriptors();
      {
        Loop loop;
        Source from(loop, from_io);
        Sink to(loop, to_io);
        connect(from.outlet, to.intake, ConnectionType::direct);
        from.last = true;
        from.open();
        to.open();
        std::mt19937 random(7);
        Writer writer{from.out, numbered(8'000'000)};
        std::string got;
        loop.until([&] { return to.in.ended(); },
                   [&] {
                     // Each of the two pauses at times, and takes pieces of any size.
                     writer.piece = random() % 3 == 0 ? 1 + random() % 50 : 1 + random() % 200'000;
                     if (random() % 4 != 0) writer.step();
                     if (random() % 4 != 0)
                       got += to.in.read(random() % 3 == 0 ? 1 + random() % 50 : 1 + random() % 300'000);
                   });
        loop.settle();
        CHECK((got == writer.bytes));
        CHECK(to.ends == 1);
        CHECK(from.ends == 1);
        CHECK_FALSE(from.why);
        CHECK(from.outlet.bytes() == got.size());
        CHECK(to.intake.bytes() == got.size());
        CHECK(edge_bytes(from.outlet, to.intake) == got.size());
      }
      CHECK(open_descriptors() == before);
    }
}

namespace {

/// A duplex without descriptors to splice from or to: a worker's pipe as a flow sees it.
class Opaque final : public Duplex {
 public:
  explicit Opaque(std::shared_ptr<Duplex> inner) : inner_(std::move(inner)) {}
  void start(DuplexHandler& handler) override { inner_->start(handler); }
  Result<bool> write(std::string bytes, Accepted accepted) override {
    return inner_->write(std::move(bytes), std::move(accepted));
  }
  void end(Accepted accepted) override { inner_->end(std::move(accepted)); }
  void pause() override { inner_->pause(); }
  void resume() override { inner_->resume(); }
  void destroy(std::optional<Error> why) override { inner_->destroy(std::move(why)); }
  [[nodiscard]] std::size_t unaccepted() const override { return inner_->unaccepted(); }
  [[nodiscard]] std::size_t high_water() const override { return inner_->high_water(); }

 private:
  std::shared_ptr<Duplex> inner_;
};

/// Writes numbered lines without end, as fast as they are taken, until told to stop behind a whole one.
class LineWriter {
 public:
  explicit LineWriter(NodeEnd& to) : to_(to) {}
  void step(std::size_t lines = 200) {
    if (stopping_ && at_ == ready_.size()) return to_.close();
    if (at_ == ready_.size()) {
      ready_.clear();
      at_ = 0;
      for (std::size_t i = 0; i < lines; ++i) ready_ += line_of(next_++);
    }
    at_ += to_.write(std::string_view(ready_).substr(at_));
  }
  void stop() { stopping_ = true; }
  [[nodiscard]] std::uint64_t lines() const { return next_; }

 private:
  NodeEnd& to_;
  std::string ready_;
  std::size_t at_ = 0;
  std::uint64_t next_ = 0;
  bool stopping_ = false;
};

/// Takes a stream of numbered lines apart, without keeping it: none missing, none twice, none out of order.
class LineReader {
 public:
  void take(std::string_view bytes) {
    while (!bytes.empty()) {
      if (expected_.empty()) expected_ = line_of(next_++);
      const std::size_t size = std::min(bytes.size(), expected_.size() - at_);
      right_ = right_ && bytes.substr(0, size) == std::string_view(expected_).substr(at_, size);
      bytes.remove_prefix(size);
      at_ += size;
      if (at_ < expected_.size()) continue;
      expected_.clear();
      at_ = 0;
    }
  }
  [[nodiscard]] bool right() const { return right_; }
  [[nodiscard]] bool at_border() const { return at_ == 0; }
  [[nodiscard]] std::uint64_t lines() const { return next_ - (at_ > 0 ? 1 : 0); }

 private:
  std::string expected_;
  std::size_t at_ = 0;
  std::uint64_t next_ = 0;
  bool right_ = true;
};

void open_opaque(Sink& sink) {
  auto ends = make_pipe_ends(NodeIo::sockets, Direction::to_node);
  REQUIRE(ends);
  sink.in = NodeEnd(std::move(ends->theirs));
  auto made = UnixPipeAdapter::make(sink.loop.io, UniqueFd(), std::move(ends->ours));
  REQUIRE(made);
  sink.intake.open(std::make_shared<Life>(std::make_shared<Opaque>(*made)));
}

void open_opaque(Source& source) {
  auto ends = make_pipe_ends(NodeIo::sockets, Direction::from_node);
  REQUIRE(ends);
  source.out = NodeEnd(std::move(ends->theirs));
  auto made = UnixPipeAdapter::make(source.loop.io, std::move(ends->ours), UniqueFd());
  REQUIRE(made);
  source.outlet.open(std::make_shared<Life>(std::make_shared<Opaque>(*made)));
}

enum class Carrier { sockets, pipes, opaque };

/// Replaces the taking node again and again under full load.
void replace_under_load(Carrier carrier, Boundary boundary, unsigned cycles) {
  Loop loop;
  Source from(loop, carrier == Carrier::pipes ? NodeIo::pipes : NodeIo::sockets);
  Sink to(loop, carrier == Carrier::pipes ? NodeIo::pipes : NodeIo::sockets);
  connect(from.outlet, to.intake, ConnectionType::direct);
  from.last = true;
  from.open();
  to.open();
  LineWriter writer(from.out);
  LineReader reader;
  std::mt19937 random(11);
  std::uint64_t life_bytes = 0;
  // Either side may be the slower one; a backlog is spliced, and lies in the flow's own pipe.
  bool backlog = true;
  const auto step = [&] {
    for (unsigned i = 0; i < (backlog ? 4 : 1); ++i) writer.step(1 + random() % 1000);
    // Pieces of any size; at times the node does not read at all.
    if (random() % 5 == 0) return;
    const std::string got =
        to.in.read(random() % 4 == 0 ? 1 + random() % 100 : 1 + random() % (backlog ? 60'000 : 400'000));
    life_bytes += got.size();
    reader.take(got);
  };
  for (unsigned i = 0; i < cycles; ++i) {
    const std::uint64_t wanted = life_bytes + random() % 400'000;
    backlog = random() % 4 != 0;
    loop.until([&] { return life_bytes >= wanted; }, step);
    bool held = false;
    to.intake.hold(boundary, [&] { held = true; });
    CHECK_FALSE(held);  // from the loop
    loop.until([&] { return held; }, step);
    CHECK(to.intake.held());
    if (i % 10 == 9) {
      // Rolled back: the old one goes on.
      to.intake.release();
      continue;
    }
    to.intake.end_life();
    loop.until([&] { return to.in.ended(); }, step);
    CHECK(to.intake.life_bytes() == life_bytes);
    if (boundary == Boundary::line) CHECK(reader.at_border());
    if (carrier == Carrier::opaque && i % 2 == 0)
      open_opaque(to);
    else
      to.open();
    life_bytes = 0;
  }
  writer.stop();
  loop.until([&] { return to.in.ended(); }, step);
  CHECK(reader.right());
  CHECK(reader.at_border());
  CHECK(reader.lines() == writer.lines());
}

}  // namespace

TEST_CASE(
    "1,000 replacements at line borders under full load lose nothing, double nothing, reorder nothing") {
  replace_under_load(Carrier::sockets, Boundary::line, 1000);
}

TEST_CASE("replacements at any byte, over pipes and without descriptors do the same") {
  replace_under_load(Carrier::sockets, Boundary::bytes, 300);
  replace_under_load(Carrier::pipes, Boundary::line, 300);
  replace_under_load(Carrier::pipes, Boundary::bytes, 300);
  replace_under_load(Carrier::opaque, Boundary::line, 300);
  replace_under_load(Carrier::opaque, Boundary::bytes, 300);
}

TEST_CASE("a hold at a line waits for the line's end, and can be taken back") {
  Loop loop;
  Source from(loop);
  Sink to(loop);
  connect(from.outlet, to.intake, ConnectionType::direct);
  from.open();
  to.open();
  bool held = false;
  to.intake.hold(Boundary::line, [&] { held = true; });
  loop.settle();
  CHECK(held);  // nothing has flowed
  to.intake.release();
  CHECK_FALSE(to.intake.held());

  from.out.write("half a li");
  loop.settle();
  held = false;
  to.intake.hold(Boundary::line, [&] { held = true; });
  loop.settle();
  CHECK_FALSE(held);
  from.out.write("ne\nand the next\n");
  loop.settle();
  CHECK(held);
  CHECK(to.in.read() == "half a line\n");
  to.intake.end_life();
  loop.settle();
  CHECK(to.in.read().empty());
  CHECK(to.in.ended());

  to.open("unread ");
  loop.settle();
  CHECK(to.in.read() == "unread and the next\n");

  from.out.write("no end");
  loop.settle();
  bool never = false;
  to.intake.hold(Boundary::line, [&] { never = true; });
  loop.settle();
  to.intake.release();
  from.out.write("ing\n");
  loop.settle();
  CHECK_FALSE(never);
  CHECK(to.in.read() == "no ending\n");
}

TEST_CASE("a hold does not wait for a node that does not read, at any byte") {
  for (const NodeIo io : both_kinds) {
    Loop loop;
    Source from(loop, io);
    Sink to(loop, io);
    connect(from.outlet, to.intake, ConnectionType::direct);
    from.last = true;
    from.open();
    to.open();
    Writer writer{from.out, numbered(3'000'000)};
    std::size_t before = 0;
    do {
      before = writer.at;
      writer.step();
      loop.settle();
    } while (writer.at != before);
    bool held = false;
    to.intake.hold(Boundary::bytes, [&] { held = true; });
    loop.settle();
    REQUIRE(held);
    const std::uint64_t accepted = to.intake.life_bytes();
    std::string got;
    while (got.size() < accepted) got += to.in.read();
    to.intake.end_life();
    CHECK(to.in.read().empty());
    CHECK(to.in.ended());
    to.open();
    loop.until([&] { return to.in.ended(); },
               [&] {
                 writer.step();
                 got += to.in.read();
               });
    CHECK((got == writer.bytes));
  }
}

TEST_CASE("the end of all that comes is a border, too") {
  Loop loop;
  Source from(loop);
  Sink to(loop);
  connect(from.outlet, to.intake, ConnectionType::direct);
  from.last = true;
  from.open();
  to.open();
  from.out.write("no newline");
  loop.settle();
  bool held = false;
  to.intake.hold(Boundary::line, [&] { held = true; });
  loop.settle();
  CHECK_FALSE(held);
  from.out.close();
  loop.settle();
  CHECK(held);
  CHECK(to.in.read() == "no newline");
  CHECK(to.ends == 0);
  to.intake.end_life();
  to.open();
  loop.settle();
  CHECK(to.ends == 1);
  CHECK(to.intake.ended());
}

TEST_CASE("a node that closes its input is told once, and what it did not take goes to the next") {
  for (const NodeIo from_io : both_kinds)
    for (const NodeIo to_io : both_kinds) {
      Loop loop;
      Source from(loop, from_io);
      Sink to(loop, to_io);
      connect(from.outlet, to.intake, ConnectionType::direct);
      from.last = true;
      from.open();
      to.open();
      Writer writer{from.out, numbered(5'000'000)};
      std::string got;
      loop.until([&] { return got.size() > 500'000; },
                 [&] {
                   writer.step();
                   got += to.in.read();
                 });
      // What lies between the two is what the executor takes out of the node's own end.
      std::string unread;
      loop.settle();
      while (got.size() + unread.size() < to.intake.life_bytes()) {
        unread += to.in.read();
        if (got.size() + unread.size() == to.intake.life_bytes()) break;
        loop.turn();
      }
      to.in.close();
      loop.until([&] { return to.refusals > 0; }, [&] { writer.step(); });
      loop.settle();
      CHECK(to.refusals == 1);
      REQUIRE(to.why);
      CHECK(to.why->code == Code::stdin_closed);
      got += unread;
      CHECK(got.size() == to.intake.life_bytes());
      to.open();
      loop.until([&] { return to.in.ended(); },
                 [&] {
                   writer.step();
                   got += to.in.read();
                 });
      CHECK((got == writer.bytes));
      CHECK(to.refusals == 1);
    }
}

TEST_CASE("the next life of a source goes on where the last one ended") {
  Loop loop;
  Source from(loop);
  Sink to(loop);
  connect(from.outlet, to.intake, ConnectionType::direct);
  from.open();
  to.open();
  from.out.write("one ");
  from.out.close();
  loop.until([&] { return from.ends == 1; });
  loop.settle();
  CHECK(to.ends == 0);
  CHECK_FALSE(to.in.ended());
  from.last = true;
  from.open();
  CHECK(from.outlet.life_bytes() == 0);
  from.out.write("two");
  from.out.close();
  loop.until([&] { return to.ends == 1; });
  CHECK(to.in.read() == "one two");
  CHECK(from.outlet.bytes() == 7);
  CHECK(from.outlet.life_bytes() == 3);
}

TEST_CASE("a split gives all to each, at the pace of the slowest") {
  Loop loop;
  Source from(loop);
  Sink quick(loop), slow(loop, NodeIo::pipes), gone(loop);
  for (Sink* each : {&quick, &slow, &gone}) connect(from.outlet, each->intake, ConnectionType::split);
  from.last = true;
  from.open();
  for (Sink* each : {&quick, &slow, &gone}) each->open();
  Writer writer{from.out, numbered(6'000'000)};
  std::string fast, late;
  // The slow one does not read: the quick one gets what fits between, and no more.
  std::size_t before = 0;
  do {
    before = fast.size();
    writer.step();
    loop.settle();
    fast += quick.in.read();
    gone.in.read();
  } while (fast.size() != before);
  CHECK(fast.size() < 3'000'000);
  CHECK(writer.at < writer.bytes.size());
  gone.intake.stop();
  loop.until([&] { return quick.in.ended() && slow.in.ended(); },
             [&] {
               writer.step();
               fast += quick.in.read();
               late += slow.in.read(10'000);
             });
  CHECK((fast == writer.bytes));
  CHECK((late == writer.bytes));
  CHECK(edge_bytes(from.outlet, quick.intake) == fast.size());
  CHECK(from.outlet.bytes() == fast.size());
  CHECK(from.unwanted == 0);
}

TEST_CASE("a split whose one branch is held holds the others once the read is used up") {
  Loop loop;
  Source from(loop);
  Sink one(loop), two(loop);
  for (Sink* each : {&one, &two}) connect(from.outlet, each->intake, ConnectionType::split);
  from.last = true;
  from.open();
  one.open();
  two.open();
  bool held = false;
  one.intake.hold(Boundary::line, [&] { held = true; });
  loop.until([&] { return held; });
  Writer writer{from.out, numbered(4'000'000)};
  std::string first, second;
  std::size_t before = 0;
  do {
    before = writer.at;
    writer.step();
    loop.settle();
    first += one.in.read();
    second += two.in.read();
  } while (writer.at != before);
  CHECK(first.empty());
  one.intake.end_life();
  one.open();
  loop.until([&] { return one.in.ended() && two.in.ended(); },
             [&] {
               writer.step();
               first += one.in.read();
               second += two.in.read();
             });
  CHECK((first == writer.bytes));
  CHECK((second == writer.bytes));
}

TEST_CASE("a source is told that nobody wants it when the last of its takers has stopped") {
  Loop loop;
  Source from(loop);
  Sink one(loop), two(loop);
  for (Sink* each : {&one, &two}) connect(from.outlet, each->intake, ConnectionType::split);
  from.open();
  one.open();
  two.open();
  one.intake.stop();
  loop.settle();
  CHECK(from.unwanted == 0);
  two.intake.stop();
  CHECK(from.unwanted == 0);  // from the loop
  loop.settle();
  CHECK(from.unwanted == 1);
  two.intake.stop();
  loop.settle();
  CHECK(from.unwanted == 1);
  // Nothing is read any more, and the next life hears the same.
  std::size_t written = 0;
  for (std::size_t before = 1; before != written;) {
    before = written;
    written += from.out.write(std::string(100'000, 'x'));
    loop.settle();
  }
  CHECK(written < 2'000'000);
  CHECK(from.outlet.bytes() == 0);
  from.out.close();
  from.open();
  loop.settle();
  CHECK(from.unwanted == 2);
}

TEST_CASE("a merge passes whole lines, whatever the pieces they come in") {
  Loop loop;
  constexpr std::size_t count = 3;
  std::vector<std::unique_ptr<Source>> from;
  Sink to(loop);
  std::vector<std::string> sent(count);
  for (std::size_t i = 0; i < count; ++i) {
    from.push_back(std::make_unique<Source>(loop, both_kinds[i % 2]));
    from.back()->last = true;
    connect(from.back()->outlet, to.intake, ConnectionType::merge);
    // Lines of each source say whose they are; some are longer than a merge keeps.
    for (std::uint64_t n = 0; n < 300; ++n) {
      const std::size_t length = n % 50 == i ? merge_line_bytes * 3 : n * 37 % 2000;
      sent[i] += std::to_string(i) + " " + std::to_string(n) +
                 std::string(length, static_cast<char>('a' + i)) + "\n";
    }
  }
  for (auto& each : from) each->open();
  to.open();
  std::vector<Writer> writers;
  for (std::size_t i = 0; i < count; ++i) writers.push_back({from[i]->out, sent[i]});
  std::mt19937 random(3);
  std::string got;
  loop.until([&] { return to.in.ended(); },
             [&] {
               for (Writer& each : writers) {
                 each.piece = 1 + random() % 3000;
                 each.step();
               }
               got += to.in.read(1 + random() % 20'000);
             });
  CHECK(to.ends == 1);
  std::vector<std::string> parts(count);
  std::size_t strange = 0, switches = 0, last = count;
  std::istringstream lines(got);
  for (std::string line; std::getline(lines, line);) {
    const auto whose = static_cast<std::size_t>(line[0] - '0');
    if (whose >= count) {
      ++strange;
      continue;
    }
    switches += whose != last ? 1 : 0;
    last = whose;
    parts[whose] += line + "\n";
  }
  CHECK(strange == 0);
  CHECK(switches > 20);  // none of them waits for the end of another
  for (std::size_t i = 0; i < count; ++i) CHECK((parts[i] == sent[i]));
}

TEST_CASE("last lines without a newline go at the very end of a merge") {
  Loop loop;
  Source one(loop), two(loop), three(loop);
  Sink to(loop);
  for (Source* each : {&one, &two, &three}) {
    each->last = true;
    connect(each->outlet, to.intake, ConnectionType::merge);
    each->open();
  }
  to.open();
  one.out.write("a\nrest of one");
  one.out.close();
  two.out.write("rest of two");
  two.out.close();
  loop.settle();
  CHECK(to.in.read() == "a\n");
  three.out.write("b\nc\n");
  three.out.close();
  loop.until([&] { return to.ends == 1; });
  CHECK(to.in.read() == "b\nc\nrest of one\nrest of two");
}

TEST_CASE("a line too long to be kept is ended before another follows") {
  Loop loop;
  Source one(loop), two(loop);
  Sink to(loop);
  for (Source* each : {&one, &two}) {
    each->last = true;
    connect(each->outlet, to.intake, ConnectionType::merge);
    each->open();
  }
  to.open();
  Writer writer{one.out, std::string(merge_line_bytes * 4, 'x')};
  std::string got;
  loop.until([&] { return writer.at == writer.bytes.size() && got.size() == writer.at; },
             [&] {
               if (writer.at < writer.bytes.size()) writer.step();
               got += to.in.read();
             });
  two.out.write("line\nrest");
  loop.settle();
  CHECK(to.in.read().empty());  // the long line has not ended
  one.out.close();
  loop.settle();
  CHECK(to.in.read() == "\nline\n");
  two.out.close();
  loop.until([&] { return to.ends == 1; });
  CHECK(to.in.read() == "rest");
}

TEST_CASE("a merge is held at a line, with all of its edges") {
  Loop loop;
  Source one(loop), two(loop);
  Sink to(loop);
  for (Source* each : {&one, &two}) {
    each->last = true;
    connect(each->outlet, to.intake, ConnectionType::merge);
    each->open();
  }
  to.open();
  LineWriter writers[] = {LineWriter(one.out), LineWriter(two.out)};
  std::string got;
  std::mt19937 random(5);
  const auto step = [&] {
    for (LineWriter& each : writers) each.step(1 + random() % 30);
    if (random() % 3 != 0) got += to.in.read(1 + random() % 100'000);
  };
  for (int i = 0; i < 50; ++i) {
    const std::size_t wanted = got.size() + random() % 50'000;
    loop.until([&] { return got.size() > wanted; }, step);
    bool held = false;
    to.intake.hold(Boundary::line, [&] { held = true; });
    loop.until([&] { return held; }, step);
    to.intake.end_life();
    loop.until([&] { return to.in.ended(); }, step);
    CHECK(got.back() == '\n');
    to.open();
  }
  for (LineWriter& each : writers) each.stop();
  loop.until([&] { return to.in.ended(); }, step);
  // Two sequences of the same lines: each line of each comes in its order.
  std::uint64_t seen = 0, next[2] = {0, 0};
  std::istringstream lines(got);
  bool right = true;
  for (std::string line; std::getline(lines, line); ++seen) {
    const std::string whole = line + "\n";
    if (whole == line_of(next[0]))
      ++next[0];
    else if (whole == line_of(next[1]))
      ++next[1];
    else
      right = false;
  }
  CHECK(right);
  CHECK(next[0] + next[1] == writers[0].lines() + writers[1].lines());
}

TEST_CASE("lives with and without descriptors mix") {
  for (const bool from_opaque : {false, true})
    for (const bool to_opaque : {false, true}) {
      Loop loop;
      Source from(loop);
      Sink to(loop);
      connect(from.outlet, to.intake, ConnectionType::direct);
      from.last = true;
      from_opaque ? open_opaque(from) : from.open();
      to_opaque ? open_opaque(to) : to.open();
      Writer writer{from.out, numbered(3'000'000)};
      std::string got;
      loop.until([&] { return to.in.ended(); },
                 [&] {
                   writer.step();
                   got += to.in.read();
                 });
      loop.settle();
      CHECK((got == writer.bytes));
      CHECK(to.intake.bytes() == got.size());
      CHECK(edge_bytes(from.outlet, to.intake) == got.size());
      CHECK(to.ends == 1);
    }
}

TEST_CASE("one duplex can be both the output and the input of a node") {
  Loop loop;
  Source from(loop);
  Sink to(loop);
  Outlet echo_out(loop.io, [](const Error*) {});
  Intake echo_in(loop.io, {});
  connect(from.outlet, echo_in, ConnectionType::direct);
  connect(echo_out, to.intake, ConnectionType::direct);
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  NodeEnd node{UniqueFd(ends[1])};
  auto made = UnixPipeAdapter::make(loop.io, UniqueFd(ends[0]));
  REQUIRE(made);
  auto life = std::make_shared<Life>(*made);
  from.open();
  to.open();
  echo_out.open(life);
  echo_in.open(life);
  from.out.write("there and back");
  std::string got;
  loop.until([&] { return got.size() == 14; },
             [&] {
               const std::string piece = node.read();
               CHECK(node.write(piece) == piece.size());
               got += to.in.read();
             });
  CHECK(got == "there and back");
}

TEST_CASE("a life that is destroyed in the middle ends with its error, and everything before has passed") {
  Loop loop;
  Source from(loop);
  Sink to(loop);
  connect(from.outlet, to.intake, ConnectionType::direct);
  auto ends = make_pipe_ends(NodeIo::sockets, Direction::from_node);
  REQUIRE(ends);
  from.out = NodeEnd(std::move(ends->theirs));
  auto made = UnixPipeAdapter::make(loop.io, std::move(ends->ours), UniqueFd());
  REQUIRE(made);
  from.outlet.open(std::make_shared<Life>(*made));
  to.open();
  from.out.write(numbered(90'000));
  loop.settle();
  (*made)->destroy(Error(Code::timeout, "no heartbeat"));
  loop.until([&] { return from.ends == 1; });
  REQUIRE(from.why);
  CHECK(from.why->code == Code::timeout);
  CHECK((to.in.read() == numbered(90'000)));
  CHECK_FALSE(to.in.ended());
  from.open();
  from.out.write("more");
  loop.settle();
  CHECK(to.in.read() == "more");
}

TEST_CASE("an intake that nothing is connected to ends at once") {
  Loop loop;
  Sink to(loop);
  to.open();
  loop.settle();
  CHECK(to.ends == 1);
  CHECK(to.in.read().empty());
  CHECK(to.in.ended());
}

TEST_CASE("when a spliced flow has run dry it is known whether it stands at a line") {
  for (const NodeIo from_io : both_kinds)
    for (const std::size_t size : {50'000, 100'000, 130'000}) {
      Loop loop;
      Source from(loop, from_io);
      Sink to(loop);
      connect(from.outlet, to.intake, ConnectionType::direct);
      from.open();
      to.open();
      const std::string lines = std::string(size, 'x') + "\n";
      std::size_t written = 0, got = 0;
      loop.until([&] { return got == lines.size(); },
                 [&] {
                   written += from.out.write(std::string_view(lines).substr(written));
                   got += to.in.read().size();
                 });
      bool held = false;
      to.intake.hold(Boundary::line, [&] { held = true; });
      loop.settle();
      CHECK(held);
    }
}
