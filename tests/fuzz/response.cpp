// read_response and read_error: what a client makes of whatever a server sends, and that it survives a round
// trip.
#include <cstdint>
#include <string>

#include "api/envelope.hpp"
#include "check.hpp"
#include "reflect/decode.hpp"
#include "wire/payload.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kairo;
  wire::PayloadDecoder decoder;
  const auto value = decoder.decode({reinterpret_cast<const char*>(data), size}, wire::Shape::any);
  if (!value) return 0;
  const auto response = api::read_response(*value);
  if (!response) return 0;
  KAIRO_FUZZ_CHECK(!response->result != !response->error);
  if (response->result) {
    (void)reflect::from_object<api::ProcessSession>(*response->result, "result", reflect::Unknown::ignore)
        .ok();
    return 0;
  }
  const Error error = api::read_error(*response->error);
  std::string frame;
  api::append_error(frame, response->id, error);
  wire::PayloadDecoder second;
  const std::string payload = frame.substr(wire::head_bytes);
  const auto again = second.decode(payload);
  KAIRO_FUZZ_CHECK(again.ok());
  const auto same = api::read_response(*again);
  KAIRO_FUZZ_CHECK(same.ok() && same->error && same->id == response->id);
  const Error back = api::read_error(*same->error);
  KAIRO_FUZZ_CHECK(back.code == error.code && back.message == error.message);
  KAIRO_FUZZ_CHECK(back.details.size() == error.details.size());
  return 0;
}
