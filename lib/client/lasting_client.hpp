// A Client that outlives its daemon: when the connection is lost (kill -9, restart, upgrade) it finds the
// next daemon by a Reconnector, and what was asked and not answered is asked again where that is safe. So a
// call either has its effect once, or says that it is not known whether it had one.
//
//   auto client = LastingClient::connect({});
//   auto ended = client->call<api::ProcessSession>("process.wait", api::WaitParams{id, {}});
//
// What becomes of a request whose answer was lost (repeat_of() tells it by method):
// - What changes nothing when done twice is repeated. A process.wait keeps its deadline: the repeat waits for
// what is
//   left of it. An E_NOT_FOUND for a repeated process.forget, and an E_NOT_RUNNING for a repeated
//   process.stdin.close, say that it had been done; for a repeated process.cancel the session's state is the
//   answer.
// - process.spawn always carries an id (one is made where none is given), so a repeat that finds the session
// there
//   is answered with it, if it is the one that was asked for (is_answer_to).
// - process.stdin.write is repeated when it carries an offset, or when send() was given the params of a
// repeat.
// - All else (process.kill, event.publish) is only sent again when no whole frame of it had left. Otherwise
// its
//   answer is E_NOT_RUNNING, which says so.
// A spawn that a stopping daemon refuses (E_SHUTTING_DOWN) goes to the next one.
//
// Subscriptions end with their connection: poll_push() then returns E_NOT_RUNNING once everything that had
// come was taken; the next request connects again, and process.attach with `from` behind the last byte goes
// on without gap or repeat (StreamPosition keeps count). reconnects() tells whether an earlier subscription
// of several is gone. `identify` and descriptors are Client's alone: neither outlives a connection.
//
// Where the daemon cannot be found again in time, calls return E_NOT_RUNNING (is_unreachable). Used by one
// thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>

#include "client/client.hpp"
#include "client/reconnector.hpp"

namespace kairo::client {

enum class Repeat { safe, never };
/// Whether a method may be asked again when it is not known whether it was done.
Repeat repeat_of(std::string_view method);

/// Whether `session` is what `params`, sent at `asked`, started: its words, and no older.
bool is_answer_to(const api::ProcessSession& session, const api::SpawnParams& params, SystemTime asked);
/// The session that an E_ALREADY_EXISTS tells of, if it does.
std::optional<api::ProcessSession> existing_session(const Error& error);
/// An E_NOT_FOUND of a daemon that came after the one that was asked first, put plainly; others as they are.
Error after_reconnect(Error error);

/// How far one stream was received.
struct StreamPosition {
  std::uint64_t offset = 0;  ///< Of the next byte, or, in line mode, of the next line.
  bool eof = false;
  void took(const api::ChunkView& chunk);
};

class LastingClient {
 public:
  using Deadline = Client::Deadline;
  using Ticket = std::uint64_t;
  /// Makes the params (MsgPack bytes) of a repeat.
  using Remake = std::function<std::string()>;

  static Result<LastingClient> connect(ReconnectOptions options);
  LastingClient(Channel channel, Reconnector reconnector)
      : reconnector_(std::move(reconnector)), client_(std::move(channel)) {}

  /// Queues a request, connecting again first where that is necessary is left to await(). With `remake` it is
  /// repeatable, whatever the method, and a repeat has the params that `remake` makes.
  template <class Params>
  Ticket send(std::string_view method, const Params& params, Remake remake = {}) {
    return add(
        {.method = std::string(method), .params = reflect::to_msgpack(params), .remake = std::move(remake)});
  }
  Ticket send(std::string_view method, const api::WaitParams& params);
  Ticket send(std::string_view method, const api::SpawnParams& params);
  Ticket send(std::string_view method, const api::StdinWriteParams& params, Remake remake = {});

  /// Waits for the answer: the MsgPack bytes of its result. E_TIMEOUT at the deadline: it can be awaited
  /// again; the deadline bounds the wait for answers, not the search for a daemon. Every ticket is answered
  /// once.
  Result<std::string> await_raw(Ticket ticket, Deadline deadline = {});
  template <class R>
  Result<R> await(Ticket ticket, Deadline deadline = {}) {
    auto raw = await_raw(ticket, deadline);
    if (!raw) return std::move(raw).error();
    return Client::decoded<R>(*raw);
  }
  template <class R, class Params>
  Result<R> call(std::string_view method, const Params& params, Deadline deadline = {}) {
    return await<R>(send(method, params), deadline);
  }
  template <class Params>
  Result<std::string> call_raw(std::string_view method, const Params& params, Deadline deadline = {}) {
    return await_raw(send(method, params), deadline);
  }

  /// The next event or chunk, in order; nothing at the deadline. E_NOT_RUNNING when the connection is gone
  /// and all that had come over it was taken.
  Result<std::optional<Push>> poll_push(Deadline deadline);

  [[nodiscard]] unsigned reconnects() const { return reconnector_.times(); }
  [[nodiscard]] bool connected() const { return !lost_; }
  [[nodiscard]] const std::string& path() const { return client_.path(); }

 private:
  struct Spawn {
    api::SpawnParams params;
    SystemTime asked;
    bool probing = false;  ///< Asked without `replace`, to see whether the session is there already.
  };
  struct Pending {
    std::string method = {};
    std::string params = {};
    Remake remake = {};
    bool repeatable = false;
    bool repeated = false;
    std::optional<Spawn> spawn = {};
    std::uint64_t id = 0;   ///< On the present connection.
    std::uint64_t end = 0;  ///< Of its frame among all that was queued there.
    std::optional<Result<std::string>> answer =
        {};  ///< Came before the connection was lost, or instead of it.
  };

  Ticket add(Pending pending);
  void ask(Pending& pending);
  void repeat(Pending& pending);
  void on_lost(Error why);
  Result<void> ensure_connected();
  std::optional<Result<std::string>> settle(Pending& pending, Result<std::string> answer);
  std::optional<Result<std::string>> settle_spawn(Pending& pending, Error error);

  Reconnector reconnector_;
  Client client_;
  std::optional<Error> lost_;  ///< Set while there is no connection.
  std::map<Ticket, Pending> pending_;
  Ticket next_ticket_ = 1;
  std::deque<Push> pushes_;  ///< Of connections that are gone.
};

}  // namespace kairo::client
