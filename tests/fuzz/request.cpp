// read_request: what it takes it also writes; what it refuses is a bad request or bad params, never anything
// else.
#include <cstdint>
#include <string>

#include "api/envelope.hpp"
#include "check.hpp"
#include "wire/payload.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kairo;
  wire::PayloadDecoder decoder;
  const auto value = decoder.decode({reinterpret_cast<const char*>(data), size}, wire::Shape::any);
  if (!value) return 0;
  std::optional<api::RequestId> id;
  const auto request = api::read_request(*value, id);
  std::string frame;
  if (!request) {
    KAIRO_FUZZ_CHECK(request.error().code == Code::invalid_request ||
                     request.error().code == Code::invalid_params);
    if (id) api::append_error(frame, *id, request.error());
    return 0;
  }
  KAIRO_FUZZ_CHECK(id == request->id);
  KAIRO_FUZZ_CHECK(request->correlation_id.size() <= limits::tag_bytes);
  KAIRO_FUZZ_CHECK(!request->params || request->params->type == msgpack::type::MAP);
  const std::string params = request->params ? reflect::packed(*request->params) : "";
  api::append_request(frame, 1, request->method, params, request->correlation_id, request->causation_id);
  wire::PayloadDecoder second;
  const std::string payload = frame.substr(wire::head_bytes);
  const auto again = second.decode(payload);
  KAIRO_FUZZ_CHECK(again.ok());
  const auto same = api::read_request(*again, id);
  KAIRO_FUZZ_CHECK(same.ok());
  KAIRO_FUZZ_CHECK(same->method == request->method);
  KAIRO_FUZZ_CHECK(same->correlation_id == request->correlation_id);
  return 0;
}
