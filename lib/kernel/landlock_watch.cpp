#include "kernel/landlock_watch.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/post.hpp>

#include "kernel/kernel.hpp"
#include "sandbox/host.hpp"
#include "sandbox/landlock.hpp"

namespace kairo::kernel {
namespace {

/// Records of one turn of the loop.
constexpr int records_per_turn = 64;
/// What may wait while the kernel's thread is busy; a record takes about 1 KiB there.
constexpr int socket_bytes = 1 << 20;
/// Denials of domains that are not known yet.
constexpr std::size_t early_max = 64;
/// Domains that are followed: one for each session, and those that programs make for themselves.
constexpr std::size_t domains_max = 65'536;
/// How often the host is asked whether its audit is on.
constexpr std::chrono::seconds ask_interval{1};
/// How soon a launch that is under way is looked at again.
constexpr std::chrono::milliseconds launch_look{5};
/// How long a daemon that starts waits for the first answer, which takes well under a millisecond.
constexpr std::chrono::milliseconds first_answer{200};
/// Landlock tells the audit since ABI 7 (Linux 6.15).
constexpr int telling_abi = 7;
constexpr std::uint32_t read_group = 1;  // AUDIT_NLGRP_READLOG

UniqueFd open_socket() {
  UniqueFd out(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_AUDIT));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = read_group;
  if (out && ::bind(out.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    const int error_number = errno;
    out.reset();
    errno = error_number;
  }
  return out;
}

/// The type of a message, as a filter loads it: in the order of the network.
bool leave_out_others(int socket) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(nlmsghdr, nlmsg_type)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(AUDIT_GET), 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(NLMSG_ERROR), 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(sandbox::landlock_access_record), 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(sandbox::landlock_domain_record), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, ~0u),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(code)), code};
  return ::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

}  // namespace

LandlockWatch::LandlockWatch(Kernel& kernel) : kernel_(kernel) {}

LandlockWatch::~LandlockWatch() {
  stop();
}

void LandlockWatch::start() {
  if (sandbox::host().landlock_abi < telling_abi) {
    why_not_ = "Landlock ABI 7 (Linux 6.15) is needed, this kernel has ABI " +
               std::to_string(sandbox::host().landlock_abi);
    return;
  }
  UniqueFd socket = open_socket();
  if (!socket) {
    const int error_number = errno;
    why_not_ = "the host's audit cannot be read: " + describe_errno(error_number);
    return;
  }
  if (!leave_out_others(socket.get())) {
    const int error_number = errno;
    why_not_ = "the host's audit cannot be filtered: " + describe_errno(error_number);
    return;
  }
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &socket_bytes, sizeof socket_bytes);
  socket_ = std::make_unique<boost::asio::posix::stream_descriptor>(kernel_.io(), socket.release());
  // Once it is waited for, so that the first session is told of like any other.
  ask_host();
  pollfd answered{socket_->native_handle(), POLLIN, 0};
  if (::poll(&answered, 1, static_cast<int>(first_answer.count())) > 0) read();
  watch();
}

void LandlockWatch::stop() {
  *alive_ = false;
  socket_.reset();
}

bool LandlockWatch::on() {
  if (!socket_) return false;
  const SteadyTime now = SteadyClock::now();
  if (now - asked_at_ >= ask_interval) ask_host();
  return enabled_;
}

/// The answer comes on the same socket.
void LandlockWatch::ask_host() {
  asked_at_ = SteadyClock::now();
  nlmsghdr request{};
  request.nlmsg_len = sizeof request;
  request.nlmsg_type = AUDIT_GET;
  request.nlmsg_flags = NLM_F_REQUEST;
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  ::sendto(socket_->native_handle(), &request, sizeof request, MSG_DONTWAIT,
           reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
}

/// Of struct audit_status the mask and `enabled`.
void LandlockWatch::on_status(std::string_view status) {
  std::uint32_t words[2] = {0, 0};
  if (status.size() >= sizeof words) std::memcpy(words, status.data(), sizeof words);
  enabled_ = words[1] != 0;
  why_not_ = enabled_ ? "" : "the host's audit is off";
}

void LandlockWatch::watch() {
  socket_->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                      [this, still = alive_](boost::system::error_code error) {
                        if (!*still || error) return;
                        read();
                        watch();
                      });
}

