#include "event/store.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include "base/unique_fd.hpp"
#include "event/topic.hpp"
#include "storage/set_aside.hpp"

namespace kairo::event {
namespace {

/// What brings a file from one version to the next; the first makes it.
constexpr std::array<const char*, Store::version> migrations = {
    "CREATE TABLE events(seq INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, type TEXT NOT NULL, owner TEXT "
    "NOT NULL,"
    " correlation_id TEXT, causation_id TEXT, process_id TEXT, id TEXT NOT NULL, source TEXT NOT NULL, data "
    "BLOB);"
    "CREATE INDEX events_by_correlation ON events(correlation_id, seq) WHERE correlation_id IS NOT NULL;"
    "CREATE INDEX events_by_process ON events(process_id, seq) WHERE process_id IS NOT NULL;"
    "CREATE INDEX events_by_time ON events(time_us);"
    "CREATE TABLE gaps(first INTEGER PRIMARY KEY, last INTEGER NOT NULL);",
    "CREATE INDEX events_by_type ON events(type, seq);",
    // pruned: everything up to this number was removed
    "CREATE TABLE marks(name TEXT PRIMARY KEY, value INTEGER NOT NULL);",
};

/// Pages that SQLite keeps in memory: the upper levels of five trees.
constexpr const char* cache = "PRAGMA cache_size = -8192";
/// What the write-ahead log is cut to when it has been copied into the file.
constexpr const char* log_size = "PRAGMA journal_size_limit = 8388608";
/// Rows that prune() removes at once.
constexpr std::int64_t prune_rows = 4000;
/// What a row takes beside its texts and data in the file, its places in the indexes included.
constexpr std::int64_t file_row_bytes = 200;
/// Numbers that a query without an index looks through for one page, so that it holds others for some tens of
/// milliseconds at most.
constexpr std::uint64_t scanned_numbers = 50'000;
/// What a row takes beside its texts and data, about.
constexpr std::size_t row_bytes = 64;

void bind(sqlite3_stmt* to, int index, std::uint64_t value) {
  sqlite3_bind_int64(to, index, static_cast<sqlite3_int64>(value));
}
void bind(sqlite3_stmt* to, int index, std::int64_t value) {
  sqlite3_bind_int64(to, index, value);
}
void bind(sqlite3_stmt* to, int index, std::string_view text) {
  sqlite3_bind_text64(to, index, text.data() ? text.data() : "", text.size(), SQLITE_STATIC, SQLITE_UTF8);
}
void bind_or_null(sqlite3_stmt* to, int index, const std::optional<std::string>& text) {
  text ? bind(to, index, std::string_view(*text)) : static_cast<void>(sqlite3_bind_null(to, index));
}

std::string text_of(sqlite3_stmt* row, int column) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(row, column));
  return text ? std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(row, column)))
              : std::string();
}
std::optional<std::string> text_or_null(sqlite3_stmt* row, int column) {
  if (sqlite3_column_type(row, column) == SQLITE_NULL) return std::nullopt;
  return text_of(row, column);
}
std::uint64_t number_of(sqlite3_stmt* row, int column) {
  return static_cast<std::uint64_t>(sqlite3_column_int64(row, column));
}

std::int64_t time_us(const std::string& time) {
  SystemTime at{};
  from_iso8601(time, at);
  return at.time_since_epoch().count();
}

Fact fact_of(sqlite3_stmt* row) {
  Fact fact;
  fact.event.seq = number_of(row, 0);
  fact.event.time = to_iso8601(SystemTime(std::chrono::microseconds(sqlite3_column_int64(row, 1))));
  fact.event.type = text_of(row, 2);
  fact.owner = text_of(row, 3);
  fact.event.correlation_id = text_or_null(row, 4);
  fact.event.causation_id = text_or_null(row, 5);
  fact.process_id = text_of(row, 6);
  fact.event.id = text_of(row, 7);
  fact.event.source = text_of(row, 8);
  const auto* data = static_cast<const char*>(sqlite3_column_blob(row, 9));
  if (data) fact.event.data.msgpack.assign(data, static_cast<std::size_t>(sqlite3_column_bytes(row, 9)));
  return fact;
}

std::size_t bytes_of(const Fact& fact) {
  return row_bytes + fact.event.data.msgpack.size() + fact.event.type.size() + fact.event.source.size() +
         fact.owner.size() + fact.process_id.size() + fact.event.id.size() +
         fact.event.correlation_id.value_or("").size() + fact.event.causation_id.value_or("").size();
}

