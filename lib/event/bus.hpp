// The event bus: numbers every event, keeps it (journal), then hands it to those who want it. Lives on the
// kernel's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "event/fact.hpp"
#include "event/window.hpp"

namespace kairo::event {

/// Where events are put on record before anyone hears of them: FileJournal on disk; a MemoryJournal only
/// numbers.
class Journal {
 public:
  virtual ~Journal() = default;
  /// Gives the event its number, increasing and never used again, and keeps it.
  virtual Result<std::uint64_t> append(const Fact& fact) = 0;
  /// The number of the newest event, 0 before the first.
  [[nodiscard]] virtual std::uint64_t newest() const = 0;
};

class MemoryJournal final : public Journal {
 public:
  Result<std::uint64_t> append(const Fact&) override { return ++newest_; }
  [[nodiscard]] std::uint64_t newest() const override { return newest_; }

 private:
  std::uint64_t newest_ = 0;
};

class Bus {
 public:
  /// Called for each matching event, in order. May unsubscribe anyone, itself included.
  using Sink = std::function<void(const Recorded&)>;
  using Token = std::uint64_t;

  explicit Bus(std::unique_ptr<Journal> journal)
      : journal_(std::move(journal)), window_(journal_->newest()) {}

  /// Completes (id, seq, time when empty), keeps and distributes. The completed event is left in `fact`. What
  /// the journal refuses is distributed all the same, without a seq, which says that it is not on record;
  /// then the journal's error is given back. What is on record also goes into the window.
  Result<void> publish(Fact& fact);
  /// The same, and `recorded` is left with what was distributed.
  Result<void> publish(Fact& fact, Window::Entry& recorded);

  /// `pattern` must have passed check_pattern.
  Token subscribe(std::string pattern, Sink sink);
  void unsubscribe(Token token);

  [[nodiscard]] std::uint64_t newest() const { return journal_->newest(); }
  /// The newest events.
  Window& window() { return window_; }
  [[nodiscard]] std::size_t subscribers() const { return subscribers_.size(); }

 private:
  struct Subscriber {
    std::string pattern;
    std::shared_ptr<Sink> sink;
  };
  std::unique_ptr<Journal> journal_;
  Window window_;
  std::map<Token, Subscriber> subscribers_;
  Token next_token_ = 1;
  std::string id_prefix_;
  std::uint64_t ids_ = 0;
};

}  // namespace kairo::event
