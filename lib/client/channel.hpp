// The lower half of the client library: one connection, frames in and frames out, nothing that blocks by
// itself. It fits into any event loop: wait for POLLIN on fd(), and for POLLOUT while wants_to_send().
//
//   auto channel = Channel::connect({.socket = resolve_socket()});
//   const std::uint64_t id = channel->request("kernel.ping", {});
//   channel->send_some();                        // again whenever fd() is writable, while wants_to_send()
//   while (...) {
//     channel->receive_some();                   // when fd() is readable
//     while (auto frame = *channel->next()) ...  // answers, events and chunks in the order in which they
//     came
//   }
//
// A Channel is used by one thread at a time. Client (client.hpp) adds the calls that wait.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/envelope.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "reflect/encode.hpp"
#include "wire/frame.hpp"

namespace kairo::client {

struct ConnectOptions {
  /// Path; empty: by way of the descriptor that KAIRO_IPC_FD names, where there is one, else
  /// resolve_socket().
  std::string socket = {};
  /// Talk to a daemon that runs as another user, too. Root and oneself are always trusted.
  bool any_owner = false;
};

/// Whether an error says that there is no daemon to talk to (none listens, or the connection was lost), and
/// not that a daemon refused something.
bool is_unreachable(const Error& error);

/// Carried into every event, chunk and audit record that follows from the requests (SPEC 6.4).
struct Trace {
  std::string correlation_id = {};
  std::string causation_id = {};
};

class Channel {
 public:
  /// Connects, and refuses a server that runs as another user (SO_PEERCRED; SPEC 3.1).
  ///
  /// E_NOT_RUNNING: no daemon listens there (what autostart() is for). E_PERMISSION_DENIED: the socket may
  /// not be opened, or its server is another user's. E_INVALID_PARAMS: the path is too long.
  static Result<Channel> connect(const ConnectOptions& options);

  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] const std::string& path() const { return path_; }
  void set_trace(Trace trace) { trace_ = std::move(trace); }

  /// Appends a REQUEST to what is to be sent and returns its id, which the answer will carry. `params`: the
  /// MsgPack bytes of a map, or empty. `descriptors` are borrowed (duplicated here) and travel with this very
  /// frame, in the order stdin, stdout, stderr (SPEC 4.1).
  std::uint64_t request(std::string_view method, std::string_view params,
                        std::span<const int> descriptors = {});
  template <reflect::Described Params>
  std::uint64_t request(std::string_view method, const Params& params,
                        std::span<const int> descriptors = {}) {
    return request(method, std::string_view(reflect::to_msgpack(params)), descriptors);
  }
  /// Appends an EVENT (SPEC 7.4). No answer comes.
  void event(const api::Event& event) { api::append_event(out_, event); }

  [[nodiscard]] bool wants_to_send() const { return sent_ < out_.size(); }
  [[nodiscard]] std::size_t unsent_bytes() const { return out_.size() - sent_; }
  /// Bytes that were ever queued, and those of them that the socket has taken. A frame that stood at the end
  /// of what was queued at `n` bytes has left when sent_bytes() is at least `n`; before that no daemon can
  /// have acted on it.
  [[nodiscard]] std::uint64_t queued_bytes() const { return cleared_ + out_.size(); }
  [[nodiscard]] std::uint64_t sent_bytes() const { return cleared_ + sent_; }
  /// Sends what the socket takes now. E_NOT_RUNNING when the daemon is gone.
  Result<void> send_some();

  /// Takes what has come, one read at most; 0 when nothing has. E_NOT_RUNNING at the end of the connection.
  Result<std::size_t> receive_some();
  /// The next whole frame; its payload is valid until the next receive_some(). E_INVALID_REQUEST when the
  /// server breaks the protocol: the connection is of no more use.
  Result<std::optional<wire::Frame>> next() { return reader_.next(); }

  /// Waits until the socket can be read (or, where something is unsent, written) and sends what it can; false
  /// when the deadline passed.
  Result<bool> wait(std::optional<SteadyTime> deadline);

 private:
  struct Attachment {
    std::size_t position;  ///< Of the frame's first byte in out_.
    std::vector<UniqueFd> descriptors;
  };

  Channel(UniqueFd socket, std::string path) : socket_(std::move(socket)), path_(std::move(path)) {}
  long send_once(std::size_t end, const Attachment* attached);

  UniqueFd socket_;
  std::string path_;
  Trace trace_;
  wire::FrameReader reader_;
  std::string out_;
  std::size_t sent_ = 0;
  std::uint64_t cleared_ = 0;  ///< Bytes that were sent and are no longer in out_.
  std::vector<Attachment> attachments_;
  std::uint64_t next_id_ = 1;
};

}  // namespace kairo::client