/// The part of a pattern before its first wildcard, and whether there is one.
std::string_view fixed_part(std::string_view pattern, bool& wild) {
  const std::size_t at = pattern.find_first_of("*>");
  wild = at != std::string_view::npos;
  return pattern.substr(0, at);
}

bool may_see(const std::string& viewer, std::string_view owner) {
  if (owner.empty() || owner == viewer) return true;
  return owner.size() > viewer.size() && owner.starts_with(viewer) &&
         (owner[viewer.size()] == '/' || owner[viewer.size()] == ' ');
}

}  // namespace

bool Query::admits(const Fact& fact) const {
  const std::uint64_t seq = fact.event.seq.value_or(0);
  if (seq <= since_seq || (to_seq && seq > *to_seq)) return false;
  if (correlation_id && fact.event.correlation_id != correlation_id) return false;
  if (process_id && fact.process_id != *process_id) return false;
  if (viewer && !may_see(*viewer, fact.owner)) return false;
  if (from_us && time_us(fact.event.time) < *from_us) return false;
  if (to_us && time_us(fact.event.time) > *to_us) return false;
  return matches(topic, fact.event.type);
}

bool Page::add(const Query& query, Fact fact) {
  if (facts.size() >= query.limit || bytes >= query.bytes) {
    more = true;
    return false;
  }
  bytes += bytes_of(fact);
  upto = *fact.event.seq;
  facts.push_back(std::move(fact));
  return true;
}

// --- opening ---------------------------------------------------------------------------------------

void Store::Closer::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

Store::~Store() {
  statements_.clear();
  sqlite3_close(db_);
}

Error Store::failure(const std::string& what) {
  const int code = sqlite3_errcode(db_) & 0xff;
  damaged_ = damaged_ || code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
  return Error(Code::internal, "cannot " + what + " the event store: " + sqlite3_errmsg(db_));
}

Result<void> Store::run(const char* sql) {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return failure("use");
  return {};
}

Result<sqlite3_stmt*> Store::statement(const std::string& sql) {
  auto found = statements_.find(sql);
  if (found == statements_.end()) {
    sqlite3_stmt* made = nullptr;
    if (sqlite3_prepare_v3(db_, sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &made, nullptr) != SQLITE_OK)
      return failure("read");
    found = statements_.emplace(sql, Statement(made)).first;
  }
  sqlite3_reset(found->second.get());
  return found->second.get();
}

Result<std::uint64_t> Store::number(const char* sql) {
  auto prepared = statement(sql);
  if (!prepared) return std::move(prepared).error();
  const int got = sqlite3_step(*prepared);
  if (got != SQLITE_ROW && got != SQLITE_DONE) return failure("read");
  const std::uint64_t out = got == SQLITE_ROW ? number_of(*prepared, 0) : 0;
  sqlite3_reset(*prepared);
  return out;
}

