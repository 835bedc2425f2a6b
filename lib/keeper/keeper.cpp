// The keeper's main thread: one epoll loop over the sessions' pipes, kairod's control connection and time.
#include "keeper/keeper.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <malloc.h>
#include <memory>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <unordered_map>

#include "base/ids.hpp"
#include "keeper/channel.hpp"
#include "keeper/denials.hpp"
#include "keeper/groups.hpp"
#include "keeper/launch_thread.hpp"
#include "keeper/launcher.hpp"
#include "keeper/pump.hpp"
#include "keeper/succession.hpp"
#include "keeper/table.hpp"

namespace kairo::keeper {
namespace {

constexpr std::uint64_t listener_event = first_other_event;
constexpr std::uint64_t signals_event = first_other_event + 1;
constexpr std::uint64_t control_event = first_other_event + 2;
constexpr std::uint64_t first_watch_event = first_other_event + 3;  ///< One for each launching thread.
constexpr std::uint64_t first_greeting_event = first_watch_event + launch_connections;

/// Connections that have not said Hello yet.
constexpr std::size_t greetings_max = 8;
/// Bytes that may wait for kairod before no further order of it is read and Changed is held back.
constexpr std::size_t control_waiting_bytes = 1u << 20;
/// Descriptors for everything but sessions: sockets, epoll, a launch's child ends, the pages of a Welcome,
/// and what the launching threads keep.
constexpr int reserved_descriptors = 64 + static_cast<int>(launch_connections * sandbox::rulesets_kept_max);
constexpr std::size_t welcome_descriptors = 200;
constexpr std::size_t welcome_bytes = 256u << 10;
/// Whoever started this keeper is given so long to come (Link::connect's own patience).
constexpr std::chrono::seconds first_control_wait{10};
/// How often a keeper that only waits for a kairod looks whether one can still come.
constexpr std::chrono::seconds abandoned_check{60};
constexpr int events_per_turn = 256;
/// How soon a launching thread that the system did not give is asked for again.
constexpr std::chrono::milliseconds launches_retry{100};
/// How long after a SIGCHLD children are looked for that are no session's and no orphans, at most so often.
constexpr std::chrono::seconds siblings_rest{2};

/// The most descriptors that this process may have, after the limit was raised as far as it goes (SPEC 4.8).
int raise_descriptor_limit(std::uint64_t own_max) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (own_max != 0) {
    const rlimit own{own_max, limit.rlim_max};
    return ::setrlimit(RLIMIT_NOFILE, &own) == 0 ? static_cast<int>(own_max)
                                                 : static_cast<int>(limit.rlim_cur);
  }
  unsigned long most = 0;
  if (std::FILE* file = std::fopen("/proc/sys/fs/nr_open", "re")) {
    if (std::fscanf(file, "%lu", &most) != 1) most = 0;
    std::fclose(file);
  }
  if (most > limit.rlim_max) {
    const rlimit raised{most, most};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) return static_cast<int>(most);
  }
  const rlimit raised{limit.rlim_max, limit.rlim_max};
  if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 1u << 30));
}

/// All signals are blocked (the children get an empty mask), none is ignored: that would be inherited.
void settle_signals() {
  for (int number = 1; number <= SIGRTMAX; ++number) {
    struct sigaction action {};
    if (::sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) ::signal(number, SIG_DFL);
  }
  sigset_t all;
  ::sigfillset(&all);
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) ::sigdelset(&all, number);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

/// How long a new kairod, or an upgrade, waits for the launches under way, and how often they are looked at.
/// Nobody is pumped meanwhile; a launch takes a millisecond.
constexpr std::chrono::milliseconds launch_patience{200};
constexpr std::chrono::microseconds launch_look{100};
/// Out of the way of the low descriptors that each launching thread needs.
UniqueFd move_up(UniqueFd from) {
  UniqueFd moved(::fcntl(from.get(), F_DUPFD_CLOEXEC, low_descriptors_end));
  return moved ? std::move(moved) : std::move(from);
}

