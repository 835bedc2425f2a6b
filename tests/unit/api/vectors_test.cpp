// The codec against tests/vectors (the README there says what the files mean), both ways.
#include <bit>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "api/envelope.hpp"
#include "reflect/decode.hpp"
#include "wire/payload.hpp"

using namespace kairo;
using namespace kairo::api;
using Json = nlohmann::ordered_json;

namespace {

std::string slurp(const std::string& name) {
  std::ifstream file(std::string(KAIRO_VECTORS) + "/" + name, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), "cannot read " << name);
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

std::string from_hex(std::string_view text) {
  std::string out;
  int high = -1;
  bool comment = false;
  for (const char c : text) {
    if (c == '#') comment = true;
    if (c == '\n') comment = false;
    if (comment || c == ' ' || c == '\n' || c == '\t' || c == '\r') continue;
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    REQUIRE(digit >= 0);
    if (high < 0) {
      high = digit;
    } else {
      out.push_back(static_cast<char>(high << 4 | digit));
      high = -1;
    }
  }
  REQUIRE(high < 0);
  return out;
}

bool is_special(const Json& value, const char* name) {
  return value.is_object() && value.size() == 1 && value.contains(name);
}

/// Whether a decoded value is what the JSON file says.
bool same(const Json& wanted, const msgpack::object& got) {
  using namespace msgpack::type;
  if (is_special(wanted, "$bin")) {
    return got.type == BIN &&
           std::string(got.via.bin.ptr, got.via.bin.size) == from_hex(wanted["$bin"].get<std::string>());
  }
  if (is_special(wanted, "$int")) {
    const std::string text = wanted["$int"];
    return (got.type == POSITIVE_INTEGER && std::to_string(got.via.u64) == text) ||
           (got.type == NEGATIVE_INTEGER && std::to_string(got.via.i64) == text);
  }
  if (is_special(wanted, "$float"))
    return got.type == FLOAT64 && got.via.f64 == wanted["$float"].get<double>();
  switch (wanted.type()) {
    case Json::value_t::null: return got.type == NIL;
    case Json::value_t::boolean: return got.type == BOOLEAN && got.via.boolean == wanted.get<bool>();
    case Json::value_t::number_unsigned:
      return got.type == POSITIVE_INTEGER && got.via.u64 == wanted.get<std::uint64_t>();
    case Json::value_t::number_integer:
      return got.type == NEGATIVE_INTEGER && got.via.i64 == wanted.get<std::int64_t>();
    case Json::value_t::string:
      return got.type == STR && std::string(got.via.str.ptr, got.via.str.size) == wanted.get<std::string>();
    case Json::value_t::array:
      if (got.type != ARRAY || got.via.array.size != wanted.size()) return false;
      for (std::size_t i = 0; i < wanted.size(); ++i)
        if (!same(wanted[i], got.via.array.ptr[i])) return false;
      return true;
    case Json::value_t::object: {
      if (got.type != MAP || got.via.map.size != wanted.size()) return false;
      std::size_t i = 0;
      for (const auto& [key, value] : wanted.items()) {
        const msgpack::object_kv& member = got.via.map.ptr[i++];
        if (member.key.type != STR || std::string(member.key.via.str.ptr, member.key.via.str.size) != key)
          return false;
        if (!same(value, member.val)) return false;
      }
      return true;
    }
    default: return false;
  }
}

/// The bytes of what the JSON file says, each value in its shortest form.
void pack(reflect::Packer& to, const Json& value) {
  if (is_special(value, "$bin"))
    return encode(to, reflect::Bytes{from_hex(value["$bin"].get<std::string>())});
  if (is_special(value, "$int")) {
    const std::string text = value["$int"];
    if (text[0] == '-') return reflect::encode(to, std::int64_t{std::stoll(text)});
    return reflect::encode(to, std::uint64_t{std::stoull(text)});
  }
  if (is_special(value, "$float")) {
    std::string bytes = "\xcb";
    const auto bits = std::bit_cast<std::uint64_t>(value["$float"].get<double>());
    for (int shift = 56; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(bits >> shift & 0xff));
    to.pack_str_body(bytes.data(), 9);
    return;
  }
  switch (value.type()) {
    case Json::value_t::boolean: return reflect::encode(to, value.get<bool>());
    case Json::value_t::number_unsigned: return reflect::encode(to, value.get<std::uint64_t>());
    case Json::value_t::number_integer: return reflect::encode(to, value.get<std::int64_t>());
    case Json::value_t::string: return reflect::encode(to, value.get<std::string>());
    case Json::value_t::array:
      to.pack_array(static_cast<std::uint32_t>(value.size()));
      for (const Json& each : value) pack(to, each);
      return;
    case Json::value_t::object:
      to.pack_map(static_cast<std::uint32_t>(value.size()));
      for (const auto& [key, each] : value.items()) {
        reflect::encode(to, key);
        pack(to, each);
      }
      return;
    default: to.pack_nil();
  }
}

wire::FrameType type_of(const Json& name) {
  if (name == "request") return wire::FrameType::request;
  if (name == "response") return wire::FrameType::response;
  if (name == "event") return wire::FrameType::event;
  REQUIRE(name == "stream_chunk");
  return wire::FrameType::stream_chunk;
}

struct Got {
  wire::FrameType type;
  std::string payload;
};

/// Every frame in `bytes`, given `step` bytes at a time. `failed` says whether the reader gave up.
std::vector<Got> read_frames(std::string_view bytes, std::size_t step, bool& failed) {
  wire::FrameReader reader;
  std::vector<Got> out;
  failed = false;
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, step);
    std::memcpy(reader.writable(piece.size()).data(), piece.data(), piece.size());
    reader.commit(piece.size());
    bytes.remove_prefix(piece.size());
    for (;;) {
      auto next = reader.next();
      if (!next) {
        failed = true;
        return out;
      }
      if (!*next) break;
      out.push_back({(*next)->type, std::string((*next)->payload)});
    }
  }
  return out;
}

