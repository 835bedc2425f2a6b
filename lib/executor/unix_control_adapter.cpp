#include "executor/unix_control_adapter.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <set>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "event/topic.hpp"
#include "executor/control_messages.hpp"
#include "ipc/connection.hpp"

namespace kairo::executor {

namespace control = api::control;

namespace {

constexpr std::size_t batch_bytes = 4096;
constexpr std::chrono::milliseconds default_interval{1000};
/// Unsent bytes with which no heartbeat is added.
constexpr std::size_t quiet_bytes = 4096;

Result<UniqueFd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Error(Code::invalid_params, "the path of the control socket, " + path + ", is too long");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return system_error("cannot make a control socket", errno, Code::limit_exceeded);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return system_error("cannot connect to the executor's control socket " + path, errno, Code::not_running);
  return socket;
}

bool is_final(const Error& error) {
  return error.code != Code::not_running && error.code != Code::limit_exceeded;
}

}  // namespace

Result<ControlOptions> ControlOptions::from_environment() {
  const char* socket = std::getenv(control::environment_socket);
  const char* node = std::getenv(control::environment_node);
  const char* token = std::getenv(control::environment_token);
  if (!socket || !*socket || !node || !*node)
    return Error(Code::not_found,
                 "KAIRO_CONTROL_SOCKET and KAIRO_NODE are not set: this process is no node "
                 "of a topology");
  ControlOptions options;
  options.socket = socket;
  options.node = node;
  if (token) options.token = token;
  return options;
}

class UnixControlAdapter::Body final : public ipc::Handler, public std::enable_shared_from_this<Body> {
 public:
  Body(boost::asio::io_context& io, ControlOptions options, Hooks hooks)
      : options_(std::move(options)),
        hooks_(std::move(hooks)),
        io_(io),
        batch_(batch_bytes),
        heartbeat_timer_(io),
        retry_timer_(io),
        pause_(options_.first_pause) {}

  void start();
  void connect();
  Result<void> publish(std::string_view topic, std::string data);
  void shut_down();
  void abandon();
  /// At once and for ever, without a word.
  void drop();
  /// To the executor, where there is a connection; subscriptions and heartbeats need none.
  void send(std::string_view type, std::string data) {
    if (!welcomed_ || stopping_) return;
    api::append_event(connection_->outbox(), make_control_event(type, std::move(data), options_.node));
    connection_->wrote();
  }

  Result<void> on_frame(const wire::Frame& frame, std::vector<UniqueFd>& descriptors) override;
  [[nodiscard]] bool has_output() const override { return false; }
  void fill(stream::Batch&, std::size_t) override {}
  void filled() override {}
  void on_drained() override { forget_sent(); }
  [[nodiscard]] bool owes() const override { return false; }
  void on_closed(const Error* why) override;

  void forget_sent();
  void acknowledge_by_itself() {
    if (options_.acknowledge) acknowledge();
  }
  void acknowledge() {
    if (std::exchange(owes_acknowledgement_, false)) send(control::shutdown_ack, {});
  }
  [[nodiscard]] std::size_t unsent() const { return unsent_bytes_; }

  const ControlOptions options_;
  std::set<std::string> patterns_;
  std::uint64_t malformed_ = 0;
  bool welcomed_ = false;
  bool stopping_ = false;

 private:
  struct Queued {
    std::string frame;
    std::uint64_t end = 0;  ///< Position behind it among the bytes of the connection; 0: not given to one.
  };
  void take(const api::Event& event);
  void welcome(const api::Event& event);
  void take_shutdown(const api::Event& event);
  void give(Queued& item);
  void heartbeat();
  void retry(const Error& why);
  void finish_stopped();
  void finish(std::optional<Error> why);

  Hooks hooks_;
  boost::asio::io_context& io_;
  stream::Batch batch_;
  boost::asio::steady_timer heartbeat_timer_;
  boost::asio::steady_timer retry_timer_;
  std::chrono::milliseconds pause_;
  std::chrono::milliseconds interval_{0};
  std::shared_ptr<ipc::Connection> connection_;
  std::deque<Queued> queue_;  ///< What was published and has not left whole.
  std::size_t unsent_bytes_ = 0;
  std::optional<Error> refusal_;
  bool started_ = false;
  bool owes_acknowledgement_ = false;
  bool finished_ = false;
  wire::PayloadDecoder decoder_;
};

void UnixControlAdapter::Body::start() {
  started_ = true;
  // From the loop, so that no hook is called from here.
  boost::asio::post(io_, [self = shared_from_this()] {
    if (!self->connection_ && !self->finished_ && (!self->stopping_ || !self->queue_.empty()))
      self->connect();
  });
}

