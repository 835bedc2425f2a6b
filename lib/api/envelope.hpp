// The four kinds of payload (SPEC 2.2 to 2.4): how they are written, and how they are read by either side.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include <msgpack.hpp>

#include "api/methods.hpp"
#include "api/session.hpp"
#include "base/result.hpp"
#include "reflect/encode.hpp"
#include "wire/frame.hpp"

namespace kairo::api {

/// A request's id is what the client chose: text or a number.
using RequestId = std::variant<std::uint64_t, std::string>;

struct Request {
  RequestId id;
  std::string_view method;
  const msgpack::object* params = nullptr;  ///< nullptr when absent or nil
  std::string_view correlation_id;          ///< empty when absent
  std::string_view causation_id;            ///< empty when absent
};

/// Reads a REQUEST's map; views point into it. E_INVALID_REQUEST names the member that is wrong; `id_out`
/// holds the id as soon as it could be read, so that even a bad request can be answered.
Result<Request> read_request(const msgpack::object& payload, std::optional<RequestId>& id_out);

/// Appends a REQUEST frame; `params` are MsgPack bytes of a map, or empty.
void append_request(std::string& out, std::uint64_t id, std::string_view method, std::string_view params,
                    std::string_view correlation_id = {}, std::string_view causation_id = {});

/// Appends a RESPONSE frame. `result` is anything reflect can encode.
template <class T>
void append_response(std::string& out, const RequestId& id, const T& result) {
  wire::append_frame(out, wire::FrameType::response, [&](std::string& payload) {
    reflect::Sink sink(payload);
    reflect::Packer to(sink);
    to.pack_map(2);
    reflect::encode(to, "id");
    reflect::encode(to, id);
    reflect::encode(to, "result");
    reflect::encode(to, result);
  });
}
void append_error(std::string& out, const RequestId& id, const Error& error);

/// One structured fact (SPEC 2.3).
struct Event {
  std::string type;
  std::string time;
  reflect::Any data;
  std::string id;
  std::optional<std::uint64_t> seq;
  std::string source;
  std::optional<std::string> correlation_id;
  std::optional<std::string> causation_id;
  std::optional<std::string> subscription_id;
  static constexpr auto fields() {
    using S = Event;
    return std::tuple(field("type", &S::type, "Dotted name"), defaulted("time", &S::time, "ISO 8601, UTC"),
                      defaulted("data", &S::data, "What the type says"), defaulted("id", &S::id, "Unique"),
                      field("seq", &S::seq, "Number in the kernel's order"),
                      defaulted("source", &S::source, "Who said it: \"kernel\" or a principal"),
                      field("correlationId", &S::correlation_id, "Of the request that led to it"),
                      field("causationId", &S::causation_id, "What caused it"),
                      field("subscriptionId", &S::subscription_id, "Event subscription that it is sent for"));
  }
};
void append_event(std::string& out, const Event& event);

/// The EVENT by which a client hands over one end of a pair of Unix sockets, which then is a connection of
/// its own under the same rights; sent over KAIRO_IPC_FD, which several processes share.
inline constexpr std::string_view connect_event = "kairo.connect";

/// An event that goes to several: the members of its map, encoded once. `subscriptionId`, in which their
/// frames differ, is the last member of an Event and is put behind them.
struct EncodedEvent {
  /// `event` has no subscription.
  explicit EncodedEvent(const Event& event);
  std::string members;
  std::uint32_t count = 0;
};
/// Appends the same frame as for the event with this subscription_id.
void append_event(std::string& out, const EncodedEvent& event, std::string_view subscription_id);

/// Here because its events are whole ones.
struct EventQueryResult {
  std::vector<Event> events;
  std::optional<std::uint64_t> next;
  std::uint64_t oldest_seq = 0;
  std::uint64_t newest_seq = 0;
  static constexpr auto fields() {
    using S = EventQueryResult;
    return std::tuple(field("events", &S::events, "In order of their numbers"),
                      field("next", &S::next, "Pass as `sinceSeq` for the next page; absent on the last"),
                      field("oldestSeq", &S::oldest_seq,
                            "Number of the oldest event that is stored, of whatever topic; or 0"),
                      field("newestSeq", &S::newest_seq, "Number of the newest event when this was asked"));
  }
};

/// What an answer says, as a client reads it.
struct Response {
  RequestId id;
  const msgpack::object* result = nullptr;
  const msgpack::object* error = nullptr;
};
Result<Response> read_response(const msgpack::object& payload);

/// The `error` map of an answer as an Error; details keep text, integers and raw values.
Error read_error(const msgpack::object& error);

// --- STREAM_CHUNK ----------------------------------------------------------------------------------

/// What varies from one chunk of a subscription's stream to the next.
struct ChunkHead {
  std::uint64_t seq = 0;
  std::uint64_t offset = 0;
  Encoding encoding = Encoding::utf8;
  std::uint64_t dropped = 0;  ///< 0: absent
  bool truncated = false;
  bool partial = false;
  bool eof = false;
};

/// Writes the frames of one stream of one subscription: all that stays the same is encoded once.
/// `chunk` is the last member, so that a frame is this head followed by the bytes themselves.
class ChunkWriter {
 public:
  ChunkWriter(std::string_view process_id, StreamName stream, std::string_view subscription_id,
              std::string_view correlation_id);

  /// Appends the frame's head and all of its payload but the `chunk_bytes` bytes of the chunk, which the
  /// caller puts behind it.
  void append_head(std::string& out, const ChunkHead& head, std::size_t chunk_bytes) const;

  /// The same into `to`, which has room for max_head_bytes(); gives the head's length.
  std::size_t write_head(char* to, const ChunkHead& head, std::size_t chunk_bytes) const;

  /// Longest head, bytes.
  [[nodiscard]] std::size_t max_head_bytes() const { return fixed_.size() + 160; }

 private:
  std::string fixed_;
  std::uint8_t fixed_members_ = 0;
};

/// A STREAM_CHUNK as a client reads it; views point into the payload.
struct ChunkView {
  StreamName stream = StreamName::standard_output;
  Encoding encoding = Encoding::utf8;
  bool truncated = false;
  bool partial = false;
  bool eof = false;
  std::uint64_t seq = 0;
  std::uint64_t offset = 0;
  std::uint64_t dropped = 0;
  std::string_view process_id;
  std::string_view subscription_id;
  std::string_view correlation_id;
  std::string_view chunk;  ///< still base64 where `encoding` says so
};

/// Reads one STREAM_CHUNK payload without building objects; unknown members are ignored.
Result<ChunkView> read_chunk(std::string_view payload);

}  // namespace kairo::api
