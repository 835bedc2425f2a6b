#include "event/file_journal.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>

#include "event/journal_record.hpp"
#include "storage/set_aside.hpp"

namespace kairo::event {
namespace {

using storage::RecordFile;

constexpr std::size_t digits = 20;
constexpr std::string_view suffix = ".events";
constexpr const char* events_magic = "KAIROJNL";
constexpr const char* mark_magic = "KAIROSEQ";
constexpr const char* mark_name = "seq";
constexpr std::size_t mark_bytes = 16;
/// The mark's file is written anew when it has grown to this: a few seldom written lines.
constexpr std::uint64_t mark_file_bytes = 4096;
constexpr std::size_t damages_kept = 64;
/// Full segments that wait for a sync; an owner who never syncs does not want them.
constexpr std::size_t unsynced_kept = 8;
/// A segment takes events for this part of the longest age, so that what is removed at once is not much
/// younger.
constexpr int age_parts = 8;

std::string segment_name(std::uint64_t first) {
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%020llu", static_cast<unsigned long long>(first));
  return std::string(text.data()).append(suffix);
}

/// The number in a segment's name, with anything from `rest` on behind it.
std::optional<std::uint64_t> number_in(std::string_view name, std::string_view& rest) {
  if (name.size() < digits + suffix.size() || name.substr(digits, suffix.size()) != suffix)
    return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + digits, number);
  if (error != std::errc{} || end != name.data() + digits || number == 0 || number > journal_seq_max)
    return std::nullopt;
  rest = name.substr(digits + suffix.size());
  return number;
}

void put_u64(std::string& to, std::uint64_t value) {
  for (int i = 0; i < 8; ++i) to += static_cast<char>(value >> (8 * i) & 0xffu);
}
std::uint64_t get_u64(std::string_view from) {
  std::uint64_t value = 0;
  for (std::size_t i = 8; i-- > 0;) value = value << 8 | static_cast<unsigned char>(from[i]);
  return value;
}

std::string undecodable(const std::string& name, const Error& error) {
  return "\"" + name + "\" holds a record that is no event: " + error.message + "; it was passed over";
}

}  // namespace

storage::Kind FileJournal::kind(const char* magic) const {
  storage::Kind out;
  out.magic = magic;
  out.version = 1;
  out.boot_id = options_.boot_id;
  return out;
}

void FileJournal::tell(std::string damage) {
  if (damages_.size() < damages_kept) damages_.push_back(std::move(damage));
}

std::vector<std::string> FileJournal::take_damages() {
  const std::lock_guard lock(mutex_);
  return std::exchange(damages_, {});
}

// --- opening ---------------------------------------------------------------------------------------

Result<FileJournal::Opened> FileJournal::open(Options options) {
  if (options.boot_id.empty()) options.boot_id = storage::machine_boot_id();
  std::unique_ptr<FileJournal> self(new FileJournal(std::move(options)));
  auto opened = self->open_files();
  if (!opened) return std::move(opened).error();
  Opened out{std::move(self), {}};
  out.damages = out.journal->take_damages();
  return out;
}

