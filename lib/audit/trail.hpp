// The audit as it is written: records are put together in memory and reach the file with one write(2) of all
// that wait. Whoever sends an answer calls write() first; so what a client was told survives a kill of the
// daemon. A crash of the machine may tear the end of what take_unsynced() has not had synced: the next
// opening moves a torn end aside (NAME.damaged-N) and says so with the record `kairo.audit.recovered`.
//
// Order of calls: begin(), members appended to line(), end(); write(). One thread. The folder and the file
// are opened when the first record wants it, and again when they were lost; none of that needs a restart. A
// record that cannot be kept (nothing is open, or a full disk has made too many wait) is counted; the count
// is the record `kairo.audit.lost` once there is room.
//
// Numbers and hashes go on over restarts, files and gaps. The newest record that is known to have been on
// disk comes from elsewhere (the event store); where the files end before it, they were truncated: the chain
// goes on behind it, so that the gap stays to be seen, and `kairo.audit.gap` tells of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "audit/line.hpp"
#include "audit/text.hpp"
#include "base/clock.hpp"
#include "base/limits.hpp"
#include "base/unique_fd.hpp"

namespace kairo::audit {

class Trail {
 public:
  struct Bounds {
    std::uint64_t file_bytes = limits::audit_bytes;
    std::uint64_t files = limits::audit_files;
    std::chrono::hours age = limits::audit_age;
  };
  /// `known` is the newest record that is known to have been on disk.
  Trail(std::string state_dir, Bounds bounds, std::optional<Head> known);
  Trail(const Trail&) = delete;
  Trail& operator=(const Trail&) = delete;

  void set_bounds(Bounds bounds) { bounds_ = bounds; }

  /// Begins a record, with its number and time; false when it cannot be kept. Nothing else may be called
  /// before end().
  bool begin(SystemTime now);
  std::string& line() { return pending_; }
  void end();

  /// Whether records wait.
  [[nodiscard]] bool waiting() const { return !pending_.empty(); }
  /// Puts all that wait on disk. After an error they go on waiting. Cheap when nothing waits.
  Result<void> write();
  /// Opens what is not open, and writes what waits.
  Result<void> ready();
  /// The same, and makes sure that there is room for what comes next, before it happens.
  Result<void> reserve();
  /// Whether the files are still where they belong, and open; an error where they are not. The next record
  /// makes them anew.
  Result<void> look();
  /// Why records cannot be written, as far as is known; over with the next one that can.
  [[nodiscard]] const std::optional<Error>& failure() const { return failing_; }

  /// The newest record in a file.
  [[nodiscard]] const Head& written() const { return written_; }
  /// Files that were written since, to be synced by somebody; own descriptors.
  std::vector<UniqueFd> take_unsynced();
  /// Files that rotation is to remove by now, for whoever may wait for the disk: their names in folder().
  std::vector<std::string> take_doomed();
  [[nodiscard]] UniqueFd folder() const;
  /// What was found and done, for the log.
  std::vector<std::string> take_findings();

 private:
  Result<void> open(SystemTime now);
  Result<void> find_newest(SystemTime now);
  Result<bool> go_on_in(std::uint64_t first, SystemTime now);
  void tell_truncation(SystemTime now);
  Result<void> begin_file(SystemTime now);
  void choose_doomed(SystemTime now);
  void begin_line(SystemTime now);
  void begin_event(SystemTime now, std::string_view event);
  void leave_file();
  Error fail(Error error);

  const std::string state_dir_;
  Bounds bounds_;
  std::optional<Head> known_;
  UniqueFd folder_;
  UniqueFd file_;
  std::string name_;                  ///< Of the file that is open.
  std::vector<std::uint64_t> files_;  ///< All that belong to the audit, the open one last.
  std::uint64_t first_ = 1;           ///< The first record that was not removed by rotation.
  std::uint64_t size_ = 0;
  std::uint64_t reserved_ = 0;  ///< Bytes of the file that have room.
  SystemTime file_begun_{};
  Head newest_;  ///< Of the record that was put together last.
  Head written_;
  std::string pending_;
  std::size_t begun_ = 0;  ///< Where in `pending_` the record under way begins.
  Stamp stamp_;
  std::uint64_t lost_ = 0;
  bool numbered_ = false;  ///< newest_ is known: the files could be read once.
  std::optional<Error> failing_;
  SteadyTime retry_at_{};
  bool unsynced_ = false;
  std::vector<UniqueFd> left_;         ///< Files that were left and not synced.
  std::vector<std::uint64_t> chosen_;  ///< To be removed once the record is written that says so.
  std::vector<std::string> findings_;
};

}  // namespace kairo::audit
