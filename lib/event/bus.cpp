#include "event/bus.hpp"

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "event/topic.hpp"

namespace kairo::event {

Result<void> Bus::publish(Fact& fact) {
  Window::Entry recorded;
  return publish(fact, recorded);
}

Result<void> Bus::publish(Fact& fact, Window::Entry& recorded) {
  if (fact.event.time.empty()) fact.event.time = to_iso8601(system_now());
  // Its id is on record with it, and so cannot be made of its number.
  if (id_prefix_.empty()) id_prefix_ = random_id(10) + "-";
  fact.event.id = id_prefix_ + std::to_string(++ids_);
  fact.event.seq.reset();
  auto number = journal_->append(fact);
  if (number) fact.event.seq = *number;
  recorded = std::make_shared<const Recorded>(fact);
  if (number) window_.put(recorded);
  // Subscribers that come or go meanwhile must not disturb the walk: go by token.
  for (auto it = subscribers_.begin(); it != subscribers_.end();) {
    const Token token = it->first;
    if (matches(it->second.pattern, fact.event.type)) {
      const std::shared_ptr<Sink> sink = it->second.sink;
      (*sink)(*recorded);
    }
    it = subscribers_.upper_bound(token);
  }
  if (!number) return std::move(number).error();
  return {};
}

Bus::Token Bus::subscribe(std::string pattern, Sink sink) {
  const Token token = next_token_++;
  subscribers_.emplace(token, Subscriber{std::move(pattern), std::make_shared<Sink>(std::move(sink))});
  return token;
}

void Bus::unsubscribe(Token token) {
  subscribers_.erase(token);
}

}  // namespace kairo::event
