// The newest events, in memory: the event store takes them from here as long as it keeps up, and a replay
// goes over to what is live where it has reached them. Bounded, and much smaller once the store has them;
// whoever falls behind its first event reads the store or the journal. The kernel's thread puts, any thread
// takes.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "event/fact.hpp"

namespace kairo::event {

class Window {
 public:
  using Entry = std::shared_ptr<const Recorded>;

  /// Begins behind the event that is the newest now.
  explicit Window(std::uint64_t newest) : since_(newest), newest_(newest) {}

  /// Numbers increase. An event without one is not on record, and not for the window.
  void put(Entry entry);

  /// The store has everything up to `seq`: of that, no more than a few hundred events stay.
  void stored(std::uint64_t seq);

  /// The events behind number `since`, at most `most`; nothing where some of them are no longer here.
  [[nodiscard]] std::optional<std::vector<Entry>> behind(std::uint64_t since, std::size_t most) const;

  /// The number behind which everything is here.
  [[nodiscard]] std::uint64_t since() const;
  [[nodiscard]] std::uint64_t newest() const;

 private:
  void drop_first();

  mutable std::mutex mutex_;
  std::deque<Entry> entries_;
  std::size_t bytes_ = 0;
  std::uint64_t since_;
  std::uint64_t newest_;
  std::uint64_t stored_ = 0;
};

}  // namespace kairo::event
