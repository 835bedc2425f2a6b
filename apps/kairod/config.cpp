#include "config.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>
#include <variant>

#include <nlohmann/json.hpp>

#include "reflect/encode.hpp"
#include "reflect/fields.hpp"

namespace kairo::daemon {
namespace {

using Json = nlohmann::json;

constexpr const char* default_socket = "/tmp/kairo-kernel.sock";

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  if (!value || !*value) return std::nullopt;
  return value;
}

/// The base directories of the XDG specification, with their defaults.
std::string xdg(const char* variable, const char* below_home) {
  if (const auto named = environment(variable); named && (*named)[0] == '/') return *named;
  return environment("HOME").value_or("/") + below_home;
}

/// FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/): an instance's name, not a protection.
std::string hash_of(const std::string& text) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  std::string out;
  for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[hash >> shift & 15u];
  return out;
}

/// A value as a message shows it.
std::string shortened(const Json& value) {
  const std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

/// Where a setting has its value.
using Place = std::variant<std::optional<std::string> Config::*, kernel::OnShutdown Config::*,
                           ipc::HttpAddress Config::*, Config::SocketMode Config::*, access::Policy Config::*,
                           bool kernel::Settings::*, std::uint64_t kernel::Settings::*>;

/// One member of the files. Reading, complaints, suggestions and --check-config follow from it.
struct Setting {
  std::string_view name;
  Place place;
  std::uint64_t least = 0;  ///< Of numbers.
  std::uint64_t most = 0;
  std::string_view unit = {};
};

/// Every setting, in the order in which --check-config prints them.
const std::vector<Setting>& all_settings() {
  static const std::vector<Setting> all = [] {
    std::vector<Setting> made{{"socket", &Config::socket},
                              {"stateDir", &Config::state_dir},
                              {"onShutdown", &Config::on_shutdown},
                              {"metricsListen", &Config::metrics_listen},
                              {"socketMode", &Config::socket_mode},
                              {"policy", &Config::policy},
                              {"rootReachesAll", &kernel::Settings::root_reaches_all}};
    for (const kernel::NumberSetting& each : kernel::number_settings)
      made.push_back({each.name, each.member, each.least, each.most, each.unit});
    return made;
  }();
  return all;
}

std::string octal(mode_t bits) {
  char text[8];
  std::snprintf(text, sizeof text, "%04o", static_cast<unsigned>(bits));
  return text;
}

Error bad(const std::string& file, std::string_view member, const std::string& problem) {
  return Error(Code::invalid_params,
               file + ": " + (member.empty() ? "the document" : "\"" + std::string(member) + "\"") + " " +
                   problem)
      .with("path", std::string(member));
}

/// What the value of one setting must be, in words; empty when it is that and was taken.
struct Take {
  const Setting& setting;
  const Json& value;
  Config& out;

  std::string operator()(std::optional<std::string> Config::*place) const {
    const auto* text = value.get_ptr<const std::string*>();
    if (!text || text->empty() || (*text)[0] != '/') return "must be an absolute path";
    out.*place = *text;
    return {};
  }
  std::string operator()(kernel::OnShutdown Config::*place) const {
    if (value != "keep" && value != "stop") return "must be \"keep\" or \"stop\"";
    out.*place = value == "keep" ? kernel::OnShutdown::keep : kernel::OnShutdown::stop;
    return {};
  }
  std::string operator()(ipc::HttpAddress Config::*place) const {
    const auto* text = value.get_ptr<const std::string*>();
    if (!text) return "must be a text";
    auto address = ipc::HttpAddress::parse(*text);
    if (!address) return "is wrong: " + address.error().message;
    out.*place = std::move(*address);
    return {};
  }
  std::string operator()(Config::SocketMode Config::*place) const {
    const auto* text = value.get_ptr<const std::string*>();
    const auto mode = text ? parse_socket_mode(*text) : std::nullopt;
    if (!mode) return "must be a text of octal permission bits that let the owner in, for instance \"0660\"";
    out.*place = *mode;
    return {};
  }
  std::string operator()(access::Policy Config::*place) const {
    if (!value.is_object()) return "must be an object";
    std::string bytes;
    Json::to_msgpack(value, bytes);
    auto policy = access::Policy::read(bytes);
    if (!policy) return "is wrong: " + policy.error().message;
    out.*place = std::move(*policy);
    return {};
  }
  std::string operator()(bool kernel::Settings::*place) const {
    if (!value.is_boolean()) return "must be true or false";
    out.settings.*place = value.get<bool>();
    return {};
  }
  std::string operator()(std::uint64_t kernel::Settings::*place) const {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() < setting.least ||
        value.get<std::uint64_t>() > setting.most)
      return "must be a whole number, " + std::to_string(setting.least) + " to " +
             std::to_string(setting.most) + " " + std::string(setting.unit);
    out.settings.*place = value.get<std::uint64_t>();
    return {};
  }
};

