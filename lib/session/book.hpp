// The list of sessions on disk, so that the next daemon knows those that have ended, and those whose keeper
// did not live to hand them over.
//
//   sessions/NNNNNNNNNNNNNNNNNNNN.sessions   segments (20 digits), each a file of records "KAIROSES"
//                                            (storage/record_file.hpp); a record is one Entry as MsgPack.
//
// An entry says all that is known of its session; a later one of the same key replaces it. From time to time
// a new segment is begun, everything that is still of interest is written into it, between what happens
// anyway, and then the older ones are removed: a crash in between leaves both, and the later entry counts.
// Nothing is read again while the daemon runs.
//
// Lives on the kernel's thread; only what end_compaction() gives may run on another.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "reflect/fields.hpp"
#include "session/session.hpp"
#include "storage/record_file.hpp"

namespace kairo::session {

/// What is on record of one session.
struct Entry {
  std::uint64_t key = 0;
  bool forgotten = false;  ///< Then nothing else is said.
  Record record;
  std::int32_t pid = 0;
  std::uint64_t started_us = 0;       ///< Unix time.
  std::uint64_t started_boot_us = 0;  ///< The same by boot_clock_us(), of the machine's run `boot`.
  std::uint64_t boot = 0;
  std::uint32_t slot = 0;  ///< Where the keeper's table has it while it lives.
  Note note;
  std::optional<DeniedAccesses> denied_accesses;  ///< Until it has ended, then the remains have them.
  std::optional<Remains> remains;                 ///< Once it has ended.
  static constexpr auto fields() {
    using S = Entry;
    using reflect::defaulted;
    return std::tuple(reflect::field("key", &S::key, ""), defaulted("forgotten", &S::forgotten, ""),
                      defaulted("record", &S::record, ""), defaulted("pid", &S::pid, ""),
                      defaulted("startedUs", &S::started_us, ""),
                      defaulted("startedBootUs", &S::started_boot_us, ""), defaulted("boot", &S::boot, ""),
                      defaulted("slot", &S::slot, ""), defaulted("note", &S::note, ""),
                      reflect::field("deniedAccesses", &S::denied_accesses, ""),
                      reflect::field("remains", &S::remains, ""));
  }
};

/// The entry of a session as it is now.
Entry entry_of(const Session& session);
/// The entry that ends all others of this key.
Entry forgotten(std::uint64_t key);

class Book {
 public:
  struct Opened;

  /// Opens or makes the list below `state_dir` (borrowed during the call). `each` is called for every entry
  /// in the order of their writing. Damage is mended and told, never a reason not to start.
  static Result<Opened> open(int state_dir, const std::function<void(Entry)>& each);

  /// One write. After an error nothing was recorded; a compaction makes up for it.
  Result<void> append(const Entry& entry);

  /// Whether so much was written since the last compaction that another one is worth it.
  [[nodiscard]] bool wants_compaction() const;

  /// Begins a new segment, which takes all that follows. The caller then appends the entry of every session
  /// as it is at that time. An error leaves all as it was.
  Result<void> begin_compaction();
  /// Every session was appended since. Gives what is to be done on a thread that may wait for the disk:
  /// syncing the segment, then removing the older ones.
  [[nodiscard]] std::function<Result<void>()> end_compaction();

 private:
  Book(UniqueFd dir, storage::RecordFile file, std::uint64_t number)
      : dir_(std::make_shared<UniqueFd>(std::move(dir))),
        file_(std::make_shared<storage::RecordFile>(std::move(file))),
        number_(number) {}

  std::shared_ptr<const UniqueFd> dir_;
  std::shared_ptr<storage::RecordFile> file_;
  std::uint64_t number_;
  std::uint64_t compacted_bytes_ = 0;
};

struct Book::Opened {
  Book book;
  std::vector<std::string> damages;  ///< For people.
};

}  // namespace kairo::session
