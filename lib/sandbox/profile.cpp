#include "sandbox/profile.hpp"

#include <algorithm>
#include <array>

namespace kairo::sandbox {
namespace {

using namespace std::string_view_literals;

constexpr std::array names{"read-only"sv, "workspace"sv, "offline"sv, "unconfined"sv};
constexpr std::array devices{"/dev/null"sv, "/dev/zero"sv, "/dev/full"sv, "/dev/random"sv, "/dev/urandom"sv};
constexpr std::array files{"/etc/ld.so.cache"sv};
/// Not all of /etc: root without capabilities may still read what is root's, /etc/shadow for one.
constexpr std::array system{"/usr"sv,
                            "/bin"sv,
                            "/sbin"sv,
                            "/lib"sv,
                            "/lib32"sv,
                            "/lib64"sv,
                            "/proc"sv,
                            "/etc/alternatives"sv,
                            "/etc/ssl/certs"sv,
                            "/etc/ssl/openssl.cnf"sv,
                            "/etc/passwd"sv,
                            "/etc/group"sv,
                            "/etc/nsswitch.conf"sv,
                            "/etc/hosts"sv,
                            "/etc/host.conf"sv,
                            "/etc/resolv.conf"sv,
                            "/etc/gai.conf"sv,
                            "/etc/services"sv,
                            "/etc/protocols"sv,
                            "/etc/localtime"sv,
                            "/etc/timezone"sv,
                            "/etc/os-release"sv,
                            "/etc/locale.alias"sv,
                            "/etc/terminfo"sv,
                            "/sys/devices/system/cpu"sv};
constexpr std::array temporary{"/tmp"sv, "/var/tmp"sv};

template <class From>
std::vector<std::string> strings(const From& from) {
  return {from.begin(), from.end()};
}

}  // namespace

std::span<const std::string_view> shipped_profiles() {
  return names;
}
std::span<const std::string_view> basic_devices() {
  return devices;
}
std::span<const std::string_view> basic_files() {
  return files;
}
std::span<const std::string_view> system_paths() {
  return system;
}

Profile shipped_profile(std::string_view name) {
  Profile out;
  out.known = std::find(names.begin(), names.end(), name) != names.end();
  if (!out.known || name == "unconfined") return out;
  api::Permissions& permissions = out.permissions.emplace();
  api::FileAccess& fs = permissions.fs.emplace();
  fs.read = strings(system);
  if (name == "read-only") {
    fs.read->emplace_back(".");
    permissions.net = api::NetAccess::none;
    permissions.ipc = api::IpcAccess::none;
    return out;
  }
  fs.write = strings(temporary);
  fs.write->insert(fs.write->begin(), ".");
  permissions.net = name == "workspace" ? api::NetAccess::all : api::NetAccess::none;
  permissions.ipc = api::IpcAccess::kernel;
  return out;
}

}  // namespace kairo::sandbox
