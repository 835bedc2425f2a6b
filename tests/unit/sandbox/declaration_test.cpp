#include "sandbox/declaration.hpp"

#include <doctest/doctest.h>

#include "sandbox/profile.hpp"

using namespace kairo;
using api::IpcAccess;
using api::NetAccess;
using api::NetPorts;
using api::Permissions;

namespace {

using Paths = std::vector<std::string>;
using Ports = std::vector<std::uint16_t>;

Permissions files(Paths read, Paths write = {}) {
  Permissions out;
  out.fs.emplace();
  if (!read.empty()) out.fs->read = std::move(read);
  if (!write.empty()) out.fs->write = std::move(write);
  return out;
}

Permissions net(std::variant<NetAccess, NetPorts> access) {
  Permissions out;
  out.net = std::move(access);
  return out;
}

Permissions ipc(IpcAccess access) {
  Permissions out;
  out.ipc = access;
  return out;
}

/// The line that exceeds, or "" where `outer` covers `inner`.
std::string excess(const Permissions& outer, const Permissions& inner, const std::string& cwd = "/work") {
  const auto covered = sandbox::covers(outer, inner, cwd, cwd);
  if (covered) return "";
  CHECK(covered.error().code == Code::permission_denied);
  return std::get<std::string>(covered.error().details.at(0).second);
}

std::string allowed_by(const Permissions& permissions, const std::string& target, const std::string& access) {
  const auto explained = sandbox::explain(*sandbox::normalised(permissions, "/work", "p"), target, "/work");
  REQUIRE(explained.ok());
  for (const auto& each : *explained)
    if (each.access == access) {
      CHECK(each.allowed == each.by.has_value());
      CHECK(each.allowed != each.would.has_value());
      return each.allowed ? *each.by : "";
    }
  FAIL("nothing is said of " << access);
  return "";
}

}  // namespace

TEST_CASE("paths become absolute and plain") {
  CHECK(sandbox::normal_path("a/b", "/work") == "/work/a/b");
  CHECK(sandbox::normal_path(".", "/work") == "/work");
  CHECK(sandbox::normal_path("../x//y/./z/", "/work/here") == "/work/x/y/z");
  CHECK(sandbox::normal_path("/../..", "/work") == "/");
  CHECK(sandbox::normal_path("/usr/", "/work") == "/usr");
}

TEST_CASE("below goes by whole components") {
  CHECK(sandbox::is_below("/a/b", "/a"));
  CHECK(sandbox::is_below("/a", "/a"));
  CHECK(sandbox::is_below("/a", "/"));
  CHECK_FALSE(sandbox::is_below("/ab", "/a"));
  CHECK_FALSE(sandbox::is_below("/a", "/a/b"));
}

TEST_CASE("the normal form says everything once") {
  auto normal = sandbox::normalised(files({"lib", "/work/lib", "/usr/"}), "/work", "p");
  REQUIRE(normal.ok());
  CHECK(*normal->fs->read == Paths{"/work/lib", "/usr"});
  CHECK(normal->fs->write->empty());
  CHECK(std::get<NetAccess>(*normal->net) == NetAccess::none);
  CHECK(*normal->ipc == IpcAccess::none);
  auto again = sandbox::normalised(*normal, "/elsewhere", "p");
  CHECK(*again == *normal);
  const auto ports = sandbox::normalised(net(NetPorts{Ports{443, 80, 443}, {}}), "/", "p");
  CHECK(*std::get<NetPorts>(*ports->net).connect_tcp == Ports{80, 443});
  for (const std::string& bad : {std::string(), std::string("a\0b", 3)}) {
    auto refused = sandbox::normalised(files({"/fine", bad}), "/work", "p");
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Code::invalid_params);
    CHECK(std::get<std::string>(refused.error().details.at(0).second) == "p.fs.read[1]");
  }
}

TEST_CASE("a declaration has bounds") {
  Permissions many = files({"/p"});
  many.fs->read->clear();
  for (std::size_t i = 0; i < sandbox::paths_max; ++i) many.fs->read->push_back("/p" + std::to_string(i));
  CHECK(sandbox::normalised(many, "/", "p").ok());
  many.fs->write = {{"/q"}};
  CHECK_FALSE(sandbox::normalised(many, "/", "p").ok());
  CHECK_FALSE(sandbox::normalised(files({std::string(sandbox::path_bytes_max + 1, 'x')}), "/", "p").ok());
  Ports ports(sandbox::ports_max + 1);
  for (std::size_t i = 0; i < ports.size(); ++i) ports[i] = static_cast<std::uint16_t>(i);
  CHECK_FALSE(sandbox::normalised(net(NetPorts{{}, ports}), "/", "p").ok());
}

