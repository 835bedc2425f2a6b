#include "keeper/pump.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/signals.hpp"

namespace kairo::keeper {
namespace {

/// One stream's share of a turn.
constexpr std::size_t output_budget = 1u << 20;
constexpr std::size_t input_budget = 1u << 20;
/// One write into a stdin pipe: what a pipe holds by default, and what it takes from a reader of small
/// pieces.
constexpr std::size_t input_piece_max = 64u << 10;
constexpr std::size_t input_piece_min = 4u << 10;
/// After SIGKILL a dead writer's pipe ends within milliseconds.
constexpr std::chrono::milliseconds last_gasp{100};
/// How soon a refused write to the log is tried again.
constexpr std::chrono::milliseconds stall_retry{100};
/// A stream must fill its pipe so often before it gets a larger one, see DESIGN in docs/architecture.md.
constexpr std::uint8_t times_full_to_enlarge = 16;
constexpr std::size_t pipe_steps[] = {64u << 10, 256u << 10, 1u << 20};

std::uint64_t now_us() {
  return static_cast<std::uint64_t>(system_now().time_since_epoch().count());
}

/// Half of what a user's pipes may hold together; the other half is for new pipes' default size.
std::size_t pipe_budget() {
  unsigned long pages = 16384;
  if (std::FILE* file = std::fopen("/proc/sys/fs/pipe-user-pages-soft", "re")) {
    if (std::fscanf(file, "%lu", &pages) != 1) pages = 16384;
    std::fclose(file);
  }
  constexpr std::size_t sane = 256u << 20;  // 0 stands for no bound
  const std::size_t half = pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) / 2;
  return half == 0 ? sane : std::min(half, sane);
}

void add_to_epoll(int epoll, int fd, std::uint64_t data, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0 && errno != EEXIST)
    std::fprintf(stderr, "kairo-keeper: cannot watch a descriptor: %s; its session will not be followed\n",
                 describe_errno(errno).c_str());
}

}  // namespace

void Arrivals::push(int epoll, std::unique_ptr<Session> session) {
  const std::lock_guard lock(mutex_);
  const std::uint32_t slot = session->slot;
  for (unsigned i = 0; i < 2; ++i) {
    if (!session->output[i].pipe) continue;
    add_to_epoll(epoll, session->output[i].pipe.get(), event_of(slot, static_cast<Part>(i)), EPOLLIN);
    session->output[i].polled = true;
  }
  // Without EPOLLOUT: only that the reader has gone.
  if (session->input) add_to_epoll(epoll, session->input.get(), event_of(slot, Part::standard_input), 0);
  add_to_epoll(epoll, session->process.get(), event_of(slot, Part::process), EPOLLIN);
  if (session->listener) {
    session->listener_event = next_listener_event();
    add_to_epoll(epoll, session->listener.get(), session->listener_event, EPOLLIN);
  }
  sessions_.push_back(std::move(session));
}

std::vector<std::unique_ptr<Session>> Arrivals::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(sessions_, {});
}

Pump::Pump(int epoll, Table& table, Arrivals& arrivals, DescriptorBudget& budget, Groups& groups,
           Denials& denials)
    : epoll_(epoll),
      table_(table),
      arrivals_(arrivals),
      budget_(budget),
      groups_(groups),
      denials_(denials),
      pipe_bytes_left_(pipe_budget()),
      descendants_(
          groups, [this](pid_t pid) { return slot_of_main_.contains(pid); },
          [this](pid_t pid) {
            if (Session* session = at_slot(slot_of_main_.at(pid))) reap(*session);
          }) {}

// --- the table of sessions -------------------------------------------------------------------------

Session* Pump::find(std::uint64_t key) {
  auto found = by_key_.find(key);
  if (found == by_key_.end()) {
    take_arrivals();
    found = by_key_.find(key);
  }
  return found == by_key_.end() ? nullptr : found->second.get();
}

Session* Pump::at_slot(std::uint32_t slot) {
  return slot < by_slot_.size() ? by_slot_[slot] : nullptr;
}

std::vector<std::uint64_t> Pump::keys() const {
  std::vector<std::uint64_t> out;
  out.reserve(by_key_.size());
  for (const auto& [key, session] : by_key_) out.push_back(key);
  return out;
}

