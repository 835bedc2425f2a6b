// Pages of the audit for those who look at it: from a place on, or the newest. Reads the files as they are,
// on any thread, while they are written. A page is bounded by its records, its bytes, and what is looked
// through for it, so that it may be empty and there be more.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/limits.hpp"
#include "base/result.hpp"

namespace kairo::audit {

/// Which records. What is absent excludes nothing.
struct Filter {
  std::optional<std::string>
      viewer;  ///< A path: only what is of it or below it (the rule of access::Principal).
  std::optional<std::string> principal;  ///< A name or a path: the same, as it was asked for.
  std::optional<std::string> method;  ///< A method or, of lifecycle records, an event; * stands for any rest.
  std::optional<std::string> from_time;  ///< As lines have them, both inclusive.
  std::optional<std::string> to_time;

  [[nodiscard]] bool admits(std::string_view line) const;
};

/// A place between two records: a file by its name's number, and bytes in it. Text is "FILE:BYTES".
struct Place {
  std::uint64_t file = 0;  ///< 0: in front of all.
  std::uint64_t offset = 0;
  [[nodiscard]] std::string text() const;
  static std::optional<Place> parse(std::string_view text);
};

struct Page {
  std::vector<std::string> lines;  ///< Without their newlines, in order.
  Place next;                      ///< Behind all that was looked at.
  bool more = false;               ///< Something stands behind `next`.
};

/// What follows `from`, at most `limit` records.
Result<Page> read_page(const std::string& state_dir, const Filter& filter, Place from, std::size_t limit);

/// The newest `count` records.
Result<Page> read_last(const std::string& state_dir, const Filter& filter, std::size_t count);

}  // namespace kairo::audit
