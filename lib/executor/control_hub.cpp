#include "executor/control_hub.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <unistd.h>
#include <utility>
#include <vector>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/ids.hpp"
#include "event/topic.hpp"
#include "executor/control_messages.hpp"
#include "ipc/connection.hpp"
#include "ipc/listener.hpp"
#include "ipc/socket_file.hpp"

namespace kairo::executor {

namespace control = api::control;

namespace {

constexpr std::size_t token_length = 32;
/// The hub sends no chunks; a connection wants a batch all the same.
constexpr std::size_t batch_bytes = 4096;
constexpr std::string_view executor_source = "executor";

}  // namespace

std::string make_control_token() {
  return random_id(token_length);
}

struct LifeKey {
  std::string node;
  std::uint64_t generation = 0;
  auto operator<=>(const LifeKey&) const = default;
};

// --- one connection ----------------------------------------------------------------------------------

class ControlHub::Peer final : public ipc::Handler {
 public:
  Peer(boost::asio::io_context& io, std::shared_ptr<Body> hub, std::shared_ptr<ipc::Connection> connection)
      : hub_(std::move(hub)), connection_(std::move(connection)), hello_timer_(io) {}

  void start(const std::shared_ptr<Peer>& self);
  void close() { connection_->close(); }
  /// The same for ever: no function of it is called any more.
  void drop() {
    hello_timer_.cancel();
    if (const auto last = std::exchange(connection_, nullptr)) last->close();
  }

  /// Its place in the queue is the protocol's own: never dropped.
  void send(const api::Event& event) {
    api::append_event(connection_->outbox(), event);
    connection_->wrote();
  }
  /// False when there was no room.
  bool offer(std::string_view frame);
  void refuse(Code code, const std::string& message);
  [[nodiscard]] bool wants(std::string_view topic) const {
    return std::any_of(patterns_.begin(), patterns_.end(),
                       [&](const std::string& each) { return event::matches(each, topic); });
  }
  [[nodiscard]] bool guest() const { return guest_; }
  [[nodiscard]] const std::optional<LifeKey>& life() const { return life_; }

  Result<void> on_frame(const wire::Frame& frame, std::vector<UniqueFd>& descriptors) override;
  [[nodiscard]] bool has_output() const override { return false; }
  void fill(stream::Batch&, std::size_t) override {}
  void filled() override {}
  void on_drained() override;
  /// A peer that has ended its own direction is done: what it has sent before was taken.
  [[nodiscard]] bool owes() const override { return false; }
  void on_closed(const Error* why) override;

 private:
  void take_hello(const api::Event& event);
  Result<void> take(const api::Event& event);
  Result<void> change_subscription(const api::Event& event);

  std::shared_ptr<Body> hub_;
  std::shared_ptr<ipc::Connection> connection_;
  boost::asio::steady_timer hello_timer_;
  std::optional<LifeKey> life_;
  bool guest_ = false;
  bool refused_ = false;
  std::set<std::string> patterns_;
  std::uint64_t dropped_ = 0;  ///< Since it was last told.
  wire::PayloadDecoder decoder_;
};

// --- all of them -------------------------------------------------------------------------------------

class ControlHub::Body : public std::enable_shared_from_this<Body> {
 public:
  Body(boost::asio::io_context& io, std::string topology, Hooks hooks)
      : io_(io), topology_(std::move(topology)), hooks_(std::move(hooks)), batch_(batch_bytes) {}

  void start(UniqueFd listening) {
    listener_ = std::make_unique<ipc::Listener>(
        io_, std::move(listening),
        [this](UniqueFd socket, ipc::Peer peer) { accept(std::move(socket), peer); },
        [this](const Error& why) {
          if (hooks_.on_accept_failed) hooks_.on_accept_failed(why);
        });
    listener_->start();
  }

  void stop() {
    stopped_ = true;
    hooks_ = {};
    listener_->stop();
    listener_.reset();
    if (file_) file_->remove();
    file_.reset();
    lives_.clear();
    const auto peers = std::exchange(peers_, {});
    for (const auto& each : peers) each->drop();
  }

