// What devices there are, as far as it is known: filled by enumerating, kept by what the monitor hears. Gives
// ids, which a device keeps as long as it is there, and finds out what is news.
//
// Order of calls: recall() for devices of the time before, fill() before all else; then apply() and fill() as
// it comes. What is there at the first fill() is no news, but for one that the kernel says to have come just
// then: who listens from before the first fill() hears of everything that came since, once.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "system/devices.hpp"

namespace kairo::system {

/// What the monitor heard of one device.
struct DeviceChange {
  enum class Kind { added, changed, removed };
  Kind kind = Kind::changed;
  /// Somebody asked the kernel to say it once more of a device that is there (`udevadm trigger`).
  bool repeated = false;
  std::string path;      ///< Below /sys, as in api::Device.
  std::string old_path;  ///< Before it was renamed or moved; empty: it was not.
  FoundDevice found;     ///< Unless removed.
};

class DeviceCache {
 public:
  struct News {
    bool added = false;  ///< Else removed.
    api::Device device;
  };

  /// A device that an earlier daemon knew: it gets the same id, or is news when it is not there any more.
  void recall(api::Device device);
  /// These are all that there are.
  std::vector<News> fill(std::vector<FoundDevice> all);
  std::vector<News> apply(DeviceChange change);

  [[nodiscard]] const api::Device* find(const std::string& id) const;
  /// In order of their ids.
  [[nodiscard]] std::vector<api::Device> list(const api::DeviceListParams& params) const;
  [[nodiscard]] std::size_t size() const { return by_path_.size(); }

 private:
  struct Entry {
    api::Device device;
    std::string plain_id;
    bool told = false;  ///< Was news, or is known from before.
  };
  using ByPath = std::map<std::string, Entry>;
  using PlainIds = std::unordered_map<std::string, std::string>;  ///< By path.

  void take(FoundDevice found, std::string id, bool told);
  ByPath::iterator drop(ByPath::iterator entry);
  /// The id that it had before, or nothing; `all` are those that are there.
  [[nodiscard]] std::string recalled_id(const FoundDevice& found, const PlainIds& all);

  ByPath by_path_;
  std::map<std::string, std::string> path_of_id_;
  DeviceIdUses uses_;
  std::map<std::string, api::Device> recalled_;  ///< By id; until the first fill().
  bool filled_ = false;
};

}  // namespace kairo::system