class Keeper {
 public:
  Keeper(KeeperOptions options, Table table, std::vector<Launcher> launchers, UniqueFd epoll,
         UniqueFd signals, UniqueFd logs, int descriptor_limit, cgroup::Layout groups)
      : options_(std::move(options)),
        table_(std::move(table)),
        epoll_(std::move(epoll)),
        signals_(std::move(signals)),
        logs_(std::move(logs)),
        budget_(descriptor_limit - reserved_descriptors),
        groups_(std::move(groups)),
        denials_(epoll_.get(), budget_),
        pump_(epoll_.get(), table_, arrivals_, budget_, groups_, denials_) {
    for (Launcher& each : launchers)
      launches_.push_back(std::make_unique<LaunchThread>(std::move(each), epoll_.get(), logs_.get(), table_,
                                                         arrivals_, budget_, groups_));
  }

  /// Goes on where the program before has stopped.
  void take_over(Letters letters);
  Result<void> start();
  int run();

 private:
  void add(int fd, std::uint64_t event, std::uint32_t events = EPOLLIN);
  void on_event(std::uint64_t event, std::uint32_t events);
  void on_listener(std::uint64_t event, std::uint32_t events);
  void on_signal();
  /// A thread that the system did not give is asked for again, and its orders are refused meanwhile.
  void tend_launches(SteadyTime now);
  [[nodiscard]] bool launching() const;
  void next_epoch();
  [[nodiscard]] bool finished(SteadyTime now);
  [[nodiscard]] SteadyTime idle_end() const;
  [[nodiscard]] bool state_dir_removed() const;

  void accept_connection();
  void greet(std::uint64_t event);
  void begin_control(std::unique_ptr<Channel> channel, const Hello& hello, Welcome welcome);
  void send_welcome_page(Welcome welcome);

  void on_control(std::uint32_t events);
  void obey(const Message& message);
  Error become(int program, const Upgrade& order);
  void lose_control(const char* why);
  void hear_last_orders();
  void flush_control();

  KeeperOptions options_;
  Table table_;
  UniqueFd epoll_;
  UniqueFd signals_;
  UniqueFd logs_;
  DescriptorBudget budget_;
  Arrivals arrivals_;
  Groups groups_;
  Denials denials_;
  Pump pump_;
  std::vector<std::unique_ptr<LaunchThread>> launches_;
  std::size_t next_launches_ = 0;  ///< The thread that gets the next connection.
  std::optional<SteadyTime> launches_tended_ = SteadyClock::now();  ///< When to look after them.

  std::string id_ = random_id(16);
  std::unordered_map<std::uint64_t, std::unique_ptr<Channel>> greetings_;
  std::uint64_t next_greeting_ = first_greeting_event;

  std::unique_ptr<Channel> control_;
  std::string instance_id_;
  std::uint64_t epoch_ = 0;
  std::uint32_t control_events_ = EPOLLIN;
  std::vector<std::uint64_t> to_welcome_;  ///< Sessions that the new kairod is still to be told.

  bool awaited_ = true;       ///< Nobody has come yet since this program began.
  bool last_orders_ = false;  ///< They are being heard.
  bool stopped_ = false;
  bool terminated_ = false;
  std::optional<SteadyTime> signals_rest_;  ///< SIGCHLD is not looked at until then.
  std::optional<SteadyTime> siblings_due_;  ///< When to look for them.
  SteadyTime idle_since_ = SteadyClock::now();
};

void Keeper::add(int fd, std::uint64_t event, std::uint32_t events) {
  epoll_event added{};
  added.events = events;
  added.data.u64 = event;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &added) != 0)
    std::fprintf(stderr, "kairo-keeper: cannot watch a socket: %s\n", describe_errno(errno).c_str());
}

void Keeper::take_over(Letters letters) {
  id_ = letters.keeper.keeper_id;
  epoch_ = letters.keeper.epoch;
  next_epoch();  // launches that were ordered of the program before are not carried out
  terminated_ = letters.keeper.terminated;
  const SteadyTime now = SteadyClock::now();
  pump_.take_over(std::move(letters), logs_.get(), now);
  // No kairod is there; the one that gave the order is about to come back.
  pump_.orphaned(now);
}

Result<void> Keeper::start() {
  pump_.end_leftovers(SteadyClock::now());
  add(options_.listener.get(), listener_event);
  add(signals_.get(), signals_event, EPOLLIN | EPOLLONESHOT);
  for (std::size_t i = 0; i < launches_.size(); ++i)
    if (const int timer = launches_[i]->watch().timer(); timer >= 0) add(timer, first_watch_event + i);
  Result<void> out;
  for (const auto& each : launches_)
    if (auto started = each->start(); !started) out = std::move(started);
  return out;
}

