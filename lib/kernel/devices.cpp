#include "kernel/devices.hpp"

#include <boost/asio/post.hpp>

#include "event/topic.hpp"
#include "kernel/kernel.hpp"

namespace kairo::kernel {
namespace {

/// Messages that one look takes: a few milliseconds of reading /sys.
constexpr std::size_t look_messages = 64;

constexpr const char* added_type = "kairo.device.added";
constexpr const char* removed_type = "kairo.device.removed";

}  // namespace

Devices::Devices(Kernel& kernel) : kernel_(kernel) {
  // The descriptor is there from the start, so that whether it can be had does not depend on the hour.
  auto monitor = system::DeviceMonitor::create();
  if (monitor)
    monitor_ = std::move(*monitor);
  else
    no_monitor_ = monitor.error().message;
}

Devices::~Devices() {
  stop();
}

Result<void> Devices::open(int state_dir) {
  auto opened = system::ClaimFile::open(state_dir, [this](system::DeviceClaim claim) {
    cache_.recall(claim.device);
    claims_.restore(std::move(claim));
  });
  if (!opened) return std::move(opened).error();
  if (opened->damage) kernel_.log(*opened->damage);
  file_ = std::make_shared<system::ClaimFile>(std::move(opened->file));
  return {};
}

void Devices::start() {
  std::vector<std::uint64_t> over;
  bool orphans = false;
  for (const auto& [id, claim] : claims_.all()) {
    orphans = orphans || claim.session_key == 0;
    const session::Session* session = kernel_.sessions().find_key(claim.session_key);
    if (claim.session_key != 0 && (!session || session->ended())) over.push_back(claim.session_key);
  }
  for (const std::uint64_t key : over) released(claims_.release_session(key));
  if (orphans) kernel_.timers().after(limits::orphaned_hold, [this] { released(claims_.release_orphans()); });
  if (!claims_.all().empty()) watch();
}

void Devices::stop() {
  stopped_ = true;
  if (readable_) readable_->release();  // the monitor's own
  readable_.reset();
}

// --- looking -------------------------------------------------------------------------------------------

void Devices::subscribed(std::string_view pattern) {
  if (event::matches(pattern, added_type) || event::matches(pattern, removed_type)) watch();
}

void Devices::watch() {
  if (std::exchange(watching_, true)) return;
  if (monitor_) {
    if (auto listening = monitor_->listen(); !listening) {
      no_monitor_ = listening.error().message;
      monitor_.reset();
    }
  }
  if (monitor_)
    readable_.emplace(kernel_.io(), monitor_->fd());
  else
    kernel_.log(no_monitor_ + "; they are enumerated when they are asked for, and events tell of them then");
  look();
}

void Devices::when_known(Then then) {
  asked_.push_back(std::move(then));
  watch();
  look();
}

void Devices::look() {
  if (looking_ || stopped_) return;
  looking_ = true;
  boost::asio::post(kernel_.worker(), [this, whole = whole_ || !monitor_, again = enumerated_,
                                       monitor = monitor_, asked = std::exchange(asked_, {})]() mutable {
    Look found;
    if (whole) {
      // What is heard from here on is not in the enumeration, or is heard twice, which does no harm. At the
      // first time what has been heard is kept: it alone tells what came after somebody subscribed.
      if (monitor && again) monitor->discard();
      found.all = system::find_devices();
    } else {
      found.taken = monitor->take(look_messages);
    }
    boost::asio::post(kernel_.io(), [this, found = std::move(found), asked = std::move(asked)]() mutable {
      looked(std::move(found), std::move(asked));
    });
  });
  whole_ = false;
}

void Devices::looked(Look look, std::vector<Then> asked) {
  looking_ = false;
  if (stopped_) return;
  Result<void> known;
  if (look.all && *look.all) {
    tell(cache_.fill(std::move(**look.all)));
    enumerated_ = true;
  } else if (look.all) {
    known = look.all->error();
    whole_ = true;
  }
  for (system::DeviceChange& each : look.taken.changes) tell(cache_.apply(std::move(each)));
  const bool burst = is_burst(look.taken.messages);
  // The same burst does not end by somebody asking in the middle of it.
  if (look.taken.overrun || burst) whole_ = true;
  const bool all_known = look.all || (!whole_ && look.taken.messages < look_messages);
  if (all_known)
    for (const Then& each : asked) each(known);
  else
    asked_.insert(asked_.begin(), std::make_move_iterator(asked.begin()),
                  std::make_move_iterator(asked.end()));
  if (burst && !std::exchange(pausing_, true))
    kernel_.timers().after(limits::device_interval, [this] {
      pausing_ = false;
      this->look();
    });
  if (!asked_.empty() || (!all_known && !pausing_)) return this->look();
  await_message();
}

bool Devices::is_burst(std::size_t messages) {
  const SteadyTime now = SteadyClock::now();
  if (now - interval_began_ >= limits::device_interval) {
    interval_began_ = now;
    in_interval_ = 0;
  }
  in_interval_ += messages;
  return messages > 0 && in_interval_ > limits::device_burst;
}

void Devices::await_message() {
  // While a pause lasts what comes in is left where it is; past its bound the system throws it away.
  if (!readable_ || awaiting_ || pausing_) return;
  awaiting_ = true;
  readable_->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                        [this](boost::system::error_code error) {
                          if (error || stopped_) return;
                          awaiting_ = false;
                          if (!pausing_) look();
                        });
}

