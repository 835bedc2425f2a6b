// One connection to kairod: blocking, with a large page-aligned buffer in which frames are read where they
// arrived. Only the piece of a frame that a read has cut is ever moved.
//
//   Connection connection(daemon.socket());
//   auto session = connection.call<api::SpawnResult>("process.spawn", params);   // one request, its answer
//   connection.send("process.attach", params);                                   // or: many requests,
//   for (wire::Frame frame = connection.next();; ...)                            // then frames as they come
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "api/envelope.hpp"
#include "bench/system.hpp"
#include "reflect/decode.hpp"
#include "wire/payload.hpp"

namespace kairo::bench {

/// Nobody listens there.
struct NoServer : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Connection {
 public:
  static constexpr std::size_t default_buffer_bytes = 256u << 10;
  explicit Connection(const std::string& socket, std::size_t buffer_bytes = default_buffer_bytes);

  [[nodiscard]] int fd() const { return socket_.get(); }

  /// Sends one request and gives its id.
  template <class Params>
  std::uint64_t send(std::string_view method, const Params& params) {
    const std::uint64_t id = add(method, params);
    flush();
    return id;
  }
  /// The same in two steps, so that several requests go out with one system call.
  template <class Params>
  std::uint64_t add(std::string_view method, const Params& params) {
    api::append_request(out_, ++last_id_, method, reflect::to_msgpack(params));
    return last_id_;
  }
  void flush();
  std::uint64_t next_id() { return ++last_id_; }

  /// Sends one request and waits for its answer; frames of other kinds that come before it are left out.
  template <class ResultType, class Params>
  ResultType call(std::string_view method, const Params& params) {
    const std::uint64_t id = send(method, params);
    for (;;) {
      const wire::Frame frame = next();
      if (frame.type != wire::FrameType::response) continue;
      const msgpack::object payload = decode(frame);
      if (answered(payload) != id) continue;
      auto result = reflect::from_object<ResultType>(*api::read_response(payload)->result, "result",
                                                     reflect::Unknown::ignore);
      if (!result) throw std::runtime_error(std::string(method) + ": " + result.error().message);
      return std::move(*result);
    }
  }

  /// The next frame; valid until next() or fill() is called again.
  wire::Frame next();
  /// The next frame of those that have arrived.
  std::optional<wire::Frame> next_arrived();
  /// Waits for bytes and takes them with one system call.
  void fill();

  /// The id that a decoded RESPONSE answers. Throws when it says an error.
  static std::uint64_t answered(const msgpack::object& payload);
  /// Valid until the next call.
  msgpack::object decode(const wire::Frame& frame);

 private:
  UniqueFd socket_;
  Buffer buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::string out_;
  std::uint64_t last_id_ = 0;
  wire::PayloadDecoder decoder_;
};

/// Fails a recv() that waits longer than `patience`.
void set_patience(int socket);

}  // namespace kairo::bench
