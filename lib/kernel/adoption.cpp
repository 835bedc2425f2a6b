// What a kernel makes of the time before it, and of a keeper that has gone.
#include <algorithm>

#include <boost/asio/post.hpp>

#include "base/ids.hpp"
#include "kernel/kernel.hpp"
#include "reflect/decode.hpp"
#include "wire/payload.hpp"

namespace kairo::kernel {
namespace {

/// Before another keeper is tried when one could not be started.
constexpr std::chrono::seconds keeper_retry{5};

}  // namespace

void Kernel::adopt(std::vector<keeper::Link::Held> held) {
  std::sort(held.begin(), held.end(),
            [](const auto& a, const auto& b) { return a.session.key < b.session.key; });
  for (keeper::Link::Held& each : held) {
    const keeper::HeldSession& found = each.session;
    registry_.used(found.key);
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
    session.launched(found.pid, SystemTime(std::chrono::microseconds(found.started_us)),
                     session::on_boot_clock(found.started_boot_us, found.started_us));
    session.set_group(found.group);
    session.degrade(found.degraded);
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
    auto known = remembered_.extract(found.key);
    if (session.record().audited) {
      if (known) {
        const session::Entry& entry = known.mapped();
        session.restore_denied_accesses(entry.remains ? entry.remains->denied_accesses
                                                      : entry.denied_accesses);
      }
      session.expect_denied_accesses();
      if (!known || !known.mapped().remains) session.interrupt_denied_accesses();
      if (session.note().landlock_domain != 0)
        landlock_watch_.know(session.note().landlock_domain, session.key());
    }
    if (!known)
      put_on_record(session);
    else if (known.mapped().remains)
      exit_told_.insert(found.key);
    if (found.wait_status)
      on_exited({found.key, *found.wait_status, found.exited_us, found.exited_boot_us, found.report,
                 found.denials});
  }
  if (held.empty()) return;
  landlock_watch_.follow();
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
  // Keys go on even if the clock was set back.
  for (const std::uint64_t key : forgotten_) registry_.used(key);
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
      remains.denied_accesses = std::move(entry.denied_accesses);
      if (remains.denied_accesses) remains.denied_accesses->interrupted = true;
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
      // What ran before the machine was started anew is gone.
      if (entry.boot == boot_mark() || entry.boot == 0)
        left.push_back({entry.pid, session::on_boot_clock(entry.started_boot_us, entry.started_us),
                        entry.record.id, entry.record.detach_descendants});
    }
    auto made = std::make_unique<session::Session>(std::move(entry.record), key, entry.slot, nullptr);
    made->launched(entry.pid, SystemTime(std::chrono::microseconds(entry.started_us)), entry.started_boot_us);
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
  const std::uint64_t kill_at =
      session::on_boot_clock(session.note().kill_at_boot_us, session.note().kill_at_us);
  if (kill_at != 0) kill_after(session, std::chrono::milliseconds(until_boot_ms(kill_at)));
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
  if (attention.owner.lock() || owner->principal().path() != session.record().owned_by()) return;
  attention.owner = owner;
  attention.owner_subscription = subscription_id;
  owner->owned.insert(session.key());
  owner->kill_with.insert(session.key());
}

void Kernel::remember(const session::Session& session) {
  link_->note(session.key(), reflect::to_msgpack(session.note()));
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
      left.push_back({each.pid(), each.started_boot_us(), each.id(), each.record().detach_descendants});
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
  look_at_waiting_peers();
  if (stopping_) return stop_when_idle();
  // Not from within the link that is to go.
  boost::asio::post(io_, [this] { replace_keeper(); });
}

void Kernel::replace_keeper() {
  if (stopping_ || !keeper_lost_) return;
  link_->stop();
  auto connected = keeper::Link::connect(io_, link_options());
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
                              lost_at = boot_clock_us()]() mutable {
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

}  // namespace kairo::kernel