void UnixControlAdapter::Body::connect() {
  auto socket = connect_to(options_.socket);
  if (!socket) return is_final(socket.error()) ? finish(socket.error()) : retry(socket.error());
  auto peer = ipc::peer_of(socket->get());
  if (!peer) return finish(peer.error());
  if (peer->uid != 0 && peer->uid != ::geteuid())
    return finish(Error(Code::permission_denied, "the control socket " + options_.socket + " is of user " +
                                                     std::to_string(peer->uid) + "; nothing was sent to it"));
  connection_ =
      std::make_shared<ipc::Connection>(io_, *std::move(socket), *peer, batch_, control_frame_bytes);
  connection_->start(shared_from_this());
  const control::Hello hello{options_.node, control::protocol_version, options_.token, options_.guest};
  api::append_event(connection_->outbox(), make_control_event(control::hello, hello, options_.node));
  connection_->wrote();
}

Result<void> UnixControlAdapter::Body::publish(std::string_view topic, std::string data) {
  if (auto checked = check_publication(topic, data); !checked) return checked;
  if (stopping_ || finished_)
    return Error(Code::stdin_closed, "nothing is published after the shutdown of the control connection");
  forget_sent();
  Queued item;
  api::append_event(item.frame, make_control_event(topic, std::move(data), options_.node));
  if (unsent_bytes_ + item.frame.size() > control_queue_bytes)
    return Error(Code::limit_exceeded, std::to_string(unsent_bytes_) +
                                           " bytes of messages wait for the executor already; this one was "
                                           "not taken");
  unsent_bytes_ += item.frame.size();
  queue_.push_back(std::move(item));
  if (welcomed_) give(queue_.back());
  return {};
}

void UnixControlAdapter::Body::give(Queued& item) {
  connection_->outbox().append(item.frame);
  item.end = connection_->sent_bytes() + connection_->outbox_bytes();
  connection_->wrote();
}

void UnixControlAdapter::Body::forget_sent() {
  if (!connection_) return;
  while (!queue_.empty() && queue_.front().end != 0 && queue_.front().end <= connection_->sent_bytes()) {
    unsent_bytes_ -= queue_.front().frame.size();
    queue_.pop_front();
  }
}

void UnixControlAdapter::Body::shut_down() {
  if (stopping_ || finished_) return;
  acknowledge_by_itself();
  stopping_ = true;
  if (welcomed_) return connection_->end_when_sent();
  if (queue_.empty() || !started_) return abandon();
  if (connection_) return;  // goes on when it is welcome
  // One more attempt, at once, for what waits.
  retry_timer_.cancel();
  boost::asio::post(io_, [self = shared_from_this()] {
    if (!self->connection_ && !self->finished_) self->connect();
  });
}

void UnixControlAdapter::Body::abandon() {
  stopping_ = true;
  if (connection_) return connection_->close();
  boost::asio::post(io_, [self = shared_from_this()] { self->finish_stopped(); });
}

void UnixControlAdapter::Body::drop() {
  hooks_ = {};
  stopping_ = finished_ = true;
  retry_timer_.cancel();
  heartbeat_timer_.cancel();
  // Its handler is this object, which must not hold it any more.
  if (const auto last = std::exchange(connection_, nullptr)) last->close();
  welcomed_ = false;
}

Result<void> UnixControlAdapter::Body::on_frame(const wire::Frame& frame, std::vector<UniqueFd>&) {
  const auto event = read_control_message(frame, decoder_);
  if (event)
    take(*event);
  else
    ++malformed_;
  return {};
}

void UnixControlAdapter::Body::take(const api::Event& event) {
  if (event.type == control::welcome) return welcome(event);
  if (event.type == control::refused) {
    const auto refused = read_control_data<control::Refused>(event);
    refusal_ = refused ? Error(code_from_name(refused->code), "the executor has refused the node \"" +
                                                                  options_.node + "\": " + refused->message)
                       : refused.error();
    return;
  }
  if (event.type == control::shutdown) return take_shutdown(event);
  if (!welcomed_ || (control::is_own_type(event.type) && event.type != control::lagged)) {
    ++malformed_;
    return;
  }
  if (hooks_.on_message) hooks_.on_message(event);
}

