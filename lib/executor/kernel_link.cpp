#include "executor/kernel_link.hpp"

#include "api/envelope.hpp"
#include "client/client.hpp"
#include "client/lasting_client.hpp"

namespace kairo::executor {
namespace {

/// How long until a daemon that is not there is looked for again: a restart takes about that long.
constexpr std::chrono::milliseconds retry_interval{100};

}  // namespace

KernelLink::KernelLink(boost::asio::io_context& io, Log log) : io_(io), log_(std::move(log)), retry_(io) {}

KernelLink::~KernelLink() {
  stop();
}

Result<void> KernelLink::start() {
  auto channel = client::Channel::connect({});
  if (!channel) return std::move(channel).error();
  channel_ = *std::move(channel);
  connect();
  return {};
}

void KernelLink::stop() {
  if (stopped_) return;
  stopped_ = true;
  if (channel_) (void)channel_->send_some();
  retry_.cancel();
  ++connection_;
  // The channel owns the descriptor.
  if (socket_) (void)socket_->release();
  socket_.reset();
  channel_.reset();
}

void KernelLink::spawn(api::SpawnParams params, std::vector<UniqueFd> descriptors, Started started) {
  Pending pending{"process.spawn", reflect::to_msgpack(params), std::move(descriptors),
                  [started = std::move(started)](Result<std::string> answer) {
                    if (!answer) return started(std::move(answer).error());
                    started(client::Client::decoded<api::ProcessSession>(*answer));
                  }};
  pending.spawn = Pending::Spawn{std::move(params), system_now()};
  add(std::move(pending));
}

void KernelLink::wait(const std::string& id, Ended ended) {
  add({"process.wait",
       reflect::to_msgpack(api::WaitParams{id, {}}),
       {},
       [ended = std::move(ended)](Result<std::string> answer) {
         if (!answer) return ended(std::move(answer).error());
         ended(client::Client::decoded<api::ProcessSession>(*answer));
       }});
}

void KernelLink::cancel(const std::string& id, const std::string& reason, std::chrono::milliseconds grace) {
  const api::CancelParams params{id, reason, static_cast<std::uint64_t>(grace.count())};
  add({"process.cancel", reflect::to_msgpack(params), {}, [](Result<std::string>) {}});
}

void KernelLink::publish(const std::string& type, reflect::Any data) {
  api::PublishParams params{type, std::move(data), {}, {}};
  if (events_ >= waiting_events)
    for (auto it = pending_.begin(); it != pending_.end(); ++it)
      if (it->second.event) {
        ++events_dropped_;
        --events_;
        pending_.erase(it);
        break;
      }
  Pending pending{"event.publish", reflect::to_msgpack(params), {}, [this, type](Result<std::string> answer) {
                    if (!answer) log_("the event " + type + " was refused: " + answer.error().message);
                  }};
  pending.event = true;
  ++events_;
  add(std::move(pending));
}

void KernelLink::after_published(std::function<void()> done) {
  if (events_ == 0 || !channel_) return done();
  after_published_.push_back(std::move(done));
}

void KernelLink::add(Pending pending) {
  const std::uint64_t number = next_++;
  pending_.emplace(number, std::move(pending));
  if (channel_) send(number);
}

void KernelLink::send(std::uint64_t number) {
  Pending& pending = pending_.at(number);
  std::vector<int> descriptors;
  for (const UniqueFd& each : pending.descriptors) descriptors.push_back(each.get());
  std::string params = pending.params;
  if (pending.spawn && pending.spawn->repeated) {
    // Whether it was done is not known; with `replace` it might be done twice.
    pending.spawn->probing = true;
    api::SpawnParams probe = pending.spawn->params;
    if (probe.options) probe.options->replace = false;
    params = reflect::to_msgpack(probe);
  }
  if (pending.spawn) pending.spawn->repeated = true;
  sent_.emplace(channel_->request(pending.method, std::string_view(params), descriptors), number);
  wait_writable();
}

void KernelLink::connect() {
  ++connection_;
  told_ = false;
  socket_.emplace(io_, channel_->fd());
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, pending] : pending_) numbers.push_back(number);
  for (const std::uint64_t number : numbers) send(number);
  wait_readable();
}

