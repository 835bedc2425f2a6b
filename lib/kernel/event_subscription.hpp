// One subscription of a connection to the events of a topic. It is live from its beginning, or replays first
// what follows a number and becomes live where it has reached the newest event: in order, without gap or
// repeat.
//
// A replay is a cursor. What the window no longer holds comes from the archive in pages of 256 KiB, each
// asked for when the peer has taken the one before; so a peer that is slower than the events come never
// becomes live, and costs a page. Where the window reaches back to the cursor, the rest is taken from there
// in one turn of the loop, in which nothing can be published: there the replay ends. Events that are gone are
// told by kairo.event.lagged in their place.
//
// Owned by its Client; the archive's answers hold it weakly. On the kernel's thread.
#pragma once

#include <memory>
#include <string>

#include "event/bus.hpp"
#include "event/store.hpp"

namespace kairo::kernel {

class Client;
class Kernel;

/// kairo.event.lagged: what somebody has not been given, and can query if it is still stored. `count` events
/// at most.
api::Event lagged_event(std::uint64_t from_seq, std::uint64_t to_seq, std::uint64_t count,
                        const std::string& subscription_id);

class EventSubscription : public std::enable_shared_from_this<EventSubscription> {
 public:
  EventSubscription(Kernel& kernel, Client& client, std::string id, std::string pattern)
      : kernel_(kernel), client_(client), id_(std::move(id)), pattern_(std::move(pattern)) {}
  ~EventSubscription();
  EventSubscription(const EventSubscription&) = delete;
  EventSubscription& operator=(const EventSubscription&) = delete;

  /// From the next event on.
  void go_live();
  /// From the event behind `since` on, which is not above the newest one.
  void replay(std::uint64_t since);
  /// The connection has sent what it had.
  void resume();

 private:
  void step_soon();
  void step();
  /// False when the connection has enough for now.
  bool give_window();
  void ask_page();
  void take_page(Result<std::string> frames, std::size_t count, std::uint64_t upto);

  Kernel& kernel_;
  Client& client_;
  std::string id_;
  std::string pattern_;
  std::optional<std::string> viewer_;  ///< For whom the last page was asked.
  std::uint64_t cursor_ = 0;
  event::Bus::Token token_ = 0;  ///< 0 until it is live.
  bool replaying_ = false;
  bool busy_ = false;  ///< A page, or the next turn of the loop, is awaited.
};

}  // namespace kairo::kernel