void UnixControlAdapter::Body::welcome(const api::Event& event) {
  const auto welcome = read_control_data<control::Welcome>(event);
  if (!welcome || welcomed_) {
    ++malformed_;
    return;
  }
  welcomed_ = true;
  pause_ = options_.first_pause;
  for (const std::string& each : patterns_)
    send(control::subscribe, reflect::to_msgpack(control::Subscription{each}));
  for (Queued& each : queue_) give(each);
  if (stopping_) return connection_->end_when_sent();
  if (!options_.guest) {
    interval_ = options_.heartbeat_interval;
    if (interval_.count() <= 0)
      interval_ = std::chrono::milliseconds(std::min<std::uint64_t>(
          welcome->heartbeat_interval_ms, static_cast<std::uint64_t>(limits::longest_wait.count())));
    if (interval_.count() <= 0) interval_ = default_interval;
    heartbeat_timer_.expires_after(std::chrono::milliseconds(0));
    heartbeat();
  }
  if (hooks_.on_connected) hooks_.on_connected(*welcome);
}

void UnixControlAdapter::Body::heartbeat() {
  // To an executor that does not read one more says nothing more.
  if (connection_->outbox_bytes() < quiet_bytes) send(control::heartbeat, {});
  heartbeat_timer_.expires_at(std::max(heartbeat_timer_.expiry() + interval_, SteadyClock::now()));
  heartbeat_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!error && self && self->welcomed_ && !self->stopping_) self->heartbeat();
  });
}

void UnixControlAdapter::Body::take_shutdown(const api::Event& event) {
  const auto shutdown = read_control_data<control::Shutdown>(event);
  if (!shutdown || !welcomed_) {
    ++malformed_;
    return;
  }
  owes_acknowledgement_ = true;
  if (hooks_.on_shutdown) hooks_.on_shutdown(*shutdown);
  acknowledge_by_itself();
}

void UnixControlAdapter::Body::on_closed(const Error* why) {
  forget_sent();
  const auto keep = std::exchange(connection_, nullptr);
  welcomed_ = false;
  heartbeat_timer_.cancel();
  for (Queued& each : queue_) each.end = 0;
  if (refusal_) return finish(refusal_);
  if (stopping_) return finish_stopped();
  retry(why ? *why
            : Error(Code::not_running, "the executor has closed the control connection " + options_.socket));
}

void UnixControlAdapter::Body::finish_stopped() {
  if (queue_.empty()) return finish(std::nullopt);
  finish(Error(Code::not_running, std::to_string(queue_.size()) +
                                      " messages were published and not delivered: there is no connection "
                                      "to the executor"));
}

void UnixControlAdapter::Body::retry(const Error& why) {
  if (finished_) return;
  const auto self = shared_from_this();
  if (hooks_.on_lost) hooks_.on_lost(why);
  if (stopping_) return finish_stopped();
  retry_timer_.expires_after(pause_);
  pause_ = std::min(pause_ * 2, options_.longest_pause);
  retry_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto body = weak.lock();
    if (!error && body && !body->stopping_) body->connect();
  });
}

void UnixControlAdapter::Body::finish(std::optional<Error> why) {
  if (std::exchange(finished_, true)) return;
  heartbeat_timer_.cancel();
  retry_timer_.cancel();
  const Hooks hooks = std::exchange(hooks_, {});
  if (hooks.on_closed) hooks.on_closed(why ? &*why : nullptr);
}

UnixControlAdapter::UnixControlAdapter(boost::asio::io_context& io, ControlOptions options, Hooks hooks)
    : body_(std::make_shared<Body>(io, std::move(options), std::move(hooks))) {}

UnixControlAdapter::~UnixControlAdapter() {
  body_->drop();
}

void UnixControlAdapter::start() {
  body_->start();
}

Result<void> UnixControlAdapter::publish(std::string_view topic, std::string data) {
  return body_->publish(topic, std::move(data));
}

Result<void> UnixControlAdapter::subscribe(const std::string& pattern) {
  if (auto checked = event::check_pattern(pattern); !checked) return checked;
  if (body_->patterns_.size() >= limits::event_subscriptions && !body_->patterns_.contains(pattern))
    return Error(Code::limit_exceeded, "a connection may subscribe to " +
                                           std::to_string(limits::event_subscriptions) + " patterns");
  if (body_->patterns_.insert(pattern).second)
    body_->send(control::subscribe, reflect::to_msgpack(control::Subscription{pattern}));
  return {};
}

void UnixControlAdapter::unsubscribe(const std::string& pattern) {
  if (body_->patterns_.erase(pattern) > 0)
    body_->send(control::unsubscribe, reflect::to_msgpack(control::Subscription{pattern}));
}

void UnixControlAdapter::acknowledge() {
  body_->acknowledge();
}

void UnixControlAdapter::shutdown() {
  body_->shut_down();
}

bool UnixControlAdapter::connected() const {
  return body_->welcomed_;
}

std::uint64_t UnixControlAdapter::malformed() const {
  return body_->malformed_;
}

std::size_t UnixControlAdapter::unsent_bytes() const {
  return body_->unsent();
}

}  // namespace kairo::executor