TEST_CASE("a declaration covers what is no more than itself") {
  const Permissions some = files({"/usr", "lib"}, {"out"});
  CHECK(excess(some, some) == "");
  CHECK(excess(some, Permissions{}) == "");
  CHECK(excess(some, files({"/usr/bin", "/work/lib/a", "out"})) == "");  // write includes reading
  CHECK(excess(some, files({}, {"/work/out/deeper"})) == "");
  CHECK(excess(files({"/"}, {"/"}), some) == "");
}

TEST_CASE("the first line that exceeds is named") {
  const Permissions some = files({"/usr"}, {"/work/out"});
  CHECK(excess(some, files({"/usr", "/etc"})) == "fs.read /etc");
  CHECK(excess(some, files({"/"})) == "fs.read /");
  CHECK(excess(some, files({"/usr2"})) == "fs.read /usr2");
  CHECK(excess(some, files({}, {"/usr/share"})) == "fs.write /usr/share");
  CHECK(excess(some, files({}, {"out/../../etc"})) == "fs.write /etc");
  CHECK(excess(Permissions{}, files({"/usr"})) == "fs.read /usr");
}

TEST_CASE("networks are ordered as far as they compare") {
  const auto all = net(NetAccess::all), none = net(NetAccess::none), own = net(NetAccess::private_);
  const auto web = net(NetPorts{Ports{80, 443}, {}}), server = net(NetPorts{{}, Ports{80}});
  for (const auto& each : {all, none, own, web, server}) {
    CHECK(excess(all, each) == "");
    CHECK(excess(each, none) == "");
    CHECK(excess(each, each) == "");
  }
  CHECK(excess(none, own) == "net private");
  CHECK(excess(web, own) == "net private");
  CHECK(excess(own, all) == "net all");
  CHECK(excess(web, all) == "net all");
  CHECK(excess(own, web) == "net.connectTcp 80");
  CHECK(excess(none, web) == "net.connectTcp 80");
  CHECK(excess(web, net(NetPorts{Ports{443}, {}})) == "");
  CHECK(excess(web, net(NetPorts{Ports{443, 8080}, {}})) == "net.connectTcp 8080");
  CHECK(excess(web, server) == "net.bindTcp 80");  // to connect is not to listen
  CHECK(excess(none, net(NetPorts{})) == "");
}

TEST_CASE("ipc is ordered") {
  CHECK(excess(ipc(IpcAccess::all), ipc(IpcAccess::kernel)) == "");
  CHECK(excess(ipc(IpcAccess::kernel), ipc(IpcAccess::none)) == "");
  CHECK(excess(ipc(IpcAccess::kernel), ipc(IpcAccess::all)) == "ipc all");
  CHECK(excess(Permissions{}, ipc(IpcAccess::kernel)) == "ipc kernel");
}

TEST_CASE("each has the working directory of its own process") {
  CHECK(sandbox::covers(files({"."}), files({"."}), "/work", "/work/below").ok());
  CHECK_FALSE(sandbox::covers(files({"."}), files({"."}), "/work/below", "/work").ok());
}

TEST_CASE("the line that covers something is named, or the one that would") {
  Permissions some = files({"/usr"}, {"out"});
  some.net = NetPorts{Ports{443}, Ports{8080}};
  CHECK(allowed_by(some, "/usr/bin/sh", "read") == "fs.read /usr");
  CHECK(allowed_by(some, "/usr/bin/sh", "write") == "");
  CHECK(allowed_by(some, "out/x", "read") == "fs.write /work/out");
  CHECK(allowed_by(some, "out/x", "write") == "fs.write /work/out");
  CHECK(allowed_by(some, "out/../x", "read") == "");
  CHECK(allowed_by(some, "/dev/null", "write") == "basic /dev/null, part of every declaration");
  CHECK(allowed_by(some, "tcp:443", "connect") == "net.connectTcp 443");
  CHECK(allowed_by(some, "tcp:443", "bind") == "");
  CHECK(allowed_by(some, "tcp:8080", "bind") == "net.bindTcp 8080");
  CHECK(allowed_by(some, "udp:53", "send") == "");
  CHECK(allowed_by(some, "unix:/run/x", "connect") == "");
  CHECK(allowed_by(net(NetAccess::all), "udp:53", "send") == "net all");
  CHECK(allowed_by(ipc(IpcAccess::all), "unix:/run/x", "connect") == "ipc all");
  for (const std::string& bad :
       {std::string(), std::string("tcp:"), std::string("tcp:65536"), std::string("udp:-1"),
        std::string("tcp:80x"), std::string("/a\0b", 4), std::string("unix:"), std::string("unix:/a\0", 8),
        std::string("TCP:80"), std::string("Unix:/x")})
    CHECK_FALSE(sandbox::explain(some, bad, "/").ok());
  CHECK(sandbox::explain(some, "./TCP:80", "/").ok());
}

