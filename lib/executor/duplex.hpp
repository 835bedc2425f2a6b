// The one interface of everything that bytes flow through in an executor: two directions, each with
// back-pressure, an end, and errors (seed SB-MK-PROCESS-IO-P3). UnixPipeAdapter carries it over descriptors,
// WorkerPipeAdapter between two threads; tests/unit/executor runs one contract over both.
//
//   duplex.start(handler);           // nothing is read before resume()
//   duplex.resume();                 // on_data comes
//   if (!*duplex.write(bytes)) ...   // full: wait for on_drain
//   duplex.end();                    // no more is written; reading goes on
//   ...                              // on_end: the other side has ended; on_close: both directions are over
//
// Order. Everything that was written arrives before the end that follows it. `accepted` of each write is
// called in the order of the writes, when the other side has taken the bytes (for a descriptor: the kernel
// has), or with the error that prevented it. After destroy() nothing comes but on_close, which is always the
// last call, comes once, from the loop and never from within a call of the duplex's own functions. A duplex
// destroyed by an error gives that error to its own on_close; the other side hears E_STDIN_CLOSED (it can no
// more write) or an end that was not asked for.
//
// Errors. A direction that breaks does not take the other with it: after a write that the other side no more
// takes, `accepted` hears why, further writes are refused, and reading goes on to its end; on_close then
// gives that error. So a node that has closed its input can still say what it found.
//
// Bounds. At most high_water() - 1 bytes and one more write wait to be accepted; a write beyond that is
// refused and takes nothing. Reading holds nothing while paused but what was under way to on_data.
//
// Used by one thread, that of its io_context. A WorkerPipeAdapter's other side is used by another.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "base/result.hpp"

namespace kairo::executor {

/// Bytes that may wait before a writer is told to stop; a pipe's own size.
inline constexpr std::size_t default_high_water = 64 * 1024;

class DuplexHandler {
 public:
  virtual ~DuplexHandler() = default;
  /// Bytes of the other side, valid during the call. pause() within it stops the next call.
  virtual void on_data(std::string_view bytes) = 0;
  /// The other side has ended its direction, and everything before was given to on_data.
  virtual void on_end() = 0;
  /// After a write that answered "full": there is room again.
  virtual void on_drain() {}
  /// Both directions are over. `why` is set when that was not in order.
  virtual void on_close(const Error* why) = 0;
};

class Duplex {
 public:
  using Stream = boost::asio::posix::stream_descriptor;
  /// Told when a write was accepted, or why it never will be.
  using Accepted = std::function<void(Result<void>)>;

  virtual ~Duplex() = default;
  /// Once, before all else. The handler lives until on_close, or until the duplex is gone.
  virtual void start(DuplexHandler& handler) = 0;
  /// Takes the bytes; false when high_water() is reached now, so that the next write waits for on_drain.
  /// E_LIMIT_EXCEEDED: was full already; E_STDIN_CLOSED: ended or destroyed. Then nothing was taken and
  /// `accepted` is not called.
  virtual Result<bool> write(std::string bytes, Accepted accepted = {}) = 0;
  /// No more is written. `accepted` when the other side can see it. Twice is once.
  virtual void end(Accepted accepted = {}) = 0;
  virtual void pause() = 0;
  virtual void resume() = 0;
  /// Ends both directions at once; what was not accepted is not written, and nobody is told of it.
  virtual void destroy(std::optional<Error> why = {}) = 0;

  /// Within on_data: its bytes as a string of one's own; moved where the duplex has them as one.
  virtual std::string own(std::string_view bytes) { return std::string(bytes); }

  /// Bytes that wait to be accepted.
  [[nodiscard]] virtual std::size_t unaccepted() const = 0;
  [[nodiscard]] virtual std::size_t high_water() const = 0;
  /// Keeps the handler for as long as the duplex lives, for who cannot wait for on_close.
  void keep(std::shared_ptr<DuplexHandler> handler) { kept_ = std::move(handler); }

  /// The descriptors under it, where there are: a flow moves bytes past the duplex, reading from source()
  /// while the duplex is paused and writing to sink() while nothing is unaccepted and it has not ended. Both
  /// are closed when their direction is over.
  [[nodiscard]] virtual Stream* source() { return nullptr; }
  [[nodiscard]] virtual Stream* sink() { return nullptr; }

 private:
  std::shared_ptr<DuplexHandler> kept_;
};

}  // namespace kairo::executor