  struct Life {
    std::string token;
    std::chrono::milliseconds heartbeat_interval{0};
    std::vector<Done> waiting = {};  ///< For an acknowledgement.
    std::unique_ptr<boost::asio::steady_timer> timer = {};
  };

  void accept(UniqueFd socket, const ipc::Peer& credentials) {
    if (credentials.uid != ::geteuid() || peers_.size() >= limits::connections) {
      ++counters_.refused;
      return;
    }
    auto connection =
        std::make_shared<ipc::Connection>(io_, std::move(socket), credentials, batch_, control_frame_bytes);
    auto peer = std::make_shared<Peer>(io_, shared_from_this(), std::move(connection));
    peers_.insert(peer);
    peer->start(peer);
  }

  /// The life that a hello names; an error refuses the connection.
  Result<LifeKey> find_life(const control::Hello& hello) {
    if (hello.version != control::protocol_version)
      return Error(Code::unsupported, "the control protocol has version " +
                                          std::to_string(control::protocol_version) + ", not " +
                                          std::to_string(hello.version));
    for (auto each = lives_.rbegin(); each != lives_.rend(); ++each) {
      if (each->first.node != hello.node_id || each->second.token != hello.token.value_or("")) continue;
      if (of_life(each->first).size() >= connections_per_node)
        return Error(Code::limit_exceeded,
                     "the node has " + std::to_string(connections_per_node) + " connections already");
      return each->first;
    }
    return Error(Code::permission_denied,
                 "there is no node \"" + reflect::quotable(hello.node_id) + "\" with this token here");
  }

  std::vector<std::shared_ptr<Peer>> of_life(const LifeKey& key) const {
    std::vector<std::shared_ptr<Peer>> out;
    for (const auto& each : peers_)
      if (each->life() == key) out.push_back(each);
    return out;
  }
  bool has_member(const LifeKey& key) const {
    return std::any_of(peers_.begin(), peers_.end(),
                       [&](const auto& each) { return each->life() == key && !each->guest(); });
  }

  void deliver(const api::Event& event) {
    std::string frame;
    for (const auto& each : peers_) {
      if (!each->wants(event.type)) continue;
      if (frame.empty()) api::append_event(frame, event);
      if (!each->offer(frame)) ++counters_.dropped;
    }
  }

  void acknowledged(const LifeKey& key) {
    if (const auto life = lives_.find(key); life != lives_.end()) settle(life->second, true);
  }

  /// Tells all who wait for this life's acknowledgement, from the loop.
  void settle(Life& life, bool acknowledged) {
    life.timer.reset();
    for (Done& each : std::exchange(life.waiting, {})) later(std::move(each), acknowledged);
  }
  void later(Done done, bool acknowledged) {
    boost::asio::post(io_, [self = shared_from_this(), done = std::move(done), acknowledged] {
      if (!self->stopped_) done(acknowledged);
    });
  }

  void malformed(const std::string& node, const Error& why) {
    ++counters_.malformed;
    if (hooks_.on_malformed) hooks_.on_malformed(node, why);
  }

