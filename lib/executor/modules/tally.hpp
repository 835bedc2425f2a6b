// What meter and count count. The worker's thread adds, the executor's thread looks.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.hpp"

namespace kairo::executor {

struct Counted {
  std::uint64_t bytes = 0;
  std::uint64_t lines = 0;  ///< A last one without a line feed is one, too.
  std::uint64_t chunks = 0;
};

class Tally {
 public:
  void add(std::string_view bytes, SteadyTime now);
  [[nodiscard]] Counted counted() const;
  /// Of the last second at least, and of the last two at most.
  [[nodiscard]] std::uint64_t bytes_per_second(SteadyTime now) const;

 private:
  struct Window {
    SteadyTime since{};
    std::uint64_t bytes = 0;
  };
  static void roll(Window& before, Window& present, SteadyTime now);

  mutable std::mutex mutex_;
  Counted counted_;
  bool in_line_ = false;
  Window before_;
  Window present_;
};

}  // namespace kairo::executor
