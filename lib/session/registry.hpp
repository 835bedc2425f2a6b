// All sessions by id, key and slot, in order of their start; which ended ones are kept (SPEC 4.7); and which
// slots of the shared table are free. Pure book-keeping on the kernel's thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "session/session.hpp"

namespace kairo::session {

class Registry {
 public:
  explicit Registry(std::uint32_t slots);

  /// A free slot and a key that was never used before.
  struct Place {
    std::uint64_t key = 0;
    std::uint32_t slot = 0;
  };
  /// `is_free` says whether the keeper has let go of a slot that was given back.
  Result<Place> reserve(const std::function<bool(std::uint32_t)>& is_free);
  /// Gives a slot back; after the keeper was told to release it.
  void give_back(std::uint32_t slot);

  /// Adds a session under a free id.
  Session& add(std::unique_ptr<Session> session);
  /// Takes a session of the time before; its slot is in use, its key is older than all new ones.
  Session& adopt(std::unique_ptr<Session> session);

  /// The keeper still uses this slot, of a session that is not taken; it comes to be free.
  void keep_off(std::uint32_t slot);
  /// Every session that is yet to be added gets a higher key than this.
  void used(std::uint64_t key) { next_key_ = std::max(next_key_, key + 1); }
  /// Takes a session that ended in the time before and has no slot.
  Session& adopt_ended(std::unique_ptr<Session> session);

  [[nodiscard]] Session* find(std::string_view id) const;
  [[nodiscard]] Session* find_key(std::uint64_t key) const;
  [[nodiscard]] Session* find_slot(std::uint32_t slot) const;
  /// Forgets the session.
  std::unique_ptr<Session> remove(Session& session);
  /// Another keeper has another table: all of its slots are free. No session may hold one any more.
  void reset_slots();
  /// The session lets go of its slot (it has ended and is frozen).
  void detach_slot(Session& session);

  /// Says that it has ended, so that it counts among those that may be dropped.
  void note_ended(Session& session);
  /// Ended sessions that are to be forgotten: more than `most`, or ended before `oldest` by even_now().
  /// Oldest end first.
  std::vector<Session*> expired(std::size_t most, SystemTime oldest) const;
  [[nodiscard]] std::size_t ended_count() const { return ended_.size(); }
  /// Ended sessions, oldest end first.
  [[nodiscard]] std::vector<Session*> ended() const;

  /// Every session that is yet to be added has this key or a higher one.
  [[nodiscard]] std::uint64_t next_key() const { return next_key_; }
  [[nodiscard]] std::size_t size() const { return by_key_.size(); }
  [[nodiscard]] std::size_t live() const { return by_key_.size() - ended_.size(); }
  /// In order of their start, from the first key above `after`; stops when f gives false.
  void for_each(std::uint64_t after, const std::function<bool(Session&)>& f) const;

 private:
  std::uint64_t next_key_;
  std::deque<std::uint32_t> free_slots_;  ///< Longest free first.
  std::uint32_t next_slot_ = 0;
  std::uint32_t slots_;
  std::map<std::uint64_t, std::unique_ptr<Session>> by_key_;
  std::unordered_map<std::string_view, Session*> by_id_;
  std::vector<Session*> by_slot_;
  std::map<std::pair<SystemTime, std::uint64_t>, Session*> ended_;  ///< By End::even_at and key.
};

}  // namespace kairo::session