void KernelLink::connect_later() {
  retry_.expires_after(retry_interval);
  retry_.async_wait([this](const boost::system::error_code& error) {
    if (error || stopped_ || channel_) return;
    auto channel = client::Channel::connect({});
    if (!channel) {
      if (!told_) log_("no daemon answers, the topology goes on without it: " + channel.error().message);
      told_ = true;
      return connect_later();
    }
    channel_ = *std::move(channel);
    log_("connected to the daemon again");
    connect();
  });
}

void KernelLink::lost(const Error& why) {
  if (stopped_ || !channel_) return;
  log_(why.message);
  ++connection_;
  (void)socket_->release();
  socket_.reset();
  channel_.reset();
  sent_.clear();
  writing_ = false;
  for (auto& done : std::exchange(after_published_, {})) done();
  connect_later();
}

void KernelLink::wait_readable() {
  socket_->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                      [this, connection = connection_](const boost::system::error_code& error) {
                        if (error || stopped_ || connection != connection_) return;
                        take_frames();
                        if (!stopped_ && connection == connection_) wait_readable();
                      });
}

void KernelLink::wait_writable() {
  if (writing_ || !channel_->wants_to_send()) return;
  writing_ = true;
  socket_->async_wait(boost::asio::posix::stream_descriptor::wait_write,
                      [this, connection = connection_](const boost::system::error_code& error) {
                        if (error || stopped_ || connection != connection_) return;
                        writing_ = false;
                        if (auto sent = channel_->send_some(); !sent) return lost(sent.error());
                        wait_writable();
                      });
}

void KernelLink::take_frames() {
  auto received = channel_->receive_some();
  if (!received) return lost(received.error());
  const std::uint64_t connection = connection_;
  while (!stopped_ && connection == connection_) {
    auto frame = channel_->next();
    if (!frame) return lost(frame.error());
    if (!*frame) return;
    if ((*frame)->type != wire::FrameType::response) continue;
    auto payload = decoder_.decode((*frame)->payload);
    auto response = payload ? api::read_response(*payload) : Result<api::Response>(payload.error());
    if (!response) return lost(response.error());
    const auto* id = std::get_if<std::uint64_t>(&response->id);
    const auto found = id ? sent_.find(*id) : sent_.end();
    if (found == sent_.end()) continue;
    const std::uint64_t number = found->second;
    sent_.erase(found);
    if (!pending_.contains(number)) continue;
    if (response->error)
      answered(number, api::read_error(*response->error));
    else
      answered(number, reflect::packed(*response->result));
  }
}

void KernelLink::answered(std::uint64_t number, Result<std::string> answer) {
  Pending& pending = pending_.at(number);
  if (!answer) {
    // The daemon goes, and another one comes.
    if (answer.error().code == Code::shutting_down) return;
    if (pending.spawn && answer.error().code == Code::already_exists && pending.spawn->probing)
      return settle_spawn(number, std::move(answer).error());
  }
  const Answer call = std::move(pending.answer);
  if (pending.event) --events_;
  pending_.erase(number);
  call(std::move(answer));
  if (events_ == 0)
    for (auto& done : std::exchange(after_published_, {})) done();
}

void KernelLink::settle_spawn(std::uint64_t number, Error error) {
  Pending& pending = pending_.at(number);
  const auto existing = client::existing_session(error);
  if (existing && client::is_answer_to(*existing, pending.spawn->params, pending.spawn->asked)) {
    const Answer call = std::move(pending.answer);
    pending_.erase(number);
    return call(reflect::to_msgpack(*existing));
  }
  // An earlier one of that name: the first time it was not done.
  pending.spawn->repeated = false;
  pending.spawn->probing = false;
  send(number);
}

}  // namespace kairo::executor
