// One client's connection: bytes to frames, frames to bytes. It knows no methods; a Handler does.
//
// Writing. Answers and events are appended to the outbox and leave with the next flush. Chunks of output are
// not queued: when the outbox is empty and the socket has room the handler is asked to fill a batch, which is
// sent at once; what a short send left over is copied to the outbox. So answers and events pass all chunks
// but those bytes, and a peer that does not read costs at most one batch.
//
// Reading stops while the outbox is over limits::outbox_bytes: a peer that floods and never reads blocks only
// itself.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "ipc/peer.hpp"
#include "ipc/traffic.hpp"
#include "stream/batch.hpp"
#include "wire/frame.hpp"

namespace kairo::ipc {

class Connection;

/// What the kernel makes of a connection. Calls come on the io_context's thread, never from within a call of
/// the connection's own functions save flush().
class Handler {
 public:
  virtual ~Handler() = default;
  /// A frame, with the descriptors that may have come with it: the system glues what was sent before a
  /// message with descriptors to it, so that one read may hold frames which they do not belong to. A handler
  /// whose frame asks for descriptors takes all of them out of the vector; what it leaves is offered to the
  /// next frame of that read, and then closed. An error closes the connection.
  virtual Result<void> on_frame(const wire::Frame& frame, std::vector<UniqueFd>& descriptors) = 0;
  /// Every frame of a read was given to on_frame; their answers are sent now.
  virtual void parsed() {}
  /// Bytes of the outbox are about to be sent.
  virtual void sending() {}
  /// Whether fill() may have something to give.
  [[nodiscard]] virtual bool has_output() const = 0;
  /// Puts chunks into an empty batch, at most `bytes`; leaves it empty when there is nothing to send.
  virtual void fill(stream::Batch& batch, std::size_t bytes) = 0;
  /// The batch was handed over: what was borrowed may be given up.
  virtual void filled() = 0;
  /// The outbox has become empty.
  virtual void on_drained() = 0;
  /// Whether something may still be sent: an answer is due, or something is subscribed. A peer that has ended
  /// its own direction is kept for so long.
  [[nodiscard]] virtual bool owes() const = 0;
  /// The connection is gone; `why` is set when it was not the peer's orderly end. Last call.
  virtual void on_closed(const Error* why) = 0;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  /// `traffic`, where there is one, outlives the connection.
  Connection(boost::asio::io_context& io, UniqueFd socket, Peer peer, stream::Batch& batch,
             std::size_t max_frame_bytes = limits::frame_payload_bytes, Traffic* traffic = nullptr);
  ~Connection();

  /// Begins to read. The handler is kept until on_closed.
  void start(std::shared_ptr<Handler> handler);
  /// Closes at once. on_closed comes later, from the loop.
  void close();
  /// Closes once what is in the outbox has been sent.
  void close_when_sent();
  /// Ends this side's direction once what is in the outbox has been sent, and goes on reading until the peer
  /// has ended its own: what the peer still sends meanwhile is taken, and its end says that it has taken all.
  void end_when_sent();

  [[nodiscard]] const Peer& peer() const { return peer_; }
  [[nodiscard]] bool closed() const { return closed_; }
  /// When the newest bytes were read. Within on_frame: when the request came, for all of its batch at one
  /// look at the clock.
  [[nodiscard]] SteadyTime read_at() const { return read_at_; }
  /// Whether a call of on_frame is under way.
  [[nodiscard]] bool dispatching() const { return dispatching_; }
  /// Within on_frame: the descriptors that it was given can be no later frame's.
  [[nodiscard]] bool descriptors_are_its_own() const { return offered_until_ <= frame_start_; }
  /// Bytes that the socket has taken so far.
  [[nodiscard]] std::uint64_t sent_bytes() const { return sent_bytes_; }

  /// The outbox, for whole frames. After appending call wrote().
  std::string& outbox() { return outbox_; }
  [[nodiscard]] std::size_t outbox_bytes() const { return outbox_.size() - sent_; }
  /// Says that the outbox grew, or that fill() has something to give: a flush follows in this turn of the
  /// loop.
  void wrote();
  /// Sends now what can be sent.
  void flush();

 private:
  void wait_readable();
  void wait_writable();
  void read();
  bool parse();
  void offer_descriptors(std::uint64_t frame_end, std::vector<UniqueFd>& offered);
  void take_frames();
  void finish(std::optional<Error> why);
  bool send_outbox();
  bool send_chunks();
  /// The peer has sent its last byte; it may still be there to read.
  void take_end();
  void wait_hangup();
  [[nodiscard]] std::size_t socket_room();
  void count_sent(std::size_t bytes);

  boost::asio::local::stream_protocol::socket socket_;
  Peer peer_;
  std::shared_ptr<Handler> handler_;
  stream::Batch& batch_;
  wire::FrameReader reader_;
  struct Received {
    std::uint64_t position;  ///< Bytes of the stream that had come before the read that brought it.
    std::uint64_t end;       ///< ... and with that read.
    UniqueFd descriptor;
  };
  std::deque<Received> received_;
  std::vector<UniqueFd> offered_;    ///< To the present frame.
  std::uint64_t offered_until_ = 0;  ///< End of the read that brought them.
  std::uint64_t frame_start_ = 0;    ///< Of the next frame.
  std::uint64_t read_position_ = 0;  ///< Bytes of the stream that have come.
  Traffic* traffic_;
  SteadyTime read_at_{};
  std::uint64_t sent_bytes_ = 0;
  std::string outbox_;
  std::size_t sent_ = 0;
  std::size_t send_buffer_bytes_ = 0;
  bool reading_ = false;  ///< A wait for readability is under way.
  bool writing_ = false;  ///< A wait for writability is under way.
  bool blocked_ = false;  ///< The socket takes nothing; otherwise `writing_` waits for room for chunks only.
  bool flush_posted_ = false;
  bool dispatching_ = false;
  bool parse_paused_ = false;  ///< Frames wait in the reader for the outbox to drain.
  bool closed_ = false;
  bool close_when_sent_ = false;
  bool end_when_sent_ = false;
  bool peer_ended_ = false;  ///< The peer has shut its sending direction; it may still read.
};

}  // namespace kairo::ipc