void Devices::tell(std::vector<system::DeviceCache::News> news) {
  for (auto& [added, device] : news) {
    if (added) {
      // Of a claim that was made before the device was lost sight of.
      device = with_holder(std::move(device));
    } else if (auto claim = claims_.release(device.id)) {
      device.claimed_by = claim->holder;
      device.claimed_by->process_id
          .reset();  // everybody hears of it; whose process it was is its owner's to know
      released(*claim);
    }
    kernel_.emit_kernel(added ? added_type : removed_type, reflect::Any{reflect::to_msgpack(device)});
  }
}

// --- claims --------------------------------------------------------------------------------------------

api::Device Devices::with_holder(api::Device device) const {
  const system::DeviceClaim* claim = claims_.find(device.id);
  device.claimed_by.reset();
  if (claim) device.claimed_by = claim->holder;
  return device;
}

std::vector<api::Device> Devices::list(const Client& client, const api::DeviceListParams& params) const {
  std::vector<api::Device> out = cache_.list(params);
  for (api::Device& each : out)
    if (const system::DeviceClaim* claim = claims_.find(each.id)) {
      each.claimed_by = claim->holder;
      if (!kernel_.may_act(client.principal(), claim->owned_by())) each.claimed_by->process_id.reset();
    }
  return out;
}

Result<const api::Device*> Devices::reach(const std::string& id) const {
  if (const api::Device* device = cache_.find(id)) return device;
  const std::string shown = id.substr(0, limits::tag_bytes);
  return Error(Code::not_found, "there is no device \"" + shown + "\"").with("id", shown);
}

void Devices::claim(const Client& client, const std::string& id, const session::Session* session,
                    Reply<api::Device> reply) {
  auto device = reach(id);
  if (!device) return reply(device.error());
  system::DeviceClaim wanted;
  wanted.device = **device;
  if (session) {
    wanted.holder = {session->record().owner, session->id()};
    wanted.owner_path = session->record().owned_by();
    wanted.session_key = session->key();
  } else {
    wanted.holder = {client.principal().name(), std::nullopt};
    wanted.owner_path = client.principal().path();
    wanted.connection = client.number();
  }
  const system::DeviceClaim* had = claims_.find(id);
  const std::uint64_t serial_before = had ? had->serial : 0;
  auto claimed = claims_.claim(std::move(wanted));
  if (!claimed) return reply(claimed.error());
  // Also when it had it already: then the answer waits for a record that is under way.
  boost::asio::post(
      kernel_.disk(), [this, file = file_, claim = std::move(*claimed), serial_before, reply]() mutable {
        auto written = file->put(claim);
        boost::asio::post(kernel_.io(), [this, written = std::move(written), claim = std::move(claim),
                                         serial_before, reply]() mutable {
          on_record(written);
          if (written) {
            claim.device.claimed_by = claim.holder;
            return reply(claim.device);
          }
          const system::DeviceClaim* now = claims_.find(claim.device.id);
          if (now && now->serial == claim.serial && claim.serial != serial_before)
            released(*claims_.release(claim.device.id));
          reply(Error(written.error().code,
                      "cannot claim device \"" + claim.device.id +
                          "\", since it cannot be put on record: " + written.error().message));
        });
      });
}

void Devices::release(const Client& client, const std::string& id, const Reply<api::Device>& reply) {
  auto device = reach(id);
  if (!device) return reply(device.error());
  if (const system::DeviceClaim* claim = claims_.find(id)) {
    if (claim->connection != client.number() && !kernel_.may_act(client.principal(), claim->owned_by()))
      return reply(Error(Code::permission_denied, client.principal().name() + " may not release device \"" +
                                                      id + "\", which " + claim->holder.owner +
                                                      " has claimed")
                       .with("id", id));
    const std::string released_id = claims_.release(id)->device.id;
    // Answered when it is on record, as a claim is.
    return boost::asio::post(kernel_.disk(), [this, file = file_, released_id, reply, answer = **device] {
      auto written = file->remove(released_id);
      boost::asio::post(kernel_.io(), [this, written = std::move(written), reply, answer] {
        on_record(written);
        reply(answer);
      });
    });
  }
  reply(**device);
}

void Devices::session_ended(const session::Session& session) {
  released(claims_.release_session(session.key()));
}

void Devices::client_closed(const Client& client) {
  // A restart is no owner's end: the next daemon goes on with its claims.
  if (!kernel_.stopping()) released(claims_.release_connection(client.number()));
}

void Devices::released(const std::vector<system::DeviceClaim>& claims) {
  for (const system::DeviceClaim& each : claims) released(each);
}

void Devices::released(const system::DeviceClaim& claim) {
  boost::asio::post(kernel_.disk(), [this, file = file_, id = claim.device.id] {
    auto written = file->remove(id);
    boost::asio::post(kernel_.io(), [this, written = std::move(written)] { on_record(written); });
  });
}

void Devices::on_record(const Result<void>& written) {
  const bool failing = !written.ok();
  if (failing == std::exchange(file_failing_, failing) || stopped_) return;
  if (!failing) return kernel_.log("claims of devices are on record again");
  kernel_.degraded("claims", "claims of devices are not on record: " + written.error().message);
}

}  // namespace kairo::kernel
