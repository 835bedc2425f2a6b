// Following a session's output by a subscription: what `attach` and `logs -f` share.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "api/envelope.hpp"
#include "client/lasting_client.hpp"

namespace kairo::ctl {

/// {"stdout"}, {"stderr"}, or both for an empty name.
std::vector<api::StreamName> streams_of(std::string_view name);

using TakeChunk = std::function<void(const api::ChunkView&, std::string_view payload)>;

/// Attaches and hands on every chunk until all streams have ended; when the connection is lost, attaches
/// again behind the last chunk. Returns the exit code.
int follow(client::LastingClient& client, const api::AttachParams& params, const TakeChunk& take);

/// The chunk's bytes (encoding binary or utf8) to our own stdout or stderr.
void write_chunk(const api::ChunkView& chunk);
void write_stream(api::StreamName stream, std::string_view bytes);

/// {"dropped": {...}} on stderr: bytes that the log no longer held.
void tell_dropped(api::StreamName stream, std::uint64_t before_offset, std::uint64_t bytes);

}  // namespace kairo::ctl
