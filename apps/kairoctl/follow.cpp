#include "follow.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <unistd.h>

#include "context.hpp"

namespace kairo::ctl {

std::vector<api::StreamName> streams_of(std::string_view name) {
  using enum api::StreamName;
  if (name == "stdout") return {standard_output};
  if (name == "stderr") return {standard_error};
  return {standard_output, standard_error};
}

void write_stream(api::StreamName stream, std::string_view bytes) {
  const bool is_stdout = stream == api::StreamName::standard_output;
  if (write_all(is_stdout ? STDOUT_FILENO : STDERR_FILENO, bytes)) return;
  if (is_stdout) report(system_error("cannot write to standard output", errno));
  _exit(exit_code::request_failed);
}

void write_chunk(const api::ChunkView& chunk) {
  write_stream(chunk.stream, chunk.chunk);
}

void tell_dropped(api::StreamName stream, std::uint64_t before_offset, std::uint64_t bytes) {
  const std::string text = "{\"dropped\":{\"stream\":\"" + std::string(reflect::enum_name(stream)) +
                           "\",\"beforeOffset\":" + std::to_string(before_offset) +
                           ",\"bytes\":" + std::to_string(bytes) + "}}\n";
  static_cast<void>(write_all(STDERR_FILENO, text));
}

namespace {

/// What a subscription has had of each stream.
class Progress {
 public:
  explicit Progress(const api::AttachParams& params) : params_(params) {
    if (!params_.streams) params_.streams = streams_of({});
    if (const auto* from = params_.from ? std::get_if<api::FromOffsets>(&*params_.from) : nullptr) {
      positions_[0].offset = from->standard_output.value_or(0);
      positions_[1].offset = from->standard_error.value_or(0);
    }
  }

  /// "end" is a place in the log as it is now, not as it will be when the connection is made again.
  Result<void> settle_end(client::LastingClient& client) {
    const auto* word = params_.from ? std::get_if<api::From>(&*params_.from) : nullptr;
    if (!word || *word != api::From::end) return {};
    auto session = client.call<api::ProcessSession>("process.status", api::IdParams{params_.id});
    if (!session) return std::move(session).error();
    positions_[0].offset = session->streams.standard_output.bytes;
    positions_[1].offset = session->streams.standard_error.bytes;
    return {};
  }

  /// The subscription to what is still to come.
  [[nodiscard]] api::AttachParams rest() const {
    api::AttachParams params = params_;
    std::erase_if(*params.streams, [&](api::StreamName each) { return position_of(each).eof; });
    params.from = api::FromOffsets{positions_[0].offset, positions_[1].offset};
    return params;
  }
  void took(const api::ChunkView& chunk) { positions_[static_cast<std::size_t>(chunk.stream)].took(chunk); }
  [[nodiscard]] bool complete() const {
    return std::all_of(params_.streams->begin(), params_.streams->end(),
                       [&](api::StreamName each) { return position_of(each).eof; });
  }

 private:
  [[nodiscard]] const client::StreamPosition& position_of(api::StreamName stream) const {
    return positions_[static_cast<std::size_t>(stream)];
  }

  api::AttachParams params_;
  std::array<client::StreamPosition, 2> positions_;
};

}  // namespace

int follow(client::LastingClient& client, const api::AttachParams& params, const TakeChunk& take) {
  Progress progress(params);
  auto begun = progress.settle_end(client);
  if (!begun) return report(begun.error());
  while (!progress.complete()) {
    auto attached = client.call<api::SubscriptionResult>("process.attach", progress.rest());
    if (!attached) return report(attached.error());
    while (!progress.complete()) {
      auto push = client.poll_push({});
      if (!push && client::is_unreachable(push.error())) break;
      if (!push) return report(push.error());
      if ((*push)->type != wire::FrameType::stream_chunk) continue;
      auto chunk = api::read_chunk((*push)->payload);
      if (!chunk) return report(chunk.error());
      if (chunk->dropped) tell_dropped(chunk->stream, chunk->offset, chunk->dropped);
      progress.took(*chunk);
      take(*chunk, (*push)->payload);
    }
  }
  return exit_code::success;
}

}  // namespace kairo::ctl
