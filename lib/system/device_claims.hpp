// Who has claimed which device (SPEC 10). A claim is exclusive. It belongs to a session, and ends with it; or
// to a connection, and ends with that. Whoever has a claim may give it to a session.
//
// A claim of a connection of an earlier daemon is nobody's for a while: another connection of the same
// principal takes it over by claiming the device again; the kernel releases what is left then.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/device.hpp"
#include "base/result.hpp"

namespace kairo::system {

struct DeviceClaim {
  api::Device device;  ///< As it was at the time, without its holder.
  api::DeviceHolder holder;
  std::string owner_path;         ///< Of the holder (access::Principal).
  std::uint64_t session_key = 0;  ///< 0: a connection's.
  std::uint64_t connection = 0;   ///< 0: a session's, or that of a connection of an earlier daemon.
  std::uint64_t serial = 0;       ///< Another one with each change of hands.

  [[nodiscard]] const std::string& owned_by() const { return owner_path.empty() ? holder.owner : owner_path; }

  /// What is kept on disk.
  static constexpr auto fields() {
    using S = DeviceClaim;
    using reflect::defaulted;
    using reflect::field;
    return std::tuple(field("device", &S::device, ""), field("holder", &S::holder, ""),
                      defaulted("ownerPath", &S::owner_path, ""),
                      defaulted("sessionKey", &S::session_key, ""));
  }
};

class DeviceClaims {
 public:
  /// The device's claim from now on; also when it had it already. E_ALREADY_EXISTS with the holder where
  /// another one has it.
  Result<DeviceClaim> claim(DeviceClaim wanted);
  /// One that an earlier daemon knew.
  void restore(DeviceClaim claim);

  [[nodiscard]] const DeviceClaim* find(const std::string& device_id) const;
  /// What is released is given back.
  std::optional<DeviceClaim> release(const std::string& device_id);
  std::vector<DeviceClaim> release_session(std::uint64_t key);
  std::vector<DeviceClaim> release_connection(std::uint64_t number);
  /// Those of connections of an earlier daemon.
  std::vector<DeviceClaim> release_orphans() { return release_connection(0); }

  [[nodiscard]] const std::map<std::string, DeviceClaim>& all() const { return claims_; }

 private:
  template <class Which>
  std::vector<DeviceClaim> release_if(const Which& which);
  std::map<std::string, DeviceClaim> claims_;  ///< By the device's id.
  std::uint64_t serial_ = 0;
};

}  // namespace kairo::system