void Pump::take_arrivals() {
  for (auto& each : arrivals_.take()) adopt(std::move(each));
}

void Pump::adopt(std::unique_ptr<Session> session) {
  Session& added = *session;
  if (added.slot >= by_slot_.size()) by_slot_.resize(added.slot + 1);
  by_slot_[added.slot] = &added;
  slot_of_main_[added.pid] = added.slot;
  if (added.listener) denials_.follow(added.key, added.listener_event, std::move(added.listener));
  by_key_[added.key] = std::move(session);
  ++running_;
  if (epoch_ != 0 && added.epoch != epoch_) {
    // Ordered by a kairod that died before it had the answer, ready only after its successor was told what
    // there is.
    ::kill(-added.pid, SIGKILL);
    added.killed = added.stray = true;
  }
}

void Pump::release(std::uint64_t key) {
  Session* session = find(key);
  if (!session) return;
  if (!session->reaped) {
    std::fprintf(stderr, "kairo-keeper: refused to release session %llu: its process %d still runs\n",
                 static_cast<unsigned long long>(key), session->pid);
    return;
  }
  for (unsigned i = 0; i < 2; ++i) close_output(*session, i);
  close_input(*session, false);
  SessionSlot& slot = table_.slot(session->slot);
  slot.pid = 0;
  slot.kairod_wants_hold = 0;
  StdinSlot& input = slot.standard_input;
  input.tail = input.head = 0;
  input.close = input.state = input.wake = input.idle = 0;
  for (stream::StreamSlot& each : slot.streams) {
    each.tail = each.floor = each.capacity = each.pin = each.block_pin = 0;
    each.flags = each.index_count = each.index_generation = each.wake = each.no_growth = 0;
  }
  if (session->changed) std::erase(changed_, session->slot);
  by_slot_[session->slot] = nullptr;
  slot.key.store(0, std::memory_order_release);  // from here on kairod may use the slot again
  by_key_.erase(key);
  denials_.release(key);
}

// --- waking kairod ---------------------------------------------------------------------------------

void Pump::tell(Session& session, std::atomic<std::uint32_t>& wake) {
  // Whoever sets `wake` looks at the slot afterwards, whoever changed the slot looks at `wake`: one of both
  // sees the other.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (wake.load(std::memory_order_relaxed) == 0 || wake.exchange(0) == 0) return;
  if (session.changed) return;
  session.changed = true;
  changed_.push_back(session.slot);
}

void Pump::told_changed(std::uint32_t slot) {
  if (Session* session = at_slot(slot)) session->changed = false;
}

// --- events and timers -----------------------------------------------------------------------------

void Pump::on_event(std::uint64_t event, std::uint32_t events) {
  const auto slot = static_cast<std::uint32_t>(event >> 2);
  Session* session = at_slot(slot);
  if (!session) {
    take_arrivals();
    session = at_slot(slot);
    if (!session) return;  // of a session that was released in this turn
  }
  switch (static_cast<Part>(event & 3)) {
    case Part::standard_output: return drain(*session, 0);
    case Part::standard_error: return drain(*session, 1);
    case Part::standard_input:
      if (events & EPOLLERR) return close_input(*session, true);
      return feed(*session);
    case Part::process: return reap(*session);
  }
}

std::optional<SteadyTime> Pump::next_timer() const {
  auto next = descendants_.next();
  const auto consider = [&](SteadyTime at) {
    if (!next || at < *next) next = at;
  };
  if (!timers_.empty()) consider(timers_.top().at);
  if (hold_ends_) consider(*hold_ends_);
  return next;
}

void Pump::run_timers(SteadyTime now) {
  if (const auto next = descendants_.next(); next && *next <= now) descendants_.run(now);
  if (hold_ends_ && *hold_ends_ <= now) {
    hold_ends_.reset();
    for (const std::uint64_t key : keys())
      if (Session* session = find(key)) lift_pins(*session);
  }
  while (!timers_.empty() && timers_.top().at <= now) {
    const Timer timer = timers_.top();
    timers_.pop();
    const auto found = by_key_.find(timer.key);
    if (found == by_key_.end()) continue;
    Session& session = *found->second;
    switch (timer.kind) {
      case TimerKind::retry:
        session.retrying = false;
        for (unsigned i = 0; i < 2; ++i) drain(session, i);
        break;
      case TimerKind::grace: timers_.push({now + last_gasp, session.key, TimerKind::last_gasp}); break;
      case TimerKind::last_gasp: end_forcibly(session); break;
    }
  }
}

