#include "client/lasting_client.hpp"

#include <algorithm>
#include <array>

#include "base/ids.hpp"

namespace kairo::client {
namespace {

/// Where details.session stands is for the daemon to say.
template <class Detail>
const Detail* find_detail(const Error& error, std::string_view name) {
  for (const auto& [key, value] : error.details)
    if (key == name) return std::get_if<Detail>(&value);
  return nullptr;
}

std::string nothing_done() {
  return reflect::to_msgpack(api::Done{});
}

Error not_known(const std::string& method, const Error& why, const std::string& path) {
  return Error(Code::not_running,
               "it is not known whether \"" + method +
                   "\" was done, and it is not repeated, since that might do it twice: " + why.message)
      .with("method", method)
      .with("socket", path);
}

}  // namespace

Repeat repeat_of(std::string_view method) {
  static constexpr std::array<std::string_view, 23> safe{
      "kernel.ping",     "kernel.info",     "kernel.introspect",  "process.status",      "process.list",
      "process.wait",    "process.attach",  "process.read",       "process.cancel",      "process.pause",
      "process.resume",  "process.resize",  "process.forget",     "process.stdin.close", "process.spawn",
      "event.subscribe", "event.query",     "system.get_metrics", "device.list",         "device.claim",
      "device.release",  "topology.status", "topology.list"};
  return std::find(safe.begin(), safe.end(), method) != safe.end() ? Repeat::safe : Repeat::never;
}

bool is_answer_to(const api::ProcessSession& session, const api::SpawnParams& params, SystemTime asked) {
  SystemTime started;
  return session.argv == params.command && from_iso8601(session.started_at, started) && started >= asked;
}

std::optional<api::ProcessSession> existing_session(const Error& error) {
  const auto* raw = find_detail<Error::Raw>(error, "session");
  if (error.code != Code::already_exists || !raw) return std::nullopt;
  auto session = Client::decoded<api::ProcessSession>(raw->msgpack);
  if (!session) return std::nullopt;
  return *std::move(session);
}

Error after_reconnect(Error error) {
  if (error.code == Code::not_found)
    error.message +=
        "; the connection was lost meanwhile, and the daemon that answers now does not know it: what it does "
        "not "
        "know was forgotten or went with the daemon before";
  return error;
}

void StreamPosition::took(const api::ChunkView& chunk) {
  std::size_t bytes = chunk.chunk.size();
  if (chunk.encoding == api::Encoding::base64) {
    std::size_t padding = 0;
    while (padding < 2 && padding < bytes && chunk.chunk[bytes - 1 - padding] == '=') ++padding;
    bytes = bytes / 4 * 3 - padding;
  }
  offset = chunk.offset + bytes;
  eof = eof || chunk.eof;
}

Result<LastingClient> LastingClient::connect(ReconnectOptions options) {
  Reconnector reconnector(std::move(options));
  auto channel = reconnector.connect();
  if (!channel) return std::move(channel).error();
  return LastingClient(*std::move(channel), std::move(reconnector));
}

// --- requests ----------------------------------------------------------------------------------------

LastingClient::Ticket LastingClient::send(std::string_view method, const api::WaitParams& params) {
  Remake remake;
  if (params.timeout_ms) {
    constexpr std::uint64_t year_ms = 365ull * 24 * 3600 * 1000;  // more would overflow a time point
    const SteadyTime until =
        SteadyClock::now() + std::chrono::milliseconds(std::min(*params.timeout_ms, year_ms));
    remake = [params, until] {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - SteadyClock::now()).count();
      return reflect::to_msgpack(api::WaitParams{params.id, left > 0 ? static_cast<std::uint64_t>(left) : 0});
    };
  }
  return add(
      {.method = std::string(method), .params = reflect::to_msgpack(params), .remake = std::move(remake)});
}

LastingClient::Ticket LastingClient::send(std::string_view method, const api::SpawnParams& params) {
  Spawn spawn{params, system_now()};
  if (!spawn.params.id) spawn.params.id = "p-" + random_id(12);
  std::string bytes = reflect::to_msgpack(spawn.params);
  return add({.method = std::string(method), .params = std::move(bytes), .spawn = std::move(spawn)});
}

LastingClient::Ticket LastingClient::send(std::string_view method, const api::StdinWriteParams& params,
                                          Remake remake) {
  Pending pending{.method = std::string(method), .params = reflect::to_msgpack(params)};
  pending.remake = std::move(remake);
  pending.repeatable = params.offset.has_value();
  return add(std::move(pending));
}

LastingClient::Ticket LastingClient::add(Pending pending) {
  pending.repeatable = pending.repeatable || pending.remake || repeat_of(pending.method) == Repeat::safe;
  Pending& added = pending_.emplace(next_ticket_, std::move(pending)).first->second;
  if (!lost_) ask(added);
  return next_ticket_++;
}

void LastingClient::ask(Pending& pending) {
  pending.id = client_.send(pending.method, std::string_view(pending.params));
  pending.end = client_.channel().queued_bytes();
}

