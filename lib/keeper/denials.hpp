// Hears the listeners of confined sessions' filters (sandbox/denial.hpp): each call that such a filter hands
// over is answered with the error that the filter alone would have given, never with leave to go on, and
// counted. Runs on the main thread; owned by the keeper.
//
// A listener is held for as long as any process has its filter, also after the session's end: without it
// their calls would fail with ENOSYS, as they do when the keeper is killed.
//
// A program that does nothing but denied calls waits for its answers: after the first `answers_at_once` it
// gets `answers_per_tick` in every tick, and all sessions together `all_answers_per_tick`. An answer costs
// some 5 us, so that all of them take at most a tenth of one processor from the others.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/clock.hpp"
#include "base/unique_fd.hpp"
#include "keeper/launcher.hpp"
#include "keeper/protocol.hpp"
#include "keeper/succession.hpp"

namespace kairo::keeper {

/// What an epoll event of a listener begins at; each has a number of its own.
inline constexpr std::uint64_t first_listener_event = std::uint64_t{1} << 41;
/// Of a session with a listener, see DescriptorBudget.
inline constexpr int listener_descriptors = 1;

inline constexpr std::chrono::milliseconds answers_tick{5};
inline constexpr int answers_at_once = 1000;
inline constexpr int answers_per_tick = 20;
inline constexpr int all_answers_per_tick = 100;

class Denials {
 public:
  Denials(int epoll, DescriptorBudget& budget) : epoll_(epoll), budget_(budget) {}

  /// A session's listener, which is in epoll under `event`.
  void follow(std::uint64_t key, std::uint64_t event, UniqueFd listener);
  /// False: nobody is known by this event.
  bool on_event(std::uint64_t event, std::uint32_t events, SteadyTime now);
  [[nodiscard]] std::optional<SteadyTime> next_timer() const;
  void run_timers(SteadyTime now);

  /// What a session was denied; nothing where it has, or had, no listener.
  [[nodiscard]] std::optional<DenialReport> report(std::uint64_t key) const;
  /// The session is released: its list goes with the last process under its filter.
  void release(std::uint64_t key);

  [[nodiscard]] std::vector<DenialLetter> leave() const;
  /// What the program before has left; `event`: for each its number.
  void take_over(DenialLetter letter, std::uint64_t event);

 private:
  struct Counted {
    std::uint64_t count = 0;
    std::uint64_t first_us = 0;
    std::uint64_t last_us = 0;
  };
  struct Followed {
    std::uint64_t key = 0;
    std::uint64_t event = 0;
    UniqueFd listener;  ///< None: nobody has the filter any more.
    int credit = answers_at_once;
    SteadyTime credited{};
    bool released = false;
    std::map<sandbox::Denial, Counted> listed;
    std::uint64_t unlisted = 0;
  };

  void answer(Followed& followed);
  void count(Followed& followed, const sandbox::Denial& denial);
  void earn(Followed& followed, SteadyTime now);
  void poll(const Followed& followed, std::uint32_t events) const;
  void close(Followed& followed);

  int epoll_;
  DescriptorBudget& budget_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Followed>> by_key_;
  std::unordered_map<std::uint64_t, Followed*> by_event_;  ///< Those with a listener.
  std::deque<std::uint64_t> waiting_;                      ///< Events of those that have no credit, in turn.
  std::optional<SteadyTime> tick_;                         ///< While anybody waits.
  int credit_ = all_answers_per_tick;
  SteadyTime credited_{};
};

}  // namespace kairo::keeper
