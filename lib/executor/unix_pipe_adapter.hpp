// A duplex over descriptors: one Unix stream socket for both directions, half-closed by shutdown(), or one
// descriptor for each (sockets or pipes), half-closed by close(). What the kernel has taken counts as
// accepted: from then on it reaches the other side, whatever becomes of this one.
//
// Only the descriptors given are made non-blocking; they must be the executor's own ends (pipe_ends.hpp).
// Reads go through one buffer that all adapters of a thread share, so that a paused adapter costs nothing.
// Writers to pipes ignore SIGPIPE.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "base/unique_fd.hpp"
#include "executor/duplex.hpp"

namespace kairo::executor {

/// Bytes of one read.
inline constexpr std::size_t read_bytes = 256 * 1024;

class UnixPipeAdapter final : public Duplex, public std::enable_shared_from_this<UnixPipeAdapter> {
 public:
  /// Both directions over one socket.
  static Result<std::shared_ptr<UnixPipeAdapter>> make(boost::asio::io_context& io, UniqueFd socket,
                                                       std::size_t high_water = default_high_water);
  /// Each direction over its own; one of the two may be empty: that direction has ended from the start
  /// (without on_end).
  static Result<std::shared_ptr<UnixPipeAdapter>> make(boost::asio::io_context& io, UniqueFd in, UniqueFd out,
                                                       std::size_t high_water = default_high_water);
  ~UnixPipeAdapter() override;

  void start(DuplexHandler& handler) override;
  Result<bool> write(std::string bytes, Accepted accepted = {}) override;
  void end(Accepted accepted = {}) override;
  void pause() override { paused_ = true; }
  void resume() override;
  void destroy(std::optional<Error> why = {}) override;
  [[nodiscard]] std::size_t unaccepted() const override { return unaccepted_; }
  [[nodiscard]] std::size_t high_water() const override { return high_water_; }
  [[nodiscard]] Stream* source() override { return in_.is_open() ? &in_ : nullptr; }
  [[nodiscard]] Stream* sink() override;

 private:
  struct Waiting {
    std::string bytes;
    Accepted accepted;
  };

  UnixPipeAdapter(boost::asio::io_context& io, std::size_t high_water);
  Stream& out() { return shared_ ? in_ : out_; }
  void wait_readable();
  void wait_writable();
  void read();
  void take_end(std::optional<Error> why);
  void flush();
  void half_close();
  void refuse(Error why);
  void tell(Accepted accepted, std::optional<Error> why);
  void close_if_over();
  void finish(std::optional<Error> why);

  Stream in_;
  Stream out_;
  DuplexHandler* handler_ = nullptr;
  std::size_t high_water_;
  std::deque<Waiting> waiting_;
  std::size_t sent_ = 0;  ///< Bytes of the first that waits which the kernel has taken.
  std::size_t unaccepted_ = 0;
  std::vector<Accepted> at_end_;
  std::optional<Error> refused_;  ///< Why nothing more can be written.
  bool shared_ = false;           ///< One socket carries both directions.
  bool paused_ = true;
  bool reading_ = false;     ///< A wait for readability is under way.
  bool writing_ = false;     ///< A wait for writability is under way.
  bool full_ = false;        ///< A write answered "full"; on_drain is due.
  bool ending_ = false;      ///< end() was called.
  bool write_over_ = false;  ///< The direction to the other side is over.
  bool read_over_ = false;   ///< The direction from the other side is over.
  bool closed_ = false;
  bool destroyed_ = false;  ///< Closed by destroy(): what was not accepted is told to nobody.
};

}  // namespace kairo::executor
