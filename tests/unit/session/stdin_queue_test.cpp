#include "session/stdin_queue.hpp"

#include <memory>
#include <optional>
#include <string>
#include <sys/mman.h>
#include <vector>

#include <doctest/doctest.h>

using namespace kairo;
using session::StdinQueue;

namespace {

/// Plays the keeper: takes bytes out of the ring through a mapping of its own.
struct Keeper {
  keeper::StdinSlot slot{};
  std::unique_ptr<StdinQueue> queue = std::make_unique<StdinQueue>(slot);
  char* ring = nullptr;

  Keeper() {
    auto made = queue->make_ring();
    REQUIRE(made.ok());
    ring = static_cast<char*>(::mmap(nullptr, limits::stdin_bytes, PROT_READ, MAP_SHARED, *made, 0));
    REQUIRE(ring != MAP_FAILED);
    queue->ring_kept();
  }
  ~Keeper() { ::munmap(ring, limits::stdin_bytes); }

  std::string take(std::size_t most) {
    std::string out;
    std::uint64_t head = slot.head.load();
    for (; head < slot.tail.load() && out.size() < most; ++head) out += ring[head % limits::stdin_bytes];
    slot.head.store(head);
    return out;
  }
};

struct Answer {
  std::optional<Result<StdinQueue::Written>> result;
  StdinQueue::Done done() {
    return [this](Result<StdinQueue::Written> got) { result = std::move(got); };
  }
};

}  // namespace

TEST_CASE("a write that fits is answered at once, with its position") {
  Keeper keeper;
  Answer first, second;
  keeper.queue->write("hello ", std::nullopt, first.done());
  keeper.queue->write("world", std::nullopt, second.done());
  REQUIRE(first.result);
  CHECK(first.result->value().written == 6);
  CHECK(first.result->value().offset == 6);
  REQUIRE(second.result);
  CHECK(second.result->value().offset == 11);
  CHECK(keeper.take(100) == "hello world");
}

