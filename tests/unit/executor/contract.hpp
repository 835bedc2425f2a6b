// The contract of Duplex (lib/executor/duplex.hpp), one suite for every carrier:
//
//   TEST_CASE("a UnixPipeAdapter keeps the contract") { duplex_contract<UnixFixture>(); }
//
// A Fixture makes two connected sides, each with a loop of its own, and is made anew for each case:
//
//   explicit Fixture(std::size_t high_water);
//   std::shared_ptr<Duplex> duplex(Side);            not started
//   void on(Side, const std::function<void()>&);     calls it where that side's calls belong, and returns
//   then void turn();                                     lets both loops do something, or waits for them a
//   moment void settle();                                   until neither loop has anything to do
//
// Where both loops are turned by the test, on() is a plain call; where a side has a thread, on() posts to it
// and waits. All that a side has and heard is looked at within on() alone. The transport may hold bytes of
// its own between the sides (a socket does): no case asks how many.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "executor/duplex.hpp"

namespace kairo::executor::contract {

enum class Side { near, far };

/// What one side heard, in its order.
struct Recorder final : DuplexHandler {
  std::string data;
  unsigned pieces = 0;
  unsigned ends = 0;
  unsigned drains = 0;
  unsigned closes = 0;
  unsigned after_close = 0;
  std::vector<std::string> calls;  ///< "data" once in a row, "end", "drain", "close", and what a case adds.
  std::optional<Error> why;
  std::function<void(std::string_view)> at_data;
  std::function<void()> at_drain;

  void heard(const std::string& what) {
    if (closes > 0) ++after_close;
    if (what != "data" || calls.empty() || calls.back() != "data") calls.push_back(what);
  }
  void on_data(std::string_view bytes) override {
    heard("data");
    data += bytes;
    ++pieces;
    if (at_data) at_data(bytes);
  }
  void on_end() override {
    heard("end");
    ++ends;
  }
  void on_drain() override {
    heard("drain");
    ++drains;
    if (at_drain) at_drain();
  }
  void on_close(const Error* error) override {
    heard("close");
    ++closes;
    if (error) why = *error;
  }
};

/// Numbered bytes, so that a hole or a repetition shows.
inline std::string numbered(std::size_t size, std::size_t from = 0) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t at = from + i;
    out[i] = static_cast<char>((at / 4 >> (at % 4 * 8)) & 0xff);
  }
  return out;
}

template <class Fixture>
class Rig {
 public:
  explicit Rig(std::size_t high_water = default_high_water) : fixture_(high_water) {
    for (const Side side : {Side::near, Side::far}) {
      duplex(side) = fixture_.duplex(side);
      on(side, [&] { duplex(side)->start(heard(side)); });
    }
  }
  ~Rig() {
    for (const Side side : {Side::near, Side::far}) on(side, [&] { duplex(side)->destroy(); });
    until(Side::near, [&] { return heard(Side::near).closes > 0; });
    until(Side::far, [&] { return heard(Side::far).closes > 0; });
    fixture_.settle();
    for (const Side side : {Side::near, Side::far}) on(side, [&] { CHECK(heard(side).closes == 1); });
    for (const Side side : {Side::near, Side::far}) on(side, [&] { CHECK(heard(side).after_close == 0); });
  }

  std::shared_ptr<Duplex>& duplex(Side side) { return duplexes_[side == Side::far]; }
  Recorder& heard(Side side) { return recorders_[side == Side::far]; }
  void on(Side side, const std::function<void()>& call) { fixture_.on(side, call); }
  void settle() { fixture_.settle(); }

