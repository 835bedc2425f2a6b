// The event store on disk: what event.query and replays read. SQLite in WAL mode, STATE_DIR/events.sqlite
// (mode 0600). The journal is the truth: the store takes its events from there in batches, each in one
// transaction, and a kill at any moment leaves it with whole batches, behind the highest of which it goes on.
//
// Table `events`: one row per event, by its number. `time_us` is the event's time in microseconds since 1970,
// `data` the MsgPack bytes of its data as they are. Table `gaps`: numbers that the journal had dropped before
// they came here. Table `audit`: one row, the newest record of the audit. Version 1 had no index by type; a
// file of an older version is brought up to date, one of a younger one is refused and left alone (PRAGMA
// user_version).
//
// Order of calls: open(), prepare(), then anything. One thread at a time.
//
// Bounded by bytes (pages in use) and age: the oldest events go first, so what is left has no holes but
// `gaps`.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/limits.hpp"
#include "base/result.hpp"
#include "event/bus.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace kairo::event {

/// Which events. What is absent excludes nothing.
struct Query {
  std::string topic = ">";                   ///< A pattern that has passed check_pattern.
  std::uint64_t since_seq = 0;               ///< Exclusive.
  std::optional<std::uint64_t> to_seq = {};  ///< Inclusive.
  std::optional<std::int64_t> from_us = {};  ///< Microseconds since 1970, both inclusive.
  std::optional<std::int64_t> to_us = {};
  std::optional<std::string> correlation_id = {};
  std::optional<std::string> process_id = {};
  /// Only what belongs to this principal, to names below it, or to nobody; absent: everything.
  std::optional<std::string> viewer = {};
  std::size_t limit = limits::event_page;
  std::size_t bytes = limits::event_page_bytes;  ///< A page ends behind the event that passes it.

  /// The same rule for an event that is not in the store yet.
  [[nodiscard]] bool admits(const Fact& fact) const;
};

/// The newest record of the audit that is known to be on disk: kept here, away from the audit's own files, so
/// that a cut in those is found. `hash` is 64 hexadecimal digits (audit/line.hpp).
struct AuditHead {
  std::uint64_t seq = 0;
  std::string hash;
};

/// Numbers whose events are gone, both ends included.
struct Gap {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

struct Page {
  std::vector<Fact> facts;   ///< In order.
  std::uint64_t upto = 0;    ///< Whatever the query admits up to this number is in the page.
  bool more = false;         ///< There may be more behind `upto`; the page may be empty all the same.
  std::vector<Gap> gaps;     ///< Between since_seq and `upto`, in order.
  std::uint64_t oldest = 0;  ///< The oldest event that is to be had; 0 where there is none.
  std::size_t bytes = 0;     ///< About what its events take.
  /// Adds an event, or says that the page is full.
  bool add(const Query& query, Fact fact);
};

class Store {
 public:
  struct Opened;
  static constexpr const char* file_name = "events.sqlite";
  static constexpr int version = 4;

  /// Opens or makes the file; the format of one that is there stays as it is. A damaged file is set aside and
  /// told. E_UNSUPPORTED: it is a younger version's; other errors: there cannot be a store in that place now.
  static Result<Opened> open(const std::string& state_dir);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// Brings the file's format up to date and makes it ready. May take seconds.
  Result<void> prepare();

  /// A batch: begin(), add() of events in order, commit(). After an error of any of them nothing of the batch
  /// is in the store. An event whose number is there already is left as it is.
  Result<void> begin();
  Result<void> add(const Fact& fact);
  Result<void> add(const Gap& gap);
  Result<void> commit();

  /// Removes the oldest events while they are over one of the bounds (`oldest`: where age counts), a few
  /// thousand at most and never the newest; gives whether there may be more to remove.
  Result<bool> prune(std::uint64_t max_bytes, std::optional<SystemTime> oldest);

  Result<Page> query(const Query& query);

  /// Remembers the newest record of the audit; not within a batch.
  Result<void> keep(const AuditHead& head);
  /// What was remembered when the file was opened.
  [[nodiscard]] const std::optional<AuditHead>& audit_head() const { return audit_head_; }
  /// What a state directory's store remembers, for whoever proves the audit; nothing where it has no store or
  /// knows of no audit.
  static Result<std::optional<AuditHead>> read_audit_head(const std::string& state_dir);

  /// Number of the newest event that is, or was, in the store; 0 where there is none.
  [[nodiscard]] std::uint64_t newest() const { return newest_; }
  /// Number of the oldest event; 0 where there is none.
  [[nodiscard]] std::uint64_t oldest() const { return oldest_; }
  /// Everything up to this number was removed by prune(); 0: nothing was.
  [[nodiscard]] std::uint64_t pruned() const { return pruned_; }
  /// Whether an error has shown that the file is damaged: close the store, set_aside(), open another.
  [[nodiscard]] bool damaged() const { return damaged_; }

  /// Moves the store's file away for people to look at; gives its new name.
  static Result<std::string> set_aside(const std::string& state_dir);

 private:
  struct Closer {
    void operator()(sqlite3_stmt* statement) const;
  };
  using Statement = std::unique_ptr<sqlite3_stmt, Closer>;

  explicit Store(sqlite3* db) : db_(db) {}
  Error failure(const std::string& what);
  Result<void> run(const char* sql);
  /// Prepared once per text.
  Result<sqlite3_stmt*> statement(const std::string& sql);
  Result<std::uint64_t> number(const char* sql);
  void roll_back();
  Result<void> begin_log();
  Result<void> find_ends();
  Result<void> find_audit_head();
  Result<void> remove_upto(std::uint64_t upto);
  Result<void> find_gaps(const Query& query, Page& page);
  Result<bool> narrow_by_time(const Query& query, std::uint64_t& first, std::uint64_t& last);

  sqlite3* db_;
  std::map<std::string, Statement, std::less<>> statements_;
  std::uint64_t newest_ = 0;
  std::uint64_t oldest_ = 0;
  std::uint64_t pruned_ = 0;
  std::uint64_t batch_newest_ = 0;
  std::uint64_t batch_oldest_ = 0;
  std::uint64_t page_bytes_ = 4096;
  std::optional<AuditHead> audit_head_;
  bool damaged_ = false;
};

struct Store::Opened {
  std::unique_ptr<Store> store;
  std::vector<std::string> damages;  ///< What was found, for people.
};

}  // namespace kairo::event
