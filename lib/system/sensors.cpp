#include "system/sensors.hpp"

#include <algorithm>
#include <cctype>
#include <set>
#include <string>

namespace kairo::system {
namespace {

/// The kernel gives thousandths of a degree.
api::Temperature degrees(std::string name, std::int64_t thousandths) {
  return {std::move(name), static_cast<double>(thousandths) / 1000};
}

/// The name under which hwmon shows a thermal zone of this type (thermal_hwmon.c).
std::string hwmon_name(std::string type) {
  std::replace(type.begin(), type.end(), '-', '_');
  return type;
}

/// "Not charging" -> "not-charging".
std::string status_word(std::string text) {
  for (char& c : text) c = c == ' ' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

template <class T>
std::optional<std::vector<T>> unless_empty(std::vector<T> values) {
  if (values.empty()) return std::nullopt;
  return values;
}

}  // namespace

std::optional<std::vector<api::Temperature>> sample_temperatures(const HostFiles& host) {
  std::vector<api::Temperature> out;
  std::set<std::string> zones;
  const std::string thermal = "sys/class/thermal/";
  for (const std::string& zone : host.names(thermal)) {
    if (!zone.starts_with("thermal_zone")) continue;
    const auto value = host.number(thermal + zone + "/temp");
    if (!value) continue;
    const std::string type = host.line(thermal + zone + "/type").value_or(zone);
    zones.insert(hwmon_name(type));
    out.push_back(degrees(type, *value));
  }
  const std::string hwmon = "sys/class/hwmon/";
  for (const std::string& chip : host.names(hwmon)) {
    const std::string chip_name = host.line(hwmon + chip + "/name").value_or(chip);
    if (zones.contains(chip_name)) continue;
    for (const std::string& file : host.names(hwmon + chip)) {
      constexpr std::string_view suffix = "_input";
      if (!file.starts_with("temp") || !file.ends_with(suffix)) continue;
      const auto value = host.number(hwmon + chip + "/" + file);
      if (!value) continue;
      const std::string sensor = file.substr(0, file.size() - suffix.size());
      const std::string label = host.line(hwmon + chip + "/" + sensor + "_label").value_or(sensor);
      out.push_back(degrees(chip_name + " " + label, *value));
    }
  }
  return unless_empty(std::move(out));
}

std::optional<std::vector<api::Battery>> sample_batteries(const HostFiles& host) {
  std::vector<api::Battery> out;
  const std::string supplies = "sys/class/power_supply/";
  for (const std::string& name : host.names(supplies)) {
    const std::string at = supplies + name;
    if (host.line(at + "/type") != "Battery" || host.line(at + "/scope") == "Device") continue;
    if (host.number(at + "/present") == 0) continue;
    api::Battery battery;
    battery.name = name;
    if (const auto charge = host.number(at + "/capacity")) battery.percent = static_cast<double>(*charge);
    const auto status = host.line(at + "/status");
    if (status && *status != "Unknown") battery.status = status_word(*status);
    out.push_back(std::move(battery));
  }
  return unless_empty(std::move(out));
}

}  // namespace kairo::system
