// A file of checked records that only grows: what must survive a kill of the daemon, and be found out when it
// did not survive worse. The event journal, the list of ended sessions and the audit are such files.
//
// `open` reads all records and leaves the file ready for `append`. It takes whatever it finds: what is no
// record is set aside (set_aside.hpp) and told in `Opened::damage`, for a daemon must start after any
// accident. A record that was appended is in the page cache: it survives a kill of the process; after `sync`
// also a power loss.
//
// One thread opens, appends and rewrites; `sync` may be called from another one meanwhile. The owner sees to
// it that one process at a time has the file open. The form on disk: record_scan.hpp.
//
// Memory mapping was rejected: a full disk would be a SIGBUS, where here it is an error of one append.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "storage/record_scan.hpp"

namespace kairo::storage {

/// What was not good in a file.
struct Damage {
  std::string file;
  std::uint64_t offset = 0;  ///< of the first byte that is not good; 0: the whole file
  std::uint64_t bytes = 0;   ///< from there on
  std::string why;           ///< "a record's checksum is wrong"
  std::string kept_as;       ///< the name under which the bytes were set aside, or empty: they were not
  std::string not_kept;      ///< why not, if they should have been

  /// `"x.events" is damaged at byte 64: …; 12 bytes were set aside as "x.events.damaged-1"`.
  [[nodiscard]] std::string text() const;
};

class RecordFile {
 public:
  struct Opened;
  struct ReadEnd;

  /// Opens `name` in `dir_fd` (borrowed), or makes it (mode 0600), and calls `each` for every record it
  /// holds. An error means that nothing can be in that place: the directory refuses, or a symbolic link, a
  /// directory or a device is there. A full disk is none: the file is open then, and appends fail until there
  /// is room.
  static Result<Opened> open(int dir_fd, std::string name, const Kind& kind,
                             const std::function<void(std::string_view payload)>& each);

  /// Reads a file without changing anything, also one that another RecordFile appends to: up to byte `limit`,
  /// which is bytes() of that one; UINT64_MAX: to its end. Stops when `each` returns false. Damage is told
  /// and ends the reading; an error is a file that cannot be opened (E_NOT_FOUND: it is not there) or read.
  static Result<ReadEnd> read(int dir_fd, const std::string& name, const Kind& kind, std::uint64_t limit,
                              const std::function<bool(std::string_view payload)>& each);

  /// Appends one record of at most limits::record_bytes (E_LIMIT_EXCEEDED). After any other error nothing of
  /// it is in the file, unless torn(); the next append may succeed.
  Result<void> append(std::string_view payload);

  /// Puts these records in the place of all others, at once: a crash leaves the old ones or the new ones, and
  /// so does an error, unless it says otherwise. Blocks for the disk.
  Result<void> rewrite(std::span<const std::string> records);

  /// Returns when all that was appended is on the disk (fdatasync). Blocks for it; may be called from any
  /// thread.
  Result<void> sync() const;

  /// Whether part of a record may stand behind the last whole one, which could not be removed when its append
  /// failed. The next append removes it first.
  [[nodiscard]] bool torn() const { return torn_; }
  /// Bytes of the file up to the end of its last record; 0 where not even the header could be written yet.
  [[nodiscard]] std::uint64_t bytes() const { return end_; }
  [[nodiscard]] bool empty() const { return end_ <= header_bytes; }
  /// Boot id of when the file was begun, as found in it: another than the present one says that the machine
  /// was started since, and that what was not synced may be lost.
  [[nodiscard]] const std::string& boot_id() const { return boot_id_; }
  /// Overwrites the boot id with zeros, as well as it goes: this file is to look like one of another boot
  /// from now on. Takes no room on the disk.
  void forget_boot();
  [[nodiscard]] const std::string& name() const { return name_; }
  /// Borrowed; another one after rewrite().
  [[nodiscard]] int fd() const { return file_->get(); }

 private:
  RecordFile(UniqueFd dir, std::string name, const Kind& kind);
  Result<void> begin();
  void cut_tail(const ScanEnd& at, std::uint64_t size, std::optional<Damage>& damage);
  Result<void> put(std::string_view head, std::string_view payload);
  void use(UniqueFd file);

  /// The descriptor, and what lets sync() hold on to it while rewrite() exchanges it.
  std::shared_ptr<const UniqueFd> file_;
  std::unique_ptr<std::mutex> exchange_ = std::make_unique<std::mutex>();
  UniqueFd dir_;
  std::string name_;
  Kind kind_;
  std::string boot_id_;
  std::uint64_t end_ = 0;
  bool torn_ = false;
};

struct RecordFile::Opened {
  RecordFile file;
  std::optional<Damage> damage;
  std::uint64_t records = 0;
  bool created = false;  ///< there was no such file
  bool begun = false;    ///< the header is new: there was no such file, or nothing in it, or nothing good
};

struct RecordFile::ReadEnd {
  std::optional<Damage> damage;
  std::string boot_id;
  std::uint64_t end = 0;  ///< just behind the last record that `each` was called for
};

}  // namespace kairo::storage
