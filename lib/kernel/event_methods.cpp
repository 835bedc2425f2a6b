// event.* and the EVENT frames that clients send.
#include <unordered_set>

#include <boost/asio/post.hpp>

#include "event/topic.hpp"
#include "kernel/devices.hpp"
#include "kernel/handlers.hpp"
#include "reflect/decode.hpp"
#include "wire/payload.hpp"

namespace kairo::kernel {
namespace {

struct CancelData {
  std::string target_correlation_id;
  std::optional<std::string> reason;
  static constexpr auto fields() {
    return std::tuple(reflect::field("targetCorrelationId", &CancelData::target_correlation_id, ""),
                      reflect::field("reason", &CancelData::reason, ""));
  }
};

struct ProgressData {
  std::string process_id;
  static constexpr auto fields() {
    return std::tuple(reflect::field("processId", &ProgressData::process_id, ""));
  }
};

template <class T>
Result<T> read_data(const reflect::Any& data, reflect::Unknown unknown) {
  wire::PayloadDecoder decoder;
  auto object = decoder.decode(data.msgpack, wire::Shape::any);
  if (!object)
    return Error(Code::invalid_params, "params.data must be a map").with("path", std::string("params.data"));
  return reflect::from_object<T>(*object, "params.data", unknown);
}

Error too_long(const char* path) {
  return Error(Code::invalid_params,
               std::string(path) + " is longer than " + std::to_string(limits::tag_bytes) + " bytes")
      .with("path", std::string(path));
}

/// Cancels all that the sender may act on under a correlation id: what runs, the sessions that those have
/// started under ids of their own, what is being launched, and waits.
void cancel_correlated(Kernel& kernel, const std::shared_ptr<Client>& client,
                       const api::PublishParams& params, const CancelData& data) {
  const auto is_target = [&kernel, client,
                          target = data.target_correlation_id](const session::Session& each) {
    return each.record().correlation_id == target && each.running() &&
           kernel.may_act(client->principal(), each.record().owned_by());
  };
  const auto cancel = [&kernel, client, reason = data.reason,
                       correlation = params.correlation_id.value_or(""),
                       causation = params.causation_id.value_or("")](session::Session& each) {
    kernel.cancel(each, client->principal().name(), reason,
                  std::chrono::milliseconds(each.record().kill_grace_ms), correlation, causation);
  };
  std::vector<session::Session*> targets;
  std::unordered_set<std::uint64_t> reached;
  // In order of their start, so that parents come before their children.
  kernel.sessions().for_each(0, [&](session::Session& each) {
    const bool named = each.record().correlation_id == data.target_correlation_id;
    if (!named && !reached.contains(each.record().parent)) return true;
    if (!kernel.may_act(client->principal(), each.record().owned_by())) return true;
    reached.insert(each.key());
    if (each.running()) targets.push_back(&each);
    return true;
  });
  for (session::Session* each : targets) cancel(*each);
  // Whose it is and what it carries is known once it runs.
  for (auto& [id, behind] : kernel.starting)
    behind.push_back([&kernel, id = id, is_target, cancel] {
      session::Session* const begun = kernel.sessions().find(id);
      if (begun && is_target(*begun)) cancel(*begun);
    });
  kernel.cancel_waits(data.target_correlation_id, client->principal(), data.reason);
}

struct TopologyData {
  std::string topology;
  static constexpr auto fields() {
    return std::tuple(reflect::field("topology", &TopologyData::topology, ""));
  }
};

/// An executor says what becomes of its own topology.
bool tells_of_its_topology(Kernel& kernel, const Client& client, const api::PublishParams& params) {
  if (!params.type.starts_with("kairo.node.") && !params.type.starts_with("kairo.topology.")) return false;
  const session::Session* const from = kernel.origin_of(client);
  if (!from || from->record().topology.empty()) return false;
  const auto data = read_data<TopologyData>(params.data, reflect::Unknown::ignore);
  return data && data->topology == from->record().topology;
}

Result<event::Fact> publish(Kernel& kernel, const std::shared_ptr<Client>& from, api::PublishParams params) {
  Client& client = *from;
  auto type = event::check_type(params.type);
  if (!type) return std::move(type).error().with("path", std::string("params.type"));
  event::Fact fact;
  fact.owner = client.principal().path();
  const bool cancel = params.type == "kairo.cancel";
  if (params.data.msgpack.size() > limits::event_data_bytes)
    return Error(Code::limit_exceeded, "params.data has " + std::to_string(params.data.msgpack.size()) +
                                           " bytes; an event carries at most " +
                                           std::to_string(limits::event_data_bytes))
        .with("path", std::string("params.data"));
  CancelData order;
  if (cancel) {
    auto data = read_data<CancelData>(params.data, reflect::Unknown::refuse);
    if (!data) return std::move(data).error();
    order = std::move(*data);
    if (order.target_correlation_id.empty())
      return Error(Code::invalid_params, "params.data.targetCorrelationId must not be empty")
          .with("path", std::string("params.data.targetCorrelationId"));
    // What is said of an intent belongs to its story.
    if (!params.correlation_id) params.correlation_id = order.target_correlation_id;
  }
  for (const auto& [id, path] : {std::pair(&params.correlation_id, "params.correlationId"),
                                 std::pair(&params.causation_id, "params.causationId")})
    if (*id && (*id)->size() > limits::tag_bytes) return too_long(path);
  if (params.type == "kairo" || params.type.starts_with("kairo.")) {
    const bool intent = params.type.starts_with("kairo.intent.");
    const bool progress = params.type == "kairo.process.progress";
    if (!intent && !progress && !cancel && !tells_of_its_topology(kernel, client, params))
      return Error(Code::permission_denied,
                   "\"" + params.type +
                       "\" is the kernel's to say: publish outside of kairo., or kairo.intent.*, "
                       "kairo.cancel, kairo.process.progress");
    if (progress) {
      auto data = read_data<ProgressData>(params.data, reflect::Unknown::ignore);
      if (!data) return std::move(data).error();
      // Of itself it may say how far it is, although it may not act on itself.
      auto session = kernel.look_at(client, data->process_id);
      if (!session) return std::move(session).error();
      fact.owner = (*session)->record().owned_by();
      fact.process_id = data->process_id;
      fact.session_key = (*session)->key();
      if (!params.correlation_id && !(*session)->record().correlation_id.empty())
        params.correlation_id = (*session)->record().correlation_id;
    }
  }
  if (!params.correlation_id)
    if (std::string inherited = kernel.correlation_of(client, {}); !inherited.empty())
      params.correlation_id = std::move(inherited);
  fact.event.type = params.type;
  fact.event.data = params.data;
  fact.event.source = client.principal().name();
  fact.event.correlation_id = params.correlation_id;
  fact.event.causation_id = params.causation_id;
  ++kernel.counters().client_events;
  event::Window::Entry recorded;
  auto published = kernel.announce(fact, recorded);
  if (!published) return std::move(published).error();
  if (cancel) cancel_correlated(kernel, from, params, order);
  return fact;
}

}  // namespace

void event_subscribe(Kernel& kernel, Call& call, api::EventSubscribeParams params,
                     Reply<api::EventSubscribeResult> reply) {
  auto checked = event::check_pattern(params.topic);
  if (!checked) return reply(std::move(checked).error().with("path", std::string("params.topic")));
  if (params.since_seq && *params.since_seq > kernel.bus().newest())
    return reply(Error(Code::invalid_params, "params.sinceSeq is above the newest event's number, which is " +
                                                 std::to_string(kernel.bus().newest()) +
                                                 "; it belongs to another state directory")
                     .with("path", std::string("params.sinceSeq"))
                     .with("newestSeq", static_cast<std::int64_t>(kernel.bus().newest())));
  if (call.client->event_subscriptions() >= limits::event_subscriptions)
    return reply(Error(Code::limit_exceeded, "this connection is subscribed to " +
                                                 std::to_string(limits::event_subscriptions) +
                                                 " topics already"));
  kernel.devices().subscribed(params.topic);
  reply(api::EventSubscribeResult{call.client->subscribe_events(params.topic, params.since_seq),
                                  kernel.bus().newest()});
}

void event_unsubscribe(Kernel&, Call& call, api::SubscriptionParams params, Reply<api::Done> reply) {
  if (!call.client->unsubscribe_events(params.subscription_id))
    return reply(Error(Code::not_found, "this connection has no event subscription \"" +
                                            params.subscription_id.substr(0, 64) + "\""));
  reply(api::Done{});
}

void event_query(Kernel& kernel, Call& call, api::EventQueryParams params,
                 Reply<api::EventQueryResult> reply) {
  event::Query query;
  if (params.topic) {
    auto checked = event::check_pattern(*params.topic);
    if (!checked) return reply(std::move(checked).error().with("path", std::string("params.topic")));
    query.topic = *params.topic;
  }
  const auto read_time = [&](const std::optional<std::string>& text, const char* path,
                             std::optional<std::int64_t>& out) {
    SystemTime time;
    if (!text) return true;
    if (!from_iso8601(*text, time)) {
      reply(Error(Code::invalid_params, std::string(path) + " must be a time in ISO 8601")
                .with("path", std::string(path)));
      return false;
    }
    out = time.time_since_epoch().count();
    return true;
  };
  if (!read_time(params.from_time, "params.fromTime", query.from_us) ||
      !read_time(params.to_time, "params.toTime", query.to_us))
    return;
  if (params.limit && (*params.limit == 0 || *params.limit > limits::event_page))
    return reply(
        Error(Code::invalid_params, "params.limit must be 1 to " + std::to_string(limits::event_page))
            .with("path", std::string("params.limit")));
  query.limit = params.limit.value_or(limits::event_page);
  query.since_seq = params.since_seq.value_or(0);
  query.correlation_id = std::move(params.correlation_id);
  query.process_id = std::move(params.process_id);
  for (const auto& [id, path] : {std::pair(&query.correlation_id, "params.correlationId"),
                                 std::pair(&query.process_id, "params.processId")})
    if (*id && (*id)->size() > limits::tag_bytes) return reply(too_long(path));
  query.viewer = kernel.viewer(call.client->principal());
  // Weak: a query that waits is dropped with its client, and the archive must not be the last to hold one.
  call.client->query_events([&kernel, query = std::move(query), reply,
                             client = std::weak_ptr(call.client)]() mutable {
    const auto done = [client](const auto& answer) {
      answer();
      if (const auto asker = client.lock()) asker->queried();
    };
    kernel.archive().ask(std::move(query), [reply, done, &io = kernel.io(),
                                            newest = kernel.bus().newest()](Result<event::Page> page) {
      // On the archive's thread: the answer is encoded here, and given on the kernel's.
      if (!page)
        return boost::asio::post(io, [reply, done, error = page.error()] { done([&] { reply(error); }); });
      api::EventQueryResult result;
      for (event::Fact& each : page->facts) result.events.push_back(std::move(each.event));
      if (page->more) result.next = page->upto;
      result.oldest_seq = page->oldest;
      result.newest_seq = newest;
      boost::asio::post(io, [reply, done, packed = reflect::Any{reflect::to_msgpack(result)}] {
        done([&] { reply.packed(packed); });
      });
    });
  });
}

void event_publish(Kernel& kernel, Call& call, api::PublishParams params, Reply<api::PublishResult> reply) {
  if (!params.correlation_id && !call.correlation_id.empty())
    params.correlation_id = std::string(call.correlation_id);
  if (!params.causation_id && !call.causation_id.empty())
    params.causation_id = std::string(call.causation_id);
  auto fact = publish(kernel, call.client, std::move(params));
  if (!fact) return reply(fact.error());
  reply(api::PublishResult{fact->event.id, *fact->event.seq});
}

Result<void> take_client_event(Kernel& kernel, const std::shared_ptr<Client>& client,
                               const msgpack::object& payload, std::vector<UniqueFd>& descriptors) {
  auto event = reflect::from_object<api::Event>(payload, "event", reflect::Unknown::ignore);
  if (!event) return std::move(event).error();
  if (event->type == api::connect_event) {
    if (descriptors.size() != 1)
      return Error(Code::invalid_request, "kairo.connect comes with one descriptor, a connected Unix socket");
    UniqueFd socket = std::move(descriptors[0]);
    descriptors.clear();
    return kernel.accept_further(*client, std::move(socket));
  }
  if (const Method* method = kernel.methods().find("event.publish"))
    if (auto admitted = kernel.admit(client->principal(), client->rules(), *method); !admitted)
      return std::move(admitted).error();
  api::PublishParams params{event->type, event->data, event->correlation_id, event->causation_id};
  auto fact = publish(kernel, client, std::move(params));
  if (!fact) return std::move(fact).error();
  return {};
}

}  // namespace kairo::kernel
