// A confinement, worked out before the launch: what Landlock handles and allows, and the seccomp program.
// kairod makes it from a declaration, it travels with keeper::Launch, the launching thread opens its paths
// (ruleset.hpp), and the child applies it to itself (enter.hpp).
//
// Order of calls: declaration.hpp's normalised(), then make_plan(), both pure but for the look at the host.
//
// Rights to files, TCP ports, signals and abstract sockets are Landlock's; what it leaves open (other
// protocols, changing modes and owners, tracing, mounting, ...) is the filter's (filter.hpp). Nothing is ever
// left out because a host does not know it: that is E_UNSUPPORTED.
#pragma once

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "api/confinement.hpp"
#include "base/result.hpp"
#include "reflect/fields.hpp"
#include "sandbox/host.hpp"

namespace kairo::sandbox {

/// A file, or a directory with all below it.
struct PathRule {
  std::string path;  ///< Absolute.
  std::uint64_t access = 0;
  bool optional = false;  ///< A path that is not there is passed over; else it is an error.
  bool operator==(const PathRule&) const = default;
  static constexpr auto fields() {
    using S = PathRule;
    return std::tuple(reflect::field("path", &S::path, ""), reflect::field("access", &S::access, ""),
                      reflect::defaulted("optional", &S::optional, ""));
  }
};

struct PortRule {
  std::uint16_t port = 0;
  std::uint64_t access = 0;
  bool operator==(const PortRule&) const = default;
  static constexpr auto fields() {
    return std::tuple(reflect::field("port", &PortRule::port, ""),
                      reflect::field("access", &PortRule::access, ""));
  }
};

struct Plan {
  std::uint64_t handled_files = 0;
  std::uint64_t handled_ports = 0;
  std::uint64_t scoped = 0;
  std::vector<PathRule> paths;
  std::vector<PortRule> ports;
  bool private_network = false;
  /// Whether the paths may lead through symbolic links. Not where a confined process asks for the launch: it
  /// could lay a link to what it may not reach.
  bool follow_links = true;
  reflect::Bytes filter;  ///< struct sock_filter, one after the other.
  /// Instructions of it at which a listener is asked, so that the session can say what was denied. Where
  /// there can be no listener, and by a keeper that knows nothing of it, the filter is used as it is.
  std::vector<std::uint16_t> tellable;
  /// Whether the host's audit is to be told what Landlock denies to the program.
  bool audited = false;
  static constexpr auto fields() {
    using S = Plan;
    using reflect::defaulted;
    using reflect::field;
    return std::tuple(field("handledFiles", &S::handled_files, ""),
                      field("handledPorts", &S::handled_ports, ""), field("scoped", &S::scoped, ""),
                      field("paths", &S::paths, ""), field("ports", &S::ports, ""),
                      defaulted("privateNetwork", &S::private_network, ""),
                      defaulted("followLinks", &S::follow_links, ""), field("filter", &S::filter, ""),
                      defaulted("tellable", &S::tellable, ""), defaulted("audited", &S::audited, ""));
  }
};

/// `permissions`: as normalised() gives them. E_UNSUPPORTED names what this host cannot enforce.
Result<Plan> make_plan(const api::Permissions& permissions, const Host& host);

}  // namespace kairo::sandbox
