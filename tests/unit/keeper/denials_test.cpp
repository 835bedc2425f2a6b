// The keeper's Denials against real listeners: a child whose filter asks about every ioctl is a program that
// does nothing but denied calls.
#include "keeper/denials.hpp"

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

using namespace kairo;
using namespace kairo::keeper;
using std::chrono::milliseconds;

namespace {

constexpr std::uint64_t key = 7;
constexpr std::uint64_t event = first_listener_event + 1;

/// A child that asks about ioctl `calls` times, its request going through 0 to kinds - 1, and ends with 0 if
/// each failed as the filter alone would have let it fail.
class Asker {
 public:
  Asker(int calls, int kinds) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    const UniqueFd ours(ends[0]), theirs(ends[1]);
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) ask(theirs.get(), calls, kinds);
    char byte = 0;
    iovec data{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    REQUIRE(::recvmsg(ours.get(), &message, MSG_CMSG_CLOEXEC) == 1);
    int descriptor = -1;
    REQUIRE(CMSG_FIRSTHDR(&message));
    std::memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptor);
    listener = UniqueFd(descriptor);
  }
  ~Asker() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;

  int wait() {
    int status = 0;
    REQUIRE(::waitpid(std::exchange(pid_, -1), &status, 0) > 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  UniqueFd listener;

 private:
  [[noreturn]] static void ask(int socket, int calls, int kinds) {
    const sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{static_cast<unsigned short>(std::size(code)), const_cast<sock_filter*>(code)};
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    const int made = static_cast<int>(
        ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
    char byte = 0;
    iovec data{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(head), &made, sizeof made);
    if (::sendmsg(socket, &message, 0) != 1) ::_exit(2);
    ::close(made);
    for (int i = 0; i < calls; ++i)
      if (::syscall(SYS_ioctl, -1, i % kinds, 0) != -1 || errno != EPERM) ::_exit(1);
    ::_exit(0);
  }

  pid_t pid_ = -1;
};

struct Rig {
  UniqueFd epoll{::epoll_create1(EPOLL_CLOEXEC)};
  DescriptorBudget budget{listener_descriptors};
  Denials denials{epoll.get(), budget};

  void follow(UniqueFd listener) {
    REQUIRE(budget.take(listener_descriptors));
    epoll_event added{};
    added.events = EPOLLIN;
    added.data.u64 = event;
    REQUIRE(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, listener.get(), &added) == 0);
    denials.follow(key, event, std::move(listener));
  }
  /// One event, at the time `now`; the end of the listener among them. False: none comes.
  bool turn(SteadyTime now, int patience_ms = 10'000) {
    epoll_event got{};
    if (::epoll_wait(epoll.get(), &got, 1, patience_ms) != 1) return false;
    ended = ended || (got.events & (EPOLLIN | EPOLLHUP)) == EPOLLHUP;
    CHECK(denials.on_event(got.data.u64, got.events, now));
    return true;
  }
  /// Until nobody has the filter any more; the time goes on by a tick whenever it is waited for.
  void run() {
    for (SteadyTime now{milliseconds(1)}; !ended;) {
      if (denials.next_timer()) {
        now = *denials.next_timer();
        denials.run_timers(now);
      }
      REQUIRE(turn(now));
    }
  }
  /// All calls of the report.
  std::uint64_t counted() const {
    const auto report = denials.report(key);
    REQUIRE(report);
    std::uint64_t out = report->unlisted;
    for (const DeniedCall& each : report->listed) out += each.count;
    return out;
  }

  bool ended = false;
};

}  // namespace

