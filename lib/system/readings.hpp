// The readings before, from which a rate follows: of ticks, of processor time. Whoever asks often, and
// however many ask at once, each gets a rate over at least a second where there is one.
#pragma once

#include <chrono>
#include <optional>
#include <utility>

#include "base/clock.hpp"

namespace kairo::system {

template <class T>
class Readings {
 public:
  struct Reading {
    T value;
    SteadyTime time;
  };
  static constexpr std::chrono::milliseconds shortest{1000};

  /// What to compare a reading of `now` with: the newest that is a second old, else the oldest; nullptr
  /// before the first.
  [[nodiscard]] const Reading* before(SteadyTime now) const {
    if (newer_ && now - newer_->time >= shortest) return &*newer_;
    if (older_) return &*older_;
    return newer_ ? &*newer_ : nullptr;
  }
  /// Keeps a reading; not within a second of the one before, which has to grow old.
  void add(T value, SteadyTime now) {
    if (newer_ && now - newer_->time < shortest) return;
    older_ = std::move(newer_);
    newer_ = Reading{std::move(value), now};
  }
  /// Of the newest that is kept.
  [[nodiscard]] SteadyTime newest() const { return newer_ ? newer_->time : SteadyTime{}; }

 private:
  std::optional<Reading> older_;
  std::optional<Reading> newer_;
};

}  // namespace kairo::system