Result<std::string> Store::set_aside(const std::string& state_dir) {
  const UniqueFd dir(::open(state_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir) return system_error("cannot open " + state_dir, errno);
  auto name = storage::set_aside_file(dir.get(), file_name);
  // What stood in its log is in the journal, too.
  if (name)
    for (const char* suffix : {"-wal", "-shm"})
      ::unlinkat(dir.get(), (std::string(file_name) + suffix).c_str(), 0);
  return name;
}

Result<Store::Opened> Store::open(const std::string& state_dir) {
  const std::string path = state_dir + "/" + file_name;
  Opened out;
  for (int attempt = 0;; ++attempt) {
    {
      // Made here for its mode, which SQLite gives to the log beside it; and never through a symbolic link.
      const UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
      if (!file) return system_error("cannot open " + path, errno);
    }
    sqlite3* db = nullptr;
    const int opened =
        sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
    std::unique_ptr<Store> store(new Store(db));
    if (opened != SQLITE_OK) return store->failure("open");
    sqlite3_busy_timeout(db, 1000);  // somebody may look at it from outside
    // A kill leaves the log behind anyway; a stop must not wait for the disk.
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    auto version_found = store->number("PRAGMA user_version");
    if (version_found && *version_found > static_cast<std::uint64_t>(version))
      return Error(Code::unsupported, path + " has format version " + std::to_string(*version_found) +
                                          ", which is newer than this program's " + std::to_string(version) +
                                          "; it is left alone, and events are kept in the journal alone");
    Result<void> found = version_found ? store->begin_log() : Result<void>(version_found.error());
    if (found && *version_found > 0) found = store->find_ends();
    store->statements_.clear();
    if (found) {
      out.store = std::move(store);
      return out;
    }
    const Error why = std::move(found).error();
    if (!store->damaged_ || attempt > 0) return why;
    store.reset();
    auto moved = set_aside(state_dir);
    if (!moved) return std::move(moved).error();
    out.damages.push_back(why.message + "; it was set aside as \"" + *moved +
                          "\" and is made anew of the journal");
  }
}

/// Afterwards every file that belongs to the store is open.
Result<void> Store::begin_log() {
  // The first of these only counts for a file that is still empty.
  for (const char* each : {"PRAGMA auto_vacuum = INCREMENTAL", "PRAGMA synchronous = NORMAL",
                           "PRAGMA journal_mode = WAL", cache, log_size}) {
    auto done = run(each);
    if (!done) return done;
  }
  auto tables = number("SELECT count(*) FROM sqlite_master");
  if (!tables) return std::move(tables).error();
  return {};
}

Result<void> Store::find_ends() {
  auto newest = number("SELECT max(seq) FROM events");
  if (!newest) return std::move(newest).error();
  auto oldest = number("SELECT min(seq) FROM events");
  if (!oldest) return std::move(oldest).error();
  auto marks = number("SELECT count(*) FROM sqlite_master WHERE name = 'marks'");
  if (!marks) return std::move(marks).error();
  if (*marks > 0) {
    auto pruned = number("SELECT max(value) FROM marks WHERE name = 'pruned'");
    if (!pruned) return std::move(pruned).error();
    pruned_ = *pruned;
  }
  newest_ = std::max({newest_, *newest, pruned_});
  oldest_ = *oldest;
  return {};
}

Result<void> Store::prepare() {
  auto at = number("PRAGMA user_version");
  if (!at) return std::move(at).error();
  for (auto next = static_cast<std::size_t>(*at); next < migrations.size(); ++next) {
    const std::string step = "BEGIN IMMEDIATE;" + std::string(migrations[next]) +
                             "PRAGMA user_version = " + std::to_string(next + 1) + ";COMMIT;";
    auto done = run(step.c_str());
    if (!done) {
      roll_back();
      return done;
    }
  }
  statements_.clear();
  auto page = number("PRAGMA page_size");
  if (!page) return std::move(page).error();
  page_bytes_ = *page;
  return find_ends();
}

// --- writing ---------------------------------------------------------------------------------------

Result<void> Store::begin() {
  batch_newest_ = newest_;
  batch_oldest_ = oldest_;
  return run("BEGIN IMMEDIATE");
}

Result<void> Store::add(const Fact& fact) {
  auto prepared = statement("INSERT OR IGNORE INTO events VALUES(?,?,?,?,?,?,?,?,?,?)");
  if (!prepared) {
    roll_back();
    return std::move(prepared).error();
  }
  sqlite3_stmt* const to = *prepared;
  const std::uint64_t seq = fact.event.seq.value_or(0);
  bind(to, 1, seq);
  bind(to, 2, time_us(fact.event.time));
  bind(to, 3, std::string_view(fact.event.type));
  bind(to, 4, std::string_view(fact.owner));
  bind_or_null(to, 5, fact.event.correlation_id);
  bind_or_null(to, 6, fact.event.causation_id);
  fact.process_id.empty() ? static_cast<void>(sqlite3_bind_null(to, 7))
                          : bind(to, 7, std::string_view(fact.process_id));
  bind(to, 8, std::string_view(fact.event.id));
  bind(to, 9, std::string_view(fact.event.source));
  sqlite3_bind_blob64(to, 10, fact.event.data.msgpack.data(), fact.event.data.msgpack.size(), SQLITE_STATIC);
  if (sqlite3_step(to) != SQLITE_DONE) {
    Error error = failure("write");
    roll_back();
    return error;
  }
  sqlite3_reset(to);
  batch_newest_ = std::max(batch_newest_, seq);
  if (batch_oldest_ == 0) batch_oldest_ = seq;
  return {};
}

Result<void> Store::add(const Gap& gap) {
  auto prepared = statement("INSERT OR REPLACE INTO gaps VALUES(?,?)");
  if (prepared) {
    bind(*prepared, 1, gap.first);
    bind(*prepared, 2, gap.last);
    if (sqlite3_step(*prepared) == SQLITE_DONE) {
      sqlite3_reset(*prepared);
      return {};
    }
  }
  Error error = failure("write");
  roll_back();
  return error;
}

Result<void> Store::commit() {
  auto done = run("COMMIT");
  if (!done) {
    roll_back();
    return done;
  }
  newest_ = batch_newest_;
  oldest_ = batch_oldest_;
  return {};
}

void Store::roll_back() {
  for (const auto& [sql, each] : statements_) sqlite3_reset(each.get());
  if (sqlite3_get_autocommit(db_) == 0) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
}

Result<bool> Store::prune(std::uint64_t max_bytes, std::optional<SystemTime> oldest) {
  if (oldest_ == 0) return false;
  auto pages = number("PRAGMA page_count");
  if (!pages) return std::move(pages).error();
  auto unused = number("PRAGMA freelist_count");
  if (!unused) return std::move(unused).error();
  const std::uint64_t used = (*pages - *unused) * page_bytes_;
  // A little more than must be, so that not every event prunes.
  std::int64_t over = used > max_bytes ? static_cast<std::int64_t>(used - max_bytes + max_bytes / 64) : 0;
  const std::int64_t cutoff = oldest ? oldest->time_since_epoch().count() : INT64_MIN;
  // Whole stretches from the oldest on, so that no hole comes to be; the newest event stays.
  auto rows = statement(
      "SELECT seq, time_us, length(data) + length(type) + length(owner) + length(id) + length(source) + "
      "coalesce(length(correlation_id), 0) + coalesce(length(causation_id), 0) FROM events WHERE seq < ? "
      "ORDER BY seq LIMIT ?");
  if (!rows) return std::move(rows).error();
  bind(*rows, 1, newest_);
  bind(*rows, 2, prune_rows);
  std::uint64_t upto = 0;
  int got;
  while ((got = sqlite3_step(*rows)) == SQLITE_ROW) {
    if (over <= 0 && sqlite3_column_int64(*rows, 1) >= cutoff) break;
    upto = number_of(*rows, 0);
    over -= sqlite3_column_int64(*rows, 2) + file_row_bytes;
  }
  const bool failed = got != SQLITE_ROW && got != SQLITE_DONE;
  if (failed) return failure("read");
  sqlite3_reset(*rows);
  if (upto == 0) {
    // A bound that was lowered: what is free goes back to the file system, a little at a time.
    if (*unused * 2 > *pages && *unused > 1024) {
      auto shrunk = run("PRAGMA incremental_vacuum(1024)");
      if (!shrunk) return std::move(shrunk).error();
    }
    return false;
  }
  auto removed = remove_upto(upto);
  if (!removed) return std::move(removed).error();
  auto found = find_ends();
  if (!found) return std::move(found).error();
  return true;
}

Result<void> Store::remove_upto(std::uint64_t upto) {
  auto begun = run("BEGIN IMMEDIATE");
  if (!begun) return begun;
  for (const char* sql : {"DELETE FROM events WHERE seq <= ?", "DELETE FROM gaps WHERE last <= ?",
                          "INSERT OR REPLACE INTO marks VALUES('pruned', ?)"}) {
    auto step = statement(sql);
    if (step) {
      bind(*step, 1, upto);
      if (sqlite3_step(*step) == SQLITE_DONE) {
        sqlite3_reset(*step);
        continue;
      }
    }
    Error error = failure("prune");
    roll_back();
    return error;
  }
  auto done = run("COMMIT");
  if (!done) roll_back();
  return done;
}

// --- reading ---------------------------------------------------------------------------------------

/// Leaves in `first` and `last` the numbers between which events of the wanted time lie; false: there are
/// none.
Result<bool> Store::narrow_by_time(const Query& query, std::uint64_t& first, std::uint64_t& last) {
  auto prepared = statement(
      "SELECT min(seq), max(seq) FROM events INDEXED BY events_by_time WHERE time_us BETWEEN ? AND ?");
  if (!prepared) return std::move(prepared).error();
  bind(*prepared, 1, query.from_us.value_or(INT64_MIN));
  bind(*prepared, 2, query.to_us.value_or(INT64_MAX));
  if (sqlite3_step(*prepared) != SQLITE_ROW) return failure("read");
  const bool any = sqlite3_column_type(*prepared, 0) != SQLITE_NULL;
  if (any) {
    first = std::max(first, number_of(*prepared, 0));
    last = std::min(last, number_of(*prepared, 1));
  }
  sqlite3_reset(*prepared);
  return any;
}

Result<void> Store::find_gaps(const Query& query, Page& page) {
  auto prepared = statement("SELECT first, last FROM gaps WHERE last > ? AND first <= ? ORDER BY first");
  if (!prepared) return std::move(prepared).error();
  bind(*prepared, 1, query.since_seq);
  bind(*prepared, 2, page.upto);
  int got;
  while ((got = sqlite3_step(*prepared)) == SQLITE_ROW)
    page.gaps.push_back({std::max(number_of(*prepared, 0), query.since_seq + 1), number_of(*prepared, 1)});
  if (got != SQLITE_DONE) return failure("read");
  sqlite3_reset(*prepared);
  return {};
}

Result<Page> Store::query(const Query& query) {
  Page page;
  // No number is above INT64_MAX, which SQLite could not hold.
  std::uint64_t first = std::min<std::uint64_t>(query.since_seq, INT64_MAX) + 1;
  std::uint64_t last = std::min<std::uint64_t>(query.to_seq.value_or(INT64_MAX), INT64_MAX);
  bool any = first <= newest_ && first <= last;
  const bool by_id = query.correlation_id || query.process_id;
  if (any && !by_id && (query.from_us || query.to_us)) {
    auto narrowed = narrow_by_time(query, first, last);
    if (!narrowed) return std::move(narrowed).error();
    any = *narrowed;
  }
  // A plus sign keeps a condition from choosing the index: the one that excludes most is to do so.
  bool wild = false;
  const std::string fixed(fixed_part(query.topic, wild));
  const std::uint64_t end = std::min(last, newest_);
  if (any && !by_id && wild) {
    first = std::max(first, oldest_);
    if (end > first && end - first >= scanned_numbers) last = first + scanned_numbers - 1;
  }
  std::string sql =
      "SELECT seq, time_us, type, owner, correlation_id, causation_id, process_id, id, source, data FROM "
      "events "
      "WHERE seq >= ?1 AND seq <= ?2";
  if (query.correlation_id) sql += " AND correlation_id = ?3";
  if (query.process_id) sql += query.correlation_id ? " AND +process_id = ?4" : " AND process_id = ?4";
  if (!wild) sql += by_id ? " AND +type = ?5" : " AND type = ?5";
  if (wild && !fixed.empty()) sql += " AND +type >= ?5 AND +type < ?6";
  if (query.viewer)
    sql +=
        " AND (+owner = '' OR +owner = ?7 OR (+owner > ?8 AND +owner < ?9) OR (+owner > ?12 AND +owner < "
        "?13))";
  if (query.from_us) sql += " AND +time_us >= ?10";
  if (query.to_us) sql += " AND +time_us <= ?11";
  sql += " ORDER BY seq";
  if (any) {
    auto prepared = statement(sql);
    if (!prepared) return std::move(prepared).error();
    sqlite3_stmt* const row = *prepared;
    std::string behind = fixed;  // the first text behind all that begin with `fixed`, which ends in a dot
    if (!behind.empty()) ++behind.back();
    const std::string viewer = query.viewer.value_or(std::string());
    // By a name of it, or by a process that it started (access::Principal).
    const std::string below = viewer + "/", behind_below = viewer + "0";
    const std::string inside = viewer + " ", behind_inside = viewer + "!";
    bind(row, 1, first);
    bind(row, 2, last);
    if (query.correlation_id) bind(row, 3, std::string_view(*query.correlation_id));
    if (query.process_id) bind(row, 4, std::string_view(*query.process_id));
    if (!wild || !fixed.empty()) bind(row, 5, std::string_view(fixed));
    if (wild && !fixed.empty()) bind(row, 6, std::string_view(behind));
    if (query.viewer) {
      bind(row, 7, std::string_view(viewer));
      bind(row, 8, std::string_view(below));
      bind(row, 9, std::string_view(behind_below));
      bind(row, 12, std::string_view(inside));
      bind(row, 13, std::string_view(behind_inside));
    }
    if (query.from_us) bind(row, 10, *query.from_us);
    if (query.to_us) bind(row, 11, *query.to_us);
    int got;
    while ((got = sqlite3_step(row)) == SQLITE_ROW) {
      if (wild && !matches(query.topic, text_of(row, 2))) continue;
      if (!page.add(query, fact_of(row))) break;
    }
    const bool failed = got != SQLITE_ROW && got != SQLITE_DONE;
    if (failed) return failure("read");
    sqlite3_reset(row);
    sqlite3_clear_bindings(row);
  }
  if (!page.more && any && last < end) {
    page.more = true;
    page.upto = last;
  }
  if (!page.more) page.upto = std::max(query.since_seq, std::min(newest_, query.to_seq.value_or(newest_)));
  auto gaps = find_gaps(query, page);
  if (!gaps) return std::move(gaps).error();
  return page;
}

}  // namespace kairo::event