// --- the end of a session --------------------------------------------------------------------------

void Pump::reap(Session& session) {
  if (session.reaped) return;
  // Before the zombie is reaped, since it keeps the group's number from being used again.
  if (!session.detach) ::kill(-session.pid, SIGTERM);
  int status = 0;
  const pid_t reaped = ::waitpid(session.pid, &status, WNOHANG);
  if (reaped == session.pid) return ended(session, status);
  if (reaped == 0 || errno != ECHILD) return;
  std::fprintf(stderr, "kairo-keeper: process %d is gone and its status with it; it counts as killed\n",
               session.pid);
  ended(session, SIGKILL);
}

void Pump::ended(Session& session, int status) {
  const SteadyTime now = SteadyClock::now();
  session.reaped = true;
  session.wait_status = status;
  session.exited_us = now_us();
  session.exited_boot_us = boot_clock_us();
  session.process.reset();
  budget_.give_back(process_descriptors);
  slot_of_main_.erase(session.pid);
  --running_;
  const bool group_left = !session.detach && ::kill(-session.pid, SIGCONT) == 0;
  const cgroup::Group group = session.control_group();
  if (group && session.limited) session.report = report_of(groups_.tree(), group, status, session.killed);
  close_input(session, true);
  for (unsigned i = 0; i < 2; ++i)
    if (!session.output[i].waits) drain(session, i);
  const bool open = session.output[0].pipe || session.output[1].pipe;
  const std::chrono::milliseconds grace(session.grace_ms);
  // Nobody can be left where the group is empty, wherever they went.
  if (session.detach)
    groups_.remove(group);
  else if (!group || group_left || !groups_.remove_if_empty(group))
    descendants_.ended(session.pid, session.mark, group, grace, group_left, open, now);
  if (open) timers_.push({now + grace, session.key, TimerKind::grace});
  check_end(session);
}

void Pump::check_end(Session& session) {
  if (!session.reaped || session.due || session.output[0].pipe || session.output[1].pipe) return;
  session.due = true;
  exited_.push_back(session.key);
}

void Pump::end_forcibly(Session& session) {
  for (unsigned i = 0; i < 2; ++i) {
    Session::Output& output = session.output[i];
    if (!output.pipe || output.waits || session.detach) continue;
    drain(session, i);
    if (output.pipe && !output.waits) {
      close_output(session, i);
      tell(session, table_.slot(session.slot).streams[i].wake);
    }
  }
  check_end(session);
  if (session.due) return;
  session.due = true;  // the rest is recorded as it comes
  exited_.push_back(session.key);
}

int Pump::signal(const Signal& order) {
  Session* session = find(order.key);
  if (!session) return ESRCH;
  if (order.number < 0 || order.number > SIGRTMAX) return EINVAL;
  const bool goes_on = signal_terminates(order.number) && order.number != SIGKILL;
  const pid_t running = session->reaped ? 0 : session->pid;
  if (order.number == SIGKILL) session->killed = true;
  if (running != 0 && order.scope != SignalScope::all) {
    const pid_t target = order.scope == SignalScope::main ? running : -running;
    if (::kill(target, order.number) != 0) return errno;
    if (goes_on) ::kill(target, SIGCONT);
    return 0;
  }
  if (order.scope == SignalScope::main) return ESRCH;
  return descendants_.signal(running, session->pid, session->mark, session->control_group(), order.number,
                             order.scope == SignalScope::group);
}

// --- output ----------------------------------------------------------------------------------------

void Pump::drain(Session& session, unsigned stream) {
  Session::Output& output = session.output[stream];
  if (!output.pipe) return;
  const auto progress = output.log->pump(output.pipe.get(), now_us(), output_budget);
  if (progress.pipe_was_full) enlarge(output);
  using State = stream::LogWriter::State;
  output.waits = progress.state == State::held || progress.state == State::stalled;
  if (progress.state == State::stalled && !session.retrying) {
    session.retrying = true;
    timers_.push({SteadyClock::now() + stall_retry, session.key, TimerKind::retry});
  }
  // When the grace is over whoever still holds the pipe is a stranger.
  const bool abandoned = progress.state == State::drained && session.due && !session.detach;
  if (progress.state == State::ended || abandoned)
    close_output(session, stream);
  else
    poll_output(session, stream, !output.waits);
  if (progress.bytes > 0 || output.waits || !output.pipe)
    tell(session, table_.slot(session.slot).streams[stream].wake);
  if (progress.state == State::ended) check_end(session);
}

