// An event with what the kernel needs to know about it, and the form in which it goes to many.
#pragma once

#include <cstdint>
#include <string>

#include "api/envelope.hpp"

namespace kairo::event {

/// An event with what the bus needs to know about it.
struct Fact {
  api::Event event;
  std::string owner;       ///< Principal whose process (or message) it is about; empty: everybody may see it.
  std::string process_id;  ///< Session it is about, or empty.
  std::uint64_t session_key = 0;  ///< Number of that session, 0 where there is none.
  static constexpr auto fields() {
    using S = Fact;
    return std::tuple(reflect::field("event", &S::event, "As it is told"),
                      reflect::defaulted("owner", &S::owner, "Principal that it belongs to"),
                      reflect::defaulted("processId", &S::process_id, "Session it is about"),
                      reflect::defaulted("sessionKey", &S::session_key, "Number of that session"));
  }
};

/// A fact that was published. Its event is encoded once, for however many subscribers.
struct Recorded : Fact {
  explicit Recorded(Fact fact) : Fact(std::move(fact)), encoded(event) {}
  api::EncodedEvent encoded;
  /// About what it takes in memory.
  [[nodiscard]] std::size_t bytes() const { return sizeof *this + 2 * encoded.members.size(); }
};

}  // namespace kairo::event
