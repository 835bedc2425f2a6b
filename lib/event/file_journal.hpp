// The event journal on disk: every event is on record here before anyone hears of it, and its number is never
// used again, whatever is killed, unplugged or damaged.
//
//   journal/NNNNNNNNNNNNNNNNNNNN.events  segments, named by the first number that they may hold (20 digits).
//   Each is
//                                        a file of records "KAIROJNL" (storage/record_file.hpp); one record
//                                        is one event (journal_record.hpp).
//   journal/seq                          a file of records "KAIROSEQ" of 16 bytes: u64 high-water mark, u64
//   first number
//                                        of the newest segment, little-endian. The last one counts.
//
// Numbers. No number above the high-water mark is given; it is raised, and synced, a step ahead. After a kill
// the journal goes on behind its last event: the page cache has everything. Where that is not sure (the
// newest segment was begun before the machine started, bytes are damaged, the newest segment is gone) it goes
// on behind the mark, and where the mark is no good either, a whole step behind the largest number that any
// file claims.
//
// An appended event survives a kill of the process; after `sync` also a power loss. A segment is begun when
// the last is full, or has taken an eighth of the longest age; then the oldest ones past the bounds are
// removed.
//
// One thread appends. Everything else may be called from any thread meanwhile. One process at a time may have
// the journal open; its owner sees to that.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/limits.hpp"
#include "event/bus.hpp"
#include "storage/record_file.hpp"

namespace kairo::event {

class FileJournal final : public Journal {
 public:
  struct Options {
    int state_dir = -1;  ///< borrowed while open() runs; the journal is its folder "journal" (mode 0700)
    std::uint64_t segment_bytes = limits::event_segment_bytes;
    std::uint64_t max_bytes = limits::event_journal_bytes;  ///< of all segments
    std::chrono::seconds max_age = limits::event_journal_age;
    std::uint64_t number_step = limits::event_number_step;
    /// The newest event that the store holds, where there is a store: no number up to it is given again, and
    /// what follows it is held as by hold_behind().
    std::optional<std::uint64_t> stored = {};
    std::string boot_id = {};                      ///< empty: this machine's
    std::function<SystemTime()> now = system_now;  ///< for ages; it may be a clock that cannot be set
    /// Called while opening, in order, for every event of the newest `replay_segments` segments. Without it
    /// the events of the newest segment are checked, but not decoded.
    std::function<void(const Fact&)> on_record = {};
    std::size_t replay_segments = 2;
  };
  struct Opened;

  /// Opens or makes the journal. Whatever is wrong with its files is mended and told; an error means that
  /// there cannot be a journal in that place.
  static Result<Opened> open(Options options);

  /// Records the event under newest() + 1. After an error the number is still to be had, unless part of the
  /// record may have stayed in the file; the next append may succeed. E_LIMIT_EXCEEDED: the event is too
  /// large.
  Result<std::uint64_t> append(const Fact& fact) override;

  /// The largest number that may be in use, which is the newest event's unless numbers were given up.
  [[nodiscard]] std::uint64_t newest() const override;
  /// The number of the first event that is still held; 0 where there is none.
  [[nodiscard]] std::uint64_t oldest() const;

  /// Calls `each` for the events behind number `since_exclusive`, in order, up to the one that was newest
  /// when this was called; stops when it returns false. `each` may append. What is damaged is passed over and
  /// told (take_damages); an error is a segment that cannot be read now.
  Result<void> read(std::uint64_t since_exclusive, const std::function<bool(const Fact&)>& each);

  /// Returns when all that was appended is on the disk. Blocks for it: not for the kernel's thread.
  Result<void> sync();

  /// Events behind number `taken` are still to be read by the store: segments that hold some of them stay
  /// until all segments together take twice max_bytes, however old they are. May be called from any thread.
  void hold_behind(std::uint64_t taken);

  /// What was found damaged since this was last called, as texts for people; at most 64.
  std::vector<std::string> take_damages();

 private:
  struct Segment {
    bool told = false;                ///< its damage
    std::optional<SystemTime> ended;  ///< by Options::now, where this journal has written it
  };
  struct Mark {
    std::uint64_t high = 0;
    std::uint64_t segment = 0;
    bool known = false;
    bool damaged = false;
  };
  struct Found {
    std::uint64_t claim = 0;  ///< the largest number that any file says to have held
    bool any = false;         ///< there was a file that says so
    bool sure = true;         ///< nothing behind `claim` can be lost
  };

  explicit FileJournal(Options options) : options_(std::move(options)) {}
  Result<void> open_files();
  Result<Found> find_segments();
  Result<Mark> open_mark();
  Result<void> open_newest(Found& found);
  void replay_older();
  std::uint64_t choose_newest(const Found& found, const Mark& mark);
  void find_oldest();
  void tell(std::string damage);
  Result<void> raise_mark(std::uint64_t number);
  Result<void> write_mark(std::uint64_t high, std::uint64_t segment);
  Result<void> begin_segment(std::uint64_t number);
  void remove_past_bounds();
  [[nodiscard]] SystemTime written_at(std::uint64_t first, const Segment& segment, SystemTime changed) const;
  [[nodiscard]] bool is_due(std::size_t record_bytes) const;
  [[nodiscard]] storage::Kind kind(const char* magic) const;

  Options options_;
  UniqueFd state_dir_;
  UniqueFd dir_;
  std::string encoded_;  ///< of append alone

  mutable std::mutex mutex_;  ///< for all that follows; never held while `each` runs or sync blocks
  std::map<std::uint64_t, Segment> segments_;
  std::shared_ptr<storage::RecordFile> current_;  ///< the newest segment; nullptr: the next append begins one
  std::uint64_t current_first_ = 0;
  SystemTime begun_{};
  std::deque<std::shared_ptr<storage::RecordFile>> unsynced_;  ///< full segments that no sync has seen
  bool names_unsynced_ = false;
  std::unique_ptr<storage::RecordFile> mark_;
  bool mark_is_new_ = false;
  std::uint64_t high_ = 0;
  std::uint64_t newest_ = 0;
  std::uint64_t oldest_ = 0;
  std::uint64_t taken_ = UINT64_MAX;
  std::vector<std::string> damages_;
};

struct FileJournal::Opened {
  std::unique_ptr<FileJournal> journal;
  std::vector<std::string> damages;  ///< what was found, for people
};

}  // namespace kairo::event