void Keeper::tend_launches(SteadyTime now) {
  launches_tended_.reset();
  for (const auto& each : launches_) {
    if (each->runs() || each->start()) continue;
    each->refuse_orders(EAGAIN);
    launches_tended_ = now + launches_retry;
  }
}

bool Keeper::launching() const {
  return std::any_of(launches_.begin(), launches_.end(), [](const auto& each) { return each->busy(); });
}

void Keeper::next_epoch() {
  ++epoch_;
  for (const auto& each : launches_) each->set_epoch(epoch_);
}

int Keeper::run() {
  epoll_event events[events_per_turn];
  for (;;) {
    SteadyTime now = SteadyClock::now();
    std::optional<SteadyTime> next = pump_.next_timer();
    const auto consider = [&](SteadyTime at) {
      if (!next || at < *next) next = at;
    };
    if (signals_rest_) consider(*signals_rest_);
    if (launches_tended_) consider(*launches_tended_);
    if (siblings_due_) consider(*siblings_due_);
    if (const auto tick = denials_.next_timer()) consider(*tick);
    if (!control_) consider(pump_.size() == 0 ? idle_end() : now + abandoned_check);
    int wait_ms = -1;
    if (next)
      wait_ms = static_cast<int>(std::clamp<std::int64_t>(
          std::chrono::ceil<std::chrono::milliseconds>(*next - now).count(), 0, 3'600'000));
    const int count = ::epoll_wait(epoll_.get(), events, events_per_turn, wait_ms);
    if (count < 0 && errno != EINTR) {
      std::fprintf(stderr, "kairo-keeper: cannot wait for events: %s; giving up\n",
                   describe_errno(errno).c_str());
      return 1;
    }
    for (int i = 0; i < count; ++i) on_event(events[i].data.u64, events[i].events);
    now = SteadyClock::now();
    pump_.run_timers(now);
    denials_.run_timers(now);
    if (launches_tended_ && *launches_tended_ <= now) tend_launches(now);
    if (siblings_due_ && *siblings_due_ <= now) {
      siblings_due_.reset();
      if (!pump_.reap_siblings([&] { return launching(); })) siblings_due_ = now + siblings_rest;
    }
    if (signals_rest_ && *signals_rest_ <= now) {
      signals_rest_.reset();
      epoll_event again{};
      again.events = EPOLLIN | EPOLLONESHOT;
      again.data.u64 = signals_event;
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, signals_.get(), &again);
    }
    flush_control();
    if (control_ || pump_.size() > 0) idle_since_ = now;
    if (finished(now)) return 0;
  }
}

bool Keeper::finished(SteadyTime now) {
  if (stopped_) return true;
  if (control_ || launching()) return false;
  pump_.take_arrivals();
  if (pump_.running() == 0 && (terminated_ || state_dir_removed())) return true;
  return pump_.size() == 0 && now >= idle_end();
}

/// Nobody will ever find this keeper again.
bool Keeper::state_dir_removed() const {
  struct stat status {};
  return ::fstat(options_.state_dir.get(), &status) == 0 && status.st_nlink == 0;
}

SteadyTime Keeper::idle_end() const {
  const std::chrono::seconds idle(options_.idle_exit_seconds);
  return idle_since_ + (awaited_ ? std::max(idle, first_control_wait) : idle);
}

void Keeper::on_event(std::uint64_t event, std::uint32_t events) {
  if (event < first_other_event) return pump_.on_event(event, events);
  if (event >= first_listener_event) return on_listener(event, events);
  if (event == listener_event) return accept_connection();
  if (event == signals_event) return on_signal();
  if (event == control_event) return on_control(events);
  if (event < first_greeting_event) return launches_[event - first_watch_event]->watch().look();
  greet(event);
}

void Keeper::on_listener(std::uint64_t event, std::uint32_t events) {
  const SteadyTime now = SteadyClock::now();
  if (denials_.on_event(event, events, now)) return;
  pump_.take_arrivals();
  denials_.on_event(event, events, now);
}

void Keeper::on_signal() {
  // Main processes are followed by their pidfds; SIGCHLD only tells of orphans, which can wait a little. So a
  // burst of ends costs one look.
  constexpr std::chrono::milliseconds rest{50};
  signalfd_siginfo info[16];
  ssize_t got;
  while ((got = ::read(signals_.get(), info, sizeof info)) > 0)
    for (std::size_t i = 0; i < static_cast<std::size_t>(got) / sizeof info[0]; ++i)
      if (info[i].ssi_signo == SIGTERM) terminated_ = true;
  const SteadyTime now = SteadyClock::now();
  pump_.child_signal(now);
  if (!siblings_due_) siblings_due_ = now + siblings_rest;
  signals_rest_ = now + rest;
}

