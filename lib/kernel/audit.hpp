// The kernel's side of the audit (SPEC 8.4): what is put into records, and when they are written.
//
// A request's record is put together when it is answered. Answers wait in a connection's outbox, so it
// suffices that every connection calls write() before it sends from there (Client::sending): the records of a
// batch of requests, and of all that happened with them, are one write(2) ahead of their answers. What nobody
// is told of (a lifecycle event alone, a request whose client has left) is written by the end of the loop's
// turn.
//
// A request that is not answered within its dispatch is kept in its client, so that one whose client leaves
// before the answer has its record as well; its outcome is "unanswered".
//
// What goes wrong is told once, as all faults of the state directory are, and is over when ten seconds went
// well.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/thread_pool.hpp>

#include "audit/reader.hpp"
#include "audit/redactor.hpp"
#include "audit/trail.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "event/fact.hpp"

namespace kairo::kernel {

class Client;
class Kernel;

/// What is told of a request beside its method, its client and its outcome.
struct AuditedRequest {
  std::string_view method;  ///< A name of the method table.
  std::string unknown;      ///< Or the name that stands in none.
  std::string target;       ///< The session, or another thing that has a name, as it stands in the line.
  std::string members;      ///< Further ones as they stand there, each with its comma.
  SteadyTime asked{};
  bool waiting = false;  ///< Its record is not made yet.
  void about(std::string_view name) {
    target.clear();
    audit::append_text(target, name);
  }
};

class Audit {
 public:
  explicit Audit(Kernel& kernel);
  ~Audit();

  /// `known` is the newest record that the event store knows of.
  void open(std::optional<audit::Head> known);
  /// The settings have changed.
  void configure();

  [[nodiscard]] bool on() const { return on_; }
  /// Why this method is not served, under "required": nothing where it is.
  std::optional<Error> refusal(std::string_view method);
  /// Whether records cannot be written.
  [[nodiscard]] bool failing() const { return trail_ && trail_->failure(); }

  [[nodiscard]] const audit::Redactor& redactor() const { return redactor_; }
  /// What stands of a client in each of its records.
  [[nodiscard]] static std::string describe(const Client& client);

  void request(std::string_view who, const AuditedRequest& request, std::string_view outcome);
  /// An event of the kernel's, where it is one of a life.
  void fact(const event::Fact& fact);
  /// Before anything is sent.
  void write() {
    if (trail_ && trail_->waiting()) write_waiting();
  }
  /// Writes by the end of this turn of the loop.
  void write_soon();

  struct Query {
    audit::Filter filter;
    audit::Place from;
    std::optional<std::uint32_t> last;
    std::size_t limit = 0;
    SteadyTime until{};
    std::function<bool()> abandoned;  ///< Whether nobody waits for it any more.
  };
  /// How far the audit had come.
  struct Mark {
    std::uint64_t written = 0;  ///< The newest record in a file.
    std::uint64_t news = 0;     ///< So many records were made that are of something else than audit.query.
  };
  struct Look {
    Result<audit::Page> page;
    /// Something to answer with, where there is time: records of audit.query alone are none, because each
    /// answer to one that waits makes another; unless they fill the page.
    bool news = false;
    Mark mark;
  };
  /// Reads one page, which looks through limits::audit_scan_bytes at most: the next page of the same query
  /// is behind what others have asked for. Never on the thread that syncs files: who asks again and again
  /// must not delay those. `done` is called on the kernel's thread.
  void look(Query query, std::function<void(Look)> done);
  /// Calls `again` when there may be news behind `mark` or the query's time is over.
  void await_news(Query query, Mark mark, std::function<void()> again);

  /// The daemon ends: the last records, and their head.
  void close();

 private:
  bool begin(SteadyTime now);
  void end();
  void write_waiting();
  void took();
  void degraded(const std::string& message);
  void sync_soon();
  void sync();
  void synced(int failed, const audit::Head& head);
  [[nodiscard]] Mark mark() const { return {trail_ ? trail_->written().seq : 0, news_}; }

  Kernel& kernel_;
  bool on_ = false;
  audit::Redactor redactor_;
  std::optional<audit::Trail> trail_;
  SystemTime
      epoch_{};  ///< The system's time when the steady clock was at zero: one look at a clock gives both.
  bool write_due_ = false;
  bool sync_due_ = false;
  bool unsynced_ = false;
  bool told_ = false;  ///< That records cannot be written.
  SteadyTime failed_at_{};
  std::uint64_t news_ = 0;                           ///< See Mark.
  std::optional<boost::asio::thread_pool> readers_;  ///< One thread, made with the first query.
};

}  // namespace kairo::kernel
