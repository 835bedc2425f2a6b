// The params of methods: what is taken can be packed and is taken again; what is refused names its path.
#include <cstdint>
#include <string>

#include "api/envelope.hpp"
#include "check.hpp"
#include "reflect/decode.hpp"
#include "wire/payload.hpp"

namespace {

using namespace kairo;

template <class T>
void check(const msgpack::object& value) {
  for (const auto unknown : {reflect::Unknown::refuse, reflect::Unknown::ignore}) {
    const auto params = reflect::from_object<T>(value, "params", unknown);
    if (!params) {
      KAIRO_FUZZ_CHECK(params.error().code == Code::invalid_params);
      KAIRO_FUZZ_CHECK(params.error().message.size() < 4096);
      KAIRO_FUZZ_CHECK(params.error().details.at(0).first == "path");
      continue;
    }
    const std::string packed = reflect::to_msgpack(*params);
    wire::PayloadDecoder decoder;
    const auto again = decoder.decode(packed);
    KAIRO_FUZZ_CHECK(again.ok());
    const auto same = reflect::from_object<T>(*again, "params", reflect::Unknown::refuse);
    KAIRO_FUZZ_CHECK(same.ok());
    KAIRO_FUZZ_CHECK(reflect::to_msgpack(*same) == packed);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  wire::PayloadDecoder decoder;
  const auto value = decoder.decode({reinterpret_cast<const char*>(data), size}, wire::Shape::any);
  if (!value) return 0;
  check<api::SpawnParams>(*value);
  check<api::AttachParams>(*value);
  check<api::KillParams>(*value);
  check<api::StdinWriteParams>(*value);
  check<api::PublishParams>(*value);
  check<api::Event>(*value);
  return 0;
}
