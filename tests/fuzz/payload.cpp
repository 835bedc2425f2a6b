// check_payload and PayloadDecoder: they agree, and what they take survives being packed and read again.
#include "wire/payload.hpp"

#include <cstdint>
#include <string_view>

#include "check.hpp"
#include "reflect/encode.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kairo::wire;
  const std::string_view payload(reinterpret_cast<const char*>(data), size);
  for (const Shape shape : {Shape::map, Shape::any}) {
    PayloadDecoder decoder;
    const bool good = check_payload(payload, shape).ok();
    const auto value = decoder.decode(payload, shape);
    KAIRO_FUZZ_CHECK(good == value.ok());
    if (!good) continue;
    const std::string again = kairo::reflect::packed(*value);
    PayloadDecoder second;
    const auto back = second.decode(again, shape);
    KAIRO_FUZZ_CHECK(back.ok());
    KAIRO_FUZZ_CHECK(kairo::reflect::packed(*back) == again);
    find_member(*value, "id");
  }
  return 0;
}