// --- connections -----------------------------------------------------------------------------------

void Keeper::accept_connection() {
  UniqueFd socket(::accept4(options_.listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) return;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
      (peer.uid != ::geteuid() && peer.uid != 0)) {
    std::fprintf(stderr, "kairo-keeper: refused a connection of user %u\n", peer.uid);
    return;
  }
  if (greetings_.size() >= greetings_max) greetings_.erase(greetings_.begin());
  const std::uint64_t event = next_greeting_++;
  add(socket.get(), event);
  greetings_.emplace(event, std::make_unique<Channel>(std::move(socket)));
}

void Keeper::greet(std::uint64_t event) {
  const auto found = greetings_.find(event);
  if (found == greetings_.end()) return;
  const auto received = found->second->receive();
  if (received == Channel::Received::nothing) return;
  const auto message = found->second->next();
  if (received == Channel::Received::some && message && !*message) return;
  std::unique_ptr<Channel> channel = std::move(found->second);
  greetings_.erase(found);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, channel->socket(), nullptr);
  if (!message || !*message || (*message)->type != MessageType::hello || !channel->drained()) return;
  const auto hello = read_message<Hello>(**message);
  if (!hello) return;
  if (hello->version < oldest_protocol_version) {
    std::fprintf(stderr, "kairo-keeper: refused a kairod that speaks version %u\n", hello->version);
    Welcome refusal;  // it sees by the version that it cannot go on
    refusal.version = oldest_protocol_version;
    channel->send(MessageType::welcome, refusal);
    static_cast<void>(channel->flush());
    return;
  }
  Welcome welcome;
  welcome.version = std::min(hello->version, protocol_version);
  welcome.keeper_id = id_;
  welcome.pid = ::getpid();
  welcome.groups = groups_.tree().layout();
  if (hello->role == "control" && !control_) {
    // What the kairod before ordered last is to stand among the sessions that this one is told of: it was
    // asked for by a client that will ask again. A launch that hangs is not waited for.
    const SteadyTime until = SteadyClock::now() + launch_patience;
    while (launching() && SteadyClock::now() < until) std::this_thread::sleep_for(launch_look);
    begin_control(std::move(channel), *hello, std::move(welcome));
  } else if (hello->role == "launch" && control_ && hello->instance_id == instance_id_) {
    channel->send(MessageType::welcome, welcome);
    if (channel->flush() && channel->waiting() == 0)
      launches_[next_launches_++ % launches_.size()]->add(channel->release_socket(), epoch_);
  }  // any other Hello is answered by the end of its connection
}

void Keeper::begin_control(std::unique_ptr<Channel> channel, const Hello& hello, Welcome welcome) {
  control_ = std::move(channel);
  instance_id_ = hello.instance_id;
  awaited_ = false;
  next_epoch();
  pump_.take_arrivals();
  pump_.require_epoch(epoch_);
  pump_.adopted();
  control_events_ = EPOLLIN;
  add(control_->socket(), control_event);
  to_welcome_ = pump_.keys();
  for (const std::uint64_t key : to_welcome_) pump_.find(key)->stray = false;
  send_welcome_page(std::move(welcome));
  flush_control();
}

/// The first page brings the table's descriptor.
void Keeper::send_welcome_page(Welcome welcome) {
  std::vector<UniqueFd> descriptors;
  if (!welcome.keeper_id.empty()) descriptors.emplace_back(::fcntl(table_.file(), F_DUPFD_CLOEXEC, 0));
  std::size_t bytes = 0;
  while (!to_welcome_.empty() && descriptors.size() < welcome_descriptors && bytes < welcome_bytes) {
    const Session* session = pump_.find(to_welcome_.back());
    to_welcome_.pop_back();
    if (!session) continue;
    HeldSession held;
    held.key = session->key;
    held.slot = session->slot;
    held.pid = session->pid;
    held.started_us = session->started_us;
    held.started_boot_us = session->started_boot_us;
    held.record.data = session->record;
    held.note.data = session->note;
    held.group = session->group;
    held.degraded = session->degraded;
    if (session->due) {
      held.wait_status = session->wait_status;
      held.exited_us = session->exited_us;
      held.exited_boot_us = session->exited_boot_us;
      held.report = session->report;
      held.denials = denials_.report(session->key);
      if (held.denials) bytes += held.denials->listed.size() * sizeof(DeniedCall);
      std::erase(pump_.exited(), session->key);
    }
    if (session->ring) {
      held.has_stdin_ring = true;
      descriptors.emplace_back(::fcntl(session->ring.get(), F_DUPFD_CLOEXEC, 0));
    }
    bytes += session->record.size() + session->note.size() + 64;
    welcome.sessions.push_back(std::move(held));
  }
  welcome.more = !to_welcome_.empty();
  control_->send(MessageType::welcome, welcome, std::move(descriptors));
}

