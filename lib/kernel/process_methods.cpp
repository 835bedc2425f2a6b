// process.* but spawn, status, explain and output.
#include <optional>
#include <signal.h>

#include "base/ids.hpp"
#include "base/signals.hpp"
#include "kernel/handlers.hpp"
#include "stream/text.hpp"

namespace kairo::kernel {
namespace {

Error bad(const std::string& path, const std::string& problem) {
  return Error(Code::invalid_params, path + " " + problem).with("path", path);
}

/// Nothing, or why `value` milliseconds are too many.
std::optional<Error> longer_than(std::chrono::milliseconds most, std::optional<std::uint64_t> value,
                                 const char* path) {
  if (!value || *value <= static_cast<std::uint64_t>(most.count())) return std::nullopt;
  return bad(path, "must be at most " + std::to_string(most.count()));
}

Error ended(const session::Session& session, const char* consequence) {
  return Error(Code::not_running, "session \"" + session.id() + "\" has ended; " + consequence)
      .with("id", session.id());
}

/// Sends a signal and then answers with the session; `done` runs before, when it was sent. `before` is the
/// session's note as it was: what has been changed for this signal is kept by the keeper ahead of it, and
/// taken back when it could not be sent.
void send(Kernel& kernel, session::Session& session, const session::Note& before, int number,
          keeper::SignalScope scope, const Reply<api::ProcessSession>& reply,
          std::function<void(session::Session&)> done) {
  if (session.note() != before) kernel.remember(session);
  const session::Note changed = session.note();
  kernel.link().signal(
      session.key(), number, scope,
      [&kernel, key = session.key(), id = session.id(), before, changed, number, reply,
       done = std::move(done)](int error) {
        session::Session* found = kernel.sessions().find_key(key);
        if (error != 0 && found && found->running() && found->note() == changed) {
          found->restore(before);
          kernel.remember(*found);
        }
        if (error == ESRCH || !found)
          return reply(Error(Code::not_running, "session \"" + id + "\" has ended; no signal was sent")
                           .with("id", id));
        if (error != 0)
          return reply(system_error("cannot send " + signal_name(number) + " to session \"" + id + "\"",
                                    error, error == EPERM ? Code::permission_denied : Code::internal));
        if (done) done(*found);
        reply.packed(found->packed_view());
      });
}

}  // namespace

void list(Kernel& kernel, Call& call, api::ListParams params, Reply<api::ListResult> reply) {
  std::uint64_t after = 0;
  if (params.after) {
    const auto number = [&]() -> std::optional<std::uint64_t> {
      if (params.after->empty() || params.after->size() > 20) return std::nullopt;
      std::uint64_t value = 0;
      for (const char c : *params.after) {
        if (c < '0' || c > '9') return std::nullopt;
        value = value * 10 + static_cast<std::uint64_t>(c - '0');
      }
      return value;
    }();
    if (!number) return reply(bad("params.after", "must be the `next` of an earlier answer"));
    after = *number;
  }
  const std::size_t most = kernel.settings().list_page;
  const std::size_t limit = params.limit.value_or(most);
  if (limit == 0 || limit > most) return reply(bad("params.limit", "must be 1 to " + std::to_string(most)));
  std::optional<std::pair<std::string, std::optional<std::string>>> label;
  if (params.label) {
    const std::size_t equals = params.label->find('=');
    label.emplace(params.label->substr(0, equals), std::nullopt);
    if (equals != std::string::npos) label->second = params.label->substr(equals + 1);
  }
  api::ListResult result;
  std::size_t bytes = 0;
  std::uint64_t last = 0;
  kernel.sessions().for_each(after, [&](session::Session& each) {
    if (!kernel.may_act(call.client->principal(), each.record().owned_by())) return true;
    if (params.status && each.status() != *params.status) return true;
    if (params.owner && each.record().owner != *params.owner) return true;
    if (label) {
      const auto it = each.record().labels.find(label->first);
      if (it == each.record().labels.end() || (label->second && it->second != *label->second)) return true;
    }
    if (result.sessions.size() == limit || bytes >= limits::list_page_bytes) {
      result.next = std::to_string(last);
      return false;
    }
    last = each.key();
    result.sessions.push_back(each.view());
    // What may be long; a page always has a session, which fits any frame.
    for (const std::string& word : each.record().argv) bytes += word.size() + 5;
    for (const auto& [key, value] : each.record().labels) bytes += key.size() + value.size() + 10;
    bytes += each.record().cwd.size() + 600;
    return true;
  });
  reply(result);
}

void wait(Kernel& kernel, Call& call, api::WaitParams params, Reply<api::ProcessSession> reply) {
  if (const auto error = longer_than(limits::longest_wait, params.timeout_ms, "params.timeoutMs"))
    return reply(*error);
  auto session = kernel.reach(*call.client, params.id);
  if (!session) return reply(session.error());
  kernel.add_wait(**session, call, std::move(reply), params.timeout_ms);
}

void kill(Kernel& kernel, Call& call, api::KillParams params, Reply<api::ProcessSession> reply) {
  int number = SIGTERM;
  if (params.signal) {
    const auto* text = std::get_if<std::string>(&*params.signal);
    const std::string name = text ? *text : std::to_string(std::get<std::int32_t>(*params.signal));
    const auto found = signal_number(name);
    if (!found)
      return reply(Error(Code::invalid_params,
                         "params.signal \"" + name.substr(0, 64) +
                             "\" is no signal: give a name such as SIGTERM or a number from 1 to " +
                             std::to_string(SIGRTMAX))
                       .with("path", std::string("params.signal")));
    number = *found;
  }
  if (const auto error =
          longer_than(limits::longest_grace, params.escalate_after_ms, "params.escalateAfterMs"))
    return reply(*error);
  auto reached = kernel.reach(*call.client, params.id);
  if (!reached) return reply(reached.error());
  session::Session& session = **reached;
  if (!session.running()) return reply(ended(session, "no signal was sent"));
  const auto scope = static_cast<keeper::SignalScope>(params.scope.value_or(api::Scope::group));
  const std::string by = call.client->principal().name();
  const session::Note before = session.note();
  if (signal_terminates(number)) {
    session.note_signal(number, by);
    session.set_paused(false);  // a terminating signal is followed by SIGCONT
  }
  if (number == SIGSTOP) session.set_paused(true);
  if (number == SIGCONT) session.set_paused(false);
  send(kernel, session, before, number, scope, reply,
       [&kernel, number, by, escalate = params.escalate_after_ms,
        correlation = std::string(call.correlation_id),
        causation = std::string(call.causation_id)](session::Session& hit) {
         kernel.emit(hit, "kairo.process.signaled", {{"signal", signal_name(number)}, {"by", by}},
                     correlation, causation);
         if (escalate && hit.running()) kernel.kill_after(hit, std::chrono::milliseconds(*escalate));
       });
}

namespace {
void pause_or_resume(Kernel& kernel, Call& call, const std::string& id,
                     const Reply<api::ProcessSession>& reply, bool pause) {
  auto reached = kernel.reach(*call.client, id);
  if (!reached) return reply(reached.error());
  if (!(*reached)->running()) return reply(ended(**reached, "nothing was changed"));
  const session::Note before = (*reached)->note();
  (*reached)->set_paused(pause);
  send(kernel, **reached, before, pause ? SIGSTOP : SIGCONT, keeper::SignalScope::group, reply,
       [&kernel, pause, changed = before.paused != pause, by = call.client->principal().name(),
        correlation = std::string(call.correlation_id),
        causation = std::string(call.causation_id)](session::Session& hit) {
         if (!changed) return;
         kernel.emit(hit, pause ? "kairo.process.paused" : "kairo.process.resumed", {{"by", by}}, correlation,
                     causation);
       });
}
}  // namespace

void pause(Kernel& kernel, Call& call, api::IdParams params, Reply<api::ProcessSession> reply) {
  pause_or_resume(kernel, call, params.id, reply, true);
}

void resume(Kernel& kernel, Call& call, api::IdParams params, Reply<api::ProcessSession> reply) {
  pause_or_resume(kernel, call, params.id, reply, false);
}

void cancel(Kernel& kernel, Call& call, api::CancelParams params, Reply<api::ProcessSession> reply) {
  if (const auto error = longer_than(limits::longest_grace, params.grace_ms, "params.graceMs"))
    return reply(*error);
  auto reached = kernel.reach(*call.client, params.id);
  if (!reached) return reply(reached.error());
  session::Session& session = **reached;
  const std::uint64_t grace = params.grace_ms.value_or(session.record().kill_grace_ms);
  if (!kernel.cancel(session, call.client->principal().name(), params.reason,
                     std::chrono::milliseconds(grace), call.correlation_id, call.causation_id))
    return reply(ended(session, "there is nothing to cancel"));
  reply.packed(session.packed_view());
}

void forget(Kernel& kernel, Call& call, api::IdParams params, Reply<api::Done> reply) {
  auto reached = kernel.reach(*call.client, params.id);
  if (!reached) return reply(reached.error());
  session::Session& session = **reached;
  if (!session.ended())
    return reply(
        Error(Code::invalid_request,
              "session \"" + session.id() + "\" has not ended, so it cannot be forgotten; cancel it first")
            .with("id", session.id()));
  if (session.slot())
    return reply(Error(Code::invalid_request,
                       "session \"" + session.id() +
                           "\" has ended, but descendants that it left still write to its output")
                     .with("id", session.id()));
  kernel.forget(session);
  reply(api::Done{});
}

void resize(Kernel& kernel, Call& call, api::ResizeParams params, Reply<api::Done> reply) {
  auto reached = kernel.reach(*call.client, params.id);
  if (!reached) return reply(reached.error());
  reply(Error(Code::unsupported, "session \"" + params.id + "\" has no terminal to resize"));
}

void stdin_write(Kernel& kernel, Call& call, api::StdinWriteParams params,
                 Reply<api::StdinWriteResult> reply) {
  if (params.encoding && *params.encoding != "utf8" && *params.encoding != "base64")
    return reply(Error(Code::invalid_params, "params.encoding must be one of \"utf8\", \"base64\", not \"" +
                                                 params.encoding->substr(0, 64) + "\"")
                     .with("path", std::string("params.encoding")));
  if (params.encoding == "base64") {
    auto decoded = stream::decode_base64(params.data.data);
    if (!decoded)
      return reply(Error(Code::invalid_params, "params.data " + decoded.error().message)
                       .with("path", std::string("params.data")));
    params.data.data = std::move(*decoded);
  }
  auto reached = kernel.reach(*call.client, params.id);
  if (!reached) return reply(reached.error());
  session::Session& session = **reached;
  // A repeat of what was accepted is answered as accepted, after the end too: its first answer was lost.
  const std::uint64_t accepted = params.offset ? session.stdin_state().offset : 0;
  if (!params.data.data.empty() && params.offset && *params.offset <= accepted &&
      params.data.data.size() <= accepted - *params.offset)
    return reply(api::StdinWriteResult{0, accepted});
  auto queue = kernel.stdin_of(session);
  if (!queue) return reply(queue.error());
  if (!(*queue)->has_ring()) {
    auto ring = (*queue)->make_ring();
    if (!ring) return reply(ring.error());
    auto passed = kernel.link().stdin_ring(session.key(), *ring, [&kernel, key = session.key()] {
      session::Session* found = kernel.sessions().find_key(key);
      session::StdinQueue* in = found ? found->standard_input() : nullptr;
      if (!in) return;
      in->ring_kept();
      kernel.after_stdin(*found);
    });
    if (!passed) {
      (*queue)->drop_ring();
      return reply(passed.error());
    }
  }
  if ((*queue)->closing())
    return reply(
        Error(Code::stdin_closed, "stdin of session \"" + session.id() + "\" was closed; nothing was written")
            .with("written", std::int64_t{0}));
  (*queue)->write(std::move(params.data.data), params.offset,
                  [reply](Result<session::StdinQueue::Written> written) {
                    if (!written) return reply(written.error());
                    reply(api::StdinWriteResult{written->written, written->offset});
                  });
  kernel.after_stdin(session);
}

void stdin_close(Kernel& kernel, Call& call, api::IdParams params, Reply<api::Done> reply) {
  auto reached = kernel.reach(*call.client, params.id);
  if (!reached) return reply(reached.error());
  session::Session& session = **reached;
  if (!session.running()) return reply(ended(session, "its stdin is closed"));
  auto queue = kernel.stdin_of(session);
  if (!queue) return reply(queue.error());
  (*queue)->close();  // a second close has nothing to do
  kernel.after_stdin(session);
  reply(api::Done{});
}

}  // namespace kairo::kernel