Result<void> read_document(const std::string& file, const Json& json, Config& out) {
  if (!json.is_object()) return bad(file, "", "must be an object");
  for (const auto& [name, value] : json.items()) {
    const auto setting = std::find_if(all_settings().begin(), all_settings().end(),
                                      [&name = name](const Setting& each) { return each.name == name; });
    if (setting == all_settings().end()) {
      std::vector<std::string_view> known;
      for (const Setting& each : all_settings()) known.push_back(each.name);
      const std::string_view near = reflect::nearest_name(name, known.data(), known.size());
      return bad(file, name,
                 near.empty() ? "is not a setting"
                              : "is not a setting; did you mean \"" + std::string(near) + "\"?");
    }
    const std::string problem = std::visit(Take{*setting, value, out}, setting->place);
    if (!problem.empty())
      return bad(file, name, problem + (problem.starts_with("is wrong") ? "" : ", not " + shortened(value)));
  }
  // What goes together is looked at file by file, so that the one to blame can be named.
  const kernel::Settings& settings = out.settings;
  if (settings.retain_bytes > settings.retain_bytes_max)
    return bad(file, json.contains("retainBytes") ? "retainBytes" : "retainBytesMax",
               "leaves retainBytes (" + std::to_string(settings.retain_bytes) + ") above retainBytesMax (" +
                   std::to_string(settings.retain_bytes_max) + ")");
  struct Pair {
    const char* low;
    std::uint64_t lower;
    const char* high;
    std::uint64_t higher;
  };
  for (const Pair& each :
       {Pair{"loadLowPercent", settings.load_low_percent, "loadHighPercent", settings.load_high_percent},
        Pair{"memoryPressureLowPercent", settings.memory_pressure_low_percent, "memoryPressureHighPercent",
             settings.memory_pressure_high_percent},
        Pair{"batteryCriticalPercent", settings.battery_critical_percent, "batteryRecoveredPercent",
             settings.battery_recovered_percent}})
    if (each.lower > each.higher && each.higher > 0)
      return bad(file, json.contains(each.low) ? each.low : each.high,
                 std::string("leaves ") + each.low + " (" + std::to_string(each.lower) + ") above " +
                     each.high + " (" + std::to_string(each.higher) + ")");
  return {};
}

Result<void> read_file(const std::string& file, bool required, Config& out) {
  std::ifstream stream(file);
  if (!stream) {
    const int error = errno;
    if (!required && (error == ENOENT || error == ENOTDIR)) return {};
    return system_error("cannot read " + file, error, Code::invalid_params);
  }
  // A depth of its own: the parser recurses, and the file may be anything.
  const auto shallow = [](int depth, Json::parse_event_t, Json&) { return depth <= 8; };
  const Json json = Json::parse(stream, shallow, false, true);
  if (json.is_discarded()) return Error(Code::invalid_params, file + ": is not JSON");
  return read_document(file, json, out);
}

}  // namespace

Result<Config> load_config(const std::optional<std::string>& explicit_file) {
  Config out;
  for (const std::string& file :
       {std::string("/etc/kairo/kairod.json"), xdg("XDG_CONFIG_HOME", "/.config") + "/kairo/kairod.json"}) {
    auto read = read_file(file, false, out);
    if (!read) return std::move(read).error();
  }
  if (explicit_file) {
    auto read = read_file(*explicit_file, true, out);
    if (!read) return std::move(read).error();
  }
  return out;
}

std::optional<Config::SocketMode> parse_socket_mode(const std::string& text) {
  unsigned bits = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits, 8);
  if (error != std::errc{} || end != text.data() + text.size() || bits > 0777 || (bits & 0600) != 0600)
    return std::nullopt;
  return Config::SocketMode{static_cast<mode_t>(bits)};
}

std::string resolve_socket(const Config& config) {
  if (config.socket) return *config.socket;
  struct stat status {};
  if (::lstat(default_socket, &status) == 0 && status.st_uid != ::geteuid())
    if (const auto runtime = environment("XDG_RUNTIME_DIR")) return *runtime + "/kairo-kernel.sock";
  return default_socket;
}

std::string resolve_state_dir(const Config& config, const std::string& socket) {
  if (config.state_dir) return *config.state_dir;
  const std::string instance = socket == default_socket ? "default" : hash_of(socket);
  if (::geteuid() == 0) return "/var/lib/kairo/" + instance;
  return xdg("XDG_STATE_HOME", "/.local/state") + "/kairo/" + instance;
}

std::string effective_config(const Config& config) {
  nlohmann::ordered_json out;
  for (const Setting& each : all_settings()) {
    auto& value = out[std::string(each.name)];
    if (const auto* number = std::get_if<std::uint64_t kernel::Settings::*>(&each.place))
      value = config.settings.*(*number);
    else if (const auto* flag = std::get_if<bool kernel::Settings::*>(&each.place))
      value = config.settings.*(*flag);
    else if (std::holds_alternative<kernel::OnShutdown Config::*>(each.place))
      value = config.on_shutdown == kernel::OnShutdown::keep ? "keep" : "stop";
    else if (std::holds_alternative<ipc::HttpAddress Config::*>(each.place))
      value = config.metrics_listen.text();
    else if (std::holds_alternative<Config::SocketMode Config::*>(each.place))
      value = octal(config.socket_mode.bits);
    else if (std::holds_alternative<access::Policy Config::*>(each.place))
      value = nlohmann::ordered_json::from_msgpack(reflect::to_msgpack(config.policy.document()));
  }
  const std::string socket = resolve_socket(config);
  out["socket"] = socket;
  out["stateDir"] = resolve_state_dir(config, socket);
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace kairo::daemon
