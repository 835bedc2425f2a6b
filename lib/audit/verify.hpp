// Proves the audit whole, or names the first record that is not as it was written. Works on the files alone,
// while a daemon writes them or without one.
//
// What is wrong is one of: a line that is no record; one whose bytes do not give its hash (changed); one
// whose `prev` is not the hash of the record before (exchanged, or put in by somebody who knows how); a
// number that does not follow (left out); an end before the newest record that the event store knows of (cut
// off); a beginning behind what the newest file says was kept (a file removed).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "audit/line.hpp"

namespace kairo::audit {

struct Verdict {
  bool whole = true;
  std::uint64_t files = 0;
  std::uint64_t records = 0;  ///< That were found good.
  std::uint64_t first_seq = 0;
  Head last;
  std::uint64_t torn_bytes =
      0;  ///< A line without an end, the last of all: a crash left it, or it is being written.
  bool against_head = false;  ///< Whether there was a head to compare with.
  // The first broken record:
  std::string file;
  std::uint64_t line = 0;  ///< From 1 on; 0: none, something is missing.
  std::uint64_t seq = 0;
  std::string problem;
};

/// `head` is what the event store holds, read before the call. E_NOT_FOUND where the state directory has no
/// audit.
Result<Verdict> verify(const std::string& state_dir, const std::optional<Head>& head);

}  // namespace kairo::audit
