// process.attach, detach, credit and read (SPEC 5).
#include <algorithm>

#include "kernel/handlers.hpp"
#include "stream/text.hpp"

namespace kairo::kernel {
namespace {

Error bad(const std::string& path, const std::string& problem) {
  return Error(Code::invalid_params, path + " " + problem).with("path", path);
}

Result<OutputSubscription::Options> plan_attach(const Settings& settings, const session::Session& session,
                                                const api::AttachParams& params) {
  OutputSubscription::Options options;
  if (params.streams) {
    options.streams = {false, false};
    for (const api::StreamName stream : *params.streams)
      options.streams[static_cast<std::size_t>(stream)] = true;
    if (params.streams->empty()) return bad("params.streams", "must name a stream");
  }
  for (unsigned stream = 0; stream < 2; ++stream) {
    const stream::LogState log = session.log_state(stream);
    std::uint64_t& from = options.from[stream];
    if (!params.from) continue;
    if (const auto* word = std::get_if<api::From>(&*params.from)) {
      from = *word == api::From::end ? log.tail : 0;
      continue;
    }
    const auto& offsets = std::get<api::FromOffsets>(*params.from);
    from = (stream == 0 ? offsets.standard_output : offsets.standard_error).value_or(0);
    if (from > log.tail)
      return bad(stream == 0 ? "params.from.stdout" : "params.from.stderr",
                 std::to_string(from) + " is beyond the stream's end at " + std::to_string(log.tail));
  }
  options.mode = params.mode.value_or(api::Mode::chunk);
  options.encoding = params.encoding.value_or(api::Encoding::utf8);
  options.flow = params.flow.value_or(api::Flow::follow);
  const bool throttle = options.flow == api::Flow::throttle;
  options.max_chunk_bytes = params.max_chunk_bytes.value_or(
      static_cast<std::uint32_t>(throttle ? settings.throttle_chunk_bytes : limits::chunk_bytes));
  options.max_bytes_per_second = settings.throttle_bytes_per_second;
  if (options.max_chunk_bytes < limits::chunk_bytes_min || options.max_chunk_bytes > limits::chunk_bytes_max)
    return bad("params.maxChunkBytes", "must be " + std::to_string(limits::chunk_bytes_min) + " to " +
                                           std::to_string(limits::chunk_bytes_max));
  if (params.max_bytes_per_second) {
    if (!throttle) return bad("params.maxBytesPerSecond", "goes with flow \"throttle\" alone");
    if (*params.max_bytes_per_second == 0) return bad("params.maxBytesPerSecond", "must be at least 1");
    options.max_bytes_per_second = *params.max_bytes_per_second;
  }
  options.window = params.window;
  return options;
}

}  // namespace

void attach(Kernel& kernel, Call& call, api::AttachParams params, Reply<api::SubscriptionResult> reply) {
  auto session = kernel.reach(*call.client, params.id);
  if (!session) return reply(session.error());
  auto options = plan_attach(kernel.settings(), **session, params);
  if (!options) return reply(options.error());
  if (call.client->output_subscriptions() >= kernel.settings().subscriptions)
    return reply(Error(Code::limit_exceeded, "this connection has " +
                                                 std::to_string(call.client->output_subscriptions()) +
                                                 " subscriptions already"));
  const OutputSubscription& subscription = call.client->subscribe(**session, *options);
  kernel.own_again(**session, call.client, subscription.id());
  reply(api::SubscriptionResult{subscription.id()});
}

void detach(Kernel&, Call& call, api::SubscriptionParams params, Reply<api::Done> reply) {
  // One that has seen its end is gone by itself; a client may not have read that yet.
  if (!call.client->find_output(params.subscription_id) && !call.client->issued(params.subscription_id))
    return reply(Error(Code::not_found, "this connection has no subscription \"" +
                                            params.subscription_id.substr(0, 64) + "\""));
  call.client->unsubscribe(params.subscription_id);
  reply(api::Done{});
}

void credit(Kernel&, Call& call, api::CreditParams params, Reply<api::Done> reply) {
  OutputSubscription* subscription = call.client->find_output(params.subscription_id);
  if (!subscription) {
    if (call.client->issued(params.subscription_id)) return reply(api::Done{});
    return reply(Error(Code::not_found, "this connection has no subscription \"" +
                                            params.subscription_id.substr(0, 64) + "\""));
  }
  if (!subscription->credit().counted())
    return reply(Error(Code::invalid_params, "subscription \"" + params.subscription_id +
                                                 "\" counts no credit: attach with `window` to make it")
                     .with("path", std::string("params.subscriptionId")));
  subscription->credit().add(params.bytes);
  reply(api::Done{});
  call.client->ready(*subscription);
}

// --- process.read ----------------------------------------------------------------------------------------

namespace {

struct ReadRequest {
  unsigned stream = 0;
  std::uint64_t offset = 0;
  std::size_t max_bytes = 0;
  api::Encoding encoding = api::Encoding::utf8;
  bool timestamps = false;
};

void add_times(api::ReadResult& result, stream::LogReader& log) {
  result.times.emplace();
  auto times = log.times();
  if (!times) return;
  // The entry that covers the first byte, and all within the chunk.
  auto first = std::upper_bound(
      times->begin(), times->end(), result.offset,
      [](std::uint64_t offset, const stream::TimeEntry& entry) { return offset < entry.offset; });
  if (first != times->begin()) --first;
  for (; first != times->end() && (first->offset < result.next_offset || result.times->empty()); ++first)
    result.times->push_back({std::max(first->offset, result.offset),
                             to_iso8601(SystemTime(std::chrono::microseconds(first->time_us)))});
}

/// One answer from what the log holds now; an empty chunk when there is nothing.
Result<api::ReadResult> read_now(session::Session& session, int logs_dir, const ReadRequest& request,
                                 bool last_try) {
  stream::LogReader& log = session.log(request.stream, logs_dir);
  const stream::LogState state = log.state();
  api::ReadResult result;
  result.offset = std::max(request.offset, std::min(state.floor, state.tail));
  std::string bytes(static_cast<std::size_t>(std::min<std::uint64_t>(
                        request.max_bytes, state.tail > result.offset ? state.tail - result.offset : 0)),
                    '\0');
  if (!bytes.empty()) {
    auto copied = log.copy(result.offset, bytes.data(), bytes.size());
    if (!copied) return std::move(copied).error();
    result.offset += copied->lost;
    bytes.resize(copied->bytes);
  }
  std::string_view text = bytes;
  if (request.encoding == api::Encoding::binary) {
    result.encoding = "binary";
    result.chunk = reflect::Bytes{bytes};
  } else {
    bool whole = false;
    if (request.encoding == api::Encoding::utf8) {
      const stream::Utf8Scan scan = stream::scan_utf8(text);
      // A code point that the end cuts comes with the next read, unless nothing more can come or nothing else
      // is there.
      const bool more_follows = !(state.eof() && result.offset + text.size() >= state.tail);
      if (scan.cut_short && more_follows &&
          (scan.valid > 0 || (!last_try && text.size() < request.max_bytes)))
        text = text.substr(0, scan.valid);
      whole = scan.valid >= text.size();
    }
    if (whole) {
      result.encoding = "utf8";
      result.chunk = std::string(text);
    } else {
      result.encoding = "base64";
      std::string encoded;
      stream::append_base64(encoded, text);
      result.chunk = std::move(encoded);
    }
  }
  result.next_offset = result.offset + text.size();
  result.eof = state.eof() && result.next_offset >= state.tail;
  if (result.offset > request.offset) result.dropped = result.offset - request.offset;
  if (request.timestamps) add_times(result, log);
  return result;
}

}  // namespace

void read(Kernel& kernel, Call& call, api::ReadParams params, Reply<api::ReadResult> reply) {
  auto reached = kernel.reach(*call.client, params.id);
  if (!reached) return reply(reached.error());
  session::Session& session = **reached;
  ReadRequest request;
  request.stream = static_cast<unsigned>(params.stream);
  request.offset = params.offset;
  request.max_bytes = static_cast<std::size_t>(params.max_bytes.value_or(limits::chunk_bytes));
  request.encoding = params.encoding.value_or(api::Encoding::utf8);
  request.timestamps = params.timestamps.value_or(false);
  if (request.max_bytes == 0 || request.max_bytes > limits::read_bytes_max)
    return reply(bad("params.maxBytes", "must be 1 to " + std::to_string(limits::read_bytes_max)));
  const std::uint64_t wait_ms = params.wait_ms.value_or(0);
  if (wait_ms > static_cast<std::uint64_t>(limits::longest_poll.count()))
    return reply(bad("params.waitMs", "must be at most " + std::to_string(limits::longest_poll.count())));
  if (params.since) {
    SystemTime since;
    if (!from_iso8601(*params.since, since))
      return reply(bad("params.since", "must be a time such as 2026-01-31T12:00:00Z"));
    auto offset = session.log(request.stream, kernel.logs_dir()).offset_since(since);
    if (!offset) return reply(offset.error());
    request.offset = std::max(request.offset, *offset);
  }
  const stream::LogState state = session.log_state(request.stream);
  if (request.offset > state.tail)
    return reply(bad("params.offset", std::to_string(request.offset) + " is beyond the stream's end at " +
                                          std::to_string(state.tail)));

  const auto try_answer = [&kernel, key = session.key(), request, reply](bool give_up) {
    session::Session* found = kernel.sessions().find_key(key);
    if (!found) {
      reply(Error(Code::not_found, "the session was forgotten"));
      return true;
    }
    auto result = read_now(*found, kernel.logs_dir(), request, give_up);
    if (!result) {
      reply(result.error());
      return true;
    }
    if (result->next_offset == result->offset && !result->eof && !give_up) return false;
    kernel.note_read(*found, request.stream, result->next_offset);
    kernel.update_pins(*found);
    reply(*result);
    return true;
  };
  if (try_answer(wait_ms == 0)) return;
  kernel.add_pending_read(session, request.stream, try_answer, std::chrono::milliseconds(wait_ms));
}

}  // namespace kairo::kernel