// --- the control connection ------------------------------------------------------------------------

void Keeper::on_control(std::uint32_t events) {
  if (!control_) return;
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    const auto received = control_->receive();
    if (received == Channel::Received::closed) return lose_control(nullptr);
    while (control_ && !stopped_) {
      const auto message = control_->next();
      if (!message) return lose_control(message.error().message.c_str());
      if (!*message) break;
      obey(**message);
    }
  }
}

void Keeper::obey(const Message& message) {
  const auto key_order = [&](auto&& act) {
    const auto order = read_message<Key>(message);
    if (!order) return lose_control(order.error().message.c_str());
    act(order->key);
  };
  switch (message.type) {
    case MessageType::signal: {
      const auto order = read_message<Signal>(message);
      if (!order) return lose_control(order.error().message.c_str());
      const Signaled answer{order->token, pump_.signal(*order)};
      return control_->send(MessageType::signaled, answer);
    }
    case MessageType::ask_denials: {
      const auto order = read_message<AskDenials>(message);
      if (!order) return lose_control(order.error().message.c_str());
      pump_.take_arrivals();
      return control_->send(MessageType::denials, DenialsAnswer{order->token, denials_.report(order->key)});
    }
    case MessageType::stdin_ring:
      return key_order([&](std::uint64_t key) {
        auto ring = control_->take_descriptors(1);
        if (!ring) return lose_control(ring.error().message.c_str());
        pump_.set_stdin_ring(key, std::move(ring->front()));
      });
    case MessageType::stdin_ready: return key_order([&](std::uint64_t key) { pump_.feed_stdin(key); });
    case MessageType::resume_pump: return key_order([&](std::uint64_t key) { pump_.resume(key); });
    case MessageType::note: {
      auto order = read_message<Note>(message);
      if (!order) return lose_control(order.error().message.c_str());
      return pump_.keep_note(order->key, std::move(order->note.data));
    }
    case MessageType::release: {
      const auto order = read_message<Release>(message);
      if (!order) return lose_control(order.error().message.c_str());
      for (const std::uint64_t key : order->keys) pump_.release(key);
      return;
    }
    case MessageType::upgrade: {
      const auto order = read_message<Upgrade>(message);
      if (!order) return lose_control(order.error().message.c_str());
      const auto program = control_->take_descriptors(1);
      if (!program) return lose_control(program.error().message.c_str());
      const Error why = become(program->front().get(), *order);
      std::fprintf(stderr, "kairo-keeper: not upgraded: %s\n", why.message.c_str());
      return control_->send(MessageType::upgrade_failed, UpgradeFailed{why.message});
    }
    case MessageType::stop:
      if (pump_.running() == 0 && !launching()) {
        stopped_ = true;
      } else {
        std::fprintf(stderr, "kairo-keeper: told to stop while %zu processes run; it goes on\n",
                     pump_.running());
      }
      return;
    default: return lose_control("it brought a message that is none of its");
  }
}

