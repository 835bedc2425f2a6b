#include "kernel/landlock_watch.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <climits>
#include <cstring>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include <boost/asio/post.hpp>

#include "kernel/kernel.hpp"
#include "sandbox/host.hpp"
#include "sandbox/landlock.hpp"

namespace kairo::kernel {
namespace {

/// Records of one turn of the loop.
constexpr int records_per_turn = 64;
/// And before the daemon ends.
constexpr int records_at_stop = 4096;
/// That may be unanswered.
constexpr std::size_t questions_max = 256;
/// What may wait while the kernel's thread is busy; a record takes about 1 KiB there.
constexpr int socket_bytes = 1 << 20;
/// Domains that are not known yet, and denials of one that are kept.
constexpr std::size_t early_max = 64;
constexpr std::size_t early_accesses_max = 16;
/// After so long a domain's record was sent before this daemon listened.
constexpr std::chrono::seconds early_for{1};
/// Domains of sessions; each has one.
constexpr std::size_t domains_max = 65'536;
constexpr std::size_t foreign_max = 4096;
/// How often the host is asked while sessions are told of.
constexpr std::chrono::milliseconds ask_interval{1000};
/// An answer as young as this needs no other one: a question takes the host 0.1 ms, as much as all of a
/// confinement (it starts a thread for its answer).
constexpr std::chrono::milliseconds fresh{100};
/// Older ones are asked about, and waited for from these ages on. That the audit is switched off is told
/// besides, and should that record be lost, follow() finds it out, and what it may have concerned is
/// interrupted. That it is switched on is told by nothing else: a session that starts right then is told to
/// have started before.
constexpr std::chrono::milliseconds stale_while_on{2000};
constexpr std::chrono::milliseconds stale_while_off{1000};
static_assert(stale_while_on > ask_interval);
constexpr std::chrono::milliseconds answer_wait{20};
/// How often those are looked after who wait for what was denied, and how long they do.
constexpr std::chrono::milliseconds hear_interval{2};
constexpr std::chrono::milliseconds hear_at_most{200};
/// The record that was taken from the backlog last may yet be on its way when the first answer comes.
constexpr int quiet_answers = 2;
/// Records of the audit's configuration: that it is switched off is told before it is.
constexpr unsigned config_record = AUDIT_CONFIG_CHANGE;
/// What a session's program may have been denied before its start was noted: a launch takes at most 5 s.
constexpr std::uint64_t launch_us = 6'000'000;
/// How long a record may lie in the host's queues, roughly.
constexpr std::uint64_t under_way_us = 1'000'000;
/// How soon a launch that is under way is looked at again.
constexpr std::chrono::milliseconds launch_look{5};
/// The keeper's program is looked up as often as this for those who start; where a record names another one
/// it is looked up again.
constexpr std::chrono::milliseconds launcher_fresh{1000};
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
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(AUDIT_GET), 4, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(NLMSG_ERROR), 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(config_record), 2, 0),
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
  *alive_ = false;
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
  sure_until_boot_us_ = boot_clock_us();
  ask_and_wait(first_answer);
  watch();
}

void LandlockWatch::stop() {
  if (!socket_) return;
  for (int i = 0; i < records_at_stop && take(socket_->native_handle()); ++i) {
  }
  *alive_ = false;
  socket_.reset();
  kernel_.sessions().for_each(0, [&](session::Session& each) {
    const auto& accesses = each.denied_accesses();
    if (each.running() && accesses && !accesses->listed.empty()) kernel_.put_on_record(each);
    return true;
  });
}

bool LandlockWatch::on() {
  if (!socket_) return false;
  const auto age = SteadyClock::now() - answered_at_;
  if (age >= (enabled_ ? stale_while_on : stale_while_off))
    ask_and_wait(answer_wait);
  else if (!enabled_ && age >= fresh && answered_ == question_)
    ask_host();
  follow();
  return enabled_;
}

