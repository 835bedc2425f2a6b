#include "system/device_cache.hpp"

#include <algorithm>
#include <utility>

namespace kairo::system {

void DeviceCache::recall(api::Device device) {
  std::string id = device.id;
  recalled_.insert_or_assign(std::move(id), std::move(device));
}

std::string DeviceCache::recalled_id(const FoundDevice& found, const PlainIds& all) {
  const std::string plain = plain_device_id(found.names);
  const auto it = std::find_if(recalled_.begin(), recalled_.end(), [&](const auto& each) {
    const auto& [id, device] = each;
    if (device.path == found.device.path) return id == plain || id.starts_with(plain + "@");
    // In another port, if none like it is where it was.
    const auto there = all.find(device.path);
    return id == plain && (there == all.end() || there->second != plain);
  });
  if (it == recalled_.end()) return {};
  std::string id = it->first;
  recalled_.erase(it);
  return id;
}

std::vector<DeviceCache::News> DeviceCache::fill(std::vector<FoundDevice> all) {
  std::vector<News> news;
  PlainIds plain_ids;
  for (const FoundDevice& each : all) plain_ids.emplace(each.device.path, plain_device_id(each.names));
  // What is gone first: it gives its id back.
  for (auto it = by_path_.begin(); it != by_path_.end();) {
    const auto still = plain_ids.find(it->first);
    if (still != plain_ids.end() && still->second == it->second.plain_id) {
      ++it;
      continue;
    }
    news.push_back({false, it->second.device});
    it = drop(it);
  }
  std::vector<FoundDevice> fresh;
  std::vector<DeviceNames> names;
  for (FoundDevice& each : all) {
    const auto known = by_path_.find(each.device.path);
    if (known != by_path_.end()) {
      each.device.id = known->second.device.id;
      known->second.device = std::move(each.device);
    } else if (std::string id = recalled_id(each, plain_ids); !id.empty()) {
      take(std::move(each), std::move(id), true);
    } else {
      names.push_back(each.names);
      fresh.push_back(std::move(each));
    }
  }
  std::vector<std::string> ids = make_device_ids(names, uses_);
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    const std::string path = fresh[i].device.path;
    take(std::move(fresh[i]), std::move(ids[i]), filled_);
    if (filled_) news.push_back({true, by_path_.at(path).device});
  }
  for (auto& [id, device] : recalled_) news.push_back({false, std::move(device)});
  recalled_.clear();
  filled_ = true;
  return news;
}

std::vector<DeviceCache::News> DeviceCache::apply(DeviceChange change) {
  using Kind = DeviceChange::Kind;
  std::vector<News> news;
  std::string id;
  auto known = by_path_.find(change.old_path.empty() ? change.path : change.old_path);
  if (known != by_path_.end()) {
    const bool same =
        change.kind != Kind::removed && known->second.plain_id == plain_device_id(change.found.names);
    if (same && change.old_path.empty()) {
      Entry& entry = known->second;
      change.found.device.id = entry.device.id;
      entry.device = std::move(change.found.device);
      if (change.kind == Kind::added && !change.repeated && !std::exchange(entry.told, true))
        news.push_back({true, entry.device});
      return news;
    }
    if (same)
      id = known->second.device.id;
    else
      news.push_back({false, known->second.device});
    drop(known);
  }
  if (change.kind == Kind::removed) return news;
  // Under its new path it may be known already, when it was found there since.
  if (by_path_.contains(change.path)) return news;
  const bool renamed = !id.empty();
  if (!renamed) id = make_device_ids({change.found.names}, uses_).front();
  take(std::move(change.found), std::move(id), true);
  if (!renamed) news.push_back({true, by_path_.at(change.path).device});
  return news;
}

void DeviceCache::take(FoundDevice found, std::string id, bool told) {
  if (path_of_id_.contains(id)) id += "@" + found.device.path;
  std::string plain = plain_device_id(found.names);
  found.device.id = std::move(id);
  const std::string path = found.device.path;
  path_of_id_.insert_or_assign(found.device.id, path);
  ++uses_[plain];
  by_path_.insert_or_assign(path, Entry{std::move(found.device), std::move(plain), told});
}

DeviceCache::ByPath::iterator DeviceCache::drop(ByPath::iterator entry) {
  path_of_id_.erase(entry->second.device.id);
  const auto uses = uses_.find(entry->second.plain_id);
  if (--uses->second == 0) uses_.erase(uses);
  return by_path_.erase(entry);
}

const api::Device* DeviceCache::find(const std::string& id) const {
  const auto it = path_of_id_.find(id);
  return it == path_of_id_.end() ? nullptr : &by_path_.at(it->second).device;
}

std::vector<api::Device> DeviceCache::list(const api::DeviceListParams& params) const {
  std::vector<api::Device> out;
  for (const auto& [id, path] : path_of_id_) {
    const api::Device& device = by_path_.at(path).device;
    if (params.subsystem && device.subsystem != *params.subsystem) continue;
    if (params.type && device.type != *params.type) continue;
    out.push_back(device);
  }
  return out;
}

}  // namespace kairo::system
