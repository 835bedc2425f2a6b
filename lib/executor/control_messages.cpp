#include "executor/control_messages.hpp"

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "event/topic.hpp"

namespace kairo::executor {
namespace {

constexpr std::size_t event_id_length = 16;

std::string_view view_of(const std::optional<std::string>& text) {
  return text ? std::string_view(*text) : std::string_view();
}

Result<void> check_data(std::string_view data) {
  if (data.size() <= control_data_bytes) return {};
  return Error(Code::limit_exceeded, "the data of a message has " + std::to_string(data.size()) +
                                         " bytes; at most " + std::to_string(control_data_bytes) +
                                         " are taken");
}

}  // namespace

Result<api::Event> read_control_message(const wire::Frame& frame, wire::PayloadDecoder& decoder) {
  if (frame.type != wire::FrameType::event)
    return Error(Code::invalid_request, "a control connection carries EVENT frames alone");
  auto object = decoder.decode(frame.payload);
  if (!object) return std::move(object).error();
  auto event = reflect::from_object<api::Event>(*object, "event", reflect::Unknown::ignore);
  if (!event) return event;
  if (auto checked = event::check_type(event->type); !checked) return std::move(checked).error();
  if (auto checked = check_data(event->data.msgpack); !checked) return std::move(checked).error();
  // Members that only the kernel's events have are not passed on.
  event->seq.reset();
  event->subscription_id.reset();
  for (const std::string_view each :
       {std::string_view(event->time), std::string_view(event->id), std::string_view(event->source),
        view_of(event->correlation_id), view_of(event->causation_id)})
    if (each.size() > limits::tag_bytes)
      return Error(Code::invalid_params, "the members beside `data` have at most 256 bytes");
  return event;
}

api::Event make_control_event(std::string_view type, std::string data, std::string_view source) {
  api::Event event;
  event.type = type;
  event.time = to_iso8601(system_now());
  event.data.msgpack = data.empty() ? std::string("\x80") : std::move(data);  // an empty map
  event.id = random_id(event_id_length);
  event.source = source;
  return event;
}

Result<void> check_publication(std::string_view topic, std::string_view data) {
  if (auto checked = event::check_type(topic); !checked) return checked;
  if (api::control::is_own_type(topic) || topic == "kairo" || topic.starts_with("kairo."))
    return Error(Code::invalid_params,
                 "\"" + std::string(topic) + "\" is not to be published: its meaning is the protocol's own");
  return check_data(data);
}

std::map<std::string, std::string> control_environment(const std::string& topology, const std::string& node,
                                                       const std::string& socket, const std::string& token) {
  return {{api::control::environment_node, node},
          {api::control::environment_topology, topology},
          {api::control::environment_socket, socket},
          {api::control::environment_token, token}};
}

}  // namespace kairo::executor
