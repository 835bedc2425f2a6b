#include "session/registry.hpp"

#include <algorithm>

namespace kairo::session {

Registry::Registry(std::uint32_t slots)
    // Keys begin at the time in microseconds: above those of every daemon before, as long as none of them
    // started more than a million sessions a second.
    : next_key_(static_cast<std::uint64_t>(system_now().time_since_epoch().count())), slots_(slots) {}

Result<Registry::Place> Registry::reserve(const std::function<bool(std::uint32_t)>& is_free) {
  Place place;
  if (!free_slots_.empty() && is_free(free_slots_.front())) {
    place.slot = free_slots_.front();
    free_slots_.pop_front();
  } else if (next_slot_ < slots_) {
    place.slot = next_slot_++;
  } else {
    return Error(Code::limit_exceeded,
                 "cannot start another process: " + std::to_string(slots_) + " sessions are live");
  }
  place.key = next_key_++;
  return place;
}

void Registry::give_back(std::uint32_t slot) {
  free_slots_.push_back(slot);
}

Session& Registry::add(std::unique_ptr<Session> session) {
  Session& added = *session;
  by_id_.emplace(added.id(), &added);
  if (by_slot_.size() <= added.slot_index()) by_slot_.resize(added.slot_index() + 1);
  by_slot_[added.slot_index()] = &added;
  by_key_.emplace(added.key(), std::move(session));
  return added;
}

void Registry::keep_off(std::uint32_t slot) {
  for (; next_slot_ <= slot; ++next_slot_) free_slots_.push_back(next_slot_);
}

Session& Registry::adopt(std::unique_ptr<Session> session) {
  used(session->key());
  keep_off(session->slot_index());
  std::erase(free_slots_, session->slot_index());
  return add(std::move(session));
}

Session& Registry::adopt_ended(std::unique_ptr<Session> session) {
  Session& added = *session;
  used(added.key());
  by_id_.emplace(added.id(), &added);
  by_key_.emplace(added.key(), std::move(session));
  note_ended(added);
  return added;
}

Session* Registry::find(std::string_view id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second;
}

Session* Registry::find_key(std::uint64_t key) const {
  const auto it = by_key_.find(key);
  return it == by_key_.end() ? nullptr : it->second.get();
}

Session* Registry::find_slot(std::uint32_t slot) const {
  return slot < by_slot_.size() ? by_slot_[slot] : nullptr;
}

std::unique_ptr<Session> Registry::remove(Session& session) {
  by_id_.erase(session.id());
  if (session.slot()) by_slot_[session.slot_index()] = nullptr;
  if (session.end()) ended_.erase({session.end()->even_at, session.key()});
  const auto it = by_key_.find(session.key());
  auto removed = std::move(it->second);
  by_key_.erase(it);
  return removed;
}

void Registry::reset_slots() {
  by_slot_.clear();
  free_slots_.clear();
  next_slot_ = 0;
}

void Registry::detach_slot(Session& session) {
  by_slot_[session.slot_index()] = nullptr;
}

void Registry::note_ended(Session& session) {
  ended_.emplace(std::pair(session.end()->even_at, session.key()), &session);
}

std::vector<Session*> Registry::expired(std::size_t most, SystemTime oldest) const {
  std::vector<Session*> out;
  std::size_t surplus = ended_.size() > most ? ended_.size() - most : 0;
  for (const auto& [when, session] : ended_) {
    if (surplus == 0 && when.first >= oldest) break;
    // A session whose detached descendants still write keeps its slot until they are done.
    if (!session->slot()) out.push_back(session);
    if (surplus > 0) --surplus;
  }
  return out;
}

std::vector<Session*> Registry::ended() const {
  std::vector<Session*> out;
  out.reserve(ended_.size());
  for (const auto& [when, session] : ended_) out.push_back(session);
  return out;
}

void Registry::for_each(std::uint64_t after, const std::function<bool(Session&)>& f) const {
  for (auto it = by_key_.upper_bound(after); it != by_key_.end(); ++it)
    if (!f(*it->second)) return;
}

}  // namespace kairo::session
