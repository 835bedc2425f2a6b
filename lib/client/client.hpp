// The client library of Kairo: blocking calls over one connection, with pipelining.
//
//   auto client = kairo::client::Client::connect({});
//   if (!client) return client.error();
//   api::SpawnParams params{.command = {"ls", "/"}};
//   auto session = client->call<api::SpawnResult>("process.spawn", params);
//
// Requests may be pipelined: send() several, then await() each in any order. While a call waits, events and
// chunks that come meanwhile are kept in the order in which they came, for poll_push(); or they go to the
// functions given to on_chunk() and on_event(), which run inside the call that received them and must not
// call the client. Without either the queue grows with what the server pushes, so a client that subscribes
// must drain it.
//
// To embed the client in an event loop of your own: watch fd() for POLLIN (and POLLOUT while
// wants_to_send()), and call pump() when it is ready; then take(id) and poll_push() give what has come,
// without waiting.
//
// Errors are returned: the server's own (code, message, details), or E_NOT_RUNNING when there is no daemon or
// the connection was lost, E_TIMEOUT when a deadline passed, E_INVALID_REQUEST when the server broke the
// protocol. A Client is used by one thread at a time.
#pragma once

#include <deque>
#include <functional>
#include <unordered_map>

#include "client/channel.hpp"
#include "reflect/decode.hpp"
#include "wire/payload.hpp"

namespace kairo::client {

/// An EVENT or STREAM_CHUNK as it came: the MsgPack bytes of its map.
struct Push {
  wire::FrameType type = wire::FrameType::event;
  std::string payload;
};

class Client {
 public:
  using Deadline = std::optional<SteadyTime>;
  using ChunkFunction = std::function<void(const api::ChunkView&)>;
  using EventFunction = std::function<void(const api::Event&)>;

  explicit Client(Channel channel) : channel_(std::move(channel)) {}
  static Result<Client> connect(const ConnectOptions& options);

  [[nodiscard]] int fd() const { return channel_.fd(); }
  [[nodiscard]] bool wants_to_send() const { return channel_.wants_to_send(); }
  [[nodiscard]] const std::string& path() const { return channel_.path(); }
  [[nodiscard]] const Channel& channel() const { return channel_; }
  void set_trace(Trace trace) { channel_.set_trace(std::move(trace)); }
  void on_chunk(ChunkFunction function) { on_chunk_ = std::move(function); }
  void on_event(EventFunction function) { on_event_ = std::move(function); }

  /// Queues a request and returns its id. It leaves with the next call that waits, or with pump().
  template <class Params>
  std::uint64_t send(std::string_view method, const Params& params, std::span<const int> descriptors = {}) {
    return channel_.request(method, params, descriptors);
  }
  /// Queues an EVENT of the client (`kairo.cancel`).
  void send_event(const api::Event& event) { channel_.event(event); }

  /// Waits for the answer to `id`: the MsgPack bytes of its result. Every id is awaited once.
  Result<std::string> await_raw(std::uint64_t id, Deadline deadline = {});
  template <class R>
  Result<R> await(std::uint64_t id, Deadline deadline = {}) {
    auto raw = await_raw(id, deadline);
    if (!raw) return std::move(raw).error();
    return decoded<R>(*raw);
  }

  /// Waits until take(id) has something; false when the deadline passed.
  Result<bool> wait(std::uint64_t id, Deadline deadline = {});

  /// send and await.
  template <class R, class Params>
  Result<R> call(std::string_view method, const Params& params, Deadline deadline = {}) {
    return await<R>(send(method, params), deadline);
  }
  template <class Params>
  Result<std::string> call_raw(std::string_view method, const Params& params, Deadline deadline = {}) {
    return await_raw(send(method, params), deadline);
  }

  /// The next event or chunk, waiting for it until the deadline; nothing when that passed. Only for clients
  /// that set no functions.
  Result<std::optional<Push>> poll_push(Deadline deadline);

  /// Sends and receives what is possible now, without waiting.
  Result<void> pump();
  /// The answer to `id` if it has come: MsgPack bytes of the result, or the server's error.
  std::optional<Result<std::string>> take(std::uint64_t id);

  /// Decodes a result; members that this client does not know are ignored (SPEC 2.5).
  template <class R>
  static Result<R> decoded(std::string_view result) {
    wire::PayloadDecoder decoder;
    auto object = decoder.decode(result, wire::Shape::any);
    if (!object) return std::move(object).error();
    return reflect::from_object<R>(*object, "result", reflect::Unknown::ignore);
  }

 private:
  Result<void> sort_frames();
  Result<void> on_frame(const wire::Frame& frame);
  Result<bool> step(Deadline deadline);

  Channel channel_;
  wire::PayloadDecoder decoder_;
  std::unordered_map<std::uint64_t, Result<std::string>> answers_;
  std::deque<Push> pushes_;
  ChunkFunction on_chunk_;
  EventFunction on_event_;
};

}  // namespace kairo::client