Result<void> FileJournal::open_files() {
  state_dir_ = UniqueFd(::fcntl(options_.state_dir, F_DUPFD_CLOEXEC, 3));
  if (!state_dir_) return system_error("cannot open the event journal: no state directory", errno);
  options_.state_dir = -1;
  if (::mkdirat(state_dir_.get(), "journal", 0700) != 0 && errno != EEXIST)
    return system_error("cannot make the folder \"journal\" in the state directory", errno);
  dir_ = UniqueFd(::openat(state_dir_.get(), "journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!dir_) return system_error("cannot open the folder \"journal\" in the state directory", errno);

  auto found = find_segments();
  if (!found) return std::move(found).error();
  auto mark = open_mark();
  if (!mark) return std::move(mark).error();
  high_ = mark->high;
  // What the mark names must still be there.
  const std::uint64_t last = segments_.empty() ? 0 : segments_.rbegin()->first;
  if (mark->known && (mark->segment > last || last == 0)) {
    found->sure = false;
    if (mark->segment > last)
      tell("the newest segment of the event journal, \"" + segment_name(mark->segment) + "\", is missing");
  }
  replay_older();
  auto opened = open_newest(*found);
  if (!opened) return opened;
  if (options_.stored) {
    taken_ = *options_.stored;
    if (taken_ > found->claim) {
      // The store remembers more than is left of the journal.
      found->claim = taken_;
      found->any = true;
      found->sure = false;
    }
  }
  newest_ = choose_newest(*found, *mark);
  remove_past_bounds();
  find_oldest();
  if (newest_ == found->claim) return {};
  // Numbers are skipped: a file that says so now, for the next opening may not find the reason any more.
  current_.reset();
  auto begun = newest_ + 1 > high_ ? raise_mark(newest_ + 1) : Result<void>();
  if (begun) begun = begin_segment(newest_ + 1);
  if (!begun) tell(begun.error().message + "; the next event tries again");
  return {};
}

Result<FileJournal::Found> FileJournal::find_segments() {
  Found found;
  UniqueFd own(::openat(dir_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  DIR* const entries = own ? ::fdopendir(own.get()) : nullptr;
  if (!entries) return system_error("cannot list the event journal", errno);
  (void)own.release();  // closedir closes it
  std::uint64_t damaged = 0;
  while (const dirent* entry = ::readdir(entries)) {
    std::string_view rest;
    const auto number = number_in(entry->d_name, rest);
    if (!number) continue;
    found.any = true;
    // What was set aside is no segment any more, but its numbers were given.
    if (rest.empty()) {
      segments_.emplace(*number, Segment{});
      found.claim = std::max(found.claim, *number - 1);
    } else if (storage::is_set_aside(entry->d_name)) {
      found.claim = std::max(found.claim, *number);
      damaged = std::max(damaged, *number);
    }
  }
  ::closedir(entries);
  // Damage that an earlier opening mended: what was in those bytes has been given, too.
  if (damaged > 0 && (segments_.empty() || damaged >= segments_.rbegin()->first)) found.sure = false;
  return found;
}

Result<FileJournal::Mark> FileJournal::open_mark() {
  Mark mark;
  std::uint64_t last_high = 0;
  auto opened = RecordFile::open(dir_.get(), mark_name, kind(mark_magic), [&](std::string_view record) {
    if (record.size() != mark_bytes || get_u64(record) > journal_seq_max) {
      mark.damaged = true;
      return;
    }
    last_high = get_u64(record);
    mark.high = std::max(mark.high, last_high);
    mark.segment = std::max(mark.segment, get_u64(record.substr(8)));
    mark.known = true;
  });
  if (!opened) return std::move(opened).error();
  if (opened->damage) {
    mark.damaged = true;
    tell(opened->damage->text());
  }
  mark_ = std::make_unique<RecordFile>(std::move(opened->file));
  mark_is_new_ = opened->begun;
  if (mark_->bytes() > mark_file_bytes && mark.known) {
    std::string record;
    put_u64(record, mark.high);
    put_u64(record, mark.segment);
    auto rewritten = mark_->rewrite({&record, 1});
    if (!rewritten) tell(rewritten.error().message);  // it is as good as it was, only long
  }
  return mark;
}

void FileJournal::replay_older() {
  if (!options_.on_record || segments_.size() < 2 || options_.replay_segments < 2) return;
  const std::size_t skip = segments_.size() - std::min(segments_.size(), options_.replay_segments);
  wire::PayloadDecoder decoder;
  auto each = std::next(segments_.begin(), static_cast<std::ptrdiff_t>(skip));
  for (const auto newest = std::prev(segments_.end()); each != newest; ++each) {
    const std::string name = segment_name(each->first);
    const auto end =
        RecordFile::read(dir_.get(), name, kind(events_magic), UINT64_MAX, [&](std::string_view record) {
          auto fact = decode_record(decoder, record);
          if (fact)
            options_.on_record(*fact);
          else
            tell(undecodable(name, fact.error()));
          return true;
        });
    if (!end)
      tell(end.error().message);
    else if (end->damage)
      tell(end->damage->text());
    each->second.told = !end || end->damage.has_value();
  }
}

Result<void> FileJournal::open_newest(Found& found) {
  if (segments_.empty()) return {};
  const std::uint64_t first = segments_.rbegin()->first;
  const std::string name = segment_name(first);
  wire::PayloadDecoder decoder;
  begun_ = options_.now();
  bool is_first = true;
  auto opened = RecordFile::open(dir_.get(), name, kind(events_magic), [&](std::string_view record) {
    std::optional<std::uint64_t> seq = peek_seq(record);
    if (options_.on_record || is_first || !seq || *seq > journal_seq_max) {
      auto fact = decode_record(decoder, record);
      if (!fact) {
        found.sure = false;
        tell(undecodable(name, fact.error()));
        return;
      }
      seq = fact->event.seq;
      if (std::exchange(is_first, false)) from_iso8601(fact->event.time, begun_);
      if (options_.on_record) options_.on_record(*fact);
    }
    found.claim = std::max(found.claim, *seq);
  });
  if (!opened) return std::move(opened).error();
  if (opened->damage) tell(opened->damage->text());
  if (opened->begun) {
    // An empty file is what a power loss makes of one that was never synced. It must not look like a new one.
    ::unlinkat(dir_.get(), name.c_str(), 0);
    segments_.erase(first);
    found.claim = std::max(found.claim, first);
    found.sure = false;
    return {};
  }
  const bool same_boot = !options_.boot_id.empty() && opened->file.boot_id() == options_.boot_id;
  if (opened->damage || !same_boot) found.sure = false;
  if (!found.sure) {
    // Nor may a file that was mended look whole to the next opening.
    if (same_boot) opened->file.forget_boot();
    return {};
  }
  current_ = std::make_shared<RecordFile>(std::move(opened->file));
  current_first_ = first;
  return {};
}

std::uint64_t FileJournal::choose_newest(const Found& found, const Mark& mark) {
  const bool bad_mark = mark.damaged || (mark.known ? found.claim > mark.high : found.any);
  if (bad_mark) {
    if (!mark.damaged)
      tell(mark.known ? "the high-water mark of the event journal, \"seq\", is older than its events"
                      : "the high-water mark of the event journal, \"seq\", is missing");
    return std::max(found.claim, mark.high) + options_.number_step;
  }
  return found.sure ? found.claim : std::max(found.claim, mark.high);
}

void FileJournal::find_oldest() {
  oldest_ = 0;
  wire::PayloadDecoder decoder;
  for (const auto& [first, segment] : segments_) {
    const std::uint64_t limit = current_ && first == current_first_ ? current_->bytes() : UINT64_MAX;
    (void)RecordFile::read(dir_.get(), segment_name(first), kind(events_magic), limit,
                           [&](std::string_view record) {
                             auto fact = decode_record(decoder, record);
                             if (fact) oldest_ = *fact->event.seq;
                             return oldest_ == 0;
                           })
        .ok();
    if (oldest_ != 0) return;
  }
}

// --- appending -------------------------------------------------------------------------------------

Result<std::uint64_t> FileJournal::append(const Fact& fact) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t number = newest_ + 1;
  encode_record(encoded_, fact, number);
  if (encoded_.size() > limits::record_bytes)
    return Error(Code::limit_exceeded, "cannot record the event \"" + fact.event.type + "\": it takes " +
                                           std::to_string(encoded_.size()) + " bytes, at most " +
                                           std::to_string(limits::record_bytes) + " are possible");
  if (number > high_) {
    auto raised = raise_mark(number);
    if (!raised) return std::move(raised).error();
  }
  if (!current_ || is_due(encoded_.size())) {
    auto begun = begin_segment(number);
    if (!begun) return std::move(begun).error();
  }
  auto written = current_->append(encoded_);
  if (!written) {
    // A later opening might find the whole record where it could not be cut off.
    if (current_->torn()) newest_ = number;
    return std::move(written).error();
  }
  newest_ = number;
  if (oldest_ == 0) oldest_ = number;
  return number;
}

Result<void> FileJournal::raise_mark(std::uint64_t number) {
  const std::uint64_t high = number - 1 + options_.number_step;
  auto written = write_mark(high, segments_.empty() ? 0 : segments_.rbegin()->first);
  if (!written) return written;
  auto synced = mark_->sync();
  if (!synced) return synced;
  if (mark_is_new_) {
    // The mark is worth its numbers only if its name, and the journal's, survive too.
    if (::fsync(dir_.get()) != 0 || ::fsync(state_dir_.get()) != 0)
      return system_error("cannot sync the folder of the event journal", errno);
    mark_is_new_ = false;
  }
  high_ = high;
  return {};
}

Result<void> FileJournal::write_mark(std::uint64_t high, std::uint64_t segment) {
  std::string record;
  put_u64(record, high);
  put_u64(record, segment);
  return mark_->append(record);
}

bool FileJournal::is_due(std::size_t record_bytes) const {
  if (current_->empty()) return false;
  return current_->bytes() + storage::record_head_bytes + record_bytes > options_.segment_bytes ||
         options_.now() - begun_ > options_.max_age / age_parts;
}

Result<void> FileJournal::begin_segment(std::uint64_t number) {
  // Nothing goes into the last one any more, even if this fails half-way: names tell the order of events.
  if (current_) {
    segments_[current_first_].ended = options_.now();
    unsynced_.push_back(std::exchange(current_, nullptr));
  }
  if (unsynced_.size() > unsynced_kept) unsynced_.pop_front();
  auto opened =
      RecordFile::open(dir_.get(), segment_name(number), kind(events_magic), [](std::string_view) {});
  if (!opened) return std::move(opened).error();
  if (opened->damage) tell(opened->damage->text());
  if (opened->records > 0) {
    newest_ = number;  // it is in use, by whomever
    return Error(Code::internal, "cannot begin the segment \"" + segment_name(number) +
                                     "\" of the event journal: it has events already; the next one is tried");
  }
  segments_.emplace(number, Segment{});
  // Not synced: after a power loss the boot id says that the newest segment may be missing.
  auto named = write_mark(high_, number);
  if (!named) return named;
  current_ = std::make_shared<RecordFile>(std::move(opened->file));
  current_first_ = number;
  begun_ = options_.now();
  names_unsynced_ = true;
  remove_past_bounds();
  return {};
}

/// When the last event of an older segment was written, by Options::now. The system's clock, of which the
/// file's own time is, may have been set since.
SystemTime FileJournal::written_at(std::uint64_t first, const Segment& segment, SystemTime changed) const {
  if (segment.ended) return *segment.ended;
  const SystemTime now = options_.now();
  const SystemTime by_file = now - (system_now() - changed);
  if (now - by_file <= options_.max_age || options_.boot_id.empty()) return by_file;
  const auto end = RecordFile::read(dir_.get(), segment_name(first), kind(events_magic), UINT64_MAX,
                                    [](std::string_view) { return false; });
  if (!end || end->boot_id != options_.boot_id) return by_file;
  // Of this run of the machine: it cannot be older than that.
  return std::max(by_file, now - std::chrono::microseconds(boot_clock_us()));
}

void FileJournal::remove_past_bounds() {
  storage::prune_set_aside(dir_.get(), limits::set_aside_files);
  struct Size {
    std::uint64_t first;
    std::uint64_t bytes;
    SystemTime written;
  };
  std::vector<Size> older;  // the newest segment stays, whatever the bounds are
  std::uint64_t total = options_.segment_bytes;
  for (const auto& [first, segment] : segments_) {
    if (first == segments_.rbegin()->first) break;
    struct stat status {};
    if (::fstatat(dir_.get(), segment_name(first).c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    const auto since = std::chrono::seconds(status.st_mtim.tv_sec);
    older.push_back(
        {first, static_cast<std::uint64_t>(status.st_size), written_at(first, segment, SystemTime(since))});
    total += older.back().bytes;
  }
  const SystemTime too_old = options_.now() - options_.max_age;
  bool removed = false;
  for (const Size& each : older) {
    if (total <= options_.max_bytes && each.written >= too_old) break;
    const bool is_held = std::next(segments_.find(each.first))->first - 1 > taken_;
    if (is_held && total <= 2 * options_.max_bytes) break;
    if (::unlinkat(dir_.get(), segment_name(each.first).c_str(), 0) != 0 && errno != ENOENT) {
      tell(system_error("cannot remove the old segment \"" + segment_name(each.first) + "\"", errno).message);
      break;
    }
    total -= each.bytes;
    segments_.erase(each.first);
    removed = true;
  }
  if (removed) find_oldest();
}

// --- everything else -------------------------------------------------------------------------------

std::uint64_t FileJournal::newest() const {
  const std::lock_guard lock(mutex_);
  return newest_;
}

void FileJournal::hold_behind(std::uint64_t taken) {
  const std::lock_guard lock(mutex_);
  taken_ = taken;
}

std::uint64_t FileJournal::oldest() const {
  const std::lock_guard lock(mutex_);
  return oldest_;
}

Result<void> FileJournal::read(std::uint64_t since_exclusive, const std::function<bool(const Fact&)>& each) {
  struct Part {
    std::uint64_t first;
    std::uint64_t end;
  };
  std::vector<Part> parts;
  {
    const std::lock_guard lock(mutex_);
    if (since_exclusive >= newest_ || segments_.empty()) return {};
    auto from = segments_.upper_bound(since_exclusive + 1);
    if (from != segments_.begin()) --from;
    for (; from != segments_.end(); ++from)
      parts.push_back(
          {from->first, current_ && from->first == current_first_ ? current_->bytes() : UINT64_MAX});
  }
  wire::PayloadDecoder decoder;
  std::uint64_t last = since_exclusive;
  for (const Part& part : parts) {
    const std::string name = segment_name(part.first);
    std::string damage;
    bool more = true;
    auto end = RecordFile::read(dir_.get(), name, kind(events_magic), part.end, [&](std::string_view record) {
      const auto peeked = peek_seq(record);
      if (peeked && *peeked <= last) return true;
      auto fact = decode_record(decoder, record);
      if (!fact) {
        damage = undecodable(name, fact.error());
        return true;
      }
      if (*fact->event.seq <= last) return true;
      last = *fact->event.seq;
      more = each(*fact);
      return more;
    });
    if (!end && end.error().code == Code::not_found) continue;  // past the bounds meanwhile
    if (!end) return std::move(end).error();
    if (end->damage) damage = end->damage->text();
    if (!damage.empty()) {
      const std::lock_guard lock(mutex_);
      const auto segment = segments_.find(part.first);
      if (segment != segments_.end() && !std::exchange(segment->second.told, true)) tell(std::move(damage));
    }
    if (!more) break;
  }
  return {};
}

Result<void> FileJournal::sync() {
  std::deque<std::shared_ptr<RecordFile>> files;
  bool names = false;
  {
    const std::lock_guard lock(mutex_);
    files.swap(unsynced_);
    if (current_) files.push_back(current_);
    names = std::exchange(names_unsynced_, false);
  }
  Result<void> out;
  for (const auto& each : files) {
    auto synced = each->sync();
    if (!synced && out) out = std::move(synced);
  }
  if (names && ::fsync(dir_.get()) != 0) {
    if (out) out = system_error("cannot sync the folder of the event journal", errno);
    const std::lock_guard lock(mutex_);
    names_unsynced_ = true;
  }
  return out;
}

}  // namespace kairo::event
