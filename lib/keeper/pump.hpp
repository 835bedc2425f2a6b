// The sessions of the keeper and their stdio: reads stdout and stderr into the logs, feeds stdin from its
// ring, and follows each session from its launch to its Exited. Everything here runs on the main thread but
// Arrivals::push.
//
// A session ends so: its main process is reaped, what is left of its group gets SIGTERM (unless descendants
// are detached), stdin is closed, and what the pipes hold is recorded. It is due for Exited once both streams
// are at their end. After the grace SIGKILL follows; a pipe that still does not end a moment later is in the
// hands of a stranger and is closed. A stream that a pin holds, or that the disk refuses, only delays its own
// end: Exited is sent when the grace is over, the rest is recorded when it can be.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <queue>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.hpp"
#include "base/unique_fd.hpp"
#include "keeper/denials.hpp"
#include "keeper/descendants.hpp"
#include "keeper/groups.hpp"
#include "keeper/launcher.hpp"
#include "keeper/protocol.hpp"
#include "keeper/succession.hpp"
#include "keeper/table.hpp"
#include "stream/log_writer.hpp"

namespace kairo::keeper {

/// What an epoll event is about. The others' values begin at first_other_event.
enum class Part : std::uint64_t { standard_output = 0, standard_error = 1, standard_input = 2, process = 3 };
constexpr std::uint64_t event_of(std::uint32_t slot, Part part) {
  return std::uint64_t{slot} << 2 | static_cast<std::uint64_t>(part);
}
inline constexpr std::uint64_t first_other_event = std::uint64_t{1} << 40;

/// Small: there are ten thousand of them.
struct Session {
  struct Output {
    UniqueFd pipe;
    std::optional<stream::LogWriter> log;
    bool polled = false;         ///< In epoll.
    bool waits = false;          ///< Held by a pin or refused by the disk.
    std::uint8_t size_step = 0;  ///< How often the pipe was enlarged.
    std::uint8_t times_full = 0;
  };

  std::uint64_t key = 0;
  std::uint64_t started_us = 0;
  std::uint64_t started_boot_us = 0;
  std::uint64_t exited_us = 0;
  std::uint64_t exited_boot_us = 0;
  std::uint64_t epoch = 0;  ///< Of the kairod that ordered it, see LaunchThread.
  std::uint32_t slot = 0;
  pid_t pid = 0;
  int wait_status = 0;
  std::uint32_t grace_ms = 0;
  std::uint32_t stdin_piece = 0;  ///< How much the stdin pipe is likely to take.
  std::uint32_t group = 0;        ///< cgroup::Group::in
  bool detach = false;
  bool limited = false;  ///< It was launched with limits: its group is looked at when it has ended.
  bool killed = false;   ///< It was sent SIGKILL.
  bool reaped = false;
  bool due = false;       ///< For Exited, or had it.
  bool changed = false;   ///< In the list of changed slots.
  bool retrying = false;  ///< A timer runs for a stream that the disk refuses.
  bool stray = false;     ///< No kairod knows of it, see Pump::require_epoch.
  bool input_writable_wanted = false;
  UniqueFd process;
  UniqueFd listener;  ///< On its way to Denials.
  std::uint64_t listener_event = 0;
  UniqueFd input;
  UniqueFd ring;
  Output output[2];
  std::string mark;
  std::string record;
  std::string note;
  std::map<std::string, std::string> degraded;
  std::optional<LimitReport> report;

  [[nodiscard]] cgroup::Group control_group() const { return {key, detach, group, false}; }
};

/// Descriptors that a session may come to hold, per part; see DescriptorBudget.
inline constexpr int process_descriptors = 1;
inline constexpr int input_descriptors = 2;   ///< Pipe and ring.
inline constexpr int output_descriptors = 2;  ///< Pipe and log.

/// Sessions on their way from the launching thread to the pump. A session's descriptors are in epoll when it
/// is pushed, under the same lock, so that an event of an unknown slot finds it here.
class Arrivals {
 public:
  void push(int epoll, std::unique_ptr<Session> session);
  std::vector<std::unique_ptr<Session>> take();
  /// The number of the next listener in epoll.
  std::uint64_t next_listener_event() { return next_listener_event_++; }

