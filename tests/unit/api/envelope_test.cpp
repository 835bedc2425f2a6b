#include "api/envelope.hpp"

#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "reflect/decode.hpp"
#include "wire/payload.hpp"

using namespace kairo;
using namespace kairo::api;
using namespace std::string_literals;

namespace {

struct Decoded {
  wire::FrameType type;
  std::string payload;
  wire::PayloadDecoder decoder;
  msgpack::object value;

  explicit Decoded(const std::string& frame) {
    const auto head = wire::parse_head(frame.data());
    REQUIRE(head.ok());
    type = head->type;
    payload = frame.substr(wire::head_bytes);
    REQUIRE(payload.size() == head->length);
    auto decoded = decoder.decode(payload);
    REQUIRE(decoded.ok());
    value = *decoded;
  }
};

struct Payload {
  std::string bytes;
  wire::PayloadDecoder decoder;
  msgpack::object value;

  explicit Payload(std::string text) : bytes(std::move(text)) {
    auto decoded = decoder.decode(bytes, wire::Shape::any);
    REQUIRE(decoded.ok());
    value = *decoded;
  }
};

/// The error of a request whose payload is `bytes`; whether its id could be read is left in `id`.
Error refused(std::string bytes, std::optional<RequestId>& id) {
  const Payload payload(std::move(bytes));
  auto request = read_request(payload.value, id);
  REQUIRE_FALSE(request.ok());
  return std::move(request).error();
}

}  // namespace

TEST_CASE("a request is written and read back") {
  std::string frame;
  append_request(frame, 7, "process.wait",
                 "\x81\xa2id\xa1"
                 "a",
                 "corr", "cause");
  const Decoded decoded(frame);
  CHECK(decoded.type == wire::FrameType::request);
  std::optional<RequestId> id;
  const auto request = read_request(decoded.value, id);
  REQUIRE(request.ok());
  CHECK(std::get<std::uint64_t>(request->id) == 7);
  CHECK(id == request->id);
  CHECK(request->method == "process.wait");
  CHECK(request->correlation_id == "corr");
  CHECK(request->causation_id == "cause");
  REQUIRE(request->params != nullptr);
  CHECK(request->params->via.map.size == 1);
}

TEST_CASE("what is empty is left out of a request") {
  std::string frame;
  append_request(frame, 0, "kernel.ping", {});
  CHECK(frame == "\x4b\x41\x01\x01\0\0\0\x18\x82\xa2id\0\xa6method\xabkernel.ping"s);
}

TEST_CASE("an id may be text or any unsigned number") {
  for (const std::string& packed : {"\xa1x"s, "\xa0"s, "\0"s, "\xcf\xff\xff\xff\xff\xff\xff\xff\xff"s,
                                    "\xda\x01\0"s + std::string(256, 'i')}) {
    const Payload payload("\x82\xa2id" + packed + "\xa6method\xa1m");
    std::optional<RequestId> id;
    CHECK(read_request(payload.value, id).ok());
    CHECK(id.has_value());
  }
}

TEST_CASE("a request without a usable id cannot be answered by id") {
  for (const std::string& packed : {"\xff"s, "\xc0"s, "\xcb\0\0\0\0\0\0\0\0"s, "\x90"s, "\xc4\x01x"s,
                                    "\xda\x01\x01"s + std::string(257, 'i')}) {
    std::optional<RequestId> id;
    const Error error = refused("\x82\xa2id" + packed + "\xa6method\xa1m", id);
    CHECK(error.code == Code::invalid_request);
    CHECK(error.message.find("`id`") != std::string::npos);
    CHECK_FALSE(id.has_value());
  }
  std::optional<RequestId> id;
  refused("\x81\xa6method\xa1m", id);
  CHECK_FALSE(id.has_value());
  refused("\x80", id);
  refused("\xc0", id);
  CHECK_FALSE(id.has_value());
}

TEST_CASE("a request with a wrong member is refused by name, and can be answered") {
  const std::pair<std::string, const char*> cases[] = {
      {"\x81\xa2id\x01", "`method` is missing"},
      {"\x82\xa2id\x01\xa6method\x05", "`method` must be text"},
      {"\x83\xa2id\x01\xa6method\xa1m\xa6method\xa1n", "`method` stands twice"},
      {"\x83\xa2id\x01\xa6method\xa1m\xa2id\x02", "`id` stands twice"},
      {"\x83\xa2id\x01\xa6method\xa1m\xad"
       "correlationId\x01",
       "`correlationId` must be text"},
      {"\x83\xa2id\x01\xa6method\xa1m\xab"
       "causationId\xda\x01\x01"s +
           std::string(257, 'c'),
       "`causationId` must be"},
      {"\x83\xa2id\x01\xa6method\xa1m\x05\x05", "member names must be text"}};
  for (const auto& [bytes, reason] : cases) {
    CAPTURE(reason);
    std::optional<RequestId> id;
    const Error error = refused(bytes, id);
    CHECK(error.code == Code::invalid_request);
    CHECK(error.message.find(reason) != std::string::npos);
    CHECK(id == RequestId(std::uint64_t{1}));
  }
}

