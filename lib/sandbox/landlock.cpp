#include "sandbox/landlock.hpp"

#include <sys/syscall.h>
#include <unistd.h>

namespace kairo::sandbox::landlock {
namespace {

struct RulesetAttributes {
  std::uint64_t handled_files;
  std::uint64_t handled_ports;
  std::uint64_t scoped;
};
struct [[gnu::packed]] PathAttributes {
  std::uint64_t access;
  std::int32_t path;
};
struct PortAttributes {
  std::uint64_t access;
  std::uint64_t port;
};

constexpr unsigned version_flag = 1;
constexpr unsigned path_rule = 1;
constexpr unsigned port_rule = 2;

}  // namespace

int abi() {
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, version_flag);
  return version < 0 ? 0 : static_cast<int>(version);
}

UniqueFd make_ruleset(std::uint64_t handled_files, std::uint64_t handled_ports, std::uint64_t scoped) {
  const RulesetAttributes attributes{handled_files, handled_ports, scoped};
  return UniqueFd(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
}

int allow_path(int ruleset, std::uint64_t access, int path) {
  const PathAttributes attributes{access, path};
  return static_cast<int>(::syscall(SYS_landlock_add_rule, ruleset, path_rule, &attributes, 0));
}

int allow_port(int ruleset, std::uint64_t access, std::uint16_t port) {
  const PortAttributes attributes{access, port};
  return static_cast<int>(::syscall(SYS_landlock_add_rule, ruleset, port_rule, &attributes, 0));
}

}  // namespace kairo::sandbox::landlock
