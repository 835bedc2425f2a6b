// The event store at work: a thread of its own that feeds the store from the journal and answers queries, so
// that neither a slow disk nor a long query holds the kernel.
//
// Feeding. Events are taken from the window as long as the store keeps up, in batches that were collected for
// 10 ms or are 1,000 events, each in one transaction; behind the window they are read from the journal. The
// journal keeps what was not taken yet (FileJournal::hold_behind). When it had to drop events before they
// were taken, the store records the gap, and on_problem tells it.
//
// When the store cannot be written (disk full) nothing is lost as long as the journal holds it: feeding is
// tried again every second, and a query gets from the journal what the store lacks. The same serves for a
// store that cannot be used at all. A damaged file is set aside and fed anew from the journal.
//
// The journal and the window outlive the archive. Everything is called on one thread (the kernel's); the
// functions given in Options, and `done` of ask(), run on the archive's.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/clock.hpp"
#include "event/file_journal.hpp"
#include "event/store.hpp"
#include "event/window.hpp"

namespace kairo::event {

class Archive {
 public:
  struct Bounds {
    std::uint64_t bytes = limits::event_store_bytes;
    std::chrono::seconds age = limits::event_store_age;
  };
  struct Options {
    std::string state_dir;
    FileJournal* journal = nullptr;
    Window* window = nullptr;
    Bounds bounds = {};
    /// How long the clock must have gone evenly before events are removed for their age.
    std::chrono::seconds calm = std::chrono::hours(1);
    /// The store does not hold what it should; told once, until on_recovered.
    std::function<void(const Error&)> on_problem = [](const Error&) {};
    std::function<void()> on_recovered = [] {};
    /// For the log alone.
    std::function<void(const std::string&)> log = [](const std::string&) {};
  };
  /// `store` is open, and not prepared; or nullptr with the reason why there is none.
  Archive(Options options, std::unique_ptr<Store> store, std::optional<Error> why_not);
  /// Ends the thread; requests that wait are dropped without an answer.
  ~Archive();
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  void set_bounds(Bounds bounds);
  /// Times that were told before may be wrong.
  void clock_was_set();
  /// Number up to which everything is stored; may be called from any thread.
  [[nodiscard]] std::uint64_t stored() const { return stored_; }
  /// Has the store remember the newest record of the audit; one that cannot be stored now is tried again.
  void keep_audit_head(AuditHead head);
  /// Says that the window has grown. Cheap.
  void grew();
  /// Answers with what the store and the journal hold, up to the newest event of the window at this call.
  void ask(Query query, std::function<void(Result<Page>)> done);

 private:
  struct Request {
    Query query;
    std::uint64_t newest;
    std::function<void(Result<Page>)> done;
  };
  void run();
  void open_again();
  Result<void> feed();
  Result<void> feed_from_window(const std::vector<Window::Entry>& batch);
  Result<void> feed_from_journal();
  void take_gap();
  void prune();
  void keep_head();
  void failed(const Error& error);
  Result<Page> answer(const Request& request);
  Result<void> add_from_journal(const Request& request, Page& page);
  [[nodiscard]] bool stopping();

  const Options options_;
  // Of the thread alone.
  std::unique_ptr<Store> store_;
  bool prepared_ = false;
  bool give_up_ = false;        ///< Until the next start: a younger version's file.
  std::uint64_t position_ = 0;  ///< All that is to be had up to here is in the store.
  bool failing_ = false;
  SteadyTime retry_at_{};
  std::atomic<std::uint64_t> stored_{0};  ///< position_, for others.

  std::mutex mutex_;  ///< For all that follows.
  std::condition_variable wake_;
  std::deque<Request> requests_;
  Bounds bounds_;
  std::optional<AuditHead> head_;  ///< To be remembered.
  SteadyTime age_counts_at_;
  bool stop_ = false;
  bool asleep_ = false;  ///< The thread waits for the window to grow.
  bool grown_ = false;
  std::thread thread_;  ///< Last: it uses all others.
};

}  // namespace kairo::event