  void until(Side side, const std::function<bool()>& condition) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    for (bool reached = false;;) {
      on(side, [&] { reached = condition(); });
      if (reached) return;
      REQUIRE(std::chrono::steady_clock::now() < give_up);
      fixture_.turn();
    }
  }
  void resume(Side side) {
    on(side, [&] { duplex(side)->resume(); });
  }
  void end(Side side) {
    on(side, [&] { duplex(side)->end(); });
  }
  /// Writes all of it, waiting for on_drain whenever told to, and gives how many times that was.
  unsigned write_all(Side side, std::string_view bytes, std::size_t piece) {
    unsigned waited = 0;
    while (!bytes.empty()) {
      bool room = false;
      unsigned drains = 0;
      const std::string next(bytes.substr(0, piece));
      bytes.remove_prefix(next.size());
      on(side, [&] {
        drains = heard(side).drains;
        auto written = duplex(side)->write(next);
        REQUIRE(written);
        room = *written;
      });
      if (room) continue;
      ++waited;
      until(side, [&] { return heard(side).drains > drains; });
    }
    return waited;
  }
  /// Writes until it is told to wait and nothing moves any more; gives what was taken.
  std::string write_until_full(Side side, std::size_t piece) {
    std::string taken;
    for (bool full = false; !full;) {
      on(side, [&] {
        while (duplex(side)->unaccepted() < duplex(side)->high_water()) {
          const std::string next = numbered(piece, taken.size());
          auto written = duplex(side)->write(next);
          REQUIRE(written);
          taken += next;
          REQUIRE(*written == (duplex(side)->unaccepted() < duplex(side)->high_water()));
          if (!*written) break;
        }
      });
      settle();
      on(side, [&] { full = duplex(side)->unaccepted() >= duplex(side)->high_water(); });
    }
    return taken;
  }

 private:
  Fixture fixture_;
  Recorder recorders_[2];
  std::shared_ptr<Duplex> duplexes_[2];
};

template <class F>
void nothing_before_resume() {
  Rig<F> rig;
  rig.on(Side::near, [&] { REQUIRE(rig.duplex(Side::near)->write("early")); });
  rig.settle();
  rig.on(Side::far, [&] { CHECK(rig.heard(Side::far).data.empty()); });
  rig.resume(Side::far);
  rig.until(Side::far, [&] { return rig.heard(Side::far).data == "early"; });
}

template <class F>
void pause_within_data() {
  Rig<F> rig;
  rig.on(Side::far, [&] {
    rig.heard(Side::far).at_data = [&](std::string_view) { rig.duplex(Side::far)->pause(); };
    rig.duplex(Side::far)->resume();
  });
  rig.on(Side::near, [&] { REQUIRE(rig.duplex(Side::near)->write("one")); });
  rig.until(Side::far, [&] { return rig.heard(Side::far).pieces == 1; });
  rig.on(Side::near, [&] { REQUIRE(rig.duplex(Side::near)->write("two")); });
  rig.settle();
  rig.on(Side::far, [&] {
    CHECK(rig.heard(Side::far).data == "one");
    rig.duplex(Side::far)->resume();
  });
  rig.until(Side::far, [&] { return rig.heard(Side::far).data == "onetwo"; });
}

template <class F>
void full_at_the_mark() {
  Rig<F> rig(1000);
  const std::string taken = rig.write_until_full(Side::near, 300);
  rig.on(Side::near, [&] {
    Duplex& duplex = *rig.duplex(Side::near);
    CHECK(duplex.high_water() == 1000);
    CHECK(duplex.unaccepted() >= 1000);
    CHECK(duplex.unaccepted() < 1300);
    bool called = false;
    const auto refused = duplex.write("more", [&](Result<void>) { called = true; });
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::limit_exceeded);
    CHECK_FALSE(called);
  });
  unsigned before = 0;
  rig.on(Side::near, [&] { before = rig.heard(Side::near).drains; });
  rig.resume(Side::far);
  rig.until(Side::near, [&] { return rig.heard(Side::near).drains > before; });
  rig.until(Side::far, [&] { return rig.heard(Side::far).data.size() >= taken.size(); });
  rig.on(Side::far, [&] { CHECK((rig.heard(Side::far).data == taken)); });
  rig.on(Side::near, [&] { CHECK(rig.duplex(Side::near)->write("again")); });
  rig.until(Side::far, [&] { return rig.heard(Side::far).data.size() >= taken.size() + 5; });
}

template <class F>
void end_comes_behind_everything() {
  Rig<F> rig;
  std::string sent = rig.write_until_full(Side::near, 10'000);
  rig.on(Side::near, [&] {
    rig.duplex(Side::near)->end();
    rig.duplex(Side::near)->end();
    const auto refused = rig.duplex(Side::near)->write("more");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::stdin_closed);
  });
  rig.settle();
  rig.on(Side::far, [&] { CHECK(rig.heard(Side::far).ends == 0); });
  rig.resume(Side::far);
  rig.until(Side::far, [&] { return rig.heard(Side::far).ends > 0; });
  rig.settle();
  rig.on(Side::far, [&] {
    CHECK((rig.heard(Side::far).data == sent));
    CHECK(rig.heard(Side::far).calls == std::vector<std::string>{"data", "end"});
  });
}