  boost::asio::io_context& io_;
  const std::string topology_;
  Hooks hooks_;
  stream::Batch batch_;
  std::optional<ipc::SocketFile> file_;
  std::unique_ptr<ipc::Listener> listener_;
  std::map<LifeKey, Life> lives_;
  std::set<std::shared_ptr<Peer>> peers_;
  Counters counters_;
  bool stopped_ = false;
};

void ControlHub::Peer::start(const std::shared_ptr<Peer>& self) {
  hello_timer_.expires_after(hello_time);
  hello_timer_.async_wait([weak = std::weak_ptr(self)](const boost::system::error_code& error) {
    const auto peer = weak.lock();
    if (error || !peer || peer->life_) return;
    peer->refuse(Code::timeout, "no control.hello has come");
  });
  connection_->start(self);
}

bool ControlHub::Peer::offer(std::string_view frame) {
  // Once something was left out, all is, until that was told: what arrives has one gap and not many.
  if (dropped_ > 0 || connection_->outbox_bytes() + frame.size() > control_queue_bytes) {
    ++dropped_;
    return false;
  }
  connection_->outbox().append(frame);
  connection_->wrote();
  return true;
}

void ControlHub::Peer::on_drained() {
  if (dropped_ == 0) return;
  send(make_control_event(control::lagged, control::Lagged{std::exchange(dropped_, 0)}, executor_source));
}

void ControlHub::Peer::refuse(Code code, const std::string& message) {
  if (std::exchange(refused_, true)) return;
  ++hub_->counters_.refused;
  send(make_control_event(control::refused, control::Refused{std::string(code_name(code)), message},
                          executor_source));
  connection_->close_when_sent();
}

Result<void> ControlHub::Peer::on_frame(const wire::Frame& frame, std::vector<UniqueFd>&) {
  if (refused_) return {};
  auto event = read_control_message(frame, decoder_);
  if (!event) {
    hub_->malformed(life_ ? life_->node : std::string(), event.error());
    return {};
  }
  if (!life_) {
    take_hello(*event);
    return {};
  }
  const std::string node = life_->node;
  if (auto taken = take(*event); !taken) hub_->malformed(node, taken.error());
  return {};
}

void ControlHub::Peer::take_hello(const api::Event& event) {
  if (event.type != control::hello)
    return refuse(Code::invalid_request, "the first message must be control.hello");
  const auto hello = read_control_data<control::Hello>(event);
  if (!hello) return refuse(hello.error().code, hello.error().message);
  auto key = hub_->find_life(*hello);
  if (!key) return refuse(key.error().code, key.error().message);
  life_ = *std::move(key);
  guest_ = hello->guest;
  hello_timer_.cancel();
  const auto interval = hub_->lives_.at(*life_).heartbeat_interval;
  send(make_control_event(control::welcome,
                          control::Welcome{hub_->topology_, control::protocol_version,
                                           static_cast<std::uint64_t>(interval.count())},
                          executor_source));
  const LifeKey own = *life_;
  if (!guest_ && hub_->hooks_.on_hello) hub_->hooks_.on_hello(own.node, own.generation);
}

Result<void> ControlHub::Peer::take(const api::Event& event) {
  const LifeKey own = *life_;
  if (event.type == control::subscribe || event.type == control::unsubscribe)
    return change_subscription(event);
  if (!guest_ && event.type == control::heartbeat) {
    if (hub_->hooks_.on_heartbeat) hub_->hooks_.on_heartbeat(own.node, own.generation, event.data);
    return {};
  }
  if (!guest_ && event.type == control::shutdown_ack) {
    hub_->acknowledged(own);
    return {};
  }
  if (auto checked = check_publication(event.type, event.data.msgpack); !checked) return checked;
  api::Event published = event;
  published.source = own.node;
  if (published.time.empty() || published.id.empty()) {
    const api::Event made = make_control_event(event.type, {}, own.node);
    if (published.time.empty()) published.time = made.time;
    if (published.id.empty()) published.id = made.id;
  }
  hub_->deliver(published);
  if (hub_->hooks_.on_message) hub_->hooks_.on_message(own.node, published.type, published.data);
  return {};
}

Result<void> ControlHub::Peer::change_subscription(const api::Event& event) {
  auto subscription = read_control_data<control::Subscription>(event);
  if (!subscription) return std::move(subscription).error();
  if (event.type == control::unsubscribe) {
    patterns_.erase(subscription->topic);
    return {};
  }
  if (auto checked = event::check_pattern(subscription->topic); !checked) return checked;
  if (patterns_.size() >= limits::event_subscriptions && !patterns_.contains(subscription->topic))
    return Error(Code::limit_exceeded, "a connection may subscribe to " +
                                           std::to_string(limits::event_subscriptions) + " patterns");
  patterns_.insert(std::move(subscription->topic));
  return {};
}

void ControlHub::Peer::on_closed(const Error* why) {
  const auto hub = std::move(hub_);
  const auto keep = connection_;
  hello_timer_.cancel();
  // Erased by an iterator: a set of shared pointers is asked with one.
  const auto found = std::find_if(hub->peers_.begin(), hub->peers_.end(),
                                  [this](const auto& each) { return each.get() == this; });
  std::shared_ptr<Peer> self;
  if (found != hub->peers_.end()) {
    self = *found;
    hub->peers_.erase(found);
  }
  connection_.reset();
  if (why && why->code == Code::invalid_request) hub->malformed(life_ ? life_->node : std::string(), *why);
  if (self && life_ && !guest_ && hub->hooks_.on_gone && hub->lives_.contains(*life_) &&
      !hub->has_member(*life_))
    hub->hooks_.on_gone(life_->node, life_->generation);
}

// --- the hub -----------------------------------------------------------------------------------------

Result<std::unique_ptr<ControlHub>> ControlHub::listen(boost::asio::io_context& io, const std::string& path,
                                                       std::string topology, Hooks hooks) {
  auto file = ipc::SocketFile::listen(path);
  if (!file) return std::move(file).error();
  auto hub = std::make_unique<ControlHub>(io, file->take_listener(), std::move(topology), std::move(hooks));
  hub->body_->file_ = *std::move(file);
  return hub;
}

ControlHub::ControlHub(boost::asio::io_context& io, UniqueFd listening, std::string topology, Hooks hooks)
    : body_(std::make_shared<Body>(io, std::move(topology), std::move(hooks))) {
  body_->start(std::move(listening));
}

ControlHub::~ControlHub() {
  body_->stop();
}

void ControlHub::register_node(const std::string& node, std::uint64_t generation, std::string token,
                               std::chrono::milliseconds heartbeat_interval) {
  Body::Life& life = body_->lives_[{node, generation}];
  life.token = std::move(token);
  life.heartbeat_interval = heartbeat_interval;
}

void ControlHub::unregister_node(const std::string& node, std::uint64_t generation) {
  const LifeKey key{node, generation};
  const auto life = body_->lives_.find(key);
  if (life == body_->lives_.end()) return;
  body_->settle(life->second, false);
  body_->lives_.erase(life);
  for (const auto& each : body_->of_life(key)) each->close();
}

bool ControlHub::connected(const std::string& node, std::uint64_t generation) const {
  return body_->has_member({node, generation});
}

Result<void> ControlHub::publish(std::string_view topic, const reflect::Any& data) {
  if (auto checked = check_publication(topic, data.msgpack); !checked) return checked;
  body_->deliver(make_control_event(topic, data.msgpack, executor_source));
  return {};
}

void ControlHub::shutdown(const std::string& node, std::uint64_t generation, std::string_view reason,
                          std::chrono::milliseconds grace, Done done) {
  const LifeKey key{node, generation};
  const auto life = body_->lives_.find(key);
  if (life == body_->lives_.end() || !body_->has_member(key)) {
    body_->later(std::move(done), false);
    return;
  }
  const api::Event event = make_control_event(
      control::shutdown, control::Shutdown{std::string(reason), static_cast<std::uint64_t>(grace.count())},
      executor_source);
  for (const auto& each : body_->of_life(key))
    if (!each->guest()) each->send(event);
  life->second.waiting.push_back(std::move(done));
  life->second.timer = std::make_unique<boost::asio::steady_timer>(body_->io_);
  life->second.timer->expires_after(grace);
  life->second.timer->async_wait([weak = std::weak_ptr(body_), key](const boost::system::error_code& error) {
    const auto body = weak.lock();
    if (error || !body) return;
    if (const auto found = body->lives_.find(key); found != body->lives_.end())
      body->settle(found->second, false);
  });
}

const ControlHub::Counters& ControlHub::counters() const {
  return body_->counters_;
}

}  // namespace kairo::executor