/// Returns only when that failed.
Error Keeper::become(int program, const Upgrade& order) {
  if (letter_version < order.oldest_letter || letter_version > order.newest_letter)
    return Error(Code::unsupported, "that program reads letters of version " +
                                        std::to_string(order.oldest_letter) + " to " +
                                        std::to_string(order.newest_letter) + ", this one writes " +
                                        std::to_string(letter_version));
  // The exec would end a thread in the middle of a launch, and its child with nobody who knows of it. None is
  // ended before all of them can be: a child's parent, for PR_SET_PDEATHSIG, is its thread.
  Error why(Code::limit_exceeded, "a launch does not end");
  const SteadyTime until = SteadyClock::now() + launch_patience;
  while (launching() && SteadyClock::now() < until) std::this_thread::sleep_for(launch_look);
  if (launching()) return why;
  bool resting = true;
  for (const auto& each : launches_) resting = resting && each->rest(launch_patience);
  pump_.take_arrivals();
  if (resting) {
    Letters letters = pump_.leave();
    KeeperLetter& own = letters.keeper;
    own.pid = ::getpid();
    own.keeper_id = id_;
    own.epoch = epoch_;
    own.terminated = terminated_;
    own.child_files_soft = options_.child_files_soft;
    own.child_files_hard = options_.child_files_hard;
    own.own_files_max = options_.own_files_max;
    own.idle_exit_seconds = options_.idle_exit_seconds;
    own.listener = options_.listener.get();
    own.state_dir = options_.state_dir.get();
    own.logs_dir = logs_.get();
    own.table = table_.file();
    own.sessions = letters.sessions.size();
    own.denials = letters.denials.size();
    own.groups = groups_.tree().layout();
    why = execute(program, letters);
  }
  tend_launches(SteadyClock::now());
  return why;
}

/// A kairod that was killed may have ordered more than was read: what it has told a client to be accepted may
/// hang on it (the stdin ring). A write that fails comes before the end is read.
void Keeper::hear_last_orders() {
  last_orders_ = true;
  while (last_orders_ && control_->receive() == Channel::Received::some) {
    while (last_orders_) {
      const auto message = control_->next();
      if (!message) last_orders_ = false;
      if (!message || !*message) break;
      obey(**message);
    }
  }
  last_orders_ = false;
}

void Keeper::lose_control(const char* why) {
  if (last_orders_) {
    last_orders_ = false;  // one of them cannot be read
    return;
  }
  if (!why) hear_last_orders();
  if (why) std::fprintf(stderr, "kairo-keeper: closed the control connection: %s\n", why);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, control_->socket(), nullptr);
  control_.reset();
  to_welcome_.clear();
  next_epoch();
  for (const std::uint32_t slot : std::exchange(pump_.changed(), {})) pump_.told_changed(slot);
  pump_.exited().clear();  // Welcome tells them
  idle_since_ = SteadyClock::now();
  pump_.orphaned(idle_since_);
}

void Keeper::flush_control() {
  if (!control_) {
    for (const std::uint32_t slot : std::exchange(pump_.changed(), {})) pump_.told_changed(slot);
    pump_.exited().clear();
    return;
  }
  for (;;) {
    if (!control_->flush()) return lose_control(nullptr);
    if (to_welcome_.empty() || control_->waiting() > 0) break;
    send_welcome_page(Welcome{});
  }
  if (to_welcome_.empty() && control_->waiting() < control_waiting_bytes) {
    if (!pump_.changed().empty()) {
      const Changed changed{std::exchange(pump_.changed(), {})};
      for (const std::uint32_t slot : changed.slots) pump_.told_changed(slot);
      control_->send(MessageType::changed, changed);
    }
    for (const std::uint64_t key : std::exchange(pump_.exited(), {})) {
      const Session* session = pump_.find(key);
      if (!session) continue;
      if (session->stray)
        pump_.release(key);
      else
        control_->send(MessageType::exited,
                       Exited{key, session->wait_status, session->exited_us, session->exited_boot_us,
                              session->report, denials_.report(key)});
    }
  }
  if (!control_->flush()) return lose_control(nullptr);
  const std::size_t waiting = control_->waiting();
  // Pages that are still to come want the socket, too, when the last flush has just emptied the queue.
  const bool more = waiting > 0 || !to_welcome_.empty();
  const std::uint32_t events = (waiting < control_waiting_bytes ? EPOLLIN : 0u) | (more ? EPOLLOUT : 0u);
  if (events == control_events_) return;
  control_events_ = events;
  epoll_event wanted{};
  wanted.events = events;
  wanted.data.u64 = control_event;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, control_->socket(), &wanted);
}

Result<UniqueFd> open_logs(int state_dir) {
  if (::mkdirat(state_dir, "logs", 0700) != 0 && errno != EEXIST)
    return system_error("cannot make the directory \"logs\" in the state directory", errno);
  UniqueFd logs(::openat(state_dir, "logs", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!logs) return system_error("cannot open the directory \"logs\" in the state directory", errno);
  return logs;
}

int refuse(const Error& error) {
  std::fprintf(stderr, "kairo-keeper: %s; the keeper ends\n", error.message.c_str());
  return 1;
}

}  // namespace