TEST_CASE("params that are no map are wrong params, and nil ones are none") {
  std::optional<RequestId> id;
  const Error error = refused("\x83\xa2id\x01\xa6method\xa1m\xa6params\x90", id);
  CHECK(error.code == Code::invalid_params);
  const Payload payload(
      "\x84\xa2id\x01\xa6method\xa1m\xa6params\xc0\xad"
      "correlationId\xc0");
  const auto request = read_request(payload.value, id);
  REQUIRE(request.ok());
  CHECK(request->params == nullptr);
  CHECK(request->correlation_id.empty());
}

TEST_CASE("a member that a request of the future brings is ignored") {
  const Payload payload(
      "\x83\xa2id\x01\xa6method\xa1m\xa5"
      "trace\x81\xa1x\xc0");
  std::optional<RequestId> id;
  CHECK(read_request(payload.value, id).ok());
}

TEST_CASE("an answer is written and read back under the id that was asked") {
  for (const RequestId& id : {RequestId(std::uint64_t{5}), RequestId(std::string("five"))}) {
    std::string frame;
    append_response(frame, id, StdinWriteResult{3, 4});
    const Decoded decoded(frame);
    CHECK(decoded.type == wire::FrameType::response);
    const auto response = read_response(decoded.value);
    REQUIRE(response.ok());
    CHECK(response->id == id);
    CHECK(response->error == nullptr);
    REQUIRE(response->result != nullptr);
    const auto result =
        reflect::from_object<StdinWriteResult>(*response->result, "result", reflect::Unknown::ignore);
    REQUIRE(result.ok());
    CHECK(result->offset == 4);
  }
}

TEST_CASE("an error is written and read back with its details") {
  const Error sent = Error(Code::spawn_failed, "cannot start \"foo\"")
                         .with("errno", std::int64_t{2})
                         .with("delta", std::int64_t{-2})
                         .with("errnoName", std::string("ENOENT"))
                         .with("session", Error::Raw{"\x81\xa1x\xc3"});
  std::string frame;
  append_error(frame, std::uint64_t{1}, sent);
  const Decoded decoded(frame);
  const auto response = read_response(decoded.value);
  REQUIRE(response.ok());
  REQUIRE(response->error != nullptr);
  const Error got = read_error(*response->error);
  CHECK(got.code == sent.code);
  CHECK(got.message == sent.message);
  REQUIRE(got.details.size() == 4);
  CHECK(std::get<std::int64_t>(got.details[0].second) == 2);
  CHECK(std::get<std::int64_t>(got.details[1].second) == -2);
  CHECK(std::get<std::string>(got.details[2].second) == "ENOENT");
  CHECK(std::get<Error::Raw>(got.details[3].second).msgpack == "\x81\xa1x\xc3");
  std::string again;
  append_error(again, std::uint64_t{1}, got);
  CHECK(again == frame);
}

TEST_CASE("an answer must have exactly one of result and error") {
  CHECK_FALSE(read_response(Payload("\x81\xa2id\x01").value).ok());
  CHECK_FALSE(read_response(Payload("\x83\xa2id\x01\xa6result\xc0\xa5"
                                    "error\x80")
                                .value)
                  .ok());
  CHECK_FALSE(read_response(Payload("\x81\xa6result\xc0").value).ok());
  CHECK_FALSE(read_response(Payload("\xc0").value).ok());
  CHECK(read_response(Payload("\x82\xa2id\x01\xa6result\xc0").value).ok());
}

TEST_CASE("an error that says little is still an error") {
  CHECK(read_error(Payload("\xc0").value).code == Code::internal);
  CHECK(read_error(Payload("\x80").value).message == "the server gave no message");
  const Error odd = read_error(Payload("\x83\xa4"
                                       "code\x05\xa7message\x05\xa7"
                                       "details\x82\x01\x02\xa1x\xcf\xff\xff\xff\xff\xff\xff\xff\xff")
                                   .value);
  CHECK(odd.code == Code::internal);
  REQUIRE(odd.details.size() == 1);
  CHECK(std::get<Error::Raw>(odd.details[0].second).msgpack == "\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
}

TEST_CASE("an event is written and read back") {
  Event event;
  event.type = "kairo.process.exited";
  event.time = "2026-11-20T23:54:34.000123Z";
  event.data.msgpack = "\x81\xa1x\x01";
  event.id = "e1";
  event.seq = std::numeric_limits<std::uint64_t>::max();
  event.source = "kernel";
  event.causation_id = "c";
  std::string frame;
  append_event(frame, event);
  const Decoded decoded(frame);
  CHECK(decoded.type == wire::FrameType::event);
  const auto back = reflect::from_object<Event>(decoded.value, "event", reflect::Unknown::refuse);
  REQUIRE(back.ok());
  CHECK(back->type == event.type);
  CHECK(back->data == event.data);
  CHECK(back->seq == event.seq);
  CHECK(back->causation_id == "c");
  CHECK_FALSE(back->correlation_id.has_value());
}

TEST_CASE("an event of a client needs no more than its type") {
  const Payload payload("\x81\xa4type\xa1t");
  const auto event = reflect::from_object<Event>(payload.value, "event", reflect::Unknown::ignore);
  REQUIRE(event.ok());
  CHECK(event->type == "t");
  CHECK(event->data.msgpack.empty());
}
