#include "sandbox/plan.hpp"

#include <cstring>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <set>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <doctest/doctest.h>

#include "sandbox/declaration.hpp"
#include "sandbox/denial.hpp"
#include "sandbox/filter.hpp"
#include "sandbox/landlock.hpp"
#include "verdict.hpp"

using namespace kairo;
using sandbox::FilterShape;
using sandbox::test::verdict;

namespace {

#if defined(__x86_64__)
constexpr std::uint32_t machine = AUDIT_ARCH_X86_64;
#else
constexpr std::uint32_t machine = AUDIT_ARCH_AARCH64;
#endif

bool allows(const FilterShape& shape, long number, std::initializer_list<std::uint64_t> arguments = {}) {
  const auto program = sandbox::compiled_filter(shape);
  REQUIRE(program.ok());
  seccomp_data data{};
  data.nr = static_cast<int>(number);
  data.arch = machine;
  std::size_t i = 0;
  for (const std::uint64_t each : arguments) data.args[i++] = each;
  return verdict((*program)->program, data) == SECCOMP_RET_ALLOW;
}

constexpr FilterShape closed{};
constexpr std::uint64_t garbage = 7ull << 32;
constexpr std::uint64_t with_flags = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;

}  // namespace

TEST_CASE("a filter is compiled once") {
  CHECK(*sandbox::compiled_filter(closed) == *sandbox::compiled_filter({}));
  CHECK(**sandbox::compiled_filter(closed) != **sandbox::compiled_filter({.write = true}));
}

TEST_CASE("ordinary work is allowed, the ways out are not") {
  for (const long number : {SYS_read, SYS_write, SYS_openat, SYS_execve, SYS_mmap, SYS_kill, SYS_futex})
    CHECK(allows(closed, number));
  for (const long number : {SYS_ptrace, SYS_mount, SYS_bpf, SYS_io_uring_setup, SYS_keyctl, SYS_setns,
                            SYS_clone3, SYS_open_by_handle_at, SYS_pidfd_getfd})
    CHECK_FALSE(allows({FilterShape::Network::open, true, true}, number));
}

