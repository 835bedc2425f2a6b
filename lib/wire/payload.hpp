// Bounded MsgPack decode of one payload. The bytes are checked by a visitor first (one whole value, no
// deeper than the limit, no more values than the limit, no count that the bytes cannot hold), and only then
// made into objects, so that no input makes the decoder allocate more than a small multiple of what has come.
#pragma once

#include <string_view>

#include <msgpack.hpp>

#include "base/limits.hpp"
#include "base/result.hpp"

namespace kairo::wire {

/// What a payload must be.
enum class Shape { map, any };

/// Whether `payload` is exactly one well-formed value within the limits of depth and count;
/// E_INVALID_REQUEST says what is wrong and at which byte.
Result<void> check_payload(std::string_view payload, Shape shape = Shape::map);

/// Decoder with memory that is used again. The object of decode() refers to the payload's bytes and to the
/// decoder; both must outlive it. One at a time.
class PayloadDecoder {
 public:
  Result<msgpack::object> decode(std::string_view payload, Shape shape = Shape::map);

 private:
  msgpack::zone zone_;
};

/// The member `name` of a map, or nullptr.
const msgpack::object* find_member(const msgpack::object& map, std::string_view name);

}  // namespace kairo::wire
