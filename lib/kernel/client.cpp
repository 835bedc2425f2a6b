#include "kernel/client.hpp"

#include <algorithm>

#include "kernel/handlers.hpp"
#include "kernel/kernel.hpp"
#include "wire/payload.hpp"

namespace kairo::kernel {
namespace {

/// One turn of one subscription, so that many share a connection fairly.
constexpr std::size_t turn_bytes = 256u << 10;

/// Refusals of one user that are told by events in each interval; the next one tells how many were not.
constexpr unsigned refusals_told = 10;
constexpr std::chrono::seconds refusals_interval{1};

wire::PayloadDecoder& decoder() {
  static wire::PayloadDecoder instance;  // one thread, one payload at a time
  return instance;
}

}  // namespace

Client::Client(Kernel& kernel, std::shared_ptr<ipc::Connection> connection, std::uint64_t number,
               access::Principal principal, std::vector<gid_t> groups)
    : kernel_(kernel),
      connection_(std::move(connection)),
      number_(number),
      principal_(std::move(principal)),
      groups_(std::move(groups)) {}

Client::~Client() = default;

// --- requests ----------------------------------------------------------------------------------------

Result<void> Client::on_frame(const wire::Frame& frame, std::vector<UniqueFd>& descriptors) {
  if (frame.type != wire::FrameType::request && frame.type != wire::FrameType::event)
    return Error(Code::invalid_request, "a client sends REQUEST and EVENT frames, not type " +
                                            std::to_string(static_cast<int>(frame.type)));
  auto payload = decoder().decode(frame.payload);
  if (!payload) return std::move(payload).error();
  Counters& counters = kernel_.counters();
  if (frame.type == wire::FrameType::event) {
    ++counters.client_event_frames;
    take_event(*payload, descriptors);
    return {};
  }

  ++counters.request_frames;
  std::optional<api::RequestId> id;
  auto request = api::read_request(*payload, id);
  const Method* method = request ? kernel_.methods().find(request->method) : nullptr;
  Asked asked{static_cast<std::uint32_t>(kernel_.methods().place_of(method)), connection_->read_at()};
  if (kernel_.audit().on() && (request || id))
    asked.audited = request ? begin_audited(method, request->method, request->correlation_id, asked.at)
                            : begin_audited(nullptr, "?", {}, asked.at);
  if (!request) {
    if (!id) return std::move(request).error();
    begin_request(asked);
    Answerer(weak_from_this(), std::move(*id), asked).fail(request.error());
    return {};
  }
  Answerer answerer(weak_from_this(), std::move(request->id), asked);
  if (!begin_request(asked)) {
    answerer.fail(Error(Code::limit_exceeded, "more than " +
                                                  std::to_string(kernel_.settings().pending_requests) +
                                                  " requests of this connection are unanswered"));
    return {};
  }
  if (!method) {
    std::string message = "there is no method \"" + std::string(request->method.substr(0, 64)) + "\"";
    const std::string_view near = kernel_.methods().nearest(request->method);
    if (!near.empty()) message += "; did you mean \"" + std::string(near) + "\"?";
    Error unknown(Code::unknown_method, std::move(message));
    if (!near.empty()) unknown.details.emplace_back("suggestion", std::string(near));
    answerer.fail(unknown);
    return {};
  }
  if (auto refused = kernel_.audit().refusal(method->name)) {
    answerer.fail(*refused);
    return {};
  }
  if (auto admitted = kernel_.admit(principal_, rules(), *method); !admitted) {
    answerer.fail(admitted.error());
    return {};
  }
  Call call{shared_from_this(), request->correlation_id, request->causation_id, descriptors};
  method->call(kernel_, call, request->params, std::move(answerer));
  return {};
}

void Client::take_event(const msgpack::object& payload, std::vector<UniqueFd>& descriptors) {
  static const Method* const publish = kernel_.methods().find("event.publish");
  Asked asked{static_cast<std::uint32_t>(kernel_.methods().place_of(publish)), connection_->read_at()};
  auto unserved = kernel_.audit().refusal(publish->name);
  const auto taken = unserved ? Result<void>(*unserved)
                              : take_client_event(kernel_, shared_from_this(), payload, descriptors);
  // It is not answered, and acts all the same.
  if (kernel_.audit().on()) {
    asked.audited = begin_audited(publish, {}, {}, asked.at);
    AuditedRequest& request = audited_[asked.audited - 1];
    const msgpack::object* type = wire::find_member(payload, "type");
    if (type && type->type == msgpack::type::STR)
      audit::append_member(request.members, "type", std::string_view(type->via.str.ptr, type->via.str.size));
    end_audited(request, taken ? "ok" : code_name(taken.error().code));
    audited_free_.push_back(asked.audited);
  }
  if (taken) return;
  if (taken.error().code == Code::permission_denied) refused(asked, taken.error());
  kernel_.log_client("an EVENT of " + ipc::describe(connection_->peer()) +
                     " was ignored: " + taken.error().message);
}

bool Client::begin_request(const Asked& asked) {
  ++kernel_.counters().methods[asked.method].requests;
  return ++unanswered_ <= kernel_.settings().pending_requests;
}

void Client::answered(const Asked& asked, std::optional<Code> error) {
  --unanswered_;
  if (AuditedRequest* const request = audited(asked)) {
    end_audited(*request, error ? code_name(*error) : "ok");
    audited_free_.push_back(asked.audited);
    if (!connection_->dispatching()) kernel_.audit().write_soon();
  }
  Counters& counters = kernel_.counters();
  ++counters.response_frames;
  if (error) ++counters.methods[asked.method].errors[static_cast<std::size_t>(*error)];
  if (!connection_->dispatching() || asked.at != connection_->read_at())
    counters.methods[asked.method].duration.observe(SteadyClock::now() - asked.at);
  else if (!answered_in_batch_.empty() && answered_in_batch_.back().first == asked.method)
    ++answered_in_batch_.back().second;
  else
    answered_in_batch_.emplace_back(asked.method, 1);
  connection_->wrote();
}

void Client::refused(const Asked& asked, const Error& error) {
  // One that keeps asking must not fill the store.
  Kernel::Refusals& before = kernel_.refusals_of(connection_->peer().uid);
  const SteadyTime now = SteadyClock::now();
  if (now - before.since >= refusals_interval) before = {now, 0, before.untold};
  if (before.told >= refusals_told) {
    ++before.untold;
    return;
  }
  ++before.told;
  Kernel::Members members{{"principal", principal_.name()},
                          {"uid", std::int64_t{connection_->peer().uid}},
                          {"pid", std::int64_t{connection_->peer().pid}},
                          {"message", error.message}};
  if (asked.method < kernel_.methods().all().size())
    members.emplace_back("method", std::string(kernel_.methods().all()[asked.method].name));
  for (const auto& [name, value] : error.details)
    if (const auto* text = std::get_if<std::string>(&value); text && (name == "rule" || name == "id"))
      members.emplace_back(name == "id" ? "target" : name, *text);
  if (before.untold > 0) members.emplace_back("untold", std::exchange(before.untold, 0));
  kernel_.emit_denied(principal_, members);
}

const std::vector<access::Policy::Binding>& Client::rules() {
  if (rules_version_ != kernel_.policy_version()) {
    rules_ = kernel_.policy().binding(principal_);
    rules_version_ = kernel_.policy_version();
  }
  return rules_;
}

std::uint32_t Client::begin_audited(const Method* method, std::string_view name,
                                    std::string_view correlation_id, SteadyTime asked) {
  if (audited_free_.empty()) {
    audited_.emplace_back();
    audited_free_.push_back(static_cast<std::uint32_t>(audited_.size()));
  }
  const std::uint32_t place = audited_free_.back();
  audited_free_.pop_back();
  AuditedRequest& request = audited_[place - 1];
  request.method = method ? method->name : std::string_view();
  request.unknown = method ? std::string_view() : name.substr(0, 64);
  request.target.clear();
  request.members.clear();
  if (!correlation_id.empty()) audit::append_member(request.members, "correlationId", correlation_id);
  request.asked = asked;
  request.waiting = true;
  return place;
}

void Client::end_audited(AuditedRequest& request, std::string_view outcome) {
  if (audited_as_ != principal_.path() || audited_who_.empty()) {
    audited_as_ = principal_.path();
    audited_who_ = Audit::describe(*this);
  }
  request.waiting = false;
  kernel_.audit().request(audited_who_, request, outcome);
}

Audit& Client::kernel_audit() {
  return kernel_.audit();
}

void Client::parsed() {
  kernel_.audit().write();
  if (answered_in_batch_.empty()) return;
  const auto took = SteadyClock::now() - connection_->read_at();
  for (const auto& [method, times] : answered_in_batch_)
    kernel_.counters().methods[method].duration.observe(took, times);
  answered_in_batch_.clear();
}

// --- events ------------------------------------------------------------------------------------------

void Client::send_event(const event::Recorded& recorded, std::string_view subscription_id) {
  if (!open()) return;
  const std::optional<std::uint64_t> seq = recorded.event.seq;
  if (missed_.count > 0 || connection_->outbox_bytes() > limits::outbox_event_bytes) {
    // One that is not on record has no number, and cannot be had again.
    if (missed_.first == 0) missed_.first = seq.value_or(0);
    missed_.last = seq.value_or(missed_.last);
    ++missed_.count;
    ++kernel_.counters().missed_events;
    return;
  }
  api::append_event(connection_->outbox(), recorded.encoded, subscription_id);
  note_event_frames(1);
  connection_->wrote();
}

std::optional<SteadyTime> Client::event_waits_since() const {
  if (connection_->sent_bytes() >= waiting_event_.end) return std::nullopt;
  return waiting_event_.since;
}

void Client::on_drained() {
  for (const auto& [id, each] : events_) each->resume();
  next_query();
  if (missed_.count == 0) return;
  const Missed missed = std::exchange(missed_, {});
  api::append_event(connection_->outbox(), lagged_event(missed.first, missed.last, missed.count, {}));
  ++kernel_.counters().event_frames;
}

void Client::query_events(std::function<void()> start) {
  queries_.push_back(std::move(start));
  next_query();
}

void Client::queried() {
  querying_ = false;
  next_query();
}

void Client::next_query() {
  if (querying_ || queries_.empty() || !open() || connection_->outbox_bytes() > limits::event_replay_bytes)
    return;
  querying_ = true;
  const auto start = std::move(queries_.front());
  queries_.pop_front();
  start();
}

void Client::note_event_frames(std::size_t count) {
  kernel_.counters().event_frames += count;
  if (count > 0 && connection_->sent_bytes() >= waiting_event_.end)
    waiting_event_ = {connection_->sent_bytes() + connection_->outbox_bytes(), SteadyClock::now()};
}

std::string Client::subscribe_events(const std::string& pattern, std::optional<std::uint64_t> since_seq) {
  std::string id = "ev-" + std::to_string(number_) + "-" + std::to_string(next_event_subscription_++);
  const auto made = std::make_shared<EventSubscription>(kernel_, *this, id, pattern);
  events_.emplace(id, made);
  if (since_seq)
    made->replay(*since_seq);
  else
    made->go_live();
  return id;
}

bool Client::unsubscribe_events(const std::string& id) {
  return events_.erase(id) > 0;
}

// --- output ------------------------------------------------------------------------------------------

OutputSubscription& Client::subscribe(session::Session& session, OutputSubscription::Options options) {
  std::string id = "out-" + std::to_string(number_) + "-" + std::to_string(next_subscription_++);
  auto made = std::make_unique<OutputSubscription>(*this, session, kernel_.logs_dir(), id, options);
  OutputSubscription& subscription = *made;
  outputs_.emplace(std::move(id), std::move(made));
  kernel_.add_reader(subscription);
  ready(subscription);
  return subscription;
}

OutputSubscription* Client::find_output(const std::string& id) {
  const auto it = outputs_.find(id);
  return it == outputs_.end() ? nullptr : it->second.get();
}

bool Client::issued(const std::string& id) const {
  const std::string prefix = "out-" + std::to_string(number_) + "-";
  if (!id.starts_with(prefix) || id.size() > prefix.size() + 19) return false;
  std::uint64_t serial = 0;
  for (const char c : id.substr(prefix.size())) {
    if (c < '0' || c > '9') return false;
    serial = serial * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return serial > 0 && serial < next_subscription_;
}

void Client::unsubscribe(const std::string& id) {
  const auto it = outputs_.find(id);
  if (it == outputs_.end()) return;
  OutputSubscription* subscription = it->second.get();
  std::erase(ready_, subscription);
  std::erase(in_batch_, subscription);
  kernel_.timers().cancel(subscription->timer);
  kernel_.remove_reader(*subscription);
  outputs_.erase(it);
}

void Client::drop_output() {
  while (!outputs_.empty()) unsubscribe(std::string(outputs_.begin()->first));
}

void Client::ready(OutputSubscription& subscription) {
  if (subscription.queued || !open()) return;
  subscription.queued = true;
  ready_.push_back(&subscription);
  connection_->wrote();
}

void Client::fill(stream::Batch& batch, std::size_t bytes) {
  const SteadyTime now = SteadyClock::now();
  while (!ready_.empty() && batch.bytes() < bytes) {
    OutputSubscription& subscription = *ready_.front();
    ready_.pop_front();
    subscription.queued = false;
    if (!give(subscription, batch, std::min(bytes, batch.bytes() + turn_bytes), now)) break;
  }
}

bool Client::give(OutputSubscription& subscription, stream::Batch& batch, std::size_t bytes, SteadyTime now) {
  const std::size_t before = batch.bytes();
  auto given = subscription.give(batch, bytes, now);
  in_batch_.push_back(&subscription);
  Counters& counters = kernel_.counters();
  counters.chunk_frames += given.chunks;
  counters.dropped_bytes[static_cast<std::size_t>(subscription.flow())] += given.dropped;
  for (unsigned stream = 0; stream < 2; ++stream)
    if (given.throttled[stream])
      kernel_.emit(subscription.session(), "kairo.process.output.throttled",
                   {{"stream", std::string(stream == 0 ? "stdout" : "stderr")},
                    {"subscriptionId", subscription.id()},
                    {"offset", given.throttled[stream]->offset},
                    {"dropped", given.throttled[stream]->dropped}});
  if (given.failed)
    kernel_.emit_log_fault(subscription.session(), given.failed_stream, given.failed->message);
  if (given.more) {
    ready(subscription);
    return batch.bytes() > before;
  }
  if (given.again_at) {
    kernel_.timers().cancel(subscription.timer);
    const std::weak_ptr<Client> weak = weak_from_this();
    subscription.timer = kernel_.timers().at(*given.again_at, [weak, id = subscription.id()] {
      const auto client = weak.lock();
      OutputSubscription* again = client ? client->find_output(id) : nullptr;
      if (!again) return;
      again->timer = 0;
      client->ready(*again);
    });
  }
  if (!subscription.finished() && !kernel_.arm(subscription)) ready(subscription);
  return true;
}

void Client::filled() {
  // Pins move and finished subscriptions go only now that the batch no longer refers to their logs.
  const auto given = std::move(in_batch_);
  in_batch_.clear();
  for (OutputSubscription* subscription : given) {
    session::Session& session = subscription->session();
    for (unsigned stream = 0; stream < 2; ++stream)
      if (const auto* feed = subscription->feed(stream)) kernel_.note_read(session, stream, feed->position());
    if (subscription->finished()) doomed_.push_back(subscription->id());
    kernel_.update_pins(session);
  }
  const auto doomed = std::move(doomed_);
  doomed_.clear();
  for (const std::string& id : doomed) unsubscribe(id);
}

void Client::give_last(OutputSubscription& subscription) {
  // A reader that keeps up gets what is left before the event; one that does not must not hold it back.
  if (!open() || connection_->outbox_bytes() > last_output_bytes) return;
  stream::Batch& batch = kernel_.batch();
  batch.clear();
  if (subscription.queued) {
    std::erase(ready_, &subscription);
    subscription.queued = false;
  }
  give(subscription, batch, last_output_bytes, SteadyClock::now());
  auto copied = batch.copy_rest(0, connection_->outbox());
  if (!copied) kernel_.log("output of " + subscription.session().id() + ": " + copied.error().message);
  batch.clear();
  filled();
  connection_->wrote();
}

void Client::on_closed(const Error* why) {
  if (why)
    kernel_.log_client("closed the connection of " + ipc::describe(connection_->peer()) + ": " +
                       why->message);
  const auto keep = shared_from_this();
  for (AuditedRequest& each : audited_)
    if (each.waiting) end_audited(each, "unanswered");
  kernel_.audit().write_soon();
  drop_output();
  events_.clear();
  queries_.clear();
  kernel_.client_closed(*this);
}

}  // namespace kairo::kernel
