#include "kernel/kernel.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <boost/asio/post.hpp>

#include "base/ids.hpp"
#include "base/signals.hpp"
#include "base/version.hpp"
#include "kernel/devices.hpp"
#include "kernel/executors.hpp"

namespace kairo::kernel {
namespace {

/// What the batch of one sendmsg may hold, with room for frame heads.
constexpr std::size_t batch_arena_bytes = 1u << 20;
/// The journal has recovered when it has refused nothing for so long.
constexpr std::chrono::seconds journal_calm{10};
/// On top of the grace of processes that are to end with the daemon: a launch that hangs, or a process that
/// does not die, must not keep it.
constexpr std::chrono::seconds stop_patience{5};

}  // namespace

Kernel::Kernel(boost::asio::io_context& io, KernelOptions options)
    : io_(io),
      options_(std::move(options)),
      instance_id_(random_id(16)),
      started_at_(system_now()),
      registry_(limits::live_sessions),
      timers_(io),
      batch_(batch_arena_bytes),
      metrics_(options_.host_root, "/"),
      devices_(std::make_unique<Devices>(*this)),
      executors_(std::make_unique<Executors>(*this)),
      audit_(std::make_unique<Audit>(*this)) {
  counters_.methods.resize(methods_.all().size() + 1);
}

Kernel::~Kernel() {
  if (archive_) audit_->close();
  archive_.reset();
  disk_.join();
  worker_.join();
  if (link_) link_->stop();
}

Result<std::unique_ptr<Kernel>> Kernel::create(boost::asio::io_context& io, KernelOptions options) {
  std::unique_ptr<Kernel> kernel(new Kernel(io, std::move(options)));
  auto opened = kernel->open_files();
  if (!opened) return std::move(opened).error();
  auto connected = keeper::Link::connect(io, kernel->link_options());
  if (!connected) return std::move(connected).error();
  kernel->link_ = std::move(*connected);
  kernel->options_.next_keeper.reset();  // one that is started later is this program
  if (const auto& why = kernel->link_->not_upgraded())
    kernel->log("the keeper goes on as the program that it was: " + *why);
  return kernel;
}

void Kernel::start() {
  look_around();
  link_->start(*this);
  adopt(link_->take_held());
  restore_ended();
  exit_told_.clear();
  forgotten_.clear();
  // Only now everything that is known is in the registry, from which the list is written anew.
  restored_ = true;
  if (book_damaged_ || book_->wants_compaction()) compact_book();
  // Sessions that stood in what is damaged may have their logs still: nobody knows, so they stay.
  if (!book_damaged_) sweep_logs();
  devices_->start();
  executors_->start();
  listener_ = std::make_unique<ipc::Listener>(
      io_, std::move(options_.listener),
      [this](UniqueFd socket, ipc::Peer peer) { accept(std::move(socket), peer); },
      [this](const Error& error) { log(error.message + "; trying again"); });
  listener_->start();
  monitor_.start();
  emit_kernel("kairo.kernel.started", {{"version", std::string(version())}, {"instanceId", instance_id_}});
}

void Kernel::configure(const Settings& settings, access::Policy policy) {
  options_.settings = settings;
  options_.policy = std::move(policy);
  ++policy_version_;
  bound_archive();
  audit_->configure();
  expire();
}

void Kernel::launch_decided(const std::string& id) {
  const auto it = starting.find(id);
  if (it != starting.end()) {
    // It counts as starting until all of them have been heard: update_pins must not give up bytes before.
    const auto requests = std::move(it->second);
    for (const auto& request : requests) request();
    starting.erase(id);
  }
  look_at_waiting_peers();
  if (stopping_) stop_when_idle();
}

void Kernel::began(session::Session& session, const std::shared_ptr<Client>& owner,
                   const std::string& subscription_id) {
  expire_within(growth_interval);
  monitor_.wake();
  cpu_watch_.begin(session);
  const std::uint64_t deadline =
      session::on_boot_clock(session.record().deadline_boot_us, session.record().deadline_us);
  if (owner || deadline != 0) {
    Attention& attention = attention_[session.key()];
    attention.owner = owner;
    attention.owner_subscription = subscription_id;
    if (owner) owner->owned.insert(session.key());
  }
  if (deadline != 0) {
    const std::chrono::milliseconds left(until_boot_ms(deadline));
    attention_[session.key()].deadline = timers_.after(left, [this, key = session.key()] {
      session::Session* late = registry_.find_key(key);
      if (!late || !late->running()) return;
      attention_[key].deadline = 0;
      terminate(*late, api::EndReason::timeout, {}, std::chrono::milliseconds(late->record().kill_grace_ms));
    });
  }
  executors_->session_began(session);
}

void Kernel::terminate(session::Session& session, api::EndReason reason, const std::string& by,
                       std::chrono::milliseconds grace) {
  if (!session.running()) return;
  session.request_end(reason, by);
  kill_after(session, grace);
  link_->signal(session.key(), SIGTERM, keeper::SignalScope::group, [](int) {});
}

void Kernel::kill_after(session::Session& session, std::chrono::milliseconds grace) {
  session.set_kill_at(boot_clock_us() + static_cast<std::uint64_t>(grace.count()) * 1000);
  remember(session);
  Attention& attention = attention_[session.key()];
  timers_.cancel(attention.kill);
  attention.kill = timers_.after(grace, [this, key = session.key()] {
    session::Session* stubborn = registry_.find_key(key);
    if (!stubborn || !stubborn->running()) return;
    attention_[key].kill = 0;
    link_->signal(key, SIGKILL, keeper::SignalScope::all, [](int) {});
  });
}

bool Kernel::cancel(session::Session& session, const std::string& by,
                    const std::optional<std::string>& reason, std::chrono::milliseconds grace,
                    std::string_view correlation_id, std::string_view causation_id) {
  if (!session.running()) return false;
  Members members{{"by", by}};
  if (reason) members.emplace_back("reason", *reason);
  emit(session, "kairo.process.canceled", members, correlation_id, causation_id);
  terminate(session, api::EndReason::canceled, by, grace);
  return true;
}

void Kernel::on_exited(const keeper::Exited& exited) {
  session::Session* session = registry_.find_key(exited.key);
  if (!session || !session->slot()) {
    link_->release(exited.key);
    return;
  }
  if (!session->exited(exited.wait_status, SystemTime(std::chrono::microseconds(exited.exited_us)),
                       exited.exited_boot_us, exited.report))
    return;
  finish(*session);
}

void Kernel::finish(session::Session& session) {
  registry_.note_ended(session);
  ++counters_.ended[static_cast<std::size_t>(session.outcome().reason)];
  if (auto* in = session.standard_input()) in->end();
  if (session.end()->lost && session.slot()) {
    session.freeze(logs_dir());  // what is recorded is all that will be
    registry_.detach_slot(session);
  }
  give_last_output(session);
  tell_log_faults(session);

  const auto found = attention_.find(session.key());
  Attention* const attention = found == attention_.end() ? nullptr : &found->second;
  if (attention) {
    // Those who wait are answered first: until the release below the keeper knows the end, so that no crash
    // takes it back.
    timers_.cancel(attention->deadline);
    timers_.cancel(attention->kill);
    const auto waits = std::move(attention->waits);
    attention->waits.clear();
    for (const auto& wait : waits) {
      timers_.cancel(wait->timer);
      wait->reply.packed(session.packed_view());
    }
    for (const auto& wait : waits) wait->reply.flush();
  }
  // Told, then on record, then let go of by the keeper: a crash in between repeats nothing and misses
  // nothing.
  if (exit_told_.erase(session.key()) == 0) emit_exited(session);
  if (!put_on_record(session)) unrecorded_.insert(session.key());
  session.drop_view();
  devices_->session_ended(session);
  executors_->session_ended(session);
  if (attention)
    if (const auto owner = attention->owner.lock()) {
      owner->owned.erase(session.key());
      owner->kill_with.erase(session.key());
    }
  if (session.slot())
    release_if_recorded(session);
  else
    settle(session);
  expire_within(expiry_interval);
  if (registry_.ended_count() > settings().ended_sessions + settings().ended_sessions / 8 + 8) expire();
  if (stopping_) stop_when_idle();
}

void Kernel::emit_exited(const session::Session& session) {
  Members members{{"status", std::string(reflect::enum_name(session.status()))}};
  const session::End& end = *session.end();
  if (!end.lost && WIFEXITED(end.wait_status))
    members.emplace_back("exitCode", std::int64_t{WEXITSTATUS(end.wait_status)});
  if (!end.lost && WIFSIGNALED(end.wait_status))
    members.emplace_back("signal", signal_name(WTERMSIG(end.wait_status)));
  members.emplace_back("outcome", reflect::Any{reflect::to_msgpack(session.outcome())});
  members.emplace_back("stdoutBytes", session.log_state(0).tail);
  members.emplace_back("stderrBytes", session.log_state(1).tail);
  emit(session, "kairo.process.exited", members);
}

void Kernel::release_if_recorded(session::Session& session) {
  if (!session.ended() || !session.slot() || (!session.all_recorded() && !keeper_lost_)) return;
  if (unrecorded_.contains(session.key()) && !keeper_lost_) return;  // the keeper alone knows how it ended
  const std::uint32_t slot = session.slot_index();
  session.freeze(logs_dir());
  registry_.detach_slot(session);
  if (!keeper_lost_) {
    link_->release(session.key());
    registry_.give_back(slot);
  }
  settle(session);
}

void Kernel::settle(session::Session& session) {
  wake_readers(session);
  answer_reads(session, false);
  const auto it = attention_.find(session.key());
  if (it != attention_.end() && it->second.readers.empty() && it->second.reads[0].empty() &&
      it->second.reads[1].empty() && it->second.waits.empty())
    attention_.erase(it);
}

void Kernel::add_wait(session::Session& session, const Call& call, Reply<api::ProcessSession> reply,
                      std::optional<std::uint64_t> timeout_ms) {
  if (session.ended()) return reply.packed(session.packed_view());
  auto wait = std::make_shared<Attention::Wait>(Attention::Wait{std::move(reply)});
  wait->principal = call.client->principal().path();
  wait->correlation_id = call.correlation_id;
  attention_[session.key()].waits.push_back(wait);
  if (!timeout_ms) return;
  wait->timer = timers_.after(
      std::chrono::milliseconds(*timeout_ms),
      [this, key = session.key(), weak = std::weak_ptr(wait), timeout = *timeout_ms] {
        const auto late = weak.lock();
        const auto it = attention_.find(key);
        if (!late || it == attention_.end()) return;
        std::erase(it->second.waits, late);
        late->reply(Error(Code::timeout, "the process was still running after " + std::to_string(timeout) +
                                             " ms; it was left alone"));
      });
}

void Kernel::cancel_waits(std::string_view correlation_id, const access::Principal& by,
                          const std::optional<std::string>& reason) {
  std::vector<std::shared_ptr<Attention::Wait>> canceled;
  for (auto& [key, attention] : attention_)
    std::erase_if(attention.waits, [&](const std::shared_ptr<Attention::Wait>& wait) {
      if (wait->correlation_id != correlation_id || !may_act(by, wait->principal)) return false;
      canceled.push_back(wait);
      return true;
    });
  for (const auto& wait : canceled) {
    timers_.cancel(wait->timer);
    Error error(Code::timeout, "the wait was canceled by " + by.name() + (reason ? ": " + *reason : "") +
                                   "; a process that is not canceled itself was left alone");
    error.details.emplace_back("canceledBy", by.name());
    wait->reply(error);
  }
}

void Kernel::on_changed(std::uint32_t slot) {
  session::Session* session = registry_.find_slot(slot);
  if (!session) return;
  if (auto* in = session->standard_input()) {
    in->progress();
    after_stdin(*session);
  }
  tell_log_faults(*session);
  wake_readers(*session);
  answer_reads(*session, false);
  const bool held = session->ended() && session->slot();
  release_if_recorded(*session);
  if (held && !session->slot()) put_on_record(*session);  // what detached descendants wrote since
}

// --- stdin ---------------------------------------------------------------------------------------------

Result<session::StdinQueue*> Kernel::stdin_of(session::Session& session) {
  if (!session.running())
    return Error(Code::not_running, "session \"" + session.id() + "\" has ended; nothing was written")
        .with("written", std::int64_t{0});
  if (!session.record().stdin_pipe)
    return Error(Code::stdin_closed,
                 "session \"" + session.id() + "\" was started without a stdin pipe; nothing was written")
        .with("written", std::int64_t{0});
  session::StdinQueue& in = session.make_standard_input();
  in.set_bounds(settings().stdin_waiting_writes,
                std::max<std::size_t>(settings().frame_bytes, limits::stdin_waiting_bytes));
  return &in;
}

void Kernel::after_stdin(session::Session& session) {
  session::StdinQueue* in = session.standard_input();
  if (!in) return;
  if (in->take_doorbell()) link_->stdin_ready(session.key());
  const keeper::StdinSlot& shared = session.slot()->standard_input;
  if (shared.state.load(std::memory_order_acquire) == 0) {
    // To hear of a reader that goes away, or of the close being done.
    session.slot()->standard_input.wake.store(1, std::memory_order_seq_cst);
    if (shared.state.load(std::memory_order_seq_cst) == 0) return;
  }
  Attention& attention = attention_[session.key()];
  if (attention.stdin_closed_told || !session.running()) return;
  attention.stdin_closed_told = true;
  const bool broken = (shared.state.load(std::memory_order_acquire) & keeper::stdin_broken) != 0;
  in->progress();
  emit(session, "kairo.process.stdin.closed",
       {{"offset", shared.head.load(std::memory_order_acquire)},
        {"reason", std::string(broken ? "the process closed it" : "closed by request")}});
}

// --- events --------------------------------------------------------------------------------------------

bool Kernel::may_see(const access::Principal& who, const event::Fact& fact) const {
  return fact.owner.empty() || may_act(who, fact.owner);
}

namespace {
reflect::Any pack_members(const Kernel::Members& first, const Kernel::Members& second) {
  reflect::Any out;
  reflect::Sink sink(out.msgpack);
  reflect::Packer to(sink);
  to.pack_map(static_cast<std::uint32_t>(first.size() + second.size()));
  for (const Kernel::Members* members : {&first, &second})
    for (const auto& [name, value] : *members) {
      reflect::encode(to, name);
      reflect::encode(to, value);
    }
  return out;
}
}  // namespace

void Kernel::emit(const session::Session& session, const std::string& type, const Members& members,
                  std::string_view correlation_id, std::string_view causation_id) {
  event::Fact fact;
  fact.owner = session.record().owned_by();
  fact.process_id = session.id();
  fact.session_key = session.key();
  fact.event.type = type;
  fact.event.source = "kernel";
  fact.event.data =
      pack_members({{"processId", session.id()}, {"pid", std::int64_t{session.pid()}}}, members);
  const std::string_view correlation =
      correlation_id.empty() ? session.record().correlation_id : correlation_id;
  const std::string_view causation = causation_id.empty() ? session.record().causation_id : causation_id;
  if (!correlation.empty()) fact.event.correlation_id = std::string(correlation);
  if (!causation.empty()) fact.event.causation_id = std::string(causation);
  publish(std::move(fact), &session);
}

void Kernel::emit_kernel(const std::string& type, const Members& members) {
  emit_kernel(type, pack_members(members, {}));
}

void Kernel::emit_denied(const access::Principal& who, const Members& members) {
  event::Fact fact;
  fact.owner = who.path();
  fact.event.type = "kairo.security.denied";
  fact.event.source = "kernel";
  fact.event.data = pack_members(members, {});
  publish(std::move(fact), nullptr);
}

void Kernel::emit_kernel(const std::string& type, reflect::Any data) {
  event::Fact fact;
  fact.event.type = type;
  fact.event.source = "kernel";
  fact.event.data = std::move(data);
  publish(std::move(fact), nullptr);
}

Result<void> Kernel::announce(event::Fact& fact, event::Window::Entry& recorded) {
  auto published = bus_->publish(fact, recorded);
  feed_archive_soon();
  if (!published) ++counters_.unrecorded_events;
  sync_journal_soon();
  const SteadyTime now = SteadyClock::now();
  if (!published) journal_refused_at_ = now;
  if (published) {
    // A disk that is full takes small events between large ones: not again with every change of its mind.
    if (journal_failing_ && now - journal_refused_at_ > journal_calm) {
      log("events are on record again");
      journal_failing_ = false;
    }
  } else if (published.error().code != Code::limit_exceeded && !std::exchange(journal_failing_, true)) {
    // Told once. Events without a seq are those that are not on record.
    degraded("journal", "events are not on record: " + published.error().message);
  }
  return published;
}

void Kernel::publish(event::Fact fact, const session::Session* session) {
  ++counters_.kernel_events;
  audit_->fact(fact);
  event::Window::Entry recorded;
  if (auto published = announce(fact, recorded); !published && published.error().code == Code::limit_exceeded)
    log_client("an event is not on record: " + published.error().message);
  if (!session) return;
  const auto it = attention_.find(session->key());
  if (it == attention_.end()) return;
  const auto owner = it->second.owner.lock();
  if (!owner) return;
  if (!may_see(owner->principal(), fact)) return;  // it has narrowed itself since
  owner->send_event(*recorded, it->second.owner_subscription);
}

// --- the end --------------------------------------------------------------------------------------

void Kernel::stop(OnShutdown what, std::function<void()> done) {
  if (stopping_) return;
  stopping_ = true;
  stopped_ = std::move(done);
  emit_kernel(
      "kairo.kernel.stopping",
      {{"instanceId", instance_id_}, {"processes", std::string(what == OnShutdown::keep ? "keep" : "stop")}});
  listener_->stop();
  std::chrono::milliseconds patience = stop_patience;
  if (what == OnShutdown::stop) {
    std::vector<session::Session*> all;
    registry_.for_each(0, [&](session::Session& each) {
      if (each.running()) all.push_back(&each);
      return true;
    });
    for (session::Session* each : all) {
      const std::chrono::milliseconds grace(each->record().kill_grace_ms);
      terminate(*each, api::EndReason::kernel_shutdown, {}, grace);
      patience = std::max(patience, grace + stop_patience);
    }
    stop_keeper_ = true;
  }
  timers_.after(patience, [this] { stop_when_idle(true); });
  stop_when_idle();
}

void Kernel::stop_when_idle(bool at_once) {
  if (!stopped_) return;
  bool busy = false;
  if (stop_keeper_ && !keeper_lost_)
    registry_.for_each(0, [&](session::Session& each) {
      busy = busy || each.running();
      return !busy;
    });
  if (!at_once && (busy || !starting.empty())) return;
  if (stop_keeper_ && !keeper_lost_) link_->stop_keeper();
  const auto done = std::move(stopped_);
  stopped_ = nullptr;
  // One more turn of the loop, so that the last answers and events leave.
  boost::asio::post(io_, [this, done] {
    for (const auto& [pointer, client] : clients_) client->connection().flush();
    timers_.stop();
    devices_->stop();
    executors_->stop();
    for (const auto& [pointer, client] : clients_) client->connection().close();
    link_->stop();
    boost::asio::post(io_, done);
  });
}

}  // namespace kairo::kernel
