// A byte stream of keeper messages: whatever comes, each whole message either decodes or is refused, and what
// decodes is written and read back the same.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "keeper/protocol.hpp"

namespace {

using namespace kairo;
using namespace kairo::keeper;

template <class T>
void again(const Message& message) {
  const auto value = read_message<T>(message);
  if (!value) return;
  std::string bytes;
  append_message(bytes, message.type, *value);
  if (bytes.size() > message_bytes_max) return;
  const auto copy = next_message(bytes);
  if (!copy || !*copy || (*copy)->bytes != bytes.size()) std::abort();
  const auto back = read_message<T>(**copy);
  if (!back || reflect::to_msgpack(*back) != reflect::to_msgpack(*value)) std::abort();
}

void decode(const Message& message) {
  switch (message.type) {
    case MessageType::hello: return again<Hello>(message);
    case MessageType::welcome: return again<Welcome>(message);
    case MessageType::launch: return again<Launch>(message);
    case MessageType::launched: return again<Launched>(message);
    case MessageType::launch_failed: return again<LaunchFailed>(message);
    case MessageType::signal: return again<Signal>(message);
    case MessageType::signaled: return again<Signaled>(message);
    case MessageType::stdin_ring:
    case MessageType::stdin_ready:
    case MessageType::resume_pump:
    case MessageType::note: return again<Note>(message);
    case MessageType::release: return again<Release>(message);
    case MessageType::changed: return again<Changed>(message);
    case MessageType::exited: return again<Exited>(message);
    case MessageType::stop: return again<Stop>(message);
    case MessageType::upgrade: return again<Upgrade>(message);
    case MessageType::upgrade_failed: return again<UpgradeFailed>(message);
    case MessageType::ask_denials: return again<AskDenials>(message);
    case MessageType::denials: return again<DenialsAnswer>(message);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view stream(reinterpret_cast<const char*>(data), size);
  for (;;) {
    const auto message = next_message(stream);
    if (!message || !*message) return 0;
    if ((*message)->bytes > stream.size()) std::abort();
    decode(**message);
    stream.remove_prefix((*message)->bytes);
  }
}
