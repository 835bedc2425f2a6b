// A byte stream of control messages: whatever comes, each frame is either read or refused as malformed, what
// is read can be sent on within a frame's bound and is read back the same, and so is the data of the
// protocol's own types.
#include <cstdint>
#include <cstring>
#include <string>

#include "executor/control_messages.hpp"
#include "fuzz/check.hpp"

namespace {

using namespace kairo;
namespace control = api::control;

bool is_refusal(const Error& error) {
  return error.code == Code::invalid_request || error.code == Code::invalid_params ||
         error.code == Code::limit_exceeded;
}

template <class T>
void read_data(const api::Event& event) {
  const auto data = executor::read_control_data<T>(event);
  if (!data) {
    KAIRO_FUZZ_CHECK(is_refusal(data.error()));
    return;
  }
  api::Event again;
  again.data.msgpack = reflect::to_msgpack(*data);
  const auto back = executor::read_control_data<T>(again);
  KAIRO_FUZZ_CHECK(back.ok() && reflect::to_msgpack(*back) == again.data.msgpack);
}

void take(const wire::Frame& frame) {
  wire::PayloadDecoder decoder;
  auto event = executor::read_control_message(frame, decoder);
  if (!event) {
    KAIRO_FUZZ_CHECK(is_refusal(event.error()));
    return;
  }
  KAIRO_FUZZ_CHECK(!event->type.empty() && event->data.msgpack.size() <= executor::control_data_bytes);
  if (executor::check_publication(event->type, event->data.msgpack))
    KAIRO_FUZZ_CHECK(!control::is_own_type(event->type) && !event->type.starts_with("kairo."));
  std::string bytes;
  api::append_event(bytes, *event);
  KAIRO_FUZZ_CHECK(bytes.size() <= wire::head_bytes + executor::control_frame_bytes);
  const wire::Frame sent{wire::FrameType::event, std::string_view(bytes).substr(wire::head_bytes)};
  const auto back = executor::read_control_message(sent, decoder);
  KAIRO_FUZZ_CHECK(back.ok() && reflect::to_msgpack(*back) == reflect::to_msgpack(*event));
  read_data<control::Hello>(*event);
  read_data<control::Welcome>(*event);
  read_data<control::Refused>(*event);
  read_data<control::Subscription>(*event);
  read_data<control::Shutdown>(*event);
  read_data<control::Lagged>(*event);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  wire::FrameReader reader(executor::control_frame_bytes);
  if (size > 0) std::memcpy(reader.writable(size).data(), data, size);
  reader.commit(size);
  for (;;) {
    const auto frame = reader.next();
    if (!frame || !*frame) return 0;
    take(**frame);
  }
}