/// After the connection was found again.
void LastingClient::repeat(Pending& pending) {
  if (pending.end > 0) {  // it may have been done
    pending.repeated = true;
    if (pending.remake) pending.params = pending.remake();
    if (pending.spawn && !pending.spawn->probing && pending.spawn->params.options &&
        pending.spawn->params.options->replace.value_or(false)) {
      // What it would replace might be what it has started itself, and that may have ended.
      api::SpawnParams probe = pending.spawn->params;
      probe.options->replace = false;
      pending.params = reflect::to_msgpack(probe);
      pending.spawn->probing = true;
    }
  }
  ask(pending);
}

void LastingClient::on_lost(Error why) {
  for (auto& [ticket, pending] : pending_) {
    if (pending.answer) continue;
    if (auto answer = client_.take(pending.id)) {
      pending.answer = std::move(answer);
    } else if (client_.channel().sent_bytes() < pending.end) {
      pending.end = 0;  // no daemon has seen all of it
    } else if (!pending.repeatable) {
      pending.answer = Result<std::string>(not_known(pending.method, why, client_.path()));
    }
  }
  for (;;) {
    auto push = client_.poll_push(SteadyClock::now());
    if (!push || !*push) break;
    pushes_.push_back(**std::move(push));
  }
  reconnector_.lost(why);
  lost_ = std::move(why);
}

Result<void> LastingClient::ensure_connected() {
  if (!lost_) return {};
  auto channel = reconnector_.reconnect();
  if (!channel) return std::move(channel).error();
  client_ = Client(*std::move(channel));
  lost_.reset();
  for (auto& [ticket, pending] : pending_)
    if (!pending.answer) repeat(pending);
  return {};
}

Result<std::string> LastingClient::await_raw(Ticket ticket, Deadline deadline) {
  const auto found = pending_.find(ticket);
  if (found == pending_.end())
    return Error(Code::invalid_request,
                 "there is no request " + std::to_string(ticket) + " that is unanswered");
  Pending& pending = found->second;
  for (;;) {
    if (!pending.answer) {
      auto connected = ensure_connected();
      if (!connected) {
        pending_.erase(found);
        return std::move(connected).error();
      }
      auto come = client_.wait(pending.id, deadline);
      if (come && !*come)
        return Error(Code::timeout, "no answer from the daemon at " + path() + " in time; it may still come");
      if (!come) {
        if (!is_unreachable(come.error())) return std::move(come).error();
        on_lost(std::move(come).error());
        continue;
      }
      reconnector_.answered();
      pending.answer = client_.take(pending.id);
    }
    if (auto settled = settle(pending, *std::exchange(pending.answer, std::nullopt))) {
      pending_.erase(found);
      return *std::move(settled);
    }
  }
}

/// The answer as the caller is to have it; nothing when something else was asked in its place.
std::optional<Result<std::string>> LastingClient::settle(Pending& pending, Result<std::string> answer) {
  if (answer) return answer;
  Error error = std::move(answer).error();
  if (pending.spawn) return settle_spawn(pending, std::move(error));
  if (pending.repeated) {
    if (pending.method == "process.forget" && error.code == Code::not_found) return nothing_done();
    if (pending.method == "process.stdin.close" && error.code == Code::not_running) return nothing_done();
    const auto* id = find_detail<std::string>(error, "id");
    if (pending.method == "process.cancel" && error.code == Code::not_running && id) {
      pending.method = "process.status";
      pending.params = reflect::to_msgpack(api::IdParams{*id});
      if (!lost_) ask(pending);
      return std::nullopt;
    }
  }
  if (reconnector_.times() > 0) error = after_reconnect(std::move(error));
  return Result<std::string>(std::move(error));
}

std::optional<Result<std::string>> LastingClient::settle_spawn(Pending& pending, Error error) {
  Spawn& spawn = *pending.spawn;
  if (error.code == Code::shutting_down && reconnector_.options().patience.count() > 0 && !lost_) {
    // Nothing was started; the next daemon is asked.
    pending.end = 0;
    Error stopping(Code::not_running, error.message);
    on_lost(std::move(stopping).with("socket", client_.path()));
    return std::nullopt;
  }
  if (pending.repeated && error.code == Code::already_exists) {
    auto session = existing_session(error);
    if (session && is_answer_to(*session, spawn.params, spawn.asked)) {
      api::SpawnResult result;
      static_cast<api::ProcessSession&>(result) = *std::move(session);
      result.process_id = result.id;
      return Result<std::string>(reflect::to_msgpack(result));
    }
    if (spawn.probing) {
      pending.params = reflect::to_msgpack(spawn.params);
      spawn.probing = false;
      if (lost_) return std::nullopt;
      ask(pending);
      return std::nullopt;
    }
  }
  return Result<std::string>(std::move(error));
}

// --- pushes ------------------------------------------------------------------------------------------

Result<std::optional<Push>> LastingClient::poll_push(Deadline deadline) {
  if (!lost_ && pushes_.empty()) {
    auto push = client_.poll_push(deadline);
    if (push && *push) reconnector_.answered();
    if (push || !is_unreachable(push.error())) return push;
    on_lost(std::move(push).error());
  }
  if (pushes_.empty()) return *lost_;
  std::optional<Push> first(std::move(pushes_.front()));
  pushes_.pop_front();
  return first;
}

}  // namespace kairo::client