 private:
  std::mutex mutex_;
  std::atomic<std::uint64_t> next_listener_event_{first_listener_event};
  std::vector<std::unique_ptr<Session>> sessions_;
};

class Pump {
 public:
  Pump(int epoll, Table& table, Arrivals& arrivals, DescriptorBudget& budget, Groups& groups,
       Denials& denials);

  /// Takes over what was launched.
  void take_arrivals();
  /// From now on a launched session of another epoch is one that the present kairod cannot know of: it is
  /// ended.
  void require_epoch(std::uint64_t epoch) { epoch_ = epoch; }

  void on_event(std::uint64_t event, std::uint32_t events);
  [[nodiscard]] std::optional<SteadyTime> next_timer() const;
  void run_timers(SteadyTime now);

  /// Every session as it is, and what is to be done to descendants, for a keeper that re-executes itself.
  [[nodiscard]] Letters leave() const;
  /// What the program before has left: before anything else.
  void take_over(Letters letters, int logs_dir, SteadyTime now);
  /// Groups that nobody follows any more: what a keeper before left is ended, as its sessions' descendants
  /// are; empty ones are removed. After take_over(), before the first launch.
  void end_leftovers(SteadyTime now);
  void child_signal(SteadyTime now) {
    descendants_.child_signal(now);
    groups_.poke();
  }
  /// See Descendants.
  bool reap_siblings(const std::function<bool()>& launching) {
    return descendants_.reap_siblings([&] {
      if (launching()) return true;
      take_arrivals();
      return false;
    });
  }

  // Orders. An unknown key is not an error: the session may have gone meanwhile.
  void set_stdin_ring(std::uint64_t key, UniqueFd ring);
  void feed_stdin(std::uint64_t key);
  void keep_note(std::uint64_t key, std::string note);
  void resume(std::uint64_t key);
  void release(std::uint64_t key);
  int signal(const Signal& order);

  /// kairod is gone: doorbells that it did not ring any more are looked after, pins that nobody wants are
  /// lifted.
  void orphaned(SteadyTime now);
  /// A kairod is back: pins are its own again.
  void adopted() { hold_ends_.reset(); }

  /// For Changed and Exited: slots and keys that are to be told. The caller empties them.
  std::vector<std::uint32_t>& changed() { return changed_; }
  std::vector<std::uint64_t>& exited() { return exited_; }
  /// To be called for each slot of changed() that was taken.
  void told_changed(std::uint32_t slot);

  [[nodiscard]] Session* find(std::uint64_t key);
  [[nodiscard]] Session* at_slot(std::uint32_t slot);
  [[nodiscard]] std::size_t size() const { return by_key_.size(); }
  [[nodiscard]] std::size_t running() const { return running_; }
  [[nodiscard]] std::vector<std::uint64_t> keys() const;

 private:
  enum class TimerKind : std::uint8_t { grace, last_gasp, retry };
  struct Timer {
    SteadyTime at;
    std::uint64_t key;
    TimerKind kind;
    bool operator>(const Timer& other) const { return at > other.at; }
  };

  void adopt(std::unique_ptr<Session> session);
  void take_over(SessionLetter letter, int logs_dir);
  void reap(Session& session);
  void ended(Session& session, int status);
  void check_end(Session& session);
  void end_forcibly(Session& session);

  void drain(Session& session, unsigned stream);
  void poll_output(Session& session, unsigned stream, bool wanted);
  void close_output(Session& session, unsigned stream);
  void enlarge(Session::Output& output);

  void feed(Session& session);
  void close_input(Session& session, bool broken);
  void want_writable(Session& session, bool wanted);

  void tell(Session& session, std::atomic<std::uint32_t>& wake);
  void lift_pins(Session& session);

  int epoll_;
  Table& table_;
  Arrivals& arrivals_;
  DescriptorBudget& budget_;
  Groups& groups_;
  Denials& denials_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Session>> by_key_;
  std::vector<Session*> by_slot_;
  std::unordered_map<pid_t, std::uint32_t> slot_of_main_;
  std::size_t running_ = 0;
  std::uint64_t epoch_ = 0;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
  std::optional<SteadyTime> hold_ends_;
  std::vector<std::uint32_t> changed_;
  std::vector<std::uint64_t> exited_;
  std::size_t pipe_bytes_left_;
  std::string piece_;  ///< Between stdin ring and pipe.
  Descendants descendants_;
};

}  // namespace kairo::keeper