void Pump::poll_output(Session& session, unsigned stream, bool wanted) {
  // Out of epoll altogether while it waits: the end of the pipe would be reported again and again.
  Session::Output& output = session.output[stream];
  if (output.polled == wanted) return;
  output.polled = wanted;
  if (wanted)
    add_to_epoll(epoll_, output.pipe.get(), event_of(session.slot, static_cast<Part>(stream)), EPOLLIN);
  else
    ::epoll_ctl(epoll_, EPOLL_CTL_DEL, output.pipe.get(), nullptr);
}

void Pump::close_output(Session& session, unsigned stream) {
  Session::Output& output = session.output[stream];
  if (!output.pipe) return;
  if (!(table_.slot(session.slot).streams[stream].flags.load() & stream::log_eof)) output.log->seal();
  output.log.reset();
  output.pipe.reset();
  output.waits = output.polled = false;
  pipe_bytes_left_ += pipe_steps[output.size_step] - pipe_steps[0];
  output.size_step = 0;
  budget_.give_back(output_descriptors);
}

void Pump::enlarge(Session::Output& output) {
  if (output.size_step + 1u >= std::size(pipe_steps) || ++output.times_full < times_full_to_enlarge) return;
  output.times_full = 0;
  const std::size_t more = pipe_steps[output.size_step + 1] - pipe_steps[output.size_step];
  if (more > pipe_bytes_left_) return;
  if (::fcntl(output.pipe.get(), F_SETPIPE_SZ, static_cast<int>(pipe_steps[output.size_step + 1])) < 0)
    return;
  ++output.size_step;
  pipe_bytes_left_ -= more;
}

void Pump::resume(std::uint64_t key) {
  Session* session = find(key);
  if (!session) return;
  for (unsigned i = 0; i < 2; ++i)
    if (session->output[i].waits) drain(*session, i);
}

// --- stdin -----------------------------------------------------------------------------------------

void Pump::set_stdin_ring(std::uint64_t key, UniqueFd ring) {
  Session* session = find(key);
  if (!session || !session->input) return;
  session->ring = std::move(ring);
  feed(*session);
}

void Pump::keep_note(std::uint64_t key, std::string note) {
  if (Session* session = find(key)) session->note = std::move(note);
}

void Pump::feed_stdin(std::uint64_t key) {
  if (Session* session = find(key)) feed(*session);
}

void Pump::feed(Session& session) {
  if (!session.input) return;
  StdinSlot& slot = table_.slot(session.slot).standard_input;
  std::uint64_t head = slot.head.load(std::memory_order_relaxed);
  const std::uint64_t began = head;
  for (;;) {
    const std::uint64_t tail = slot.tail.load(std::memory_order_acquire);
    if (tail == head) {
      want_writable(session, false);
      if (slot.close.load() & stdin_close) {
        // close is set after the last tail; the tail seen above may be an older one.
        if (slot.tail.load() != head) continue;
        return close_input(session, false);
      }
      // From now on kairod rings; what it did before it saw that is looked for once more.
      slot.idle.store(1);
      std::atomic_thread_fence(std::memory_order_seq_cst);
      if (slot.tail.load() == head && !(slot.close.load() & stdin_close)) break;
      if (slot.idle.exchange(0) == 0) break;  // it has rung already
      continue;
    }
    if (!session.ring) break;  // it is on its way
    if (tail - head > limits::stdin_bytes) return close_input(session, true);
    if (head - began >= input_budget) {
      want_writable(session, true);
      break;
    }
    const std::uint64_t at = head % limits::stdin_bytes;
    const std::size_t piece = std::clamp<std::size_t>(session.stdin_piece, input_piece_min, input_piece_max);
    const std::size_t size =
        std::min({static_cast<std::size_t>(tail - head), limits::stdin_bytes - at, piece});
    // Copied, not mapped: a mapping per session counts against vm.max_map_count, and a truncated ring would
    // be a SIGBUS.
    piece_.resize(input_piece_max);
    const ssize_t got = ::pread(session.ring.get(), piece_.data(), size, static_cast<off_t>(at));
    if (got <= 0) {
      std::fprintf(stderr, "kairo-keeper: cannot read the stdin ring of session %llu; its stdin is closed\n",
                   static_cast<unsigned long long>(session.key));
      return close_input(session, true);
    }
    const ssize_t put = ::write(session.input.get(), piece_.data(), static_cast<std::size_t>(got));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EAGAIN) {
      want_writable(session, true);
      break;
    }
    if (put < 0) return close_input(session, true);
    session.stdin_piece =
        static_cast<std::uint32_t>(std::min<std::size_t>(2 * static_cast<std::size_t>(put), input_piece_max));
    head += static_cast<std::uint64_t>(put);
    slot.head.store(head, std::memory_order_release);
  }
  if (head != began) tell(session, slot.wake);
}