void LandlockWatch::follow() {
  if (!socket_ || std::exchange(following_, true)) return;
  kernel_.timers().after(ask_interval, [this, still = alive_] {
    if (!*still) return;
    following_ = false;
    ask_host();
    bool told = !kernel_.starting.empty();
    kernel_.sessions().for_each(0, [&](session::Session& each) {
      told = told || (each.running() && each.denied_accesses());
      return !told;
    });
    if (told) follow();
  });
}

const std::string& LandlockWatch::launcher() {
  if (SteadyClock::now() - launcher_at_ >= launcher_fresh) look_up_launcher();
  return launcher_;
}

void LandlockWatch::look_up_launcher() {
  const std::string link = "/proc/" + std::to_string(kernel_.link().keeper_pid()) + "/exe";
  char path[PATH_MAX];
  const ssize_t bytes = ::readlink(link.c_str(), path, sizeof path);
  launcher_ = bytes > 0 ? sandbox::program_of({path, static_cast<std::size_t>(bytes)}) : std::string_view();
  launcher_at_ = SteadyClock::now();
}

bool LandlockWatch::is_launcher(std::string_view program) {
  if (program == launcher_) return !program.empty();
  look_up_launcher();  // it has been replaced, or moved
  return program == launcher_ && !program.empty();
}

/// The answer comes on the same socket.
void LandlockWatch::ask_host() {
  nlmsghdr request{};
  request.nlmsg_len = sizeof request;
  request.nlmsg_type = AUDIT_GET;
  request.nlmsg_flags = NLM_F_REQUEST;
  request.nlmsg_seq = ++question_;
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  asked_boot_us_[question_] = boot_clock_us();
  if (asked_boot_us_.size() > questions_max) asked_boot_us_.erase(asked_boot_us_.begin());
  ::sendto(socket_->native_handle(), &request, sizeof request, MSG_DONTWAIT,
           reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
}

void LandlockWatch::ask_and_wait(std::chrono::milliseconds at_most) {
  ask_host();
  const std::uint32_t question = question_;
  const SteadyTime until = SteadyClock::now() + at_most;
  while (answered_ < question && SteadyClock::now() < until) {
    if (take(socket_->native_handle())) continue;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - SteadyClock::now());
    pollfd answer{socket_->native_handle(), POLLIN, 0};
    if (left.count() > 0) ::poll(&answer, 1, static_cast<int>(left.count()));
  }
}

void LandlockWatch::on_status(std::uint32_t question, const sandbox::AuditStatus& status) {
  const bool was_enabled = std::exchange(enabled_, status.enabled);
  why_not_ = enabled_ ? "" : "the host's audit is off";
  const bool grown = lost_by_host_ && status.lost != *lost_by_host_ && status.lost != 0;
  lost_by_host_ = status.lost;
  if (grown || (was_enabled && !enabled_)) missed(sure_until_boot_us_);
  if (const auto asked = asked_boot_us_.find(question); asked != asked_boot_us_.end())
    sure_until_boot_us_ = std::max(sure_until_boot_us_, asked->second);
  on_answer(question, status.backlog == 0);
}

void LandlockWatch::on_answer(std::uint32_t question, bool quiet) {
  answered_ = std::max(answered_, question);
  asked_boot_us_.erase(asked_boot_us_.begin(), asked_boot_us_.upper_bound(question));
  answered_at_ = SteadyClock::now();
  if (waiters_.empty()) return;
  settle_told();  // a session that is asked about has been launched
  for (Waiter& each : waiters_) {
    if (question <= each.question) continue;
    each.quiet = quiet ? each.quiet + 1 : 0;
    if (each.quiet == quiet_answers)
      boost::asio::post(kernel_.io(), [then = std::move(each.then)] { then(true); });
  }
  std::erase_if(waiters_, [](const Waiter& each) { return each.quiet >= quiet_answers; });
}