std::string detail(const Error& error, std::string_view name) {
  for (const auto& [key, value] : error.details)
    if (key == name) return std::get<std::string>(value);
  return "";
}

/// Decodes the params as their method's struct; the bytes of the struct encoded again, or what was wrong.
template <class T>
Result<std::string> again(const Request& request) {
  auto params = reflect::from_object<T>(*request.params, "params", reflect::Unknown::refuse);
  if (!params) return std::move(params).error();
  return reflect::to_msgpack(*params);
}
Result<std::string> again(const Request& request) {
  if (request.method == "process.spawn") return again<SpawnParams>(request);
  if (request.method == "process.wait") return again<WaitParams>(request);
  if (request.method == "process.attach") return again<AttachParams>(request);
  if (request.method == "process.stdin.write") return again<StdinWriteParams>(request);
  if (request.method == "process.read") return again<ReadParams>(request);
  return again<NoParams>(request);
}

void check_answer(const Json& vector, const msgpack::object& payload) {
  const Json& answer = vector["answer"];
  if (answer["code"] == "E_UNKNOWN_METHOD") return;  // the method table's to tell
  std::optional<RequestId> id;
  auto request = read_request(payload, id);
  CHECK(id.has_value());
  Error error(Code::internal, "nothing was wrong");
  if (!request) {
    error = request.error();
  } else {
    auto params = again(*request);
    REQUIRE_FALSE(params.ok());
    error = params.error();
  }
  CHECK(code_name(error.code) == answer["code"].get<std::string>());
  if (answer.contains("path")) CHECK(detail(error, "path") == answer["path"].get<std::string>());
  if (answer.contains("suggestion"))
    CHECK(detail(error, "suggestion") == answer["suggestion"].get<std::string>());
}

/// The frame that the typed half of the codec writes for what it read; empty where it has no canonical order.
std::string typed_again(const Json& vector, const std::string& payload, const msgpack::object& value) {
  std::string out;
  const wire::FrameType type = type_of(vector["type"]);
  if (type == wire::FrameType::request) {
    std::optional<RequestId> id;
    auto request = read_request(value, id);
    REQUIRE(request.ok());
    if (request->params && !(request->params->via.map.size == 0)) {
      auto params = again(*request);
      REQUIRE(params.ok());
      if (std::holds_alternative<std::uint64_t>(request->id) && vector["canonical"] == true &&
          payload.find('\xcb') == std::string::npos)
        append_request(out, std::get<std::uint64_t>(request->id), request->method,
                       request->method == "process.stdin.write" ? reflect::packed(*request->params) : *params,
                       request->correlation_id, request->causation_id);
    }
  } else if (type == wire::FrameType::response) {
    auto response = read_response(value);
    REQUIRE(response.ok());
    if (response->error) {
      append_error(out, response->id, read_error(*response->error));
    } else if (vector["payload"]["result"].contains("pid")) {
      auto session =
          reflect::from_object<ProcessSession>(*response->result, "result", reflect::Unknown::refuse);
      REQUIRE(session.ok());
      append_response(out, response->id, *session);
    } else {
      append_response(out, response->id, reflect::Any{reflect::packed(*response->result)});
    }
  } else if (type == wire::FrameType::event) {
    auto event = reflect::from_object<Event>(value, "event", reflect::Unknown::refuse);
    REQUIRE(event.ok());
    if (!event->id.empty()) append_event(out, *event);
  } else {
    auto chunk = read_chunk(payload);
    REQUIRE(chunk.ok());
    const Json& wanted = vector["payload"];
    CHECK(reflect::enum_name(chunk->stream) == wanted["stream"].get<std::string>());
    CHECK(reflect::enum_name(chunk->encoding) == wanted["encoding"].get<std::string>());
    CHECK(chunk->eof == wanted.value("eof", false));
    if (wanted.contains("future")) return out;
    const ChunkWriter writer(chunk->process_id, chunk->stream, chunk->subscription_id, chunk->correlation_id);
    ChunkHead head;
    head.seq = chunk->seq;
    head.offset = chunk->offset;
    head.encoding = chunk->encoding;
    head.dropped = chunk->dropped;
    head.truncated = chunk->truncated;
    head.partial = chunk->partial;
    head.eof = chunk->eof;
    writer.append_head(out, head, chunk->chunk.size());
    out.append(chunk->chunk);
  }
  return out;
}

