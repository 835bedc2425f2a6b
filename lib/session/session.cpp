#include "session/session.hpp"

#include <algorithm>
#include <signal.h>
#include <sys/wait.h>
#include <utility>

#include "base/signals.hpp"
#include "reflect/encode.hpp"

namespace kairo::session {
namespace {

stream::LogState read_state(const stream::StreamSlot& slot) {
  stream::LogState state;
  state.flags = slot.flags.load(std::memory_order_acquire);
  state.tail = slot.tail.load(std::memory_order_acquire);
  // The keeper raises the floor ahead of a splice: it may stand above the tail that was read.
  state.floor = std::min(slot.floor.load(std::memory_order_acquire), state.tail);
  state.capacity = slot.capacity.load(std::memory_order_acquire);
  state.index_count = slot.index_count.load(std::memory_order_acquire);
  return state;
}

}  // namespace

std::uint64_t on_boot_clock(std::uint64_t boot_us, std::uint64_t unix_us) {
  if (boot_us != 0 || unix_us == 0) return boot_us;
  const auto left = static_cast<std::int64_t>(unix_us) - system_now().time_since_epoch().count();
  const auto at = static_cast<std::int64_t>(boot_clock_us()) + left;
  return at > 0 ? static_cast<std::uint64_t>(at) : 1;
}

std::uint64_t on_unix_clock(std::uint64_t boot_us) {
  return boot_us - boot_clock_us() + static_cast<std::uint64_t>(system_now().time_since_epoch().count());
}

std::string_view describe_log_fault(std::uint32_t flag) {
  return flag == stream::log_stalled
             ? "the disk refuses, and its bytes may not be dropped: the process is held until there is room"
             : "the disk refused, so its log keeps less than was asked for";
}

Session::Session(Record record, std::uint64_t key, std::uint32_t slot_index, keeper::SessionSlot* slot)
    : record_(std::move(record)), key_(key), slot_index_(slot_index), slot_(slot) {}

void Session::launched(std::int32_t pid, SystemTime at, std::uint64_t boot_us) {
  const auto phase = next(phase_, Event::launched);
  if (!phase) return;
  phase_ = *phase;
  pid_ = pid;
  started_at_ = at;
  started_boot_us_ = boot_us;
}

void Session::launch_failed() {
  if (const auto phase = next(phase_, Event::launch_failed)) phase_ = *phase;
}

void Session::request_end(api::EndReason reason, std::string by) {
  const auto phase = next(phase_, Event::end_requested);
  if (!phase) return;
  phase_ = *phase;
  if (note_.end_reason) return;
  note_.end_reason = reason;
  note_.end_requested_boot_us = boot_clock_us();
  note_.end_requested_us = on_unix_clock(note_.end_requested_boot_us);
  note_.end_by = std::move(by);
}

void Session::restore(Note note) {
  note_ = std::move(note);
  if (!note_.end_reason) return;
  if (const auto phase = next(phase_, Event::end_requested)) phase_ = *phase;
}

bool Session::exited(int wait_status, SystemTime at, std::uint64_t boot_us,
                     std::optional<keeper::LimitReport> report, std::optional<keeper::DenialReport> denials) {
  const auto phase = next(phase_, Event::exited);
  if (!phase) return false;
  phase_ = *phase;
  if (boot_us == 0) boot_us = boot_clock_us();
  end_ = End{at, wait_status, false, boot_us, even_time(boot_us), std::move(report), std::move(denials)};
  // It had ended by itself before it was asked to; only its output was still held by others.
  if (boot_us < on_boot_clock(note_.end_requested_boot_us, note_.end_requested_us)) note_.end_reason.reset();
  note_.paused = false;
  return true;
}

void Session::ended_before(const Remains& remains) {
  const auto phase = next(phase_, remains.lost ? Event::keeper_lost : Event::exited);
  if (!phase) return;
  phase_ = *phase;
  const SystemTime at{std::chrono::microseconds(remains.at_us)};
  end_ = End{
      at, remains.wait_status, remains.lost, 0, std::min(at, even_now()), remains.report, remains.denials};
  denied_accesses_ = remains.denied_accesses;
  // Of an earlier run of the machine only the system's clock tells, and it may have been set since.
  if (remains.boot == boot_mark() && remains.at_boot_us != 0) {
    end_->boot_us = remains.at_boot_us;
    end_->even_at = even_time(remains.at_boot_us);
  }
  note_.paused = false;
  frozen_stdin_ = {false, remains.stdin_offset, 0};
  for (unsigned stream = 0; stream < 2; ++stream) {
    const LogRemains& log = stream == 0 ? remains.standard_output : remains.standard_error;
    frozen_[stream] = {log.tail, log.floor, log.capacity, log.flags | stream::log_eof, log.index_count};
  }
}

Remains Session::remains() const {
  Remains out;
  out.at_us = static_cast<std::uint64_t>(end_->at.time_since_epoch().count());
  out.at_boot_us = end_->boot_us;
  out.boot = end_->boot_us != 0 ? boot_mark() : 0;
  out.wait_status = end_->wait_status;
  out.lost = end_->lost;
  out.report = end_->report;
  out.denials = end_->denials;
  out.denied_accesses = denied_accesses_;
  out.stdin_offset = stdin_state().offset;
  for (unsigned stream = 0; stream < 2; ++stream) {
    const stream::LogState log = log_state(stream);
    (stream == 0 ? out.standard_output : out.standard_error) = {log.tail, log.floor, log.capacity, log.flags,
                                                                log.index_count};
  }
  return out;
}

bool Session::note_domain(std::uint64_t domain) {
  if (note_.landlock_domain != 0) return false;
  note_.landlock_domain = domain;
  return true;
}

bool Session::interrupt_denied_accesses() {
  return denied_accesses_ && !std::exchange(denied_accesses_->interrupted, true);
}

void Session::denied_unlisted(std::uint64_t count) {
  expect_denied_accesses();
  denied_accesses_->unlisted += count;
}

bool Session::denied(const std::string& what, const std::string& target, std::uint64_t at_us) {
  expect_denied_accesses();
  auto& listed = denied_accesses_->listed;
  for (DeniedAccess& each : listed) {
    if (each.what != what || each.target != target) continue;
    ++each.count;
    each.last_us = at_us;
    return false;
  }
  if (listed.size() >= sandbox::denials_max) {
    ++denied_accesses_->unlisted;
    return false;
  }
  listed.push_back({what, target, 1, at_us, at_us});
  return true;
}

void Session::degrade(const std::map<std::string, std::string>& limits) {
  for (const auto& [name, why] : limits) {
    record_.degraded[name] = why;
    if (record_.limits) api::clear_limit(*record_.limits, name);
  }
}

bool Session::lost(SystemTime at) {
  const auto phase = next(phase_, Event::keeper_lost);
  if (!phase) return false;
  phase_ = *phase;
  end_ = End{at, 0, true, boot_clock_us(), even_now(), {}, {}};
  note_.paused = false;
  return true;
}

api::Outcome Session::outcome() const {
  api::Outcome out;
  if (!end_) return out;
  if (end_->lost) {
    out.reason = api::EndReason::lost;
  } else if (note_.end_reason) {
    out.reason = *note_.end_reason;
    if (!note_.end_by.empty()) out.by = note_.end_by;
  } else if (WIFSIGNALED(end_->wait_status)) {
    out.reason = api::EndReason::signaled;
    const int number = WTERMSIG(end_->wait_status);
    if (number == note_.signaled_with)
      out.by = note_.signaled_by;
    else if (end_->report && end_->report->out_of_memory)
      out.reason = api::EndReason::out_of_memory;
    else if (number == SIGXCPU && record_.limits && record_.limits->cpu_seconds)
      out.reason = api::EndReason::cpu_limit;
    else if (number == SIGXFSZ && record_.limits)
      out.limit = record_.limits->file_size;
  }
  if (out.reason == api::EndReason::out_of_memory && record_.limits) out.limit = record_.limits->memory;
  if (out.reason == api::EndReason::cpu_limit && record_.limits) out.limit = record_.limits->cpu_seconds;
  if (out.reason == api::EndReason::timeout && record_.timeout_ms != 0) out.limit = record_.timeout_ms;
  if (const auto& report = end_->report) {
    if (report->oom_kills > 0) out.oom_kills = report->oom_kills;
    if (report->pids_refused > 0) out.pids_refused = report->pids_refused;
    if (report->cpu_us) out.cpu_ms = *report->cpu_us / 1000;
  }
  return out;
}

api::Status Session::status() const {
  if (!end_) return api::Status::running;
  return !end_->lost && WIFEXITED(end_->wait_status) ? api::Status::exited : api::Status::killed;
}

stream::LogReader& Session::log(unsigned stream, int logs_dir) {
  auto& log = logs_[stream];
  if (!log)
    log = std::make_unique<stream::LogReader>(logs_dir, key_, stream,
                                              slot_ ? &slot_->streams[stream] : nullptr, frozen_[stream]);
  return *log;
}

stream::LogState Session::log_state(unsigned stream) const {
  return slot_ ? read_state(slot_->streams[stream]) : frozen_[stream];
}

std::uint32_t Session::take_log_faults(unsigned stream) {
  const std::uint32_t now = log_state(stream).flags & (stream::log_degraded | stream::log_stalled);
  return now & ~std::exchange(faults_told_[stream], now);
}

void Session::freeze(int logs_dir) {
  if (!slot_) return;
  frozen_stdin_ = stdin_state();
  frozen_stdin_.open = false;
  frozen_stdin_.queued = 0;
  for (unsigned stream = 0; stream < 2; ++stream) {
    frozen_[stream] = log_state(stream);
    frozen_[stream].flags |= stream::log_eof;  // nobody writes any more, also when the keeper was lost
    // A reader that comes later needs the last state, too; a stream without a file needs no reader.
    if (frozen_[stream].tail > 0) log(stream, logs_dir);
    if (logs_[stream]) logs_[stream]->freeze();
  }
  stdin_.reset();
  slot_ = nullptr;
}

void Session::drop_logs() {
  for (unsigned stream = 0; stream < 2; ++stream) {
    frozen_[stream].floor = frozen_[stream].tail;
    frozen_[stream].flags &= ~std::uint32_t{stream::log_has_file};
    if (logs_[stream]) logs_[stream]->drop();
  }
}

StdinQueue& Session::make_standard_input() {
  if (!stdin_) stdin_ = std::make_unique<StdinQueue>(slot_->standard_input);
  return *stdin_;
}

api::StdinState Session::stdin_state() const {
  if (!slot_) return frozen_stdin_;
  api::StdinState state;
  const keeper::StdinSlot& in = slot_->standard_input;
  const std::uint64_t head = in.head.load(std::memory_order_acquire);
  state.offset = in.tail.load(std::memory_order_relaxed);
  const bool closed = in.close.load(std::memory_order_relaxed) != 0 ||
                      in.state.load(std::memory_order_acquire) != 0 || (stdin_ && stdin_->closing());
  state.open = record_.stdin_pipe && running() && !closed;
  state.queued = state.offset > head ? state.offset - head : 0;
  if (in.state.load(std::memory_order_acquire) != 0) state.queued = 0;
  return state;
}

struct Session::View {
  api::ProcessSession session;
  reflect::Any packed;  ///< Empty: to be packed again.
  Changing changing;
};

Session::~Session() = default;

Session::Changing Session::changing() const {
  Changing out{phase_, note_.paused, stdin_state(), {}, {}};
  for (unsigned stream = 0; stream < 2; ++stream) {
    const stream::LogState log = log_state(stream);
    auto& state = stream == 0 ? out.streams.standard_output : out.streams.standard_error;
    state.bytes = log.tail;
    state.first_offset = log.floor;
    state.eof = log.eof();
    out.log_flags[stream] = log.flags;
  }
  return out;
}

Session::View& Session::current_view() const {
  Changing now = changing();
  if (!view_) {
    view_ = std::make_unique<View>();
    api::ProcessSession& out = view_->session;
    out.id = record_.id;
    out.pid = pid_;
    out.argv = record_.argv;
    out.cwd = record_.cwd;
    out.started_at = to_iso8601(started_at_);
    out.owner = record_.owner;
    out.labels = record_.labels;
    if (record_.permissions) out.permissions.msgpack = reflect::to_msgpack(*record_.permissions);
    if (!record_.correlation_id.empty()) out.correlation_id = record_.correlation_id;
    if (record_.limits) out.limits.msgpack = reflect::to_msgpack(*record_.limits);
  } else if (now == view_->changing) {
    return *view_;
  }
  api::ProcessSession& out = view_->session;
  out.status = status();
  out.paused = note_.paused;
  if (end_ && !out.exited_at) {
    out.exited_at = to_iso8601(end_->at);
    if (!end_->lost && WIFEXITED(end_->wait_status)) out.exit_code = WEXITSTATUS(end_->wait_status);
    if (!end_->lost && WIFSIGNALED(end_->wait_status)) out.signal = signal_name(WTERMSIG(end_->wait_status));
    out.outcome = outcome();
  }
  out.standard_input = now.standard_input;
  out.streams = now.streams;
  out.degraded.reset();
  for (const auto& [name, why] : record_.degraded) {
    if (!out.degraded) out.degraded.emplace();
    out.degraded->push_back("limits." + name + " does not hold: " + why);
  }
  for (unsigned stream = 0; stream < 2; ++stream) {
    for (const std::uint32_t fault : {stream::log_degraded, stream::log_stalled}) {
      if ((now.log_flags[stream] & fault) == 0) continue;
      if (!out.degraded) out.degraded.emplace();
      out.degraded->push_back(std::string(stream == 0 ? "stdout: " : "stderr: ") +
                              std::string(describe_log_fault(fault)));
    }
  }
  view_->packed.msgpack.clear();
  view_->changing = now;
  return *view_;
}

const api::ProcessSession& Session::view() const {
  return current_view().session;
}

void Session::drop_view() {
  view_.reset();
}

const reflect::Any& Session::packed_view() const {
  View& view = current_view();
  if (view.packed.msgpack.empty()) view.packed.msgpack = reflect::to_msgpack(view.session);
  return view.packed;
}

}  // namespace kairo::session
