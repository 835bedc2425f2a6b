// A session's log as lines, each with the time at which it was written: what `logs` needs to put two streams
// into one order.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "api/methods.hpp"
#include "client/lasting_client.hpp"

namespace kairo::ctl {

struct LogLine {
  api::StreamName stream = api::StreamName::standard_output;
  std::string time;   ///< ISO 8601; of the line's first byte, as far as the log's index knows.
  std::string bytes;  ///< With its newline, unless it is an unterminated last one.
};

/// Reads one stream by process.read, from an offset to where it ends at present.
class LogStream {
 public:
  LogStream(client::LastingClient& client, std::string id, api::StreamName stream, bool timestamps)
      : client_(client), id_(std::move(id)), stream_(stream), timestamps_(timestamps) {}

  /// To be set before the first read.
  void begin_at(std::uint64_t offset) { offset_ = offset; }
  void begin_since(std::string time) { since_ = std::move(time); }

  /// The next piece of the log as it is; empty at the present end.
  Result<std::string> piece();
  /// The next line; nothing at the present end.
  Result<const LogLine*> peek();
  LogLine take();

  /// Position after what was read.
  [[nodiscard]] std::uint64_t offset() const { return offset_; }
  /// Whether nothing will ever follow.
  [[nodiscard]] bool ended() const { return eof_; }

 private:
  void split(std::string_view bytes, bool last);
  std::string time_at(std::uint64_t offset);

  client::LastingClient& client_;
  std::string id_;
  api::StreamName stream_;
  bool timestamps_;
  std::uint64_t offset_ = 0;
  std::optional<std::string> since_;
  bool eof_ = false;
  bool at_end_ = false;
  std::deque<api::TimeMark> marks_;
  std::string last_time_;
  std::string partial_;
  std::uint64_t partial_offset_ = 0;
  std::deque<LogLine> lines_;
};

/// The offset at which the last `count` lines of a stream that is `bytes` long begin; not before `first`, the
/// oldest byte that the log holds.
Result<std::uint64_t> offset_of_last_lines(client::LastingClient& client, const std::string& id,
                                           api::StreamName stream, std::uint64_t first, std::uint64_t bytes,
                                           std::uint64_t count);

}  // namespace kairo::ctl