TEST_SUITE("denials" * doctest::skip(!sandbox::host_tells())) {
  TEST_CASE("each kind is counted, and the answer is the filter's own") {
    Asker asker(30, 3);
    Rig rig;
    rig.follow(std::move(asker.listener));
    rig.run();
    CHECK(asker.wait() == 0);
    const auto report = rig.denials.report(key);
    REQUIRE(report);
    REQUIRE(report->listed.size() == 3);
    for (std::uint32_t i = 0; i < 3; ++i) {
      const DeniedCall& each = report->listed[i];
      CHECK(each.denial.call == SYS_ioctl);
      CHECK(each.denial.type == i);
      CHECK(each.count == 10);
      CHECK(each.first_us > 0);
      CHECK(each.last_us >= each.first_us);
    }
    CHECK(report->unlisted == 0);
    CHECK_FALSE(rig.denials.report(key + 1));
  }

  TEST_CASE("no more kinds are listed than may be, the calls beyond are counted together") {
    const int kinds = static_cast<int>(sandbox::denials_max) + 6;
    Asker asker(2 * kinds, kinds);
    Rig rig;
    rig.follow(std::move(asker.listener));
    rig.run();
    CHECK(asker.wait() == 0);
    const auto report = rig.denials.report(key);
    REQUIRE(report);
    CHECK(report->listed.size() == sandbox::denials_max);
    for (const DeniedCall& each : report->listed) CHECK(each.count == 2);
    CHECK(report->unlisted == 2 * 6);
  }

  TEST_CASE("who does nothing but denied calls gets its answers in ticks") {
    Asker asker(1'000'000, 1);
    Rig rig;
    rig.follow(std::move(asker.listener));
    // Each burst of all sessions together is bounded, and then this session's own.
    SteadyTime now{milliseconds(1)};
    std::uint64_t last = 0;
    for (int tick = 0; tick < 60; ++tick) {
      while (!rig.denials.next_timer()) REQUIRE(rig.turn(now));
      const std::uint64_t answered = rig.counted();
      CHECK(answered - last <= static_cast<std::uint64_t>(all_answers_per_tick));
      if (answered >
          static_cast<std::uint64_t>(answers_at_once + all_answers_per_tick) + answers_per_tick * 20)
        CHECK(answered - last <= static_cast<std::uint64_t>(2 * answers_per_tick));
      last = answered;
      CHECK_FALSE(rig.turn(now, 0));  // it is not polled until the tick
      CHECK(*rig.denials.next_timer() == now + answers_tick);
      rig.denials.run_timers(now);
      CHECK_FALSE(rig.turn(now, 0));
      now = *rig.denials.next_timer();
      rig.denials.run_timers(now);
    }
    const auto bound =
        static_cast<std::uint64_t>(answers_at_once + 61 * answers_per_tick + all_answers_per_tick);
    CHECK(rig.counted() <= bound);
    CHECK(rig.counted() >= static_cast<std::uint64_t>(answers_at_once));
  }

  TEST_CASE("the list outlives the filter until the session is released, and the filter the session") {
    Asker first(5, 1);
    Rig rig;
    rig.follow(std::move(first.listener));
    CHECK_FALSE(rig.budget.take(listener_descriptors));
    rig.run();
    CHECK(rig.budget.take(listener_descriptors));  // the listener's is given back
    rig.budget.give_back(listener_descriptors);
    CHECK(rig.counted() == 5);
    rig.denials.release(key);
    CHECK_FALSE(rig.denials.report(key));

    Asker second(5, 1);
    Rig other;
    other.follow(std::move(second.listener));
    other.denials.release(key);
    CHECK(other.denials.report(key));
    other.run();
    CHECK(second.wait() == 0);  // it was answered all the same
    CHECK_FALSE(other.denials.report(key));
  }

  TEST_CASE("the next program goes on with listener and list") {
    Asker asker(200'000, sandbox::denials_max + 1);
    Letters letters;
    letters.keeper.denials = 1;
    std::uint64_t before = 0;
    {
      Rig rig;
      rig.follow(std::move(asker.listener));
      for (int i = 0; i < 100; ++i) REQUIRE(rig.turn(SteadyTime{milliseconds(1)}));
      before = rig.counted();
      letters.denials = rig.denials.leave();
      REQUIRE(letters.denials.size() == 1);
      letters.denials[0].listener = ::fcntl(letters.denials[0].listener, F_DUPFD_CLOEXEC, 0);
    }
    const auto memory = write_letters(letters);
    REQUIRE(memory.ok());
    auto read = read_letters(memory->get());
    REQUIRE(read.ok());
    REQUIRE(read->denials.size() == 1);
    CHECK(read->denials[0].report == letters.denials[0].report);
    Rig next;
    next.denials.take_over(std::move(read->denials[0]), event);
    CHECK(next.counted() == before);
    CHECK_FALSE(next.budget.take(listener_descriptors));
    for (int i = 0; i < 50; ++i) REQUIRE(next.turn(SteadyTime{milliseconds(1)}));
    CHECK(next.counted() > before);
  }
}

TEST_CASE("letters of the version before have no listeners, those of the one after are not read") {
  Letters letters;
  letters.keeper.pid = 12;
  letters.keeper.version = oldest_letter_version;
  auto memory = write_letters(letters);
  REQUIRE(memory.ok());
  const auto older = read_letters(memory->get());
  REQUIRE(older.ok());
  CHECK(older->keeper.pid == 12);
  CHECK(older->denials.empty());

  for (const std::uint32_t version : {oldest_letter_version - 1, letter_version + 1}) {
    letters.keeper.version = version;
    memory = write_letters(letters);
    REQUIRE(memory.ok());
    const auto refused = read_letters(memory->get());
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Code::unsupported);
  }
}

TEST_CASE("a list whose filter nobody has any more goes over, too") {
  Letters letters;
  letters.keeper.denials = 1;
  letters.denials.push_back({key, -1, true, {{{{SYS_ioctl, 0, 3, 0}, 4, 5, 6}}, 7}});
  const auto memory = write_letters(letters);
  REQUIRE(memory.ok());
  auto read = read_letters(memory->get());
  REQUIRE(read.ok());
  REQUIRE(read->denials.size() == 1);
  CHECK(read->denials[0].key == key);
  CHECK(read->denials[0].listener == -1);
  CHECK(read->denials[0].released);
  CHECK(read->denials[0].report == letters.denials[0].report);
  // Nobody has the filter any more: the list alone goes on.
  Rig rig;
  rig.denials.take_over(std::move(read->denials[0]), event);
  CHECK(rig.counted() == 4 + 7);
  CHECK(rig.budget.take(listener_descriptors));
  CHECK_FALSE(rig.denials.on_event(event, EPOLLIN, SteadyTime{}));
}