TEST_CASE("what is newer than the list is not there, and another architecture ends the process") {
  CHECK_FALSE(allows(closed, 470));
  CHECK_FALSE(allows(closed, 100'000));
  CHECK_FALSE(allows(closed, 0x40000000 | SYS_read));  // x32
  seccomp_data data{};
  data.nr = SYS_read;
  data.arch = AUDIT_ARCH_I386;
  CHECK(verdict((*sandbox::compiled_filter(closed))->program, data) == SECCOMP_RET_KILL_PROCESS);
}

TEST_CASE("what a declaration could allow asks the listener, and nothing else does") {
  const auto filter = sandbox::compiled_filter(closed);
  REQUIRE(filter.ok());
  const auto program = sandbox::told((*filter)->program, (*filter)->tellable);
  REQUIRE(program);
  const auto asks = [&](long number, std::initializer_list<std::uint64_t> arguments = {}) {
    seccomp_data data{};
    data.nr = static_cast<int>(number);
    data.arch = machine;
    std::size_t i = 0;
    for (const std::uint64_t each : arguments) data.args[i++] = each;
    const std::uint32_t plain = verdict((*filter)->program, data);
    const std::uint32_t told = verdict(*program, data);
    if (told != SECCOMP_RET_USER_NOTIF) {
      CHECK(told == plain);
      return false;
    }
    // The keeper's answer is the one that the filter alone would have given.
    const sandbox::Denial denial =
        sandbox::denial_of(data.nr, reinterpret_cast<const std::uint64_t*>(data.args));
    CHECK(plain == (SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(sandbox::refusal_of(denial))));
    return true;
  };
  for (const long number :
       std::initializer_list<long>{SYS_socket, SYS_shmget, SYS_msgget, SYS_mq_open, SYS_fchmod, SYS_fchownat,
                                   SYS_utimensat, SYS_fsetxattr, 452})
    CHECK(asks(number));
  CHECK(asks(SYS_ioctl, {0, 'f' << 8 | 2}));
  for (const long number :
       std::initializer_list<long>{SYS_ptrace, SYS_mount, SYS_bpf, SYS_clone3, SYS_read, SYS_execve, 470})
    CHECK_FALSE(asks(number));
  CHECK_FALSE(asks(SYS_ioctl, {0, TIOCSTI}));
  CHECK_FALSE(asks(SYS_ioctl, {0, 0x94 << 8 | 1}));  // btrfs, under every declaration
  CHECK_FALSE(asks(SYS_socketpair, {AF_UNIX, SOCK_STREAM}));
}

TEST_CASE("a list of instructions that do not refuse is none") {
  const auto& filter = **sandbox::compiled_filter(closed);
  CHECK_FALSE(sandbox::told(filter.program, {0}));
  CHECK_FALSE(sandbox::told(filter.program, {0xffff}));
  CHECK(sandbox::told(filter.program, {}) == filter.program);
}

TEST_CASE("a denial is named with the option that would allow it") {
  const auto name = [](long call, std::initializer_list<std::uint64_t> given,
                       const api::Permissions& permissions) {
    std::uint64_t arguments[6] = {};
    std::size_t i = 0;
    for (const std::uint64_t each : given) arguments[i++] = each;
    const auto named =
        sandbox::named(sandbox::denial_of(static_cast<int>(call), arguments), permissions, "/work");
    return named.what + ": " + named.would;
  };
  const api::Permissions none;
  api::Permissions ports, apart, ipc, connecting, both;
  ports.net = api::NetPorts{{}, {{80}}};
  apart.net = api::NetAccess::private_;
  ipc.ipc = api::IpcAccess::all;
  connecting.net = api::NetPorts{{{1}}, {}};
  both.net = api::NetAccess::private_;
  both.ipc = api::IpcAccess::all;
  CHECK(name(SYS_socket, {AF_INET, with_flags, 0}, none) ==
        "TCP socket (IPv4): --net all, or --connect-tcp PORT or --bind-tcp PORT (in place of --net none)");
  CHECK(name(SYS_socket, {AF_INET, with_flags, 0}, ipc) ==
        "TCP socket (IPv4): --net all, or --bind-tcp PORT and --connect-tcp PORT (in place of --net none)");
  CHECK(name(SYS_socket, {garbage | AF_INET6, SOCK_DGRAM, 0}, none) == "UDP socket (IPv6): --net all");
  CHECK(name(SYS_socket, {AF_INET, SOCK_STREAM, 262}, ports) ==
        "MPTCP socket (IPv4): --net all (in place of --connect-tcp and --bind-tcp)");
  CHECK(name(SYS_socket, {AF_UNIX, SOCK_STREAM, 0}, none) == "Unix socket (stream): --ipc all");
  CHECK(name(SYS_socket, {AF_UNIX, SOCK_STREAM, 0}, ports) == "Unix socket (stream): --ipc all");
  // A TCP socket that was never bound is not told from a Unix one there, so a port to listen on is needed.
  CHECK(name(SYS_socket, {AF_UNIX, SOCK_STREAM, 0}, connecting) ==
        "Unix socket (stream): --ipc all --bind-tcp PORT");
  CHECK(name(SYS_socketpair, {AF_UNIX, SOCK_DGRAM, 0}, none) == "pair of Unix datagram sockets: --ipc all");
  CHECK(name(SYS_socketpair, {AF_INET, SOCK_STREAM, 0}, none) == "pair of sockets of family 2: --ipc all");
  CHECK(name(SYS_socketpair, {AF_INET, SOCK_STREAM, 0}, apart) ==
        "pair of sockets of family 2: --net all --ipc all");
  CHECK(name(SYS_socketpair, {AF_INET, SOCK_STREAM, 0}, both) == "pair of sockets of family 2: --net all");
  CHECK(name(SYS_listen, {3, 5}, connecting) == "listen: --bind-tcp PORT");
  CHECK(name(SYS_fchmodat, {}, none) == "fchmodat: --allow-write PATH");
  CHECK(name(SYS_shmget, {}, none) == "shmget: --ipc all");
}

TEST_CASE("hints for pairs of sockets let them through the filter") {
  using Network = FilterShape::Network;
  CHECK_FALSE(allows({Network::none, false, false}, SYS_socketpair, {AF_INET, SOCK_STREAM, 0}));
  CHECK_FALSE(allows({Network::open, false, false}, SYS_socketpair, {AF_INET, SOCK_STREAM, 0}));
  CHECK(allows({Network::none, true, false}, SYS_socketpair, {AF_INET, SOCK_STREAM, 0}));
  CHECK_FALSE(allows({Network::apart, true, false}, SYS_socketpair, {AF_INET, SOCK_STREAM, 0}));
  CHECK(allows({Network::open, true, false}, SYS_socketpair, {AF_INET, SOCK_STREAM, 0}));
}

TEST_CASE("what Landlock denied is named with the option that would allow it, or says why there is none") {
  api::Permissions some;
  some.fs.emplace();
  some.fs->read = {{"/usr", "/work/conf"}};
  const auto named = [&](const std::string& what, const std::string& target) {
    return sandbox::named(sandbox::AccessAsked{what, target}, some, "/work");
  };
  CHECK(named("read", "/etc/x").would == "--allow-read /etc/x");
  CHECK(named("read", "/etc/x").note.empty());
  // A file that took the place of a declared one is not covered.
  const auto replaced = named("read", "/work/conf");
  CHECK(replaced.would.empty());
  CHECK(replaced.note.starts_with("the declaration has the name (fs.read /work/conf), but a rule holds for"));
  CHECK(named("write", "/work/conf").would == "--allow-write /work/conf");
  CHECK(named("read", "/etc/gone (deleted)").would.empty());
  CHECK(named("read", "").would.empty());
  CHECK(named("scope.signal", "").what == "signal to a process outside");
  CHECK(named("scope.signal", "").would.empty());
  CHECK(named("scope.abstract_unix_socket", "").what == "abstract Unix socket");
  CHECK(named("scope.abstract_unix_socket", "").would == "--ipc all");
}

TEST_CASE("the basic devices may be asked whether they are terminals") {
  const auto plan = sandbox::make_plan({}, sandbox::host());
  if (!plan) return;  // this host cannot confine
  for (const sandbox::PathRule& each : plan->paths)
    if (each.path == "/dev/null") CHECK((each.access & sandbox::landlock::ioctl_dev) != 0);
}

TEST_CASE("processes may be made, namespaces not") {
  CHECK(allows(closed, SYS_clone, {0x1200011}));
  CHECK(allows(closed, SYS_clone, {0x3d0f00}));  // a thread
  CHECK(allows(closed, SYS_unshare, {CLONE_FILES}));
  for (const std::uint64_t flag :
       {0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000}) {
    CHECK_FALSE(allows(closed, SYS_clone, {flag | 17}));
    CHECK_FALSE(allows(closed, SYS_unshare, {flag}));
  }
  CHECK_FALSE(allows(closed, SYS_unshare, {0x80}));
}

TEST_CASE("no network and no ipc leave pairs of streams") {
  CHECK_FALSE(allows(closed, SYS_socket, {AF_INET, SOCK_STREAM, 0}));
  CHECK_FALSE(allows(closed, SYS_socket, {AF_UNIX, SOCK_STREAM, 0}));
  CHECK(allows(closed, SYS_socketpair, {AF_UNIX, SOCK_STREAM, 0}));
  CHECK(allows(closed, SYS_socketpair, {AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0}));
  CHECK_FALSE(allows(closed, SYS_socketpair, {AF_UNIX, SOCK_DGRAM, 0}));
  CHECK_FALSE(allows(closed, SYS_socketpair, {AF_UNIX, SOCK_DGRAM | garbage, 0}));
  CHECK_FALSE(allows(closed, SYS_shmget));
  const FilterShape sockets{.ipc = true};
  CHECK(allows(sockets, SYS_socket, {AF_UNIX, SOCK_DGRAM, 0}));
  CHECK(allows(sockets, SYS_shmget));
  CHECK_FALSE(allows(sockets, SYS_socket, {AF_INET, SOCK_STREAM, 0}));
  CHECK_FALSE(allows(sockets, SYS_socket, {AF_NETLINK, SOCK_RAW, 0}));
}

TEST_CASE("ports leave TCP alone") {
  for (const bool ipc : {false, true}) {
    const FilterShape ports{FilterShape::Network::ports, ipc, false};
    for (const std::uint64_t domain : {AF_INET, AF_INET6}) {
      CHECK(allows(ports, SYS_socket, {domain, with_flags, 0}));
      CHECK(allows(ports, SYS_socket, {domain, SOCK_STREAM, 6}));
      for (const std::uint64_t type :
           std::initializer_list<std::uint64_t>{SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_DCCP, 0, 15})
        CHECK_FALSE(allows(ports, SYS_socket, {domain, type, 0}));
      for (const std::uint64_t protocol : {1, 17, 132, 256, 262})
        CHECK_FALSE(allows(ports, SYS_socket, {domain, SOCK_STREAM, protocol}));
    }
    for (const std::uint64_t domain : {0, 3, 4, 5, 9, 16, 17, 31, 38, 40, 43, 44})
      CHECK_FALSE(allows(ports, SYS_socket, {domain, SOCK_STREAM, 0}));
    CHECK(allows(ports, SYS_socket, {AF_UNIX, SOCK_DGRAM, 0}) == ipc);
    CHECK_FALSE(allows(ports, SYS_socket, {AF_NETLINK | garbage, SOCK_RAW, 0}));
    CHECK_FALSE(allows(ports, SYS_socket, {AF_INET, SOCK_DGRAM | garbage, 0}));
    CHECK_FALSE(allows(ports, SYS_sendto, {3, 0, 1, MSG_FASTOPEN | MSG_NOSIGNAL, 0, 0}));
    CHECK(allows(ports, SYS_sendto, {3, 0, 1, MSG_NOSIGNAL, 0, 0}));
    CHECK(allows(ports, SYS_listen, {3, 1}));
    CHECK_FALSE(allows({FilterShape::Network::connecting_ports, ipc, false}, SYS_listen, {3, 1}));
  }
}

TEST_CASE("all of the network is not all of ipc") {
  const FilterShape online{FilterShape::Network::open, false, false};
  CHECK(allows(online, SYS_socket, {AF_INET, SOCK_DGRAM, 0}));
  CHECK(allows(online, SYS_socket, {AF_NETLINK, SOCK_RAW, 0}));
  CHECK_FALSE(allows(online, SYS_socket, {AF_UNIX, SOCK_STREAM, 0}));
  CHECK_FALSE(allows(online, SYS_socket, {AF_UNIX | garbage, SOCK_STREAM, 0}));
}

TEST_CASE("a private network has the families that a network namespace holds") {
  for (const bool ipc : {false, true}) {
    const FilterShape apart{FilterShape::Network::apart, ipc, true};
    for (std::uint64_t domain = 0; domain < 64; ++domain) {
      CAPTURE(domain);
      const bool wanted = domain == AF_INET || domain == AF_INET6 || domain == AF_NETLINK ||
                          domain == AF_PACKET || (domain == AF_UNIX && ipc);
      CHECK(allows(apart, SYS_socket, {domain, SOCK_DGRAM, 0}) == wanted);
    }
    CHECK_FALSE(allows(apart, SYS_socket, {AF_VSOCK | garbage, SOCK_STREAM, 0}));
    CHECK(allows(apart, SYS_socketpair, {AF_UNIX, SOCK_STREAM, 0}));
    CHECK_FALSE(allows(apart, SYS_socketpair, {AF_TIPC, SOCK_STREAM, 0}));
  }
}

TEST_CASE("requests that change what is open for reading are refused") {
  constexpr FilterShape writer{.write = true};
  const std::set<unsigned> trees{1, 14, 15, 17, 18, 19, 23, 24, 26, 37, 38, 63};
  const std::set<unsigned> reading{1, 3, 11, 20, 21, 22, 26, 27, 134, 135};
  for (const std::uint64_t upper : {0ull, 0x4008ull << 16, 0xc000ull << 16 | garbage})
    for (unsigned number = 0; number < 256; ++number) {
      CAPTURE(number);
      const auto passes = [&](const FilterShape& shape, std::uint64_t type) {
        return allows(shape, SYS_ioctl, {3, upper | type << 8 | number});
      };
      for (const FilterShape& shape : {closed, writer}) CHECK(passes(shape, 0x94) == !trees.contains(number));
      CHECK(passes(closed, 'f') == reading.contains(number));
      CHECK(passes(closed, 'X') == (number < 32));
      CHECK(passes(closed, 'v') == (number != 2));
      CHECK(passes(closed, 'r') == (number != 0x11));
      CHECK_FALSE(passes(closed, 0xf5));
      for (const unsigned type : {0x66u, 0x58u, 0x76u, 0x72u, 0xf5u}) CHECK(passes(writer, type));
    }
}

TEST_CASE("no lease, and no child of somebody else") {
  constexpr FilterShape all{FilterShape::Network::open, true, true};
  CHECK_FALSE(allows(all, SYS_fcntl, {3, 1024, 0}));
  CHECK_FALSE(allows(all, SYS_fcntl, {3, 1024 | garbage, 1}));
  CHECK(allows(all, SYS_fcntl, {3, 1025}));
  CHECK(allows(all, SYS_fcntl, {3, 4, 0}));
  CHECK_FALSE(allows(all, SYS_clone, {CLONE_PARENT | 17}));
}

TEST_CASE("only who may write changes modes; nobody types on terminals") {
  constexpr FilterShape writer{.write = true};
  for (const long number : std::initializer_list<long>{SYS_fchmod, SYS_fchmodat, SYS_fchownat, SYS_utimensat,
                                                       SYS_setxattr, 452l, 463l, 469l}) {
    CHECK_FALSE(allows(closed, number));
    CHECK(allows(writer, number));
  }
  for (const std::uint64_t request :
       std::initializer_list<std::uint64_t>{0x5412ull, 0x5412 | garbage, 0x541cull}) {
    CHECK_FALSE(allows(writer, SYS_ioctl, {0, request}));
  }
  CHECK(allows(closed, SYS_ioctl, {0, 0x5401}));
  CHECK(allows(closed, SYS_prlimit64, {0, 7}));
  CHECK_FALSE(allows(closed, SYS_prlimit64, {1, 7}));
}

TEST_CASE("a plan holds the rights that the declaration names, and what every program gets") {
  const sandbox::Host able{sandbox::landlock::needed_abi, true, true, true, ""};
  api::Permissions permissions;
  permissions.fs.emplace();
  permissions.fs->read = {{"/opt/tool"}};
  permissions.fs->write = {{"/work"}};
  permissions.net = api::NetPorts{{{443}}, {{8080}}};
  const auto plan = sandbox::make_plan(*sandbox::normalised(permissions, "/", "p"), able);
  REQUIRE(plan.ok());
  CHECK(plan->handled_files == sandbox::landlock::all_files);
  CHECK(plan->scoped == (sandbox::landlock::scope_signals | sandbox::landlock::scope_abstract_sockets));
  REQUIRE(plan->paths.size() > 2);
  CHECK(plan->paths[0].path == "/opt/tool");
  CHECK(plan->paths[0].access == 0b1101);
  CHECK_FALSE(plan->paths[0].optional);
  CHECK(plan->paths[1].access == sandbox::landlock::all_files);
  for (std::size_t i = 2; i < plan->paths.size(); ++i) CHECK(plan->paths[i].optional);
  REQUIRE(plan->ports.size() == 2);
  CHECK(plan->ports[0].access == sandbox::landlock::connect_tcp);
  CHECK(plan->ports[1].access == sandbox::landlock::bind_tcp);
  CHECK_FALSE(plan->filter.data.empty());
  CHECK(plan->follow_links);
}

TEST_CASE("what a host cannot do is named, and nothing is planned") {
  const auto refusal = [](const sandbox::Host& host, api::NetAccess net) {
    api::Permissions permissions;
    permissions.net = net;
    const auto plan = sandbox::make_plan(permissions, host);
    REQUIRE_FALSE(plan.ok());
    CHECK(plan.error().code == Code::unsupported);
    return plan.error().message;
  };
  using api::NetAccess;
  CHECK(refusal({0, true, true, true, ""}, NetAccess::none).find("Landlock") != std::string::npos);
  CHECK(refusal({4, true, true, true, ""}, NetAccess::none).find("this kernel has ABI 4") !=
        std::string::npos);
  CHECK(refusal({7, false, true, true, ""}, NetAccess::none).find("seccomp") != std::string::npos);
  CHECK(refusal({7, true, true, false, "a namespace"}, NetAccess::private_).find("a namespace") !=
        std::string::npos);
  CHECK(sandbox::missing({7, true, true, false, "a namespace"}).empty());
}
