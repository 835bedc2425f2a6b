// FrameReader: the same bytes in pieces and at once give the same frames, within the memory that they pay
// for.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "check.hpp"
#include "wire/frame.hpp"

namespace {

constexpr std::size_t max_payload = 4096;

struct Outcome {
  std::vector<std::pair<kairo::wire::FrameType, std::string>> frames;
  bool failed = false;
  bool operator==(const Outcome&) const = default;
};

/// `step(i)` says how many bytes the i-th read brings.
template <class Step>
Outcome read(std::string_view bytes, Step step) {
  kairo::wire::FrameReader reader(max_payload);
  Outcome out;
  std::size_t came = 0;
  for (std::size_t i = 0; !bytes.empty(); ++i) {
    const std::string_view piece = bytes.substr(0, std::max<std::size_t>(step(i), 1));
    const auto room = reader.writable(piece.size());
    KAIRO_FUZZ_CHECK(room.size() >= piece.size());
    std::memcpy(room.data(), piece.data(), piece.size());
    reader.commit(piece.size());
    bytes.remove_prefix(piece.size());
    came += piece.size();
    KAIRO_FUZZ_CHECK(reader.capacity() <= 2 * came + (32u << 10));
    for (;;) {
      auto next = reader.next();
      if (!next) {
        out.failed = true;
        KAIRO_FUZZ_CHECK(!reader.next());
        return out;
      }
      if (!*next) break;
      KAIRO_FUZZ_CHECK((*next)->payload.size() <= max_payload);
      out.frames.emplace_back((*next)->type, std::string((*next)->payload));
    }
    reader.shrink();
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Outcome at_once = read(bytes, [&](std::size_t) { return size; });
  const Outcome in_bytes = read(bytes, [](std::size_t) { return 1; });
  const Outcome in_pieces = read(bytes, [&](std::size_t i) { return data[i % size] % 61u; });
  KAIRO_FUZZ_CHECK(at_once == in_bytes);
  KAIRO_FUZZ_CHECK(at_once == in_pieces);
  return 0;
}