void check_frame(const Json& vector, const std::string& bytes) {
  for (const std::size_t step : {bytes.size(), std::size_t{1}}) {
    bool failed = false;
    const auto frames = read_frames(bytes, step, failed);
    REQUIRE_FALSE(failed);
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].type == type_of(vector["type"]));
    wire::PayloadDecoder decoder;
    auto value = decoder.decode(frames[0].payload);
    REQUIRE(value.ok());
    if (!vector.value("ambiguous", false)) CHECK(same(vector["payload"], *value));
    if (vector.contains("answer")) {
      check_answer(vector, *value);
    } else {
      const std::string typed = typed_again(vector, frames[0].payload, *value);
      if (!typed.empty()) CHECK(typed == bytes);
    }
  }
  if (vector["canonical"] == true) {
    std::string out;
    wire::append_frame(out, type_of(vector["type"]), [&](std::string& payload) {
      reflect::Sink sink(payload);
      reflect::Packer packer(sink);
      pack(packer, vector["payload"]);
    });
    CHECK(out == bytes);
  }
}

void check_stream(const Json& vector, const std::string& bytes) {
  for (std::size_t step = 1; step <= bytes.size(); ++step) {
    bool failed = false;
    const auto frames = read_frames(bytes, step, failed);
    REQUIRE_FALSE(failed);
    REQUIRE(frames.size() == vector["frames"].size());
    for (std::size_t i = 0; i < frames.size(); ++i) {
      CHECK(frames[i].type == type_of(vector["frames"][i]["type"]));
      wire::PayloadDecoder decoder;
      auto value = decoder.decode(frames[i].payload);
      REQUIRE(value.ok());
      CHECK(same(vector["frames"][i]["payload"], *value));
    }
  }
}

void check_refused(const Json& vector, std::string bytes) {
  bool failed = false;
  if (vector["stage"] == "head") {
    REQUIRE(bytes.size() >= wire::head_bytes);
    CHECK(read_frames(std::string_view(bytes).substr(0, wire::head_bytes), 1, failed).empty());
    CHECK(failed);
    return;
  }
  if (vector.contains("bytes")) {
    const std::string unit = from_hex(vector["bytes"]["repeat"].get<std::string>());
    const std::size_t times = vector["bytes"]["times"];
    for (std::size_t i = 0; i < times; ++i) bytes += unit;
    bytes += from_hex(vector["bytes"]["after"].get<std::string>());
  }
  const auto frames = read_frames(bytes, 64u << 10, failed);
  REQUIRE_FALSE(failed);
  REQUIRE(frames.size() == 1);
  wire::PayloadDecoder decoder;
  const auto value = decoder.decode(frames[0].payload);
  REQUIRE_FALSE(value.ok());
  CHECK(value.error().code == Code::invalid_request);
}

}  // namespace

TEST_CASE("every test vector means to the codec what its description says") {
  const Json index = Json::parse(slurp("index.json"));
  REQUIRE(index["format"] == 1);
  REQUIRE(index["vectors"].size() > 50);
  for (const Json& entry : index["vectors"]) {
    const std::string name = entry;
    CAPTURE(name);
    const Json vector = Json::parse(slurp(name + ".json"));
    const std::string bytes = from_hex(slurp(name + ".hex"));
    if (vector["kind"] == "frame")
      check_frame(vector, bytes);
    else if (vector["kind"] == "stream")
      check_stream(vector, bytes);
    else if (vector["kind"] == "refused")
      check_refused(vector, bytes);
    else
      FAIL("unknown kind");
  }
}
