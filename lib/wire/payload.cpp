#include "wire/payload.hpp"

#include <algorithm>
#include <string>

namespace kairo::wire {
namespace {

/// Counts values and depth, and refuses a container whose members cannot be in the bytes that are left.
class CheckVisitor : public msgpack::null_visitor {
 public:
  CheckVisitor(std::size_t payload_bytes) : budget_(std::min(payload_bytes, limits::payload_values)) {}

  bool visit_nil() { return count(1); }
  bool visit_boolean(bool) { return count(1); }
  bool visit_positive_integer(std::uint64_t) { return count(1); }
  bool visit_negative_integer(std::int64_t) { return count(1); }
  bool visit_float32(float) { return count(1); }
  bool visit_float64(double) { return count(1); }
  bool visit_str(const char*, std::uint32_t) { return count(1); }
  bool visit_bin(const char*, std::uint32_t) { return count(1); }
  bool visit_ext(const char*, std::uint32_t) { return count(1); }
  bool start_array(std::uint32_t size) { return open(size); }
  bool start_map(std::uint32_t size) {
    if (depth_ == 0) top_is_map_ = true;
    return open(std::uint64_t{size} * 2);
  }
  bool end_array() { return close(); }
  bool end_map() { return close(); }
  void parse_error(std::size_t, std::size_t at) {
    problem_ = "malformed MsgPack";
    at_ = at;
  }
  void insufficient_bytes(std::size_t, std::size_t at) {
    problem_ = "the value is cut short";
    at_ = at;
  }

  [[nodiscard]] const char* problem() const { return problem_; }
  [[nodiscard]] std::size_t at() const { return at_; }
  [[nodiscard]] bool top_is_map() const { return top_is_map_; }

 private:
  bool count(std::uint64_t values) {
    if (values > budget_) {
      problem_ = "more values than a payload may hold";
      return false;
    }
    budget_ -= values;
    return true;
  }
  bool open(std::uint64_t members) {
    if (depth_ >= limits::nesting_depth) {
      problem_ = "nested deeper than 32";
      return false;
    }
    ++depth_;
    if (members > budget_) {
      problem_ = "a container claims more members than the payload can hold";
      return false;
    }
    return count(1);
  }
  bool close() {
    --depth_;
    return true;
  }

  std::uint64_t budget_;
  std::size_t depth_ = 0;
  bool top_is_map_ = false;
  const char* problem_ = nullptr;
  std::size_t at_ = 0;
};

Error refuse(std::string_view why) {
  return Error(Code::invalid_request, "unreadable payload: " + std::string(why));
}
Error refuse(std::string_view why, std::size_t at) {
  return refuse(std::string(why) + " (at byte " + std::to_string(at) + ")");
}

}  // namespace

Result<void> check_payload(std::string_view payload, Shape shape) {
  CheckVisitor visitor(payload.size());
  std::size_t offset = 0;
  const bool whole = msgpack::parse(payload.data(), payload.size(), offset, visitor);
  if (visitor.problem()) return refuse(visitor.problem(), visitor.at() ? visitor.at() : offset);
  if (!whole) return refuse("the value is cut short", payload.size());
  if (offset != payload.size()) return refuse("bytes follow the value", offset);
  if (shape == Shape::map && !visitor.top_is_map()) return refuse("it is not a map");
  return {};
}

Result<msgpack::object> PayloadDecoder::decode(std::string_view payload, Shape shape) {
  // A small payload cannot make much of a claim: the limits of the unpacker bound it to a few megabytes.
  constexpr std::size_t small_bytes = 4096;
  if (payload.size() > small_bytes) {
    auto checked = check_payload(payload, shape);
    if (!checked) return std::move(checked).error();
  }
  zone_.clear();
  std::size_t offset = 0;
  bool referenced = false;
  const std::size_t members = std::min(payload.size(), limits::payload_values);
  const msgpack::unpack_limit limit(members, members, payload.size(), payload.size(), payload.size(),
                                    limits::nesting_depth);
  try {
    const msgpack::object value = msgpack::unpack(
        zone_, payload.data(), payload.size(), offset, referenced,
        [](msgpack::type::object_type, std::size_t, void*) { return true; }, nullptr, limit);
    const bool good = offset == payload.size() && (shape == Shape::any || value.type == msgpack::type::MAP);
    if (good) return value;
  } catch (const msgpack::unpack_error&) {
  }
  // The visitor knows what is wrong, and where.
  auto why = check_payload(payload, shape);
  return why ? refuse("it cannot be unpacked") : std::move(why).error();
}

const msgpack::object* find_member(const msgpack::object& map, std::string_view name) {
  if (map.type != msgpack::type::MAP) return nullptr;
  for (std::size_t i = 0; i < map.via.map.size; ++i) {
    const msgpack::object& key = map.via.map.ptr[i].key;
    if (key.type == msgpack::type::STR && std::string_view(key.via.str.ptr, key.via.str.size) == name)
      return &map.via.map.ptr[i].val;
  }
  return nullptr;
}

}  // namespace kairo::wire
