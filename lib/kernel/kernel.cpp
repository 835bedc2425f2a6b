#include "kernel/kernel.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <boost/asio/post.hpp>

#include "base/ids.hpp"
#include "base/signals.hpp"
#include "base/version.hpp"
#include "reflect/decode.hpp"
#include "wire/payload.hpp"

namespace kairo::kernel {
namespace {

/// What the batch of one sendmsg may hold, with room for frame heads.
constexpr std::size_t batch_arena_bytes = 1u << 20;
/// A keeper that was held by a pin is told to go on when so much is free: one wake-up moves megabytes.
constexpr std::uint64_t resume_bytes = 4u << 20;
/// How often ended sessions and the size of the logs are looked after; the shorter where logs may grow.
constexpr std::chrono::seconds expiry_interval{60};
constexpr std::chrono::seconds growth_interval{5};
/// Before another keeper is tried when one could not be started.
constexpr std::chrono::seconds keeper_retry{5};
/// What a power loss may take of the events. (A kill takes none.)
constexpr std::chrono::seconds journal_sync_interval{1};
/// The journal has recovered when it has refused nothing for so long.
constexpr std::chrono::seconds journal_calm{10};
/// Before the list of sessions is tried again when the disk refused it.
constexpr std::chrono::seconds book_retry{5};
/// On top of the grace of processes that are to end with the daemon: a launch that hangs, or a process that
/// does not die, must not keep it.
constexpr std::chrono::seconds stop_patience{5};
std::uint64_t unix_us(SystemTime time) {
  return static_cast<std::uint64_t>(time.time_since_epoch().count());
}

keeper::LinkOptions link_options(const KernelOptions& options, const std::string& instance_id) {
  return {options.state_dir, instance_id, options.keeper_command, options.next_keeper.get()};
}

/// A year: longer waits would overflow a time point.
constexpr std::uint64_t longest_timer_ms = 365ull * 24 * 3600 * 1000;

}  // namespace

Kernel::Kernel(boost::asio::io_context& io, KernelOptions options)
    : io_(io),
      options_(std::move(options)),
      instance_id_(random_id(16)),
      started_at_(system_now()),
      registry_(limits::live_sessions),
      timers_(io),
      batch_(batch_arena_bytes) {}

Kernel::~Kernel() {
  worker_.join();
  if (link_) link_->stop();
}

Result<std::unique_ptr<Kernel>> Kernel::create(boost::asio::io_context& io, KernelOptions options) {
  std::unique_ptr<Kernel> kernel(new Kernel(io, std::move(options)));
  auto opened = kernel->open_files();
  if (!opened) return std::move(opened).error();
  auto connected = keeper::Link::connect(io, link_options(kernel->options_, kernel->instance_id_));
  if (!connected) return std::move(connected).error();
  kernel->link_ = std::move(*connected);
  kernel->options_.next_keeper.reset();  // one that is started later is this program
  if (const auto& why = kernel->link_->not_upgraded())
    kernel->log("the keeper goes on as the program that it was: " + *why);
  return kernel;
}

Result<void> Kernel::open_files() {
  const UniqueFd state_dir(::open(options_.state_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!state_dir) return system_error("cannot open " + options_.state_dir, errno);
  if (::mkdirat(state_dir.get(), "logs", 0700) != 0 && errno != EEXIST)
    return system_error("cannot make " + options_.state_dir + "/logs", errno);
  logs_dir_.reset(::openat(state_dir.get(), "logs", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!logs_dir_) return system_error("cannot open " + options_.state_dir + "/logs", errno);

  event::FileJournal::Options journal;
  journal.state_dir = state_dir.get();
  journal.on_record = [this](const event::Fact& fact) {
    if (fact.event.type == "kairo.process.exited") exit_told_.insert(fact.session_key);
  };
  auto events = event::FileJournal::open(std::move(journal));
  if (!events) return std::move(events).error();
  for (const std::string& each : events->damages) log(each);
  journal_ = events->journal.get();
  bus_.emplace(std::move(events->journal));

  auto book = session::Book::open(state_dir.get(), [this](session::Entry entry) {
    const std::uint64_t key = entry.key;
    if (entry.forgotten) {
      remembered_.erase(key);
      forgotten_.insert(key);
    } else {
      forgotten_.erase(key);
      remembered_.insert_or_assign(key, std::move(entry));
    }
  });
  if (!book) return std::move(book).error();
  for (const std::string& each : book->damages) log(each);
  book_damaged_ = !book->damages.empty();
  book_.emplace(std::move(book->book));
  // Before a keeper that is started now puts a table of its own in its place.
  UniqueFd table(::openat(state_dir.get(), "table", O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (table)
    if (auto old = keeper::Table::open(std::move(table))) old_table_.emplace(std::move(*old));
  return {};
}

void Kernel::start() {
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
  listener_ = std::make_unique<ipc::Listener>(
      io_, std::move(options_.listener),
      [this](UniqueFd socket, ipc::Peer peer) { accept(std::move(socket), peer); },
      [this](const Error& error) { log(error.message + "; trying again"); });
  listener_->start();
  emit_kernel("kairo.kernel.started", {{"version", std::string(version())}, {"instanceId", instance_id_}});
}

void Kernel::configure(const Settings& settings) {
  options_.settings = settings;
  expire();
}

void Kernel::accept(UniqueFd socket, ipc::Peer peer) {
  if (clients_.size() >= settings().connections) {
    log("refused a connection of " + ipc::describe(peer) + ": " + std::to_string(clients_.size()) +
        " are served");
    return;
  }
  if (peer.uid != ::geteuid() && peer.uid != 0) {
    log("refused a connection of " + ipc::describe(peer) + ": another user's");
    return;
  }
  auto connection =
      std::make_shared<ipc::Connection>(io_, std::move(socket), peer, batch_, settings().frame_bytes);
  auto client = std::make_shared<Client>(*this, connection, next_client_++);
  clients_.emplace(client.get(), client);
  connection->start(client);
}

bool Kernel::may_act(const access::Principal& who, std::string_view owner) const {
  if (who.may_act_on(owner)) return true;
  return settings().root_reaches_all && who.name() == "user:0";
}

bool Kernel::may_rule(const access::Principal& who) {
  // A name only ever narrows: it is that of a tenant, not of the one who runs the house.
  return (who.uid() == ::geteuid() || who.uid() == 0) &&
         who.name() == access::Principal::user(who.uid()).name();
}

Result<session::Session*> Kernel::reach(const Client& client, const std::string& id) const {
  session::Session* session = registry_.find(id);
  if (!session)
    return Error(Code::not_found, "there is no session \"" + id.substr(0, 128) + "\"")
        .with("id", id.substr(0, 128));
  if (!may_act(client.principal(), session->record().owner))
    return Error(Code::permission_denied, client.principal().name() + " may not act on session \"" + id +
                                              "\", which belongs to " + session->record().owner)
        .with("id", id);
  return session;
}

// --- sessions ------------------------------------------------------------------------------------------

void Kernel::adopt(std::vector<keeper::Link::Held> held) {
  std::sort(held.begin(), held.end(),
            [](const auto& a, const auto& b) { return a.session.key < b.session.key; });
  for (keeper::Link::Held& each : held) {
    const keeper::HeldSession& found = each.session;
    if (forgotten_.contains(found.key)) {
      registry_.keep_off(found.slot);
      link_->release(found.key);  // the earlier daemon was killed before it could say so
      continue;
    }
    if (registry_.find_key(found.key)) {
      // It was given up as lost when the connection to this very keeper broke.
      if (found.slot < link_->table().slots()) registry_.keep_off(found.slot);
      if (found.wait_status)
        link_->release(found.key);
      else
        link_->signal(found.key, SIGKILL, keeper::SignalScope::all, [](int) {});
      continue;
    }
    wire::PayloadDecoder decoder;
    auto object = decoder.decode(found.record.data);
    auto record = object ? reflect::from_object<session::Record>(*object, "record", reflect::Unknown::ignore)
                         : Result<session::Record>(object.error());
    // The one before was replaced, and its release had not reached the keeper yet: the later one has the id.
    if (session::Session* before = record ? registry_.find(record->id) : nullptr;
        before && before->ended() && !before->slot())
      forget(*before);
    if (!record || !is_valid_session_id(record->id) || registry_.find(record->id) ||
        found.slot >= link_->table().slots()) {
      log("the keeper holds process " + std::to_string(found.pid) +
          " with a record that cannot be read; it is ended");
      if (found.slot < link_->table().slots()) registry_.keep_off(found.slot);
      link_->signal(found.key, SIGKILL, keeper::SignalScope::all, [](int) {});
      link_->release(found.key);
      continue;
    }
    auto made = std::make_unique<session::Session>(std::move(*record), found.key, found.slot,
                                                   &link_->table().slot(found.slot));
    session::Session& session = registry_.adopt(std::move(made));
    session.launched(found.pid, SystemTime(std::chrono::microseconds(found.started_us)));
    if (each.stdin_ring) {
      session::StdinQueue& in = session.make_standard_input();
      auto adopted = in.adopt_ring(std::move(each.stdin_ring));
      in.ring_kept();
      if (!adopted) log("session " + session.id() + ": " + adopted.error().message);
    }
    const keeper::SessionSlot& slot = *session.slot();
    const std::uint64_t pins[2] = {slot.streams[0].pin, slot.streams[1].pin};
    if (std::min(pins[0], pins[1]) != stream::no_pin)
      inherited_[session.key()] = {{pins[0], pins[1]}, std::max(slot.kairod_wants_hold.load(), 2u) - 1};
    began(session, nullptr, {});
    take_note(session, found.note.data);
    const auto known = remembered_.extract(found.key);
    if (!known)
      put_on_record(session);
    else if (known.mapped().remains)
      exit_told_.insert(found.key);
    if (found.wait_status) on_exited({found.key, *found.wait_status, found.exited_us});
  }
  if (held.empty()) return;
  // The readers of the time before have so long to come back; then only those that did count (SPEC 5.4).
  timers_.after(limits::orphaned_hold, [this] {
    inherited_.clear();
    registry_.for_each(0, [this](session::Session& each) {
      update_pins(each);
      return true;
    });
  });
}

void Kernel::restore_ended() {
  std::vector<keeper::Leftover> left;
  for (auto& [key, entry] : std::exchange(remembered_, {})) {
    session::Session* namesake = registry_.find(entry.record.id);
    if (!is_valid_session_id(entry.record.id) || (namesake && namesake->key() > key)) {
      remove_logs(key);
      write_book(session::forgotten(key));
      continue;
    }
    if (namesake) forget(*namesake);
    const bool was_live = !entry.remains;
    if (was_live) {
      // Neither the keeper that followed it nor its end is known.
      session::Remains& remains = entry.remains.emplace();
      remains.at_us = unix_us(system_now());
      remains.lost = true;
      const keeper::SessionSlot* slot = nullptr;
      if (old_table_ && entry.slot < old_table_->slots() && old_table_->slot(entry.slot).key == key)
        slot = &old_table_->slot(entry.slot);
      if (slot) remains.stdin_offset = slot->standard_input.tail;
      for (unsigned stream = 0; stream < 2; ++stream) {
        const stream::LogState log =
            stream::recover_log(logs_dir(), key, stream, slot ? &slot->streams[stream] : nullptr);
        (stream == 0 ? remains.standard_output : remains.standard_error) = {log.tail, log.floor, log.capacity,
                                                                            log.flags, log.index_count};
      }
      left.push_back({entry.pid, entry.started_us, entry.record.id, entry.record.detach_descendants});
    }
    auto made = std::make_unique<session::Session>(std::move(entry.record), key, entry.slot, nullptr);
    made->launched(entry.pid, SystemTime(std::chrono::microseconds(entry.started_us)));
    made->restore(std::move(entry.note));
    made->ended_before(*entry.remains);
    session::Session& session = registry_.adopt_ended(std::move(made));
    if (!was_live) continue;
    log("session " + session.id() + " is lost: it was running, and no keeper knows of it");
    if (!exit_told_.contains(key)) emit_exited(session);
    put_on_record(session);
  }
  old_table_.reset();
  end_leftovers(std::move(left));
  if (registry_.size() > 0) expire_within(expiry_interval);
}

void Kernel::sync_journal_soon() {
  if (journal_sync_due_) return;
  journal_sync_due_ = true;
  timers_.after(journal_sync_interval, [this] {
    journal_sync_due_ = false;
    boost::asio::post(worker_, [this] {
      static_cast<void>(journal_->sync());
      for (const std::string& each : journal_->take_damages()) log(each);
    });
  });
}

bool Kernel::put_on_record(const session::Session& session) {
  return write_book(session::entry_of(session));
}

bool Kernel::write_book(const session::Entry& entry) {
  auto written = book_->append(entry);
  if (written) {
    if (restored_ && book_->wants_compaction() && !book_failing_) compact_book();
    return true;
  }
  if (book_failing_) return false;
  book_failing_ = true;
  log("the list of sessions cannot be written: " + written.error().message);
  emit_kernel("kairo.kernel.degraded",
              {{"what", std::string("sessions")}, {"message", written.error().message}});
  timers_.after(book_retry, [this] { compact_book(); });
  return false;
}

void Kernel::compact_book() {
  std::vector<session::Entry> entries;
  registry_.for_each(0, [&](session::Session& each) {
    entries.push_back(session::entry_of(each));
    return true;
  });
  auto compacted = book_->compact(entries);
  if (!compacted) {
    if (!book_failing_) log("the list of sessions cannot be written anew: " + compacted.error().message);
    book_failing_ = true;
    timers_.after(book_retry, [this] { compact_book(); });
    return;
  }
  if (book_failing_) log("the list of sessions is written again");
  book_failing_ = false;
  // Now their ends are on record: the keeper may forget them.
  for (const std::uint64_t key : std::exchange(unrecorded_, {}))
    if (session::Session* each = registry_.find_key(key)) release_if_recorded(*each);
  boost::asio::post(worker_, [finish = std::move(*compacted)] { static_cast<void>(finish()); });
}

void Kernel::take_note(session::Session& session, std::string_view note) {
  if (!note.empty()) {
    wire::PayloadDecoder decoder;
    auto object = decoder.decode(note);
    auto read = object ? reflect::from_object<session::Note>(*object, "note", reflect::Unknown::ignore)
                       : Result<session::Note>(object.error());
    if (read)
      session.restore(std::move(*read));
    else
      log("session " + session.id() + ": what was noted of it cannot be read: " + read.error().message);
  }
  const std::uint64_t kill_at = session.note().kill_at_us;
  const std::uint64_t now = unix_us(system_now());
  if (kill_at != 0) {
    const std::uint64_t left_ms = kill_at > now ? (kill_at - now) / 1000 : 0;
    kill_after(session, std::chrono::milliseconds(std::min<std::uint64_t>(left_ms, longest_timer_ms)));
  }
  // The end of the daemon was no end of the owner: it may attach again (SPEC 4.1).
  if (session.record().kill_on_owner_exit)
    timers_.after(limits::orphaned_hold, [this, key = session.key()] {
      session::Session* left = registry_.find_key(key);
      const auto it = attention_.find(key);
      if (!left || (it != attention_.end() && it->second.owner.lock())) return;
      terminate(*left, api::EndReason::owner_gone, left->record().owner,
                std::chrono::milliseconds(left->record().kill_grace_ms));
    });
}

void Kernel::own_again(session::Session& session, const std::shared_ptr<Client>& owner,
                       const std::string& subscription_id) {
  if (!session.record().kill_on_owner_exit || !session.running()) return;
  Attention& attention = attention_[session.key()];
  if (attention.owner.lock() || owner->principal().name() != session.record().owner) return;
  attention.owner = owner;
  attention.owner_subscription = subscription_id;
  owner->owned.insert(session.key());
  owner->kill_with.insert(session.key());
}

void Kernel::launch_decided(const std::string& id) {
  const auto it = starting.find(id);
  if (it != starting.end()) {
    // It counts as starting until all of them have been heard: update_pins must not give up bytes before.
    const auto requests = std::move(it->second);
    for (const auto& request : requests) request();
    starting.erase(id);
  }
  if (stopping_) stop_when_idle();
}

void Kernel::began(session::Session& session, const std::shared_ptr<Client>& owner,
                   const std::string& subscription_id) {
  expire_within(growth_interval);
  if (owner || session.record().deadline_us != 0) {
    Attention& attention = attention_[session.key()];
    attention.owner = owner;
    attention.owner_subscription = subscription_id;
    if (owner) owner->owned.insert(session.key());
  }
  if (session.record().deadline_us != 0) {
    const auto deadline = SystemTime(std::chrono::microseconds(session.record().deadline_us));
    const auto left = std::max(std::chrono::duration_cast<std::chrono::milliseconds>(deadline - system_now()),
                               std::chrono::milliseconds(0));
    attention_[session.key()].deadline = timers_.after(left, [this, key = session.key()] {
      session::Session* late = registry_.find_key(key);
      if (!late || !late->running()) return;
      attention_[key].deadline = 0;
      terminate(*late, api::EndReason::timeout, {}, std::chrono::milliseconds(late->record().kill_grace_ms));
    });
  }
}

void Kernel::terminate(session::Session& session, api::EndReason reason, const std::string& by,
                       std::chrono::milliseconds grace) {
  if (!session.running()) return;
  session.request_end(reason, by);
  kill_after(session, grace);
  link_->signal(session.key(), SIGTERM, keeper::SignalScope::group, [](int) {});
}

void Kernel::remember(const session::Session& session) {
  link_->note(session.key(), reflect::to_msgpack(session.note()));
}

void Kernel::kill_after(session::Session& session, std::chrono::milliseconds grace) {
  session.set_kill_at(unix_us(system_now() + grace));
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
  if (!session->exited(exited.wait_status, SystemTime(std::chrono::microseconds(exited.exited_us)))) return;
  finish(*session);
}

void Kernel::on_lost(const Error& why) {
  log(why.message + "; another keeper is started");
  keeper_lost_ = true;
  // By key: finishing one may forget others.
  std::vector<std::uint64_t> all;
  std::vector<keeper::Leftover> left = std::exchange(lost_launches, {});
  registry_.for_each(0, [&](session::Session& each) {
    if (!each.ended() || each.slot()) all.push_back(each.key());
    if (!each.ended())
      left.push_back({each.pid(), unix_us(each.started_at()), each.id(), each.record().detach_descendants});
    return true;
  });
  emit_kernel("kairo.kernel.degraded", {{"what", std::string("keeper")},
                                        {"message", why.message},
                                        {"lost", static_cast<std::uint64_t>(left.size())}});
  for (const std::uint64_t key : all) {
    session::Session* each = registry_.find_key(key);
    if (!each) continue;
    if (each->lost(system_now()))
      finish(*each);
    else
      release_if_recorded(*each);
  }
  end_leftovers(std::move(left));
  if (stopping_) return stop_when_idle();
  // Not from within the link that is to go.
  boost::asio::post(io_, [this] { replace_keeper(); });
}

void Kernel::replace_keeper() {
  if (stopping_ || !keeper_lost_) return;
  link_->stop();
  auto connected = keeper::Link::connect(io_, link_options(options_, instance_id_));
  if (!connected) {
    if (keeper_problem_ != connected.error().message)
      log("no other keeper could be started: " + connected.error().message + "; trying again");
    keeper_problem_ = connected.error().message;
    timers_.after(keeper_retry, [this] { replace_keeper(); });
    return;
  }
  link_ = std::move(*connected);
  keeper_lost_ = false;
  registry_.reset_slots();
  link_->start(*this);
  adopt(link_->take_held());
  log("keeper " + link_->keeper_id() + " serves, process " + std::to_string(link_->keeper_pid()));
}

void Kernel::end_leftovers(std::vector<keeper::Leftover> sessions) {
  if (sessions.empty()) return;
  boost::asio::post(worker_, [this, sessions = std::move(sessions), socket = options_.socket_path,
                              lost_at = keeper::boot_clock_us()]() mutable {
    if (keeper::signal_leftovers(sessions, socket, lost_at, SIGTERM) == 0) return;
    boost::asio::post(io_, [this, sessions = std::move(sessions), socket, lost_at]() mutable {
      timers_.after(limits::kill_grace, [this, sessions = std::move(sessions), socket, lost_at] {
        boost::asio::post(worker_, [sessions, socket, lost_at] {
          keeper::signal_leftovers(sessions, socket, lost_at, SIGKILL);
        });
      });
    });
  });
}

void Kernel::finish(session::Session& session) {
  registry_.note_ended(session);
  if (auto* in = session.standard_input()) in->end();
  if (session.end()->lost && session.slot()) {
    session.freeze(logs_dir());  // what is recorded is all that will be
    registry_.detach_slot(session);
  }
  give_last_output(session);

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

void Kernel::forget(session::Session& session) {
  const auto it = attention_.find(session.key());
  if (it != attention_.end()) {
    answer_reads(session, true);
    while (!it->second.readers.empty()) {
      OutputSubscription* reader = it->second.readers.back();
      reader->client().unsubscribe(std::string(reader->id()));
    }
    attention_.erase(session.key());
  }
  inherited_.erase(session.key());
  // Out of the registry first, from which the list may be written anew; the logs last.
  unrecorded_.erase(session.key());
  const auto removed = registry_.remove(session);
  write_book(session::forgotten(removed->key()));
  if (removed->log_state(0).tail + removed->log_state(1).tail > 0) remove_logs(removed->key());
}

void Kernel::remove_logs(std::uint64_t key) {
  // Dropping 64 MiB of pages takes milliseconds: not on this thread.
  boost::asio::post(worker_, [dir = logs_dir_.get(), key] {
    for (unsigned stream = 0; stream < 2; ++stream)
      ::unlinkat(dir, stream::log_file_name(key, stream).c_str(), 0);
  });
}

void Kernel::sweep_logs() {
  // Logs of sessions that nobody knows any more (their daemon was killed before it had dropped them).
  std::unordered_set<std::string> known;
  registry_.for_each(0, [&](session::Session& each) {
    for (unsigned stream = 0; stream < 2; ++stream) known.insert(stream::log_file_name(each.key(), stream));
    return true;
  });
  // What is spawned while the worker looks has a higher key.
  boost::asio::post(worker_, [path = options_.state_dir + "/logs", known = std::move(known),
                              first_new = stream::log_file_name(registry_.next_key(), 0)] {
    DIR* dir = ::opendir(path.c_str());
    if (!dir) return;
    while (const dirent* entry = ::readdir(dir)) {
      const std::string name = entry->d_name;
      if (name.size() == first_new.size() && name[16] == '.' && name < first_new && !known.contains(name))

        ::unlinkat(::dirfd(dir), name.c_str(), 0);
    }
    ::closedir(dir);
  });
}

void Kernel::expire_within(std::chrono::seconds delay) {
  if (stopping_) return;
  const SteadyTime at = SteadyClock::now() + delay;
  if (expiry_ != 0 && expiry_at_ <= at) return;
  timers_.cancel(expiry_);
  expiry_at_ = at;
  expiry_ = timers_.at(at, [this] {
    expiry_ = 0;
    expire();
    if (registry_.size() > 0) expire_within(logs_want_attention_ ? growth_interval : expiry_interval);
  });
}

void Kernel::expire() {
  for (session::Session* old : registry_.expired(
           settings().ended_sessions, system_now() - std::chrono::hours(settings().ended_session_hours)))
    forget(*old);
  std::uint64_t total = 0;
  registry_.for_each(0, [&](session::Session& each) {
    for (unsigned stream = 0; stream < 2; ++stream) {
      const stream::LogState log = each.log_state(stream);
      total += log.tail - log.floor;
    }
    return true;
  });
  const std::uint64_t most = settings().total_log_bytes;
  logs_want_attention_ = total > most / 2 || total > log_bytes_ + most / 64;
  log_bytes_ = total;
  if (total <= most) return;
  for (session::Session* old : registry_.ended()) {
    if (total <= most) return;
    if (old->slot()) continue;
    std::uint64_t bytes = 0;
    for (unsigned stream = 0; stream < 2; ++stream) {
      const stream::LogState log = old->log_state(stream);
      bytes += log.tail - log.floor;
    }
    if (bytes > 0 && drop_logs(*old)) total -= bytes;
  }
  if (total > most) stop_growth();
}

bool Kernel::drop_logs(session::Session& session) {
  const auto it = attention_.find(session.key());
  if (it != attention_.end() && !it->second.readers.empty()) return false;  // next time
  session.drop_logs();
  put_on_record(session);
  remove_logs(session.key());
  return true;
}

void Kernel::stop_growth() {
  std::size_t stopped = 0;
  registry_.for_each(0, [&](session::Session& each) {
    if (!each.slot() || each.record().block_when_full) return true;
    for (stream::StreamSlot& stream : each.slot()->streams)
      if (stream.no_growth.exchange(1, std::memory_order_relaxed) == 0) ++stopped;
    return true;
  });
  if (stopped > 0)
    log("all logs together are over totalLogBytes (" + std::to_string(settings().total_log_bytes) +
        "): " + std::to_string(stopped) + " logs of live sessions grow no further");
}

void Kernel::add_wait(session::Session& session, Reply<api::ProcessSession> reply,
                      std::optional<std::uint64_t> timeout_ms) {
  if (session.ended()) return reply.packed(session.packed_view());
  auto wait = std::make_shared<Attention::Wait>(Attention::Wait{std::move(reply)});
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

// --- output --------------------------------------------------------------------------------------------

void Kernel::add_reader(OutputSubscription& subscription) {
  const auto held = inherited_.find(subscription.session().key());
  if (held != inherited_.end() && subscription.lossless() && --held->second.readers == 0)
    inherited_.erase(held);
  attention_[subscription.session().key()].readers.push_back(&subscription);
  update_pins(subscription.session());
}

void Kernel::remove_reader(OutputSubscription& subscription) {
  const auto it = attention_.find(subscription.session().key());
  if (it == attention_.end()) return;
  std::erase(it->second.readers, &subscription);
  update_pins(subscription.session());
}

void Kernel::note_read(session::Session& session, unsigned stream, std::uint64_t position) {
  if (!session.record().block_when_full || !session.slot()) return;
  std::uint64_t& had = attention_[session.key()].had[stream];
  if (position <= had) return;
  had = position;
  session.slot()->streams[stream].block_pin.store(position, std::memory_order_seq_cst);
}

void Kernel::update_pins(session::Session& session) {
  keeper::SessionSlot* slot = session.slot();
  // The next daemon's readers find the pins of this one's: going away is no reason to give up what they hold.
  if (!slot || (stopping_ && !stop_keeper_)) return;
  if (!starting.empty() && starting.contains(session.id())) return;
  const auto it = attention_.find(session.key());
  const auto held = inherited_.find(session.key());
  std::uint32_t lossless = held == inherited_.end() ? 0 : held->second.readers;
  if (it != attention_.end())
    for (const OutputSubscription* reader : it->second.readers) lossless += reader->lossless() ? 1 : 0;
  slot->kairod_wants_hold.store(1 + lossless, std::memory_order_relaxed);
  bool resume = false;
  for (unsigned stream = 0; stream < 2; ++stream) {
    std::uint64_t pin = held == inherited_.end() ? stream::no_pin : held->second.pins[stream];
    if (it != attention_.end())
      for (OutputSubscription* reader : it->second.readers) {
        const stream::Feed* feed = reader->feed(stream);
        if (feed && feed->lossless() && !feed->finished()) pin = std::min(pin, feed->position());
      }
    stream::StreamSlot& shared = slot->streams[stream];
    if (shared.pin.load(std::memory_order_relaxed) != pin) shared.pin.store(pin, std::memory_order_seq_cst);
    if ((shared.flags.load(std::memory_order_seq_cst) & stream::log_held) == 0) continue;
    const std::uint64_t limit = std::min(pin, shared.block_pin.load(std::memory_order_relaxed));
    const std::uint64_t tail = shared.tail.load(std::memory_order_acquire);
    // A ring may have stayed smaller than it was to be.
    const std::uint64_t retain =
        std::min(session.record().retain_bytes, shared.capacity.load(std::memory_order_acquire));
    const std::uint64_t free =
        limit == stream::no_pin ? UINT64_MAX : limit + retain - std::min(limit + retain, tail);
    if (free >= std::min(resume_bytes, retain / 4)) resume = true;
  }
  if (resume) link_->resume_pump(session.key());
}

bool Kernel::arm(OutputSubscription& subscription) {
  keeper::SessionSlot* slot = subscription.session().slot();
  bool quiet = true;
  for (unsigned stream = 0; stream < 2; ++stream) {
    const stream::Feed* feed = subscription.feed(stream);
    if (!feed || !subscription.waits_for_log(stream)) continue;
    // The mark first, then the look: what comes after the look finds the mark.
    if (slot) slot->streams[stream].wake.store(1, std::memory_order_seq_cst);
    if (feed->has_pending()) quiet = false;
  }
  return quiet;
}

void Kernel::wake_readers(session::Session& session) {
  const auto it = attention_.find(session.key());
  if (it == attention_.end()) return;
  for (OutputSubscription* reader : it->second.readers) reader->client().ready(*reader);
}

void Kernel::give_last_output(session::Session& session) {
  const auto it = attention_.find(session.key());
  if (it == attention_.end()) return;
  const auto readers = it->second.readers;  // finished ones leave meanwhile
  for (OutputSubscription* reader : readers) reader->client().give_last(*reader);
}

void Kernel::on_changed(std::uint32_t slot) {
  session::Session* session = registry_.find_slot(slot);
  if (!session) return;
  if (auto* in = session->standard_input()) {
    in->progress();
    after_stdin(*session);
  }
  wake_readers(*session);
  answer_reads(*session, false);
  const bool held = session->ended() && session->slot();
  release_if_recorded(*session);
  if (held && !session->slot()) put_on_record(*session);  // what detached descendants wrote since
}

void Kernel::add_pending_read(session::Session& session, unsigned stream,
                              std::function<bool(bool)> try_answer, std::chrono::milliseconds wait) {
  auto pending = std::make_shared<PendingRead>(PendingRead{std::move(try_answer)});
  pending->timer = timers_.after(wait, [this, key = session.key(), stream, weak = std::weak_ptr(pending)] {
    const auto late = weak.lock();
    const auto it = attention_.find(key);
    if (!late || it == attention_.end()) return;
    std::erase(it->second.reads[stream], late);
    late->try_answer(true);
  });
  attention_[session.key()].reads[stream].push_back(std::move(pending));
  if (session.slot()) session.slot()->streams[stream].wake.store(1, std::memory_order_seq_cst);
  answer_reads(session, false);  // what came between the look and the mark
}

void Kernel::answer_reads(session::Session& session, bool give_up) {
  const auto it = attention_.find(session.key());
  if (it == attention_.end()) return;
  for (unsigned stream = 0; stream < 2; ++stream) {
    auto& reads = it->second.reads[stream];
    if (reads.empty()) continue;
    std::erase_if(reads, [&](const std::shared_ptr<PendingRead>& read) {
      if (!read->try_answer(give_up)) return false;
      timers_.cancel(read->timer);
      return true;
    });
    if (!reads.empty() && session.slot())
      session.slot()->streams[stream].wake.store(1, std::memory_order_seq_cst);
  }
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
  fact.owner = session.record().owner;
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
  event::Fact fact;
  fact.event.type = type;
  fact.event.source = "kernel";
  fact.event.data = pack_members(members, {});
  publish(std::move(fact), nullptr);
}

void Kernel::publish(event::Fact fact, const session::Session* session) {
  auto published = bus_->publish(fact);
  sync_journal_soon();
  const SteadyTime now = SteadyClock::now();
  if (!published) journal_refused_at_ = now;
  if (published) {
    // A disk that is full takes small events between large ones: not again with every change of its mind.
    if (journal_failing_ && now - journal_refused_at_ > journal_calm) {
      log("events are on record again");
      journal_failing_ = false;
    }
  } else if (!journal_failing_) {
    // Told once. Events without a seq are those that are not on record.
    journal_failing_ = true;
    log("events are not on record: " + published.error().message);
    emit_kernel("kairo.kernel.degraded",
                {{"what", std::string("journal")}, {"message", published.error().message}});
  }
  if (!session) return;
  const auto it = attention_.find(session->key());
  if (it == attention_.end()) return;
  const auto owner = it->second.owner.lock();
  if (!owner) return;
  if (!may_see(owner->principal(), fact)) return;  // it has narrowed itself since
  fact.event.subscription_id = it->second.owner_subscription;
  owner->send_event(fact.event);
}

// --- clients, the end --------------------------------------------------------------------------------------

void Kernel::client_closed(Client& client) {
  const auto doomed = std::move(client.kill_with);
  for (const std::uint64_t key : doomed) {
    session::Session* session = registry_.find_key(key);
    if (session && session->running())
      terminate(*session, api::EndReason::owner_gone, client.principal().name(),
                std::chrono::milliseconds(session->record().kill_grace_ms));
  }
  if (client.unanswered() > 0)
    for (auto& [key, attention] : attention_)
      std::erase_if(attention.waits, [this](const std::shared_ptr<Attention::Wait>& wait) {
        if (!wait->reply.abandoned()) return false;
        timers_.cancel(wait->timer);
        return true;
      });
  clients_.erase(&client);
}

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
    for (const auto& [pointer, client] : clients_) client->connection().close();
    link_->stop();
    boost::asio::post(io_, done);
  });
}

}  // namespace kairo::kernel
