// The claims on disk, for the next daemon: STATE_DIR/claims, a file of records "KAIROCLM"
// (storage/record_file.hpp). A record is an Entry as MsgPack: a claim, or that a device is released; the last
// one of a device counts. Once what has no meaning any more is the most of it, the file is written anew.
//
// A start of the machine ends every claim, so nothing here need survive a power loss, and nothing is synced.
//
// After open() one thread that may wait for the disk calls everything.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "storage/record_file.hpp"
#include "system/device_claims.hpp"

namespace kairo::system {

class ClaimFile {
 public:
  struct Opened;
  /// Opens or makes the file in `state_dir` (borrowed during the call); `each` gets the claims that hold.
  /// Damage is mended and told.
  static Result<Opened> open(int state_dir, const std::function<void(DeviceClaim)>& each);

  /// After an error the claim is not on record.
  Result<void> put(const DeviceClaim& claim);
  /// After an error the claim is still on record; the next call of either makes up for it.
  Result<void> remove(const std::string& device_id);

  [[nodiscard]] std::uint64_t bytes() const { return file_.bytes(); }

 private:
  explicit ClaimFile(storage::RecordFile file) : file_(std::move(file)) {}
  Result<void> append(const std::string& record);

  storage::RecordFile file_;
  std::map<std::string, std::string> live_;  ///< The records of the claims that hold, by device id.
  std::uint64_t live_bytes_ = 0;
  bool behind_ = false;  ///< The file says more than holds.
};

struct ClaimFile::Opened {
  ClaimFile file;
  std::optional<std::string> damage;  ///< For people.
};

}  // namespace kairo::system