void LandlockWatch::read() {
  if (!socket_) return;
  for (int i = 0; i < records_per_turn && take(socket_->native_handle()); ++i) {
  }
}

bool LandlockWatch::take(int socket) {
  alignas(nlmsghdr) char bytes[sandbox::landlock_record_bytes_max + sizeof(nlmsghdr)];
  sockaddr_nl from{};
  socklen_t from_bytes = sizeof from;
  const ssize_t got =
      ::recvfrom(socket, bytes, sizeof bytes, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &from_bytes);
  if (got < 0) {
    if (errno == ENOBUFS) lost_ = true;
    return errno == ENOBUFS || errno == EINTR;
  }
  if (from.nl_pid != 0 || got < static_cast<ssize_t>(sizeof(nlmsghdr))) return true;
  nlmsghdr head{};
  std::memcpy(&head, bytes, sizeof head);
  // The length that the head tells is without itself in these messages.
  const std::string_view text(bytes + sizeof head, static_cast<std::size_t>(got) - sizeof head);
  if (head.nlmsg_type == AUDIT_GET) {
    on_status(text);
  } else if (head.nlmsg_type == NLMSG_ERROR) {
    enabled_ = false;
    why_not_ = "the host does not let this daemon ask whether its audit is on";
  } else if (head.nlmsg_type == sandbox::landlock_domain_record) {
    if (const auto domain = sandbox::read_landlock_domain(text)) on_domain(*domain);
  } else if (head.nlmsg_type == sandbox::landlock_access_record) {
    if (auto access = sandbox::read_landlock_access(text)) on_access(*access);
  }
  return true;
}

void LandlockWatch::know(std::uint64_t domain, std::uint64_t key) {
  if (sessions_.size() < domains_max) sessions_[domain] = key;
}

void LandlockWatch::on_domain(const sandbox::LandlockDomain& domain) {
  if (domain.ended) {
    sessions_.erase(domain.domain);
    return;
  }
  session::Session* made = nullptr;
  // The one that runs has the number now; of those that have ended the newest had it last.
  kernel_.sessions().for_each(0, [&](session::Session& each) {
    if (each.pid() == domain.pid && (!made || !made->running())) made = &each;
    return true;
  });
  // A program may be denied something before its launch is answered. As many are asked about again as have an
  // access among the early ones, which are bounded.
  const auto is_early = [&](const sandbox::LandlockAccess& each) { return each.domain == domain.domain; };
  if (!made && !kernel_.starting.empty() && std::any_of(early_.begin(), early_.end(), is_early)) {
    kernel_.timers().after(launch_look, [this, domain, still = alive_] {
      if (*still) on_domain(domain);
    });
    return;
  }
  if (!made || !made->denied_accesses()) made = nullptr;
  if (made) {
    know(domain.domain, made->key());
    if (made->running() && made->note_domain(domain.domain)) kernel_.remember(*made);
  }
  std::erase_if(early_, [&](const sandbox::LandlockAccess& each) {
    if (each.domain != domain.domain) return false;
    if (made) note(*made, each);
    return true;
  });
}

void LandlockWatch::on_access(const sandbox::LandlockAccess& access) {
  const auto known = sessions_.find(access.domain);
  if (known == sessions_.end()) {
    if (early_.size() >= early_max) early_.pop_front();
    early_.push_back(access);
    return;
  }
  if (session::Session* session = kernel_.sessions().find_key(known->second)) note(*session, access);
}

void LandlockWatch::note(session::Session& session, const sandbox::LandlockAccess& access) {
  const sandbox::AccessAsked asked = sandbox::asked(access);
  const bool is_new = session.denied(asked.what, asked.target, unix_us(system_now()));
  // Of one that runs it goes on record at its end.
  if (is_new && session.ended()) kernel_.put_on_record(session);
}

}  // namespace kairo::kernel
