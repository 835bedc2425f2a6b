#include "api/envelope.hpp"

#include <array>

#include "reflect/decode.hpp"
#include "wire/payload.hpp"

namespace kairo::api {
namespace {

std::string_view text_of(const msgpack::object& value) {
  return {value.via.str.ptr, value.via.str.size};
}

bool take_text(const msgpack::object& value, std::string_view& out) {
  if (value.type != msgpack::type::STR) return false;
  out = text_of(value);
  return true;
}

bool take_id(const msgpack::object& value, RequestId& out) {
  if (value.type == msgpack::type::POSITIVE_INTEGER) {
    out = value.via.u64;
    return true;
  }
  if (value.type != msgpack::type::STR || value.via.str.size > limits::tag_bytes) return false;
  out = std::string(text_of(value));
  return true;
}

Error bad_request(std::string_view problem) {
  return Error(Code::invalid_request, "bad request: " + std::string(problem));
}

constexpr std::array<std::string_view, 5> request_members = {"id", "method", "params", "correlationId",
                                                             "causationId"};

bool is_tag(std::string_view text) {
  return text.size() <= limits::tag_bytes;
}

}  // namespace

Result<Request> read_request(const msgpack::object& payload, std::optional<RequestId>& id_out) {
  Request request;
  const msgpack::object* id = wire::find_member(payload, "id");
  if (!id || !take_id(*id, request.id))
    return bad_request("`id` must be a text of at most 256 bytes or an unsigned integer");
  id_out = request.id;
  std::array<bool, request_members.size()> seen{};
  for (std::size_t i = 0; i < payload.via.map.size; ++i) {
    const msgpack::object_kv& member = payload.via.map.ptr[i];
    std::string_view key;
    if (!take_text(member.key, key)) return bad_request("member names must be text");
    for (std::size_t known = 0; known < request_members.size(); ++known) {
      if (key != request_members[known]) continue;
      if (seen[known]) return bad_request("`" + std::string(key) + "` stands twice");
      seen[known] = true;
    }
    if (key == "id") continue;
    if (key == "method") {
      if (!take_text(member.val, request.method)) return bad_request("`method` must be text");
    } else if (key == "params") {
      if (member.val.type == msgpack::type::NIL) continue;
      if (member.val.type != msgpack::type::MAP)
        return Error(Code::invalid_params, "params must be a map").with("path", std::string("params"));
      request.params = &member.val;
    } else if (key == "correlationId" || key == "causationId") {
      if (member.val.type == msgpack::type::NIL) continue;
      std::string_view& tag = key == "correlationId" ? request.correlation_id : request.causation_id;
      if (!take_text(member.val, tag) || !is_tag(tag))
        return bad_request("`" + std::string(key) + "` must be text of at most 256 bytes");
    }
  }
  if (!seen[1]) return bad_request("`method` is missing");
  return request;
}

void append_request(std::string& out, std::uint64_t id, std::string_view method, std::string_view params,
                    std::string_view correlation_id, std::string_view causation_id) {
  wire::append_frame(out, wire::FrameType::request, [&](std::string& payload) {
    reflect::Sink sink(payload);
    reflect::Packer to(sink);
    to.pack_map(2u + !params.empty() + !correlation_id.empty() + !causation_id.empty());
    reflect::encode(to, "id");
    reflect::encode(to, id);
    reflect::encode(to, "method");
    reflect::encode(to, method);
    if (!params.empty()) {
      reflect::encode(to, "params");
      payload.append(params);
    }
    if (!correlation_id.empty()) {
      reflect::encode(to, "correlationId");
      reflect::encode(to, correlation_id);
    }
    if (!causation_id.empty()) {
      reflect::encode(to, "causationId");
      reflect::encode(to, causation_id);
    }
  });
}

void append_error(std::string& out, const RequestId& id, const Error& error) {
  wire::append_frame(out, wire::FrameType::response, [&](std::string& payload) {
    reflect::Sink sink(payload);
    reflect::Packer to(sink);
    to.pack_map(2);
    reflect::encode(to, "id");
    reflect::encode(to, id);
    reflect::encode(to, "error");
    reflect::encode_error(to, error);
  });
}

void append_event(std::string& out, const Event& event) {
  wire::append_frame(out, wire::FrameType::event, [&](std::string& payload) {
    reflect::Sink sink(payload);
    reflect::Packer to(sink);
    reflect::encode(to, event);
  });
}

EncodedEvent::EncodedEvent(const Event& event) : count(reflect::count_members(event)) {
  reflect::Sink sink(members);
  reflect::Packer to(sink);
  reflect::encode_members(to, event);
}

void append_event(std::string& out, const EncodedEvent& event, std::string_view subscription_id) {
  wire::append_frame(out, wire::FrameType::event, [&](std::string& payload) {
    reflect::Sink sink(payload);
    reflect::Packer to(sink);
    to.pack_map(event.count + (subscription_id.empty() ? 0 : 1));
    payload.append(event.members);
    if (subscription_id.empty()) return;
    reflect::encode_key(to, "subscriptionId");
    reflect::encode(to, subscription_id);
  });
}

Result<Response> read_response(const msgpack::object& payload) {
  Response response;
  const msgpack::object* id = wire::find_member(payload, "id");
  if (!id || !take_id(*id, response.id)) return bad_request("a response without a usable `id`");
  response.result = wire::find_member(payload, "result");
  response.error = wire::find_member(payload, "error");
  if (!response.result == !response.error)
    return bad_request("a response must have exactly one of `result` and `error`");
  return response;
}

Error read_error(const msgpack::object& error) {
  std::string_view code = "E_INTERNAL", message = "the server gave no message";
  if (const auto* member = wire::find_member(error, "code")) take_text(*member, code);
  if (const auto* member = wire::find_member(error, "message")) take_text(*member, message);
  Error out(code_from_name(code), std::string(message));
  const auto* details = wire::find_member(error, "details");
  if (!details || details->type != msgpack::type::MAP) return out;
  for (std::size_t i = 0; i < details->via.map.size; ++i) {
    const msgpack::object_kv& member = details->via.map.ptr[i];
    std::string_view key, text;
    if (!take_text(member.key, key)) continue;
    if (take_text(member.val, text))
      out.details.emplace_back(std::string(key), std::string(text));
    else if (member.val.type == msgpack::type::POSITIVE_INTEGER && member.val.via.u64 <= INT64_MAX)
      out.details.emplace_back(std::string(key), static_cast<std::int64_t>(member.val.via.u64));
    else if (member.val.type == msgpack::type::NEGATIVE_INTEGER)
      out.details.emplace_back(std::string(key), member.val.via.i64);
    else
      out.details.emplace_back(std::string(key), Error::Raw{reflect::packed(member.val)});
  }
  return out;
}

}  // namespace kairo::api
