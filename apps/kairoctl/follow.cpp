#include "follow.hpp"

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

int follow(client::Client& client, const api::AttachParams& params, const TakeChunk& take) {
  std::size_t open = params.streams ? params.streams->size() : 2;
  auto attached = client.call<api::SubscriptionResult>("process.attach", params);
  if (!attached) return report(attached.error());
  while (open > 0) {
    auto push = client.poll_push({});
    if (!push) return report(push.error());
    if ((*push)->type != wire::FrameType::stream_chunk) continue;
    auto chunk = api::read_chunk((*push)->payload);
    if (!chunk) return report(chunk.error());
    if (chunk->dropped) tell_dropped(chunk->stream, chunk->offset, chunk->dropped);
    take(*chunk, (*push)->payload);
    if (chunk->eof) --open;
  }
  return exit_code::success;
}

}  // namespace kairo::ctl