void LandlockWatch::when_heard(std::function<void(bool)> then) {
  if (!socket_) return boost::asio::post(kernel_.io(), [then = std::move(then)] { then(true); });
  waiters_.push_back({question_, 0, SteadyClock::now() + hear_at_most, std::move(then)});
  if (!hearing_) hear();
}

/// All who wait share the questions.
void LandlockWatch::hear() {
  if (!socket_) return;
  const SteadyTime now = SteadyClock::now();
  for (Waiter& each : waiters_)
    if (each.until <= now) boost::asio::post(kernel_.io(), [then = std::move(each.then)] { then(false); });
  std::erase_if(waiters_, [&](const Waiter& each) { return each.until <= now; });
  if (waiters_.empty()) return;
  ask_host();
  hearing_ = true;
  kernel_.timers().after(hear_interval, [this, still = alive_] {
    if (!*still) return;
    hearing_ = false;
    hear();
  });
}

void LandlockWatch::missed(std::uint64_t since_boot_us) {
  ++losses_;
  kernel_.sessions().for_each(0, [&](session::Session& each) {
    if (each.ended() && each.end()->boot_us < since_boot_us) return true;
    if (each.interrupt_denied_accesses()) kernel_.put_on_record(each);
    return true;
  });
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
    const int error_number = errno;
    // What lay in the host's queues may be of sessions that have ended since.
    if (error_number == ENOBUFS) missed(std::max(sure_until_boot_us_, under_way_us) - under_way_us);
    return error_number == ENOBUFS || error_number == EINTR;
  }
  if (from.nl_pid != 0 || got < static_cast<ssize_t>(sizeof(nlmsghdr))) return true;
  nlmsghdr head{};
  std::memcpy(&head, bytes, sizeof head);
  // The length that the head tells is without itself in these messages.
  const std::string_view text(bytes + sizeof head, static_cast<std::size_t>(got) - sizeof head);
  if (head.nlmsg_type == AUDIT_GET) {
    if (const auto status = sandbox::read_audit_status(text)) on_status(head.nlmsg_seq, *status);
  } else if (head.nlmsg_type == NLMSG_ERROR) {
    enabled_ = false;
    why_not_ = "the host does not let this daemon ask whether its audit is on";
    on_answer(head.nlmsg_seq, true);
  } else if (head.nlmsg_type == config_record) {
    // It may be on again by the time that the host answers.
    if (text.find(" audit_enabled=0 ") != std::string_view::npos) {
      missed(boot_clock_us());
      ask_host();
    }
  } else if (head.nlmsg_type == sandbox::landlock_domain_record) {
    if (const auto domain = sandbox::read_landlock_domain(text)) on_domain(*domain);
  } else if (head.nlmsg_type == sandbox::landlock_access_record) {
    if (auto access = sandbox::read_landlock_access(text)) on_access(*access);
  }
  return true;
}

void LandlockWatch::know(std::uint64_t domain, std::uint64_t key) {
  // The end of a domain may have been lost.
  if (sessions_.size() >= domains_max)
    std::erase_if(sessions_, [&](const auto& each) { return !kernel_.sessions().find_key(each.second); });
  if (sessions_.size() < domains_max)
    sessions_[domain] = key;
  else
    missed(boot_clock_us());
}

void LandlockWatch::know_foreign(std::uint64_t domain) {
  foreign_.insert(domain);
  // Numbers go up, so that the first is the oldest.
  if (foreign_.size() > foreign_max) foreign_.erase(foreign_.begin());
}

session::Session* LandlockWatch::maker_of(const sandbox::LandlockDomain& domain) {
  const std::string_view program = sandbox::program_of(domain.exe);
  session::Session* maker = nullptr;
  kernel_.sessions().for_each(0, [&](session::Session& each) {
    const session::Record& record = each.record();
    if (each.pid() != domain.pid || !each.denied_accesses() || record.launcher.empty() ||
        record.uid != domain.uid)
      return true;
    if (record.launcher != program && !is_launcher(program)) return true;
    const std::uint64_t known = each.note().landlock_domain;
    if (known != 0 && known != domain.domain) return true;  // each session has one
    if (each.ended() && (each.end()->boot_us == 0 || domain.at_us + launch_us < unix_us(each.started_at()) ||
                         domain.at_us > unix_us(each.end()->at)))
      return true;
    if (!maker || !maker->running()) maker = &each;
    return true;
  });
  return maker;
}

