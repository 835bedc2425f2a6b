// A non-blocking Unix stream socket that carries messages (protocol.hpp) with their descriptors. Both sides
// use it; it does not wait, whoever owns it waits for readiness by its own means.
//
// Receiving: receive() until it says so, then next() until it gives none; descriptors that a message
// announces are taken by take_descriptors() while that message is handled. The kernel never joins the
// descriptors of two sendmsg calls in one recvmsg, so they queue up in the order of the messages. Sending:
// send() appends, flush() writes what the socket takes. What waits is bounded by the owner (waiting()).
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"
#include "keeper/protocol.hpp"

namespace kairo::keeper {

class Channel {
 public:
  explicit Channel(UniqueFd socket) : socket_(std::move(socket)) {}

  [[nodiscard]] int socket() const { return socket_.get(); }
  UniqueFd release_socket() { return std::move(socket_); }

  enum class Received { some, nothing, closed };
  /// One recvmsg. Views of earlier messages end here.
  Received receive();

  /// The next whole message, or nothing; an error is final.
  Result<std::optional<Message>> next();
  [[nodiscard]] bool drained() const { return begin_ == in_.size(); }

  /// The `count` descriptors that came with the present message; fewer are an error (EMFILE in this process).
  Result<std::vector<UniqueFd>> take_descriptors(std::size_t count);

  template <class T>
  void send(MessageType type, const T& message) {
    append_message(plain_piece(), type, message);
  }
  template <class T>
  void send(MessageType type, const T& message, std::vector<UniqueFd> descriptors) {
    if (descriptors.empty()) return send(type, message);
    out_.emplace_back();
    append_message(out_.back().bytes, type, message);
    out_.back().descriptors = std::move(descriptors);
    out_.emplace_back();  // what follows must not travel with them
  }

  /// Writes what the socket takes; false when the peer is gone.
  bool flush();
  [[nodiscard]] std::size_t waiting() const;

 private:
  struct Piece {
    std::string bytes = {};
    std::size_t sent = 0;
    std::vector<UniqueFd> descriptors = {};
  };
  std::string& plain_piece();

  UniqueFd socket_;
  std::string in_;
  std::size_t begin_ = 0;
  std::deque<UniqueFd> descriptors_;
  bool descriptors_lost_ = false;
  std::deque<Piece> out_;
};

}  // namespace kairo::keeper
