// One event in the journal, as MsgPack: a map of `seq`, which is the first member, and the members of a Fact.
// Unknown members are ignored, so that a younger kairod's records can be read as long as the file's version
// is the same.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "event/bus.hpp"
#include "wire/payload.hpp"

namespace kairo::event {

/// No number is larger, which leaves room to count on from whatever a file claims.
inline constexpr std::uint64_t journal_seq_max = std::uint64_t{1} << 62;

/// Puts the record of `fact` under the number `seq` into `out`, in place of what was there.
void encode_record(std::string& out, const Fact& fact, std::uint64_t seq);

/// The fact, with its number in event.seq.
Result<Fact> decode_record(wire::PayloadDecoder& decoder, std::string_view record);

/// The number alone, without decoding the rest; nothing where it does not stand first.
std::optional<std::uint64_t> peek_seq(std::string_view record);

}  // namespace kairo::event