void LandlockWatch::on_domain(const sandbox::LandlockDomain& domain) {
  if (domain.ended) {
    sessions_.erase(domain.domain);
    foreign_.erase(domain.domain);
    return;
  }
  session::Session* const maker = maker_of(domain);
  // A program may be denied something before its launch is answered.
  const auto early = early_.find(domain.domain);
  if (!maker && early != early_.end() && !kernel_.starting.empty() &&
      is_launcher(sandbox::program_of(domain.exe))) {
    early->second.told = domain;
    settle_early();
    return;
  }
  settle(domain.domain, maker);
}

void LandlockWatch::settle(std::uint64_t domain, session::Session* maker) {
  if (maker) {
    know(domain, maker->key());
    if (maker->running() && maker->note_domain(domain)) kernel_.remember(*maker);
  } else {
    know_foreign(domain);
  }
  const auto early = early_.find(domain);
  if (early == early_.end()) return;
  if (maker) {
    for (const sandbox::LandlockAccess& each : early->second.accesses) note(*maker, each);
    if (early->second.more > 0) maker->denied_unlisted(early->second.more);
  }
  early_.erase(early);
}

/// Looks again, until the launches are over, whose those are that were told during them.
void LandlockWatch::settle_early() {
  if (std::exchange(settling_, true)) return;
  kernel_.timers().after(launch_look, [this, still = alive_] {
    if (!*still) return;
    settling_ = false;
    if (!settle_told()) settle_early();
  });
}

/// False: some may be of launches that are under way.
bool LandlockWatch::settle_told() {
  std::vector<sandbox::LandlockDomain> told;
  for (const auto& [domain, early] : early_)
    if (early.told) told.push_back(*early.told);
  bool all = true;
  for (const sandbox::LandlockDomain& each : told) {
    session::Session* const maker = maker_of(each);
    if (maker || kernel_.starting.empty())
      settle(each.domain, maker);
    else
      all = false;
  }
  return all;
}

void LandlockWatch::make_room() {
  const SteadyTime now = SteadyClock::now();
  std::erase_if(early_, [&](const auto& each) {
    const bool late = !each.second.told && now - each.second.since > early_for;
    if (late) know_foreign(each.first);
    return late;
  });
  if (early_.size() < early_max) return;
  early_.erase(early_.begin());
  missed(sure_until_boot_us_);
}

void LandlockWatch::on_access(const sandbox::LandlockAccess& access) {
  if (const auto known = sessions_.find(access.domain); known != sessions_.end()) {
    if (session::Session* session = kernel_.sessions().find_key(known->second)) note(*session, access);
    return;
  }
  if (foreign_.contains(access.domain)) return;
  auto early = early_.find(access.domain);
  if (early == early_.end()) {
    if (early_.size() >= early_max) make_room();
    early = early_.emplace(access.domain, Early{}).first;
    early->second.since = SteadyClock::now();
  } else if (!early->second.told && SteadyClock::now() - early->second.since > early_for) {
    early_.erase(early);
    return know_foreign(access.domain);
  }
  if (early->second.accesses.size() < early_accesses_max)
    early->second.accesses.push_back(access);
  else
    ++early->second.more;
}

void LandlockWatch::note(session::Session& session, const sandbox::LandlockAccess& access) {
  const sandbox::AccessAsked asked = sandbox::asked(access);
  // Kinds are few for each session; the counts of one that runs go on record at its end, or at the daemon's.
  if (session.denied(asked.what, asked.target, unix_us(system_now()))) kernel_.put_on_record(session);
}

}  // namespace kairo::kernel