void Pump::want_writable(Session& session, bool wanted) {
  if (session.input_writable_wanted == wanted) return;
  session.input_writable_wanted = wanted;
  epoll_event event{};
  event.events = wanted ? EPOLLOUT : 0u;
  event.data.u64 = event_of(session.slot, Part::standard_input);
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, session.input.get(), &event);
}

/// `broken`: there is no reader any more; whether that loses anything the ring says.
void Pump::close_input(Session& session, bool broken) {
  if (!session.input) return;
  session.input.reset();
  session.ring.reset();
  budget_.give_back(input_descriptors);
  StdinSlot& slot = table_.slot(session.slot).standard_input;
  const bool pending = slot.tail.load() != slot.head.load();
  slot.state.store(broken && pending ? stdin_closed | stdin_broken : stdin_closed);
  tell(session, slot.wake);
}

// --- without kairod --------------------------------------------------------------------------------

void Pump::lift_pins(Session& session) {
  for (stream::StreamSlot& each : table_.slot(session.slot).streams) each.pin.store(stream::no_pin);
  resume(session.key);
}

void Pump::orphaned(SteadyTime now) {
  take_arrivals();
  epoch_ = 0;
  for (const std::uint64_t key : keys()) {
    Session* session = find(key);
    if (!session) continue;
    feed(*session);
    if (table_.slot(session->slot).kairod_wants_hold.load() == 0) lift_pins(*session);
    resume(key);
  }
  hold_ends_ = now + limits::orphaned_hold;
}

// --- from program to program -----------------------------------------------------------------------

Letters Pump::leave() const {
  std::unordered_map<std::uint64_t, std::vector<TimerLetter>> timers;
  for (auto left = timers_; !left.empty(); left.pop()) {
    const Timer& each = left.top();
    // What the disk refuses is tried again anyway.
    if (each.kind != TimerKind::retry)
      timers[each.key].push_back(
          {std::chrono::nanoseconds(each.at.time_since_epoch()).count(), each.kind == TimerKind::last_gasp});
  }
  Letters out;
  out.sessions.reserve(by_key_.size());
  for (const auto& [key, session] : by_key_) {
    SessionLetter letter;
    letter.key = key;
    letter.started_us = session->started_us;
    letter.started_boot_us = session->started_boot_us;
    letter.exited_us = session->exited_us;
    letter.exited_boot_us = session->exited_boot_us;
    letter.slot = session->slot;
    letter.pid = session->pid;
    letter.wait_status = session->wait_status;
    letter.grace_ms = session->grace_ms;
    letter.stdin_piece = session->stdin_piece;
    letter.detach = session->detach;
    letter.group = session->group;
    letter.limited = session->limited;
    letter.killed = session->killed;
    letter.degraded = session->degraded;
    letter.report = session->report;
    letter.reaped = session->reaped;
    letter.due = session->due;
    letter.process = session->process.get();
    letter.input = session->input.get();
    letter.ring = session->ring.get();
    for (const Session::Output& each : session->output) {
      OutputLetter output;
      output.pipe = each.pipe.get();
      output.size_step = each.size_step;
      if (each.log) {
        output.file = each.log->file();
        output.retain = each.log->retain_bytes();
        output.carry.data = each.log->carry();
      }
      letter.output.push_back(std::move(output));
    }
    if (const auto found = timers.find(key); found != timers.end()) letter.timers = std::move(found->second);
    letter.mark.data = session->mark;
    letter.record.data = session->record;
    letter.note.data = session->note;
    out.sessions.push_back(std::move(letter));
  }
  out.keeper.watches = descendants_.leave();
  out.denials = denials_.leave();
  return out;
}

