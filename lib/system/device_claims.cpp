#include "system/device_claims.hpp"

namespace kairo::system {
namespace {

bool may_take(const DeviceClaim& had, const DeviceClaim& wanted) {
  if (had.session_key != 0) return had.session_key == wanted.session_key;
  if (had.connection != 0) return had.connection == wanted.connection;
  return had.owned_by() == wanted.owned_by();
}

}  // namespace

Result<DeviceClaim> DeviceClaims::claim(DeviceClaim wanted) {
  const std::string id = wanted.device.id;
  const DeviceClaim* had = find(id);
  if (had && !may_take(*had, wanted)) {
    const api::DeviceHolder& holder = had->holder;
    const char* const whose = holder.process_id      ? ""
                              : had->connection != 0 ? ", by a connection"
                                                     : ", by a connection that was lost";
    Error taken(Code::already_exists,
                "cannot claim device \"" + id + "\": " + holder.owner + " has claimed it" +
                    (holder.process_id ? " for session \"" + *holder.process_id + "\"" : whose));
    taken.details.emplace_back("id", id);
    taken.details.emplace_back("owner", holder.owner);
    if (holder.process_id) taken.details.emplace_back("processId", *holder.process_id);
    return taken;
  }
  if (wanted.session_key != 0) wanted.connection = 0;
  if (had && had->session_key == wanted.session_key && had->connection == wanted.connection) return *had;
  wanted.serial = ++serial_;
  return claims_.insert_or_assign(id, std::move(wanted)).first->second;
}

void DeviceClaims::restore(DeviceClaim claim) {
  claim.connection = 0;
  claim.serial = ++serial_;
  std::string id = claim.device.id;
  claims_.insert_or_assign(std::move(id), std::move(claim));
}

const DeviceClaim* DeviceClaims::find(const std::string& device_id) const {
  const auto it = claims_.find(device_id);
  return it == claims_.end() ? nullptr : &it->second;
}

std::optional<DeviceClaim> DeviceClaims::release(const std::string& device_id) {
  auto node = claims_.extract(device_id);
  if (!node) return std::nullopt;
  return std::move(node.mapped());
}

template <class Which>
std::vector<DeviceClaim> DeviceClaims::release_if(const Which& which) {
  std::vector<DeviceClaim> out;
  for (auto it = claims_.begin(); it != claims_.end();) {
    if (!which(it->second)) {
      ++it;
      continue;
    }
    out.push_back(std::move(it->second));
    it = claims_.erase(it);
  }
  return out;
}

std::vector<DeviceClaim> DeviceClaims::release_session(std::uint64_t key) {
  return release_if([key](const DeviceClaim& each) { return each.session_key == key; });
}

std::vector<DeviceClaim> DeviceClaims::release_connection(std::uint64_t number) {
  return release_if(
      [number](const DeviceClaim& each) { return each.session_key == 0 && each.connection == number; });
}

}  // namespace kairo::system
