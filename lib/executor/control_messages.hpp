// Reading and writing the messages of the control protocol (api/control.hpp), for both of its ends. What is
// malformed here is a message in a whole frame: it is counted and ignored; a broken frame is the connection's
// matter (wire/frame.hpp) and ends it.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "api/control.hpp"
#include "api/envelope.hpp"
#include "base/limits.hpp"
#include "base/result.hpp"
#include "reflect/decode.hpp"
#include "wire/frame.hpp"
#include "wire/payload.hpp"

namespace kairo::executor {

/// Bytes of one message's data; that of an event of the kernel's.
inline constexpr std::size_t control_data_bytes = limits::event_data_bytes;
/// Bytes of one frame: the data and all that may stand beside it.
inline constexpr std::size_t control_frame_bytes = control_data_bytes + (64u << 10);
/// Bytes of published messages that may wait for one peer. Further ones are left out and counted.
inline constexpr std::size_t control_queue_bytes = limits::outbox_event_bytes;

/// The EVENT of a frame. E_INVALID_REQUEST or E_INVALID_PARAMS: it is malformed (another type of frame, no
/// well-formed map, no sound type, data that is too long, members of the wrong kind).
Result<api::Event> read_control_message(const wire::Frame& frame, wire::PayloadDecoder& decoder);

/// The data of one of the protocol's own messages; members that are not known are ignored.
template <class T>
Result<T> read_control_data(const api::Event& event) {
  wire::PayloadDecoder decoder;
  auto object = decoder.decode(event.data.msgpack);
  if (!object) return Error(Code::invalid_params, "data must be a map").with("path", std::string("data"));
  return reflect::from_object<T>(*object, "data", reflect::Unknown::ignore);
}

/// An EVENT of now, with an id of its own. `data` is MsgPack of anything, or empty.
api::Event make_control_event(std::string_view type, std::string data, std::string_view source);
template <reflect::Described T>
api::Event make_control_event(std::string_view type, const T& data, std::string_view source) {
  return make_control_event(type, reflect::to_msgpack(data), source);
}

/// Whether this may be published by a node or the core: a sound type that is not the protocol's own nor in
/// the kernel's namespace, and data that is not too long.
Result<void> check_publication(std::string_view topic, std::string_view data);

/// What a node finds in its environment. The token is random for each life of a node, so that none can speak
/// for another.
std::map<std::string, std::string> control_environment(const std::string& topology, const std::string& node,
                                                       const std::string& socket, const std::string& token);

}  // namespace kairo::executor