void Pump::take_over(Letters letters, int logs_dir, SteadyTime now) {
  for (SessionLetter& each : letters.sessions) take_over(std::move(each), logs_dir);
  descendants_.take_over(letters.keeper.watches, now);
  for (DenialLetter& each : letters.denials)
    denials_.take_over(std::move(each), arrivals_.next_listener_event());
}

void Pump::end_leftovers(SteadyTime now) {
  for (const cgroup::Group& each : groups_.tree().found()) {
    const auto known = by_key_.find(each.key);
    if ((known != by_key_.end() && !known->second->reaped) || descendants_.follows(each.key)) continue;
    if (each.detach || !groups_.tree().populated(each))
      groups_.remove(each);
    else
      descendants_.ended(0, {}, each, limits::kill_grace, false, true, now);
  }
}

void Pump::take_over(SessionLetter letter, int logs_dir) {
  auto made = std::make_unique<Session>();
  Session& session = *made;
  session.key = letter.key;
  session.started_us = letter.started_us;
  session.started_boot_us = letter.started_boot_us;
  session.exited_us = letter.exited_us;
  session.exited_boot_us = letter.exited_boot_us;
  session.slot = letter.slot;
  session.pid = letter.pid;
  session.wait_status = letter.wait_status;
  session.grace_ms = letter.grace_ms;
  session.stdin_piece = letter.stdin_piece;
  session.detach = letter.detach;
  session.group = letter.group;
  session.limited = letter.limited;
  session.killed = letter.killed;
  session.degraded = std::move(letter.degraded);
  session.report = std::move(letter.report);
  session.reaped = letter.reaped;
  session.due = letter.due;
  session.process.reset(letter.process);
  session.input.reset(letter.input);
  session.ring.reset(letter.ring);
  session.mark = std::move(letter.mark.data);
  session.record = std::move(letter.record.data);
  session.note = std::move(letter.note.data);
  int descriptors = (session.process ? process_descriptors : 0) + (session.input ? input_descriptors : 0);
  for (unsigned i = 0; i < 2 && i < letter.output.size(); ++i) {
    OutputLetter& from = letter.output[i];
    Session::Output& output = session.output[i];
    if (from.pipe < 0) continue;
    output.pipe.reset(from.pipe);
    output.log.emplace(stream::LogWriter::resume(logs_dir, session.key, i, from.retain,
                                                 table_.slot(session.slot).streams[i], UniqueFd(from.file),
                                                 std::move(from.carry.data)));
    output.size_step =
        static_cast<std::uint8_t>(std::min<std::size_t>(from.size_step, std::size(pipe_steps) - 1));
    const std::size_t more = pipe_steps[output.size_step] - pipe_steps[0];
    pipe_bytes_left_ -= std::min(more, pipe_bytes_left_);
    descriptors += output_descriptors;
    // A stream that was held is looked at once more, and held again if need be.
    poll_output(session, i, true);
  }
  budget_.give_back(-descriptors);
  if (session.input)
    add_to_epoll(epoll_, session.input.get(), event_of(session.slot, Part::standard_input), 0);
  if (session.process)
    add_to_epoll(epoll_, session.process.get(), event_of(session.slot, Part::process), EPOLLIN);
  for (const Session::Output& each : session.output)
    if (each.log && !each.log->carry().empty() && !std::exchange(session.retrying, true))
      timers_.push({SteadyClock::now(), session.key, TimerKind::retry});
  for (const TimerLetter& each : letter.timers)
    timers_.push({SteadyTime(std::chrono::nanoseconds(each.at_ns)), session.key,
                  each.last_gasp ? TimerKind::last_gasp : TimerKind::grace});
  if (session.slot >= by_slot_.size()) by_slot_.resize(session.slot + 1);
  by_slot_[session.slot] = &session;
  by_key_[session.key] = std::move(made);
  if (session.reaped) return;
  slot_of_main_[session.pid] = session.slot;
  ++running_;
}

}  // namespace kairo::keeper