namespace {

/// What a keeper is before it has sessions: the same for the first program and for those that follow.
/// `letters`: of the program before.
int run(KeeperOptions options, std::optional<Letters> letters) {
  if (::gettid() != ::getpid()) return refuse(Error(Code::internal, "not on the process's main thread"));
  ::mallopt(M_ARENA_MAX, 1);  // a second arena for the launching thread would cost more than its lock
  // Fixed, where glibc would raise them with the first large buffer and keep what was used at the peak.
  ::mallopt(M_MMAP_THRESHOLD, 128 << 10);
  ::mallopt(M_TRIM_THRESHOLD, 256 << 10);
  ::prctl(PR_SET_NAME, "kairo-keeper");
  settle_signals();
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
    return refuse(system_error("cannot become a subreaper", errno));
  const int limit = raise_descriptor_limit(options.own_files_max);
  ::fcntl(options.listener.get(), F_SETFL, ::fcntl(options.listener.get(), F_GETFL) | O_NONBLOCK);
  std::vector<Launcher> launchers;
  for (unsigned i = 0; i < launch_connections; ++i) {
    auto launcher = Launcher::make({options.child_files_soft, options.child_files_hard});
    if (!launcher) return refuse(launcher.error());
    launchers.push_back(std::move(*launcher));
  }
  // A directory that was removed meanwhile cannot be opened again.
  auto logs = letters && letters->keeper.logs_dir >= 0 ? Result<UniqueFd>(UniqueFd(letters->keeper.logs_dir))
                                                       : open_logs(options.state_dir.get());
  if (!logs) return refuse(logs.error());
  auto table =
      letters ? Table::open(UniqueFd(letters->keeper.table)) : Table::create(options.state_dir.get());
  if (!table) return refuse(table.error());
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return refuse(system_error("cannot make an epoll", errno));
  sigset_t wanted;
  ::sigemptyset(&wanted);
  ::sigaddset(&wanted, SIGCHLD);
  ::sigaddset(&wanted, SIGTERM);
  UniqueFd signals(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return refuse(system_error("cannot make a signalfd", errno));
  // Where a program before has made them: this process may stand in another cgroup by now.
  cgroup::Layout groups =
      letters && letters->keeper.groups
          ? *letters->keeper.groups
          : cgroup::find_layout(cgroup::this_host(), cgroup::tag_of(options.state_dir.get()));
  const auto keeper =
      std::make_unique<Keeper>(std::move(options), std::move(*table), std::move(launchers), std::move(epoll),
                               std::move(signals), std::move(*logs), limit, std::move(groups));
  const bool has_sessions = letters.has_value();
  if (letters) keeper->take_over(std::move(*letters));
  if (auto started = keeper->start(); !started) {
    // Those that run are followed whatever else is missing.
    if (!has_sessions) return refuse(started.error());
    std::fprintf(stderr, "kairo-keeper: %s; trying again\n", started.error().message.c_str());
  }
  return keeper->run();
}

}  // namespace

int run_keeper(KeeperOptions options) {
  options.listener = move_up(std::move(options.listener));
  options.state_dir = move_up(std::move(options.state_dir));
  return run(std::move(options), std::nullopt);
}

bool is_succession() {
  const char* named = std::getenv(letter_variable);
  return named && *named;
}

int resume_keeper() {
  auto letters = read_letters(take_letter().get());
  if (!letters) return refuse(letters.error());
  if (letters->keeper.pid != ::getpid())
    return refuse(Error(Code::internal, "the letter is for process " + std::to_string(letters->keeper.pid)));
  for (const int each : descriptors_of(*letters)) ::fcntl(each, F_SETFD, FD_CLOEXEC);
  KeeperOptions options;
  options.listener.reset(letters->keeper.listener);
  options.state_dir.reset(letters->keeper.state_dir);
  options.child_files_soft = letters->keeper.child_files_soft;
  options.child_files_hard = letters->keeper.child_files_hard;
  options.own_files_max = letters->keeper.own_files_max;
  options.idle_exit_seconds = letters->keeper.idle_exit_seconds;
  return run(std::move(options), std::move(*letters));
}

}  // namespace kairo::keeper