TEST_CASE("a hint is a word of a shell whatever a file is called") {
  const auto would = [](const std::string& path) {
    return *sandbox::explain(Permissions{}, path, "/work")->front().would;
  };
  CHECK(would("/etc/x") == "--allow-read /etc/x");
  CHECK(would("/x; touch pwn #") == "--allow-read '/x; touch pwn #'");
  CHECK(would("/c\xc2\x9b; #") == "--allow-read $'/c\\xc2\\x9b; #'");
  CHECK(would("/no\xff") == "--allow-read $'/no\\xff'");
}

TEST_CASE("a hint can be given as it stands") {
  const auto would = [](const Permissions& permissions, const std::string& target, std::size_t at = 0) {
    const auto explained = sandbox::explain(*sandbox::normalised(permissions, "/work", "p"), target, "/work");
    return explained->at(at).would.value_or("");
  };
  const Permissions none;
  Permissions connecting = net(NetPorts{Ports{1}, {}});
  CHECK(would(none, "tcp:5") == "--connect-tcp 5 (in place of --net none)");
  CHECK(would(none, "tcp:5", 1) == "--bind-tcp 5 (in place of --net none)");
  CHECK(would(connecting, "tcp:5") == "--connect-tcp 5");
  CHECK(would(connecting, "udp:5") == "--net all (in place of --connect-tcp and --bind-tcp)");
  CHECK(would(connecting, "unix:/x") == "--ipc all --bind-tcp PORT");
  CHECK(would(net(NetPorts{{}, Ports{1}}), "unix:/x") == "--ipc all");
  CHECK(would(ipc(IpcAccess::all), "tcp:5") == "--connect-tcp 5 --bind-tcp PORT (in place of --net none)");
  // The directory of a process is another one for the next.
  CHECK(would(none, "/proc/12/maps") == "--allow-read /proc (for the session's own processes alone)");
  CHECK(would(none, "/proc/self/maps") == "--allow-read /proc");
  CHECK(would(none, "/proc/12/task/13/status") == "--allow-read /proc");
  CHECK(would(none, "/proc/1/environ") == "");
  CHECK(would(none, "/proc/1/task/1/mem") == "");
  CHECK(would(none, "/proc/meminfo") == "--allow-read /proc/meminfo");
  const Permissions offline = *sandbox::shipped_profile("offline").permissions;
  CHECK(would(offline, "tcp:5") ==
        "--connect-tcp 5 (in place of --profile offline, with the rest of what it allows)");
  CHECK(would(offline, "/etc/shadow") ==
        "--allow-read /etc/shadow (in place of --profile offline, with the rest of what it allows)");
}

TEST_CASE("the shipped profiles are what they are called") {
  CHECK(sandbox::shipped_profiles().size() == 4);
  CHECK_FALSE(sandbox::shipped_profile("nothing").known);
  CHECK_FALSE(sandbox::shipped_profile("unconfined").permissions.has_value());
  const Permissions read_only = *sandbox::shipped_profile("read-only").permissions;
  const Permissions offline = *sandbox::shipped_profile("offline").permissions;
  const Permissions workspace = *sandbox::shipped_profile("workspace").permissions;
  CHECK(excess(offline, read_only) == "");
  CHECK(excess(workspace, offline) == "");
  CHECK(excess(offline, workspace) == "net all");
  CHECK(excess(read_only, offline).starts_with("fs.write /"));
  CHECK(allowed_by(read_only, "x", "write") == "");
  CHECK(allowed_by(workspace, "x", "write") == "fs.write /work");
  CHECK(allowed_by(workspace, "/etc/shadow", "read") == "");
}
