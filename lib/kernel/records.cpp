// What is kept on disk of sessions and events, and when it goes.
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <boost/asio/post.hpp>

#include "kernel/devices.hpp"
#include "kernel/kernel.hpp"

namespace kairo::kernel {
namespace {

/// What a power loss may take of the events. (A kill takes none.)
constexpr std::chrono::seconds journal_sync_interval{1};
/// Before the list of sessions is tried again when the disk refused it.
constexpr std::chrono::seconds book_retry{5};
/// Sessions that are written into a new segment in one turn of the loop: a few milliseconds.
constexpr std::size_t compaction_turn = 128;

}  // namespace

Result<void> Kernel::open_files() {
  const UniqueFd state_dir(::open(options_.state_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!state_dir) return system_error("cannot open " + options_.state_dir, errno);
  if (::mkdirat(state_dir.get(), "logs", 0700) != 0 && errno != EEXIST)
    return system_error("cannot make " + options_.state_dir + "/logs", errno);
  logs_dir_.reset(::openat(state_dir.get(), "logs", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!logs_dir_) return system_error("cannot open " + options_.state_dir + "/logs", errno);

  // Before the journal: a number that the store remembers is not given again.
  auto store = event::Store::open(options_.state_dir);
  event::FileJournal::Options journal;
  if (store) journal.stored = store->store->newest();
  journal.state_dir = state_dir.get();
  journal.now = even_now;
  journal.on_record = [this](const event::Fact& fact) {
    if (fact.event.type == "kairo.process.exited") exit_told_.insert(fact.session_key);
  };
  auto events = event::FileJournal::open(std::move(journal));
  if (!events) return std::move(events).error();
  for (const std::string& each : events->damages) log(each);
  journal_ = events->journal.get();
  bus_.emplace(std::move(events->journal));
  if (store)
    if (const auto& head = store->store->audit_head(); head && head->hash.size() == audit::no_hash.size()) {
      known_audit_head_.emplace(audit::Head{head->seq, {}});
      std::copy(head->hash.begin(), head->hash.end(), known_audit_head_->hash.begin());
    }
  start_archive(std::move(store));
  audit_->open(known_audit_head_);

  auto book = session::Book::open(state_dir.get(), [this](session::Entry entry) {
    const std::uint64_t key = entry.key;
    if (entry.forgotten) {
      remembered_.erase(key);
      forgotten_.insert(key);
    } else {
      forgotten_.erase(key);
      remembered_.insert_or_assign(key, std::move(entry));
    }
  });
  if (!book) return std::move(book).error();
  for (const std::string& each : book->damages) log(each);
  book_damaged_ = !book->damages.empty();
  book_.emplace(std::move(book->book));
  if (auto claims = devices_->open(state_dir.get()); !claims) return claims;
  // Before a keeper that is started now puts a table of its own in its place.
  UniqueFd table(::openat(state_dir.get(), "table", O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (table)
    if (auto old = keeper::Table::open(std::move(table))) old_table_.emplace(std::move(*old));
  return {};
}

void Kernel::sync_journal_soon() {
  if (journal_sync_due_) return;
  journal_sync_due_ = true;
  timers_.after(journal_sync_interval, [this] {
    journal_sync_due_ = false;
    look_around();
    boost::asio::post(disk_, [this] {
      auto synced = journal_->sync();
      for (const std::string& each : journal_->take_damages()) log(each);
      boost::asio::post(io_, [this, synced = std::move(synced)] { journal_synced(synced); });
    });
  });
}

void Kernel::journal_synced(const Result<void>& synced) {
  if (synced.ok() == !journal_unsynced_ || stopping_) return;
  journal_unsynced_ = !synced.ok();
  if (synced) return log("events are safe from a power loss again");
  degraded("journal", "a power loss may take events: " + synced.error().message);
}

void Kernel::look_around() {
  if (const auto moved = clock_watch_.look(system_now(), boot_clock_us()); moved.count() != 0) {
    const std::int64_t ms = moved.count() / 1000;
    archive_->clock_was_set();
    degraded("clock", "the clock was set " + std::string(ms > 0 ? "forward" : "back") + " by " +
                          std::to_string(ms > 0 ? ms : -ms) +
                          " ms; times from before and after it do not compare");
  }
  static_cast<void>(check_state_dir());
}

Result<void> Kernel::check_state_dir() {
  struct stat status {};
  if (::fstat(logs_dir_.get(), &status) != 0 || status.st_nlink > 0) return {};
  Error gone(Code::internal,
             options_.state_dir +
                 "/logs was removed: what processes write cannot be kept. Those that run go on; stop "
                 "this daemon to begin anew");
  if (!state_dir_gone_) degraded("state-directory", gone.message);
  state_dir_gone_ = true;
  return gone;
}

void Kernel::degraded(const std::string& what, const std::string& message) {
  log(message);
  emit_kernel("kairo.kernel.degraded", {{"what", what}, {"message", message}});
}

void Kernel::tell_log_faults(session::Session& session) {
  for (unsigned stream = 0; stream < 2; ++stream) {
    const std::uint32_t begun = session.take_log_faults(stream);
    for (const std::uint32_t fault : {stream::log_degraded, stream::log_stalled})
      if ((begun & fault) != 0)
        emit_log_fault(session, stream, std::string(session::describe_log_fault(fault)));
  }
}

void Kernel::emit_log_fault(const session::Session& session, unsigned stream, const std::string& message) {
  log("session " + session.id() + ": " + message);
  emit(session, "kairo.kernel.degraded",
       {{"what", std::string("log")},
        {"stream", std::string(stream == 0 ? "stdout" : "stderr")},
        {"message", message}});
}

bool Kernel::put_on_record(const session::Session& session) {
  return write_book(session::entry_of(session));
}

bool Kernel::write_book(const session::Entry& entry) {
  auto written = book_->append(entry);
  if (written) {
    if (restored_ && !compaction_ && book_->wants_compaction()) compact_book();
    return true;
  }
  book_refused(written.error());
  // What could not be written stands in the next segment, or, forgotten, does not.
  if (compaction_)
    compaction_->again = true;
  else
    compact_later();
  return false;
}

void Kernel::compact_later() {
  if (std::exchange(compaction_due_, true)) return;
  timers_.after(book_retry, [this] {
    compaction_due_ = false;
    compact_book();
  });
}

void Kernel::book_refused(const Error& why) {
  if (std::exchange(book_failing_, true)) return;
  degraded("sessions", "the list of sessions cannot be written: " + why.message);
}

void Kernel::compact_book() {
  if (compaction_) {
    compaction_->again = true;
    return;
  }
  auto begun = book_->begin_compaction();
  if (!begun) {
    book_refused(begun.error());
    return compact_later();
  }
  compaction_.emplace(Compaction{});
  compact_on();
}

void Kernel::compact_on() {
  Result<void> written;
  std::size_t count = 0;
  bool all = true;
  registry_.for_each(compaction_->done, [&](session::Session& each) {
    all = count++ < compaction_turn;
    if (!all) return false;
    written = book_->append(session::entry_of(each));
    if (written) compaction_->done = each.key();
    return written.ok();
  });
  if (!written) {
    book_refused(written.error());
    timers_.after(book_retry, [this] { compact_on(); });
    return;
  }
  if (!all) return boost::asio::post(io_, [this] { compact_on(); });
  const bool again = compaction_->again;
  compaction_.reset();
  if (again) return compact_book();
  if (std::exchange(book_failing_, false)) log("the list of sessions is written again");
  // Now their ends are on record: the keeper may forget them.
  for (const std::uint64_t key : std::exchange(unrecorded_, {}))
    if (session::Session* each = registry_.find_key(key)) release_if_recorded(*each);
  boost::asio::post(disk_, [this, finish = book_->end_compaction()] {
    if (auto finished = finish(); !finished) log(finished.error().message);
  });
}

void Kernel::forget(session::Session& session) {
  const auto it = attention_.find(session.key());
  if (it != attention_.end()) {
    answer_reads(session, true);
    while (!it->second.readers.empty()) {
      OutputSubscription* reader = it->second.readers.back();
      reader->client().unsubscribe(std::string(reader->id()));
    }
    attention_.erase(session.key());
  }
  inherited_.erase(session.key());
  // Out of the registry first, from which the list may be written anew; the logs last.
  unrecorded_.erase(session.key());
  const auto removed = registry_.remove(session);
  write_book(session::forgotten(removed->key()));
  if (removed->log_state(0).tail + removed->log_state(1).tail > 0) remove_logs(removed->key());
}

void Kernel::remove_logs(std::uint64_t key) {
  // Dropping 64 MiB of pages takes milliseconds: not on this thread.
  boost::asio::post(disk_, [dir = logs_dir_.get(), key] {
    for (unsigned stream = 0; stream < 2; ++stream)
      ::unlinkat(dir, stream::log_file_name(key, stream).c_str(), 0);
  });
}

void Kernel::sweep_logs() {
  // Logs of sessions that nobody knows any more (their daemon was killed before it had dropped them).
  std::unordered_set<std::string> known;
  registry_.for_each(0, [&](session::Session& each) {
    for (unsigned stream = 0; stream < 2; ++stream) known.insert(stream::log_file_name(each.key(), stream));
    return true;
  });
  // What is spawned while the worker looks has a higher key.
  boost::asio::post(disk_, [path = options_.state_dir + "/logs", known = std::move(known),
                            first_new = stream::log_file_name(registry_.next_key(), 0)] {
    DIR* dir = ::opendir(path.c_str());
    if (!dir) return;
    while (const dirent* entry = ::readdir(dir)) {
      const std::string name = entry->d_name;
      if (name.size() == first_new.size() && name[16] == '.' && name < first_new && !known.contains(name))

        ::unlinkat(::dirfd(dir), name.c_str(), 0);
    }
    ::closedir(dir);
  });
}

void Kernel::expire_within(std::chrono::seconds delay) {
  if (stopping_) return;
  const SteadyTime at = SteadyClock::now() + delay;
  if (expiry_ != 0 && expiry_at_ <= at) return;
  timers_.cancel(expiry_);
  expiry_at_ = at;
  expiry_ = timers_.at(at, [this] {
    expiry_ = 0;
    expire();
    if (registry_.size() > 0) expire_within(logs_want_attention_ ? growth_interval : expiry_interval);
  });
}

void Kernel::expire() {
  for (session::Session* old : registry_.expired(
           settings().ended_sessions, even_now() - std::chrono::hours(settings().ended_session_hours)))
    forget(*old);
  std::uint64_t total = 0;
  look_around();
  registry_.for_each(0, [&](session::Session& each) {
    if (each.slot()) tell_log_faults(each);
    for (unsigned stream = 0; stream < 2; ++stream) {
      const stream::LogState log = each.log_state(stream);
      total += log.tail - log.floor;
    }
    return true;
  });
  const std::uint64_t most = settings().total_log_bytes;
  logs_want_attention_ = total > most / 2 || total > log_bytes_ + most / 64;
  log_bytes_ = total;
  if (total <= most) return;
  for (session::Session* old : registry_.ended()) {
    if (total <= most) return;
    if (old->slot()) continue;
    std::uint64_t bytes = 0;
    for (unsigned stream = 0; stream < 2; ++stream) {
      const stream::LogState log = old->log_state(stream);
      bytes += log.tail - log.floor;
    }
    if (bytes > 0 && drop_logs(*old)) total -= bytes;
  }
  if (total > most) stop_growth();
}

bool Kernel::drop_logs(session::Session& session) {
  const auto it = attention_.find(session.key());
  if (it != attention_.end() && !it->second.readers.empty()) return false;  // next time
  session.drop_logs();
  put_on_record(session);
  remove_logs(session.key());
  return true;
}

void Kernel::stop_growth() {
  std::size_t stopped = 0;
  registry_.for_each(0, [&](session::Session& each) {
    if (!each.slot() || each.record().block_when_full) return true;
    for (stream::StreamSlot& stream : each.slot()->streams)
      if (stream.no_growth.exchange(1, std::memory_order_relaxed) == 0) ++stopped;
    return true;
  });
  if (stopped > 0)
    log("all logs together are over totalLogBytes (" + std::to_string(settings().total_log_bytes) +
        "): " + std::to_string(stopped) + " logs of live sessions grow no further");
}

}  // namespace kairo::kernel
