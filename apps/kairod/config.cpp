#include "config.hpp"

#include <cstdlib>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

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

class Reader {
 public:
  Reader(std::string file, Config& out) : file_(std::move(file)), out_(out) {}

  Result<void> read(const Json& json) {
    if (!json.is_object()) return bad("", "must be an object");
    for (const auto& [name, value] : json.items()) {
      auto taken = member(name, value);
      if (!taken) return taken;
    }
    return {};
  }

 private:
  Result<void> member(const std::string& name, const Json& value) {
    if (name == "socket") return path(name, value, out_.socket);
    if (name == "stateDir") return path(name, value, out_.state_dir);
    if (name == "onShutdown") {
      if (value != "keep" && value != "stop") return bad(name, "must be \"keep\" or \"stop\"");
      out_.on_shutdown = value == "keep" ? kernel::OnShutdown::keep : kernel::OnShutdown::stop;
      return {};
    }
    if (name == "endedSessions") return number(name, value, out_.ended_sessions);
    if (name == "totalLogBytes") return number(name, value, out_.total_log_bytes);
    if (name == "endedSessionHours") {
      std::uint64_t hours = 0;
      auto taken = number(name, value, hours);
      if (!taken) return taken;
      if (hours > 24 * 365 * 10) return bad(name, "must be at most ten years");
      out_.ended_session_age = std::chrono::hours(hours);
      return {};
    }
    if (name == "rootReachesAll") {
      if (!value.is_boolean()) return bad(name, "must be true or false");
      out_.root_reaches_all = value;
      return {};
    }
    constexpr std::string_view known[] = {"socket",        "stateDir",      "onShutdown",
                                          "endedSessions", "totalLogBytes", "endedSessionHours",
                                          "rootReachesAll"};
    const std::string_view near = reflect::nearest_name(name, known, std::size(known));
    return bad(name, near.empty() ? "is not a setting"
                                  : "is not a setting; did you mean \"" + std::string(near) + "\"?");
  }

  Result<void> path(const std::string& name, const Json& value, std::optional<std::string>& out) {
    if (!value.is_string() || value.get_ref<const std::string&>().empty() ||
        value.get_ref<const std::string&>()[0] != '/')
      return bad(name, "must be an absolute path");
    out = value.get<std::string>();
    return {};
  }

  template <class N>
  Result<void> number(const std::string& name, const Json& value, N& out) {
    if (!value.is_number_unsigned()) return bad(name, "must be a whole number, not negative");
    out = value.get<N>();
    return {};
  }

  [[nodiscard]] Error bad(const std::string& member, const std::string& problem) const {
    return Error(Code::invalid_params,
                 file_ + ": " + (member.empty() ? "the document" : "\"" + member + "\"") + " " + problem)
        .with("path", member);
  }

  std::string file_;
  Config& out_;
};

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
  return Reader(file, out).read(json);
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

}  // namespace kairo::daemon
