// kairoctl write, close-stdin: feeding a session.
#include <algorithm>
#include <cerrno>
#include <deque>
#include <memory>
#include <unistd.h>

#include "context.hpp"
#include "option_set.hpp"

namespace kairo::ctl {
namespace {

/// One stdin.write, and how many may be unanswered: what the daemon holds for one process, 1 MiB.
constexpr std::size_t piece_bytes = 256u << 10;
constexpr std::size_t pieces_in_flight = 4;

struct Options {
  std::string id;
  std::string data = "-";
  std::optional<std::uint64_t> offset;
  bool close = false;
};

/// Sends pieces and counts what was accepted. A piece whose answer was lost with the connection is sent once
/// more with the offset at which it belongs, so that it is accepted once. Only then: a write without an
/// offset goes behind whatever others write.
class Writer {
 public:
  Writer(client::LastingClient& client, const Options& options) : client_(client), options_(options) {}

  /// Looks where the stream stands.
  Result<void> begin() {
    auto session = client_.call<api::ProcessSession>("process.status", api::IdParams{options_.id});
    if (!session) return std::move(session).error();
    total_.offset = session->standard_input.offset;
    next_ = options_.offset;
    return {};
  }

  Result<void> write(std::string_view bytes) {
    while (!bytes.empty()) {
      if (waiting_.size() >= pieces_in_flight) {
        auto answered = settle_one();
        if (!answered) return answered;
      }
      send_piece(bytes.substr(0, piece_bytes));
      bytes.remove_prefix(waiting_.back().bytes);
    }
    return {};
  }

  Result<void> finish() {
    while (!waiting_.empty()) {
      auto answered = settle_one();
      if (!answered) return answered;
    }
    return {};
  }

  [[nodiscard]] const api::StdinWriteResult& total() const { return total_; }

 private:
  struct Piece {
    client::LastingClient::Ticket ticket = 0;
    std::size_t bytes = 0;
  };

  void send_piece(std::string_view bytes) {
    api::StdinWriteParams params;
    params.id = options_.id;
    params.data.data = bytes;
    params.offset = next_;
    if (next_) {
      *next_ += bytes.size();
      waiting_.push_back({client_.send("process.stdin.write", params), bytes.size()});
      return;
    }
    const std::size_t number = first_ + waiting_.size();
    client::LastingClient::Remake remake = [this, number, params] {
      api::StdinWriteParams repeat = params;
      repeat.offset = total_.offset;
      for (std::size_t i = 0; i < number - first_; ++i) *repeat.offset += waiting_[i].bytes;
      return reflect::to_msgpack(repeat);
    };
    waiting_.push_back({client_.send("process.stdin.write", params, std::move(remake)), bytes.size()});
  }

  Result<void> settle_one() {
    const Piece piece = waiting_.front();
    auto answer = client_.await<api::StdinWriteResult>(piece.ticket);
    waiting_.pop_front();
    ++first_;
    if (answer) {
      // A repeat finds accepted what the first try brought.
      const std::uint64_t moved = answer->offset - std::min(answer->offset, total_.offset);
      total_.written += std::max(answer->written, std::min<std::uint64_t>(moved, piece.bytes));
      total_.offset = answer->offset;
      return {};
    }
    Error error = std::move(answer).error();
    // The daemon speaks of the one piece, the user of all.
    for (auto& [key, value] : error.details)
      if (key == "written")
        if (const auto* part = std::get_if<std::int64_t>(&value))
          value = *part + static_cast<std::int64_t>(total_.written);
    return error;
  }

  client::LastingClient& client_;
  const Options& options_;
  std::optional<std::uint64_t> next_;  ///< With --offset: of the next piece.
  std::deque<Piece> waiting_;
  std::size_t first_ = 0;  ///< Number of the piece at the front.
  api::StdinWriteResult total_;
};

Result<void> write_stdin(Writer& writer) {
  std::string buffer(piece_bytes, '\0');
  for (;;) {
    const ssize_t got = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error("cannot read standard input; what was read before was written", errno);
    if (got == 0) return {};
    auto written = writer.write(std::string_view(buffer).substr(0, static_cast<std::size_t>(got)));
    if (!written) return written;
  }
}

int write(Context& context, const Options& options) {
  auto client = context.connect();
  if (!client) return report(client.error());
  Writer writer(*client, options);
  auto written = writer.begin();
  if (!written) return report(written.error());
  written = options.data == "-" ? write_stdin(writer) : writer.write(options.data);
  if (written) written = writer.finish();
  if (!written) return report(written.error());
  if (options.close) {
    auto closed = client->call_raw("process.stdin.close", api::IdParams{options.id});
    if (!closed) return report(closed.error());
  }
  print_json(std::string_view(reflect::to_msgpack(writer.total())));
  return exit_code::success;
}

}  // namespace

Action declare_write(OptionSet& set) {
  auto options = std::make_shared<Options>();
  set.argument("ID", options->id, "Session");
  set.optional_argument("DATA", options->data, "What to write, as it is; - or nothing: standard input");
  set.number("--offset", options->offset, "BYTES",
             "Position of the first byte: makes a repeated write harmless");
  set.flag("--close", options->close, "Close standard input afterwards");
  return [options](Context& context) { return write(context, *options); };
}

Action declare_close_stdin(OptionSet& set) {
  auto id = std::make_shared<std::string>();
  set.argument("ID", *id, "Session");
  return
      [id](Context& context) { return call_and_print(context, "process.stdin.close", api::IdParams{*id}); };
}

}  // namespace kairo::ctl