TEST_CASE("a write larger than the ring goes in as the process reads, whole and in order") {
  Keeper keeper;
  std::string data;
  for (int i = 0; data.size() < limits::stdin_bytes * 2 + 12345; ++i) data += std::to_string(i) + "\n";
  Answer large, behind;
  keeper.queue->write(data, std::nullopt, large.done());
  keeper.queue->write("end", std::nullopt, behind.done());
  CHECK_FALSE(large.result);
  CHECK(keeper.queue->waiting());
  std::string got;
  while (!behind.result) {
    const std::string piece = keeper.take(300'000);
    REQUIRE_FALSE(piece.empty());
    got += piece;
    keeper.queue->progress();
  }
  got += keeper.take(SIZE_MAX);
  CHECK(large.result->value().written == data.size());
  CHECK(got == data + "end");
}

TEST_CASE("waiting writes ask the keeper to say when there is room") {
  Keeper keeper;
  Answer answer;
  keeper.queue->write(std::string(limits::stdin_bytes + 1, 'x'), std::nullopt, answer.done());
  CHECK(keeper.slot.wake.load() == 1);
}

TEST_CASE("an offset makes a write exactly-once: what came before is skipped, a gap is an error") {
  Keeper keeper;
  Answer first, again, overlap, gap;
  keeper.queue->write("abcdef", 0, first.done());
  keeper.queue->write("abcdef", 0, again.done());
  CHECK(again.result->value().written == 0);
  CHECK(again.result->value().offset == 6);
  keeper.queue->write("efgh", 4, overlap.done());
  CHECK(overlap.result->value().written == 2);
  CHECK(overlap.result->value().offset == 8);
  keeper.queue->write("x", 9, gap.done());
  CHECK(gap.result->error().code == Code::invalid_params);
  CHECK(keeper.take(100) == "abcdefgh");
}

TEST_CASE("writes with offsets that wait are judged when it is their turn") {
  Keeper keeper;
  Answer first, second;
  const std::string block(limits::stdin_bytes, 'a');
  keeper.queue->write(block + "b", 0, first.done());
  keeper.queue->write("c", limits::stdin_bytes + 1, second.done());
  keeper.take(10);
  keeper.queue->progress();
  REQUIRE(second.result);
  CHECK(second.result->ok());
}

TEST_CASE("the 65th waiting write is refused and nothing of it is accepted") {
  Keeper keeper;
  std::vector<Answer> answers(limits::stdin_waiting_writes + 2);
  keeper.queue->write(std::string(limits::stdin_bytes, 'x'), std::nullopt, answers[0].done());
  for (std::size_t i = 1; i < answers.size(); ++i) keeper.queue->write("y", std::nullopt, answers[i].done());
  CHECK_FALSE(answers[limits::stdin_waiting_writes].result);
  REQUIRE(answers.back().result);
  CHECK(answers.back().result->error().code == Code::limit_exceeded);
  keeper.take(SIZE_MAX);
  keeper.queue->progress();
  CHECK(answers[limits::stdin_waiting_writes].result->ok());
  CHECK(keeper.take(SIZE_MAX).size() == limits::stdin_waiting_writes);
}

TEST_CASE("how many writes and bytes may wait is set, also while some do") {
  Keeper keeper;
  Answer filling, first, second, third, fourth;
  keeper.queue->write(std::string(limits::stdin_bytes, 'x'), std::nullopt, filling.done());
  keeper.queue->set_bounds(2, 10);
  keeper.queue->write("12345678901", std::nullopt, first.done());
  REQUIRE(first.result);
  CHECK(first.result->error().code == Code::limit_exceeded);
  keeper.queue->write("y", std::nullopt, second.done());
  keeper.queue->set_bounds(1, 10);
  keeper.queue->write("y", std::nullopt, third.done());
  REQUIRE(third.result);
  CHECK(third.result->error().code == Code::limit_exceeded);
  keeper.queue->set_bounds(2, 10);
  keeper.queue->write("y", std::nullopt, fourth.done());
  CHECK_FALSE(fourth.result);
}

TEST_CASE("a write that the process's end cuts short says how much of it was accepted") {
  Keeper keeper;
  Answer cut;
  keeper.queue->write(std::string(limits::stdin_bytes + 100, 'x'), std::nullopt, cut.done());
  keeper.queue->end();
  REQUIRE(cut.result);
  CHECK(cut.result->error().code == Code::stdin_closed);
  CHECK(std::get<std::int64_t>(cut.result->error().details.at(0).second) ==
        static_cast<std::int64_t>(limits::stdin_bytes));
}

TEST_CASE("a pipe that the process closed refuses what comes") {
  Keeper keeper;
  keeper.slot.state.store(keeper::stdin_closed | keeper::stdin_broken);
  Answer late;
  keeper.queue->write("x", std::nullopt, late.done());
  CHECK(late.result->error().code == Code::stdin_closed);
}

TEST_CASE("a close comes after the writes that wait, and only once") {
  Keeper keeper;
  Answer large;
  keeper.queue->write(std::string(limits::stdin_bytes + 1, 'x'), std::nullopt, large.done());
  CHECK(keeper.queue->close());
  CHECK(keeper.slot.close.load() == 0);
  keeper.take(SIZE_MAX);
  keeper.queue->progress();
  CHECK(large.result->ok());
  CHECK(keeper.slot.close.load() == keeper::stdin_close);
  CHECK_FALSE(keeper.queue->close());
}

TEST_CASE("the doorbell rings once for an idle keeper and never for a busy one") {
  Keeper keeper;
  Answer answer;
  keeper.slot.idle.store(1);
  keeper.queue->write("a", std::nullopt, answer.done());
  CHECK(keeper.queue->take_doorbell());
  CHECK_FALSE(keeper.queue->take_doorbell());
  keeper.queue->write("b", std::nullopt, answer.done());
  CHECK_FALSE(keeper.queue->take_doorbell());
}

TEST_CASE("nothing is accepted before the keeper is sure to have the ring") {
  keeper::StdinSlot slot{};
  StdinQueue queue(slot);
  REQUIRE(queue.make_ring().ok());
  bool answered = false;
  queue.write("early", std::nullopt, [&](Result<StdinQueue::Written> written) {
    REQUIRE(written.ok());
    CHECK(written->offset == 5);
    answered = true;
  });
  CHECK_FALSE(answered);
  CHECK(slot.tail.load() == 0);
  queue.ring_kept();
  CHECK(answered);
  CHECK(slot.tail.load() == 5);
}