template <class F>
void both_ends_close() {
  Rig<F> rig;
  rig.resume(Side::near);
  rig.resume(Side::far);
  rig.on(Side::near, [&] { REQUIRE(rig.duplex(Side::near)->write("ask")); });
  rig.end(Side::near);
  rig.until(Side::far, [&] { return rig.heard(Side::far).ends == 1; });
  rig.settle();
  for (const Side side : {Side::near, Side::far}) rig.on(side, [&] { CHECK(rig.heard(side).closes == 0); });
  rig.end(Side::far);
  for (const Side side : {Side::near, Side::far})
    rig.until(side, [&] { return rig.heard(side).closes == 1; });
  rig.on(Side::near, [&] {
    CHECK(rig.heard(Side::near).calls == std::vector<std::string>{"end", "close"});
    CHECK_FALSE(rig.heard(Side::near).why);
  });
  rig.on(Side::far, [&] {
    CHECK(rig.heard(Side::far).calls == std::vector<std::string>{"data", "end", "close"});
    CHECK_FALSE(rig.heard(Side::far).why);
  });
}

template <class F>
void half_closed_and_reading() {
  Rig<F> rig;
  rig.end(Side::near);
  rig.resume(Side::far);
  rig.until(Side::far, [&] { return rig.heard(Side::far).ends == 1; });
  const std::string answer = numbered(300'000);
  rig.resume(Side::near);
  rig.write_all(Side::far, answer, 7'000);
  rig.until(Side::near, [&] { return rig.heard(Side::near).data.size() == answer.size(); });
  rig.on(Side::near, [&] { CHECK((rig.heard(Side::near).data == answer)); });
  rig.end(Side::far);
  rig.until(Side::near, [&] { return rig.heard(Side::near).closes == 1; });
  rig.on(Side::near, [&] { CHECK_FALSE(rig.heard(Side::near).why); });
}

template <class F>
void destroyed_at_once() {
  Rig<F> rig(1000);
  rig.write_until_full(Side::near, 300);
  bool told = false;
  rig.on(Side::near, [&] {
    Duplex& duplex = *rig.duplex(Side::near);
    duplex.resume();
    duplex.destroy();
    CHECK(rig.heard(Side::near).closes == 0);  // never from within a call
    CHECK(duplex.unaccepted() == 0);
    const auto refused = duplex.write("more", [&](Result<void>) { told = true; });
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::stdin_closed);
    duplex.end([&](Result<void>) { told = true; });
    duplex.pause();
    duplex.resume();
    duplex.destroy(Error(Code::internal, "too late"));
  });
  rig.until(Side::near, [&] { return rig.heard(Side::near).closes == 1; });
  rig.resume(Side::far);
  rig.until(Side::far, [&] { return rig.heard(Side::far).ends == 1; });
  rig.settle();
  rig.on(Side::near, [&] {
    CHECK_FALSE(told);
    CHECK_FALSE(rig.heard(Side::near).why);
    CHECK(rig.heard(Side::near).calls.back() == "close");
  });
}

template <class F>
void destroyed_within_data() {
  Rig<F> rig;
  rig.on(Side::far, [&] {
    rig.heard(Side::far).at_data = [&](std::string_view) { rig.duplex(Side::far)->destroy(); };
    rig.duplex(Side::far)->resume();
  });
  rig.on(Side::near, [&] {
    REQUIRE(rig.duplex(Side::near)->write("one"));
    rig.duplex(Side::near)->end();
  });
  rig.until(Side::far, [&] { return rig.heard(Side::far).closes == 1; });
  rig.settle();
  rig.on(Side::far, [&] { CHECK(rig.heard(Side::far).calls == std::vector<std::string>{"data", "close"}); });
}

/// Writes until the other side's absence is noticed: `accepted` has heard of it.
template <class F>
Code write_until_refused(Rig<F>& rig, Side side) {
  std::optional<Code> heard;
  rig.until(side, [&] {
    if (heard) return true;
    const auto written = rig.duplex(side)->write("x", [&](Result<void> accepted) {
      if (!accepted && !heard) heard = accepted.error().code;
    });
    if (!written && written.error().code == Code::stdin_closed) heard = written.error().code;
    return heard.has_value();
  });
  rig.settle();
  return *heard;
}

template <class F>
void destroyed_with_an_error(Side side) {
  const Side other = side == Side::near ? Side::far : Side::near;
  Rig<F> rig;
  rig.resume(other);
  rig.on(side, [&] { REQUIRE(rig.duplex(side)->write("said")); });
  rig.until(other, [&] { return rig.heard(other).data == "said"; });
  rig.on(side, [&] { rig.duplex(side)->destroy(Error(Code::timeout, "no patience")); });
  rig.until(side, [&] { return rig.heard(side).closes == 1; });
  rig.on(side, [&] {
    REQUIRE(rig.heard(side).why);
    CHECK(rig.heard(side).why->code == Code::timeout);
    CHECK(rig.heard(side).why->message == "no patience");
  });
  rig.until(other, [&] { return rig.heard(other).ends == 1; });
  CHECK(write_until_refused(rig, other) == Code::stdin_closed);
  rig.until(other, [&] { return rig.heard(other).closes == 1; });
  rig.on(other, [&] {
    REQUIRE(rig.heard(other).why);
    CHECK(rig.heard(other).why->code == Code::stdin_closed);
    CHECK(rig.heard(other).calls == std::vector<std::string>{"data", "end", "close"});
  });
}

template <class F>
void refused_writes_are_told() {
  Rig<F> rig(1000);
  rig.write_until_full(Side::near, 100);
  rig.on(Side::far, [&] { rig.duplex(Side::far)->destroy(); });
  rig.until(Side::far, [&] { return rig.heard(Side::far).closes == 1; });
  rig.settle();
  rig.on(Side::near, [&] { CHECK(rig.duplex(Side::near)->unaccepted() == 0); });
  CHECK(write_until_refused(rig, Side::near) == Code::stdin_closed);
  // Reading goes on until it finds the end.
  rig.on(Side::near, [&] { CHECK(rig.heard(Side::near).closes == 0); });
  rig.resume(Side::near);
  rig.until(Side::near, [&] { return rig.heard(Side::near).closes == 1; });
  rig.on(Side::near, [&] {
    REQUIRE(rig.heard(Side::near).why);
    CHECK(rig.heard(Side::near).why->code == Code::stdin_closed);
    CHECK(rig.heard(Side::near).ends == 1);
  });
}

template <class F>
void both_directions_at_once() {
  Rig<F> rig(4096);
  const std::string there = numbered(3'000'000), back = numbered(2'000'000, 77);
  const auto pour = [&](Side side, const std::string& bytes) {
    auto at = std::make_shared<std::size_t>(0);
    auto& recorder = rig.heard(side);
    recorder.at_drain = [&rig, &bytes, side, at] {
      while (*at < bytes.size()) {
        const std::string piece = bytes.substr(*at, 1500);
        *at += piece.size();
        auto written = rig.duplex(side)->write(piece);
        REQUIRE(written);
        if (!*written) return;
      }
      rig.duplex(side)->end();
    };
    rig.on(side, [&] {
      rig.duplex(side)->resume();
      recorder.at_drain();
    });
  };
  pour(Side::near, there);
  pour(Side::far, back);
  for (const Side side : {Side::near, Side::far})
    rig.until(side, [&] { return rig.heard(side).closes == 1; });
  rig.on(Side::near, [&] { CHECK((rig.heard(Side::near).data == back)); });
  rig.on(Side::far, [&] { CHECK((rig.heard(Side::far).data == there)); });
}

template <class F>
void many_small_writes() {
  Rig<F> rig;
  const std::string bytes = numbered(20'000);
  rig.resume(Side::far);
  rig.write_all(Side::near, bytes, 1);
  rig.end(Side::near);
  rig.until(Side::far, [&] { return rig.heard(Side::far).ends == 1; });
  rig.on(Side::far, [&] { CHECK((rig.heard(Side::far).data == bytes)); });
}

template <class F>
void closed_while_paused() {
  Rig<F> rig;
  rig.on(Side::near, [&] {
    REQUIRE(rig.duplex(Side::near)->write("last words"));
    rig.duplex(Side::near)->end();
  });
  rig.end(Side::far);
  rig.settle();
  rig.on(Side::far, [&] { CHECK(rig.heard(Side::far).calls.empty()); });
  rig.resume(Side::far);
  rig.until(Side::far, [&] { return rig.heard(Side::far).closes == 1; });
  rig.on(Side::far, [&] {
    CHECK(rig.heard(Side::far).data == "last words");
    CHECK(rig.heard(Side::far).calls == std::vector<std::string>{"data", "end", "close"});
    CHECK_FALSE(rig.heard(Side::far).why);
  });
}

template <class F>
void accepted_in_order() {
  Rig<F> rig(1u << 20);
  std::vector<int> order;
  rig.on(Side::near, [&] {
    for (int i = 0; i < 50; ++i) {
      const auto accepted = [&order, i](Result<void> result) { order.push_back(result ? i : -1); };
      REQUIRE(rig.duplex(Side::near)->write(numbered(i % 5 == 0 ? 0 : 20'000), accepted));
    }
    rig.duplex(Side::near)->end([&](Result<void> result) { order.push_back(result ? 50 : -1); });
    CHECK(order.empty());  // never from within a call
  });
  rig.resume(Side::far);
  rig.until(Side::near, [&] { return order.size() == 51; });
  for (int i = 0; i < 51; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
  rig.until(Side::far, [&] { return rig.heard(Side::far).ends == 1; });
  rig.on(Side::far, [&] { CHECK(rig.heard(Side::far).data.size() == 800'000); });
}

template <class F>
void heavy_writes() {
  Rig<F> rig(16 * 1024);
  constexpr std::size_t piece = 8 * 1024, count = 100;
  // The reader sleeps until the writer was told to wait, so that there is a drain whatever lies between them.
  std::string sent;
  bool resumed = false;
  unsigned waited = 0;
  for (std::size_t i = 0; i < count || waited == 0; ++i) {
    bool room = false;
    const std::string next = numbered(piece, sent.size());
    rig.on(Side::near, [&] {
      auto written = rig.duplex(Side::near)->write(next);
      REQUIRE(written);
      room = *written;
    });
    sent += next;
    if (room) continue;
    ++waited;
    if (!resumed) rig.resume(Side::far);
    resumed = true;
    rig.until(Side::near, [&] { return rig.heard(Side::near).drains >= waited; });
  }
  rig.end(Side::near);
  rig.until(Side::far, [&] { return rig.heard(Side::far).ends == 1; });
  rig.on(Side::far, [&] { CHECK((rig.heard(Side::far).data == sent)); });
  rig.on(Side::near, [&] { CHECK(rig.heard(Side::near).drains >= 1); });
}

template <class F>
void duplex_contract() {
  SUBCASE("nothing is read before resume") {
    nothing_before_resume<F>();
  }
  SUBCASE("a pause within on_data stops the next one") {
    pause_within_data<F>();
  }
  SUBCASE("a writer is told to wait at the high-water mark, and a write beyond it is refused") {
    full_at_the_mark<F>();
  }
  SUBCASE("the end comes behind everything that was written") {
    end_comes_behind_everything<F>();
  }
  SUBCASE("when both sides have ended both are closed, in order") {
    both_ends_close<F>();
  }
  SUBCASE("who has ended goes on reading") {
    half_closed_and_reading<F>();
  }
  SUBCASE("destroy is immediate") {
    destroyed_at_once<F>();
  }
  SUBCASE("a duplex may be destroyed within on_data") {
    destroyed_within_data<F>();
  }
  SUBCASE("destroy with an error, near") {
    destroyed_with_an_error<F>(Side::near);
  }
  SUBCASE("destroy with an error, far") {
    destroyed_with_an_error<F>(Side::far);
  }
  SUBCASE("writes that nobody takes are told so, and reading goes on") {
    refused_writes_are_told<F>();
  }
  SUBCASE("both directions at once") {
    both_directions_at_once<F>();
  }
  SUBCASE("many small writes") {
    many_small_writes<F>();
  }
  SUBCASE("closed while paused") {
    closed_while_paused<F>();
  }
  SUBCASE("writes are accepted in their order, and the end last") {
    accepted_in_order<F>();
  }
  SUBCASE("heavy writes at a low mark") {
    heavy_writes<F>();
  }
}

}  // namespace kairo::executor::contract
