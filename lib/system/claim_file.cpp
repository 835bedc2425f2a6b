#include "system/claim_file.hpp"

#include <vector>

#include "reflect/decode.hpp"
#include "reflect/encode.hpp"
#include "wire/payload.hpp"

namespace kairo::system {
namespace {

/// Below this the file is not worth writing anew.
constexpr std::uint64_t compaction_bytes = 64u << 10;

struct Entry {
  std::string id;
  std::optional<DeviceClaim> claim;  ///< Absent: released.
  static constexpr auto fields() {
    return std::tuple(reflect::field("id", &Entry::id, ""), reflect::field("claim", &Entry::claim, ""));
  }
};

}  // namespace

Result<ClaimFile::Opened> ClaimFile::open(int state_dir, const std::function<void(DeviceClaim)>& each) {
  std::map<std::string, DeviceClaim> claims;
  std::optional<std::string> unreadable;
  wire::PayloadDecoder decoder;
  const auto read = [&](std::string_view payload) {
    auto object = decoder.decode(payload);
    auto entry = object ? reflect::from_object<Entry>(*object, "entry", reflect::Unknown::ignore)
                        : Result<Entry>(object.error());
    if (!entry)
      unreadable = "a claim of a device on record cannot be read: " + entry.error().message;
    else if (entry->claim)
      claims.insert_or_assign(entry->id, std::move(*entry->claim));
    else
      claims.erase(entry->id);
  };
  auto opened = storage::RecordFile::open(state_dir, "claims", {"KAIROCLM", 1, {}}, read);
  if (!opened) return std::move(opened).error();
  const bool this_boot = opened->file.boot_id() == storage::machine_boot_id();
  Opened out{ClaimFile(std::move(opened->file)), std::move(unreadable)};
  if (opened->damage) out.damage = opened->damage->text();
  if (!this_boot) {
    claims.clear();
    out.file.behind_ = true;  // and of a boot that is over
  }
  for (auto& [id, claim] : claims) {
    std::string record = reflect::to_msgpack(Entry{id, claim});
    out.file.live_bytes_ += record.size();
    out.file.live_.emplace(id, std::move(record));
    each(std::move(claim));
  }
  return out;
}

Result<void> ClaimFile::append(const std::string& record) {
  if (!behind_ && file_.bytes() < compaction_bytes + 4 * live_bytes_) return file_.append(record);
  std::vector<std::string> all;
  for (const auto& [id, each] : live_) all.push_back(each);
  auto written = file_.rewrite(all);
  behind_ = !written.ok();
  return written;
}

Result<void> ClaimFile::put(const DeviceClaim& claim) {
  const std::string& id = claim.device.id;
  std::string record = reflect::to_msgpack(Entry{id, claim});
  std::string before;
  if (const auto it = live_.find(id); it != live_.end()) before = it->second;
  live_bytes_ += record.size() - before.size();
  live_[id] = record;
  auto written = append(record);
  if (written) return written;
  live_bytes_ -= record.size() - before.size();
  if (before.empty())
    live_.erase(id);
  else
    live_[id] = before;
  return written;
}

Result<void> ClaimFile::remove(const std::string& device_id) {
  const auto it = live_.find(device_id);
  if (it == live_.end()) return {};
  live_bytes_ -= it->second.size();
  live_.erase(it);
  auto written = append(reflect::to_msgpack(Entry{device_id, std::nullopt}));
  if (!written) behind_ = true;
  return written;
}

}  // namespace kairo::system
