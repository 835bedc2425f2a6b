// kairoctl run: behaves like the program that it runs.
//
// One write carries everything: spawn, a lossless subscription to both streams, and the wait, under an id
// that is chosen here. After that a single loop moves four things, none of which may hold up another: frames
// from the daemon, bytes to stdout and stderr, bytes from stdin, and signals. A chunk is written straight
// from the receive buffer; while it cannot be written nothing further is read from the daemon, which then
// holds back the program once its log is full: the back-pressure of a pipe, with a larger pipe.
//
// When the connection is lost, all that it had brought is taken in first (what cannot be written yet waits in
// the backlog), since the bytes before those may be gone from the log. Then the next daemon is asked for what
// is missing: output from the offsets behind the last byte, the end, and stdin from the first write that was
// not answered, with its offset, so that what had been accepted is skipped. A spawn without an answer is
// asked once more under its id, and a session that is there already is the one that the first try started.
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <deque>
#include <memory>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/ids.hpp"
#include "base/limits.hpp"
#include "base/signals.hpp"
#include "client/lasting_client.hpp"
#include "context.hpp"
#include "denial_lines.hpp"
#include "option_set.hpp"
#include "program_options.hpp"
#include "run_streams.hpp"
#include "wire/payload.hpp"

namespace kairo::ctl {
namespace {

/// Larger than the default, since one frame becomes one write.
constexpr std::uint32_t chunk_bytes = 256u << 10;
/// One stdin.write, and how many may be unanswered: together what the daemon takes at once
/// (limits::stdin_bytes).
constexpr std::size_t stdin_piece_bytes = 256u << 10;
constexpr std::size_t stdin_writes_in_flight = limits::stdin_bytes / stdin_piece_bytes;
/// A program that ignored SIGPIPE and goes on writing to nobody for so long gets SIGTERM.
constexpr std::chrono::seconds broken_pipe_patience{2};
/// How often a background process looks whether the terminal is its own now, milliseconds.
constexpr int background_check_ms = 500;
/// So many interrupts without an answer and this client leaves: the daemon hangs.
constexpr int unanswered_interrupts = 3;

struct Options {
  ProgramOptions program;
  bool remove = false;
  bool pty = false;
  bool no_pty = false;
  bool interactive = false;
};

class Run {
 public:
  Run(client::Channel channel, client::Reconnector reconnector, bool remove)
      : channel_(std::move(channel)), reconnector_(std::move(reconnector)), remove_(remove) {}

  /// `params` has an id.
  int go(api::SpawnParams params);

 private:
  enum class Asked { probe, spawn, attach, wait, stdin_write, stdin_close, signal, explain, forget };
  struct Request {
    std::uint64_t id = 0;
    Asked what = Asked::spawn;
    std::uint64_t end = 0;  ///< Of its frame among all that was queued.
    int signal = 0;
    std::optional<std::uint64_t> escalate_after_ms = {};
  };
  struct Signal {
    int number = 0;
    std::optional<std::uint64_t> escalate_after_ms = {};
  };
  struct Output {
    OutputEnd end;
    client::StreamPosition position = {};
    bool broken = false;
    SteadyTime broken_at{};
    bool terminated = false;
  };
  struct Backlog {
    Output* output = nullptr;
    std::string bytes;
  };

  template <class Params>
  Request& ask(Asked what, std::string_view method, const Params& params) {
    const std::uint64_t id = channel_.request(method, params);
    return asked_.emplace_back(Request{id, what, channel_.queued_bytes()});
  }
  void ask_spawn();
  void attach();
  void ask_wait();
  void ask_denials();
  void forget();
  void ask_write(const std::string& data, std::optional<std::uint64_t> offset);
  void block_signals();
  void read_signals();
  void forward(int number, std::optional<std::uint64_t> escalate_after_ms = {});
  void forward_early_signals();
  void read_stdin();
  void stop_stdin();
  Result<void> read_frames();
  Result<void> on_response(std::string_view payload);
  Result<void> on_written(const msgpack::object& result);
  Result<void> on_spawned();
  Result<void> on_spawn_refused(Error error);
  void on_spawn_error(const Error& error);
  Result<void> on_wait(const msgpack::object& session);
  Result<void> on_chunk(std::string_view payload);
  bool write_pending();
  bool write_backlog();
  void on_broken(Output& output);
  Result<void> poll_once();
  Result<void> poll_away();
  Result<void> move_frames(bool readable, bool writable);
  Result<void> on_lost(Error why);
  void ask_again(std::uint64_t had_sent);
  void go_on();
  [[nodiscard]] bool complete() const;
  [[nodiscard]] bool stdin_has_room() const {
    return unanswered_.size() < stdin_writes_in_flight && !channel_.wants_to_send();
  }
  Output& output_of(api::StreamName stream) { return outputs_[static_cast<std::size_t>(stream)]; }
  int fail(const Error& error) {
    report(error);
    return exit_code::run_failed;
  }

  client::Channel channel_;
  client::Reconnector reconnector_;
  bool away_ = false;  ///< The connection is lost; channel_ is that one, read to its end.
  api::SpawnParams spawn_;
  SystemTime spawn_asked_;
  bool spawn_repeated_ = false;
  std::string id_;
  bool remove_;
  std::vector<Request> asked_;  // few at a time, the oldest first
  wire::PayloadDecoder decoder_;
  std::array<Output, 2> outputs_{Output{OutputEnd(STDOUT_FILENO)}, Output{OutputEnd(STDERR_FILENO)}};
  std::string_view pending_;  ///< What is left of the chunk under way, in the receive buffer or in held_.
  Output* pending_output_ = nullptr;
  std::deque<Backlog> backlog_;  ///< Chunks of a connection that is gone, behind pending_.
  std::string held_;
  InputEnd input_;
  bool has_stdin_ = false;
  bool stdin_open_ = false;     ///< Started, and more may be forwarded.
  bool stdin_closing_ = false;  ///< Its end was reached, and that is not answered yet.
  std::string stdin_buffer_;
  std::deque<std::string> unanswered_;  ///< Writes, in order.
  std::uint64_t stdin_offset_ = 0;      ///< Where the first of them begins.
  UniqueFd signals_;
  std::vector<Signal> early_signals_;  ///< Came before the program was started, or while there is no daemon.
  int interrupts_ = 0;
  bool spawned_ = false;
  bool waited_ = false;
  std::optional<Error> echo_;
  bool forgetting_ = false;
  bool explaining_ = false;          ///< It is asked what was denied.
  std::vector<std::string> denied_;  ///< Lines about that, for the end of stderr.
  bool line_open_ = false;           ///< Where stderr leads to a line has begun and not ended.
  const bool one_terminal_ = isatty(STDOUT_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
  std::optional<int> exit_code_;
  std::optional<int> failed_;  ///< Leave with this exit code.
};

void Run::block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH}) sigaddset(&set, number);
  signals_.reset(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  // Blocked but not listened to: a write to a closed pipe then fails instead of ending us.
  sigaddset(&set, SIGPIPE);
  sigprocmask(SIG_BLOCK, &set, nullptr);
}

void Run::ask_spawn() {
  echo_.reset();
  ask(Asked::spawn, "process.spawn", spawn_);
  attach();
  ask_wait();
}

void Run::attach() {
  api::AttachParams params;
  params.id = id_;
  params.flow = api::Flow::lossless;
  params.encoding = api::Encoding::binary;
  params.max_chunk_bytes = chunk_bytes;
  const auto& [out, err] = outputs_;
  if (out.position.offset + err.position.offset > 0)
    params.from = api::FromOffsets{out.position.offset, err.position.offset};
  if (out.position.eof) params.streams = {{api::StreamName::standard_error}};
  if (err.position.eof) params.streams = {{api::StreamName::standard_output}};
  ask(Asked::attach, "process.attach", params);
}

void Run::ask_wait() {
  ask(Asked::wait, "process.wait", api::WaitParams{id_, {}});
}

int Run::go(api::SpawnParams params) {
  block_signals();
  spawn_ = std::move(params);
  id_ = *spawn_.id;
  if (input_.is_null()) spawn_.options->standard_input = api::StdinKind::null;
  has_stdin_ = spawn_.options->standard_input != api::StdinKind::null;
  spawn_asked_ = system_now();
  ask_spawn();
  auto moved = channel_.send_some();
  for (;;) {
    if (!moved && client::is_unreachable(moved.error()) && !away_) moved = on_lost(std::move(moved).error());
    if (!moved) return fail(moved.error());
    if (remove_ && waited_ && !explaining_ && outputs_[0].position.eof && outputs_[1].position.eof) forget();
    if (failed_ || complete()) break;
    moved = away_ ? poll_away() : poll_once();
  }
  if (!failed_ && !denied_.empty()) {
    if (line_open_) write_all(STDERR_FILENO, "\n");
    for (const std::string& each : denied_) write_all(STDERR_FILENO, each);
  }
  return failed_.value_or(exit_code_.value_or(exit_code::run_failed));
}

/// A program that failed under a declaration may have failed for it.
void Run::ask_denials() {
  explaining_ = true;
  if (away_) return;
  ask(Asked::explain, "process.explain", api::ExplainParams{id_, {}});
}

/// Not before all output has come: it goes with the session.
void Run::forget() {
  remove_ = false;
  forgetting_ = true;
  if (away_) return;
  ask(Asked::forget, "process.forget", api::IdParams{id_});
}

bool Run::complete() const {
  return exit_code_ && outputs_[0].position.eof && outputs_[1].position.eof && !pending_output_ &&
         backlog_.empty() && !forgetting_ && !explaining_;
}

Result<void> Run::poll_once() {
  std::array<pollfd, 4> watch{};
  nfds_t count = 0;
  const auto add = [&](int fd, int events) {
    watch[count] = {fd, static_cast<short>(events), 0};
    return count++;
  };
  const nfds_t daemon =
      add(channel_.fd(), (pending_output_ ? 0 : POLLIN) | (channel_.wants_to_send() ? POLLOUT : 0));
  const nfds_t signals = add(signals_.get(), POLLIN);
  const nfds_t output = pending_output_ ? add(pending_output_->end.fd(), POLLOUT) : watch.size();
  const bool background = stdin_open_ && input_.is_background();
  const nfds_t input =
      stdin_open_ && !background && stdin_has_room() ? add(STDIN_FILENO, POLLIN) : watch.size();
  if (poll(watch.data(), count, background ? background_check_ms : -1) < 0) {
    if (errno == EINTR) return {};
    return system_error("cannot wait for the daemon", errno);
  }
  if (watch[signals].revents) read_signals();
  if (output < count && watch[output].revents) write_backlog();
  if (pending_output_ && watch[daemon].revents & (POLLHUP | POLLERR))
    return Error(Code::not_running, "the connection to the daemon at " + channel_.path() + " was lost")
        .with("socket", channel_.path());
  auto moved = move_frames((watch[daemon].revents & ~POLLOUT) != 0, (watch[daemon].revents & POLLOUT) != 0);
  if (!moved) return moved;
  if (input < count && watch[input].revents) read_stdin();
  return channel_.send_some();
}

Result<void> Run::move_frames(bool readable, bool writable) {
  if (writable) {
    auto sent = channel_.send_some();
    if (!sent) return sent;
  }
  if (pending_output_) return {};
  if (readable) {
    auto received = channel_.receive_some();
    if (!received) return std::move(received).error();
    reconnector_.answered();
  }
  return read_frames();
}

// --- another daemon ----------------------------------------------------------------------------------

Result<void> Run::on_lost(Error why) {
  away_ = true;
  // The buffer that the chunk under way stands in is about to be filled again.
  if (pending_output_) {
    backlog_.push_front({pending_output_, std::string(pending_)});
    pending_output_ = nullptr;
  }
  for (;;) {
    auto read = read_frames();
    if (!read) return read;
    auto received = channel_.receive_some();
    if (!received && !client::is_unreachable(received.error())) return std::move(received).error();
    if (!received || *received == 0) break;
    reconnector_.answered();  // it served, and was gone before this client had looked
  }
  reconnector_.lost(std::move(why));
  write_backlog();
  return {};
}

/// Tries to find a daemon; signals and what is left to write go on meanwhile.
Result<void> Run::poll_away() {
  std::array<pollfd, 2> watch{pollfd{signals_.get(), POLLIN, 0}, pollfd{-1, POLLOUT, 0}};
  if (pending_output_) watch[1].fd = pending_output_->end.fd();
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(reconnector_.next_attempt() - SteadyClock::now());
  if (poll(watch.data(), watch.size(), static_cast<int>(std::max<std::int64_t>(left.count(), 0))) < 0 &&
      errno != EINTR)
    return system_error("cannot wait for a daemon", errno);
  if (watch[0].revents) read_signals();
  if (watch[1].revents) write_backlog();
  if (failed_ || complete() || SteadyClock::now() < reconnector_.next_attempt()) return {};
  auto found = reconnector_.attempt();
  if (!found) return std::move(found).error();
  if (!*found) return {};
  const std::uint64_t had_sent = channel_.sent_bytes();
  channel_ = **std::move(found);
  away_ = false;
  ask_again(had_sent);
  return channel_.send_some();
}

/// Asks a new daemon for all that the old one did not answer.
/// `had_sent`: bytes that the old connection had taken.
void Run::ask_again(std::uint64_t had_sent) {
  interrupts_ = 0;
  for (const Request& each : std::exchange(asked_, {})) {
    if (each.what != Asked::signal) continue;
    // One that no daemon has seen, that may come twice, or without which the program would go on for ever.
    if (had_sent < each.end || each.escalate_after_ms || each.signal == SIGPIPE || each.signal == SIGWINCH)
      early_signals_.insert(early_signals_.begin(), {each.signal, each.escalate_after_ms});
    else
      report(Error(Code::not_running, "it is not known whether " + signal_name(each.signal) +
                                          " reached session \"" + id_ + "\": the daemon at " +
                                          channel_.path() +
                                          " went away; it is not sent again, since it might come twice"));
  }
  if (spawned_) return go_on();
  spawn_repeated_ = true;
  // What is replaced might be what the first try has started, and that may have ended already.
  if (spawn_.options->replace.value_or(false))
    ask(Asked::probe, "process.status", api::IdParams{id_});
  else
    ask_spawn();
}

/// What is missing of a session that is known to be there.
void Run::go_on() {
  if (!outputs_[0].position.eof || !outputs_[1].position.eof) attach();
  if (!waited_) ask_wait();
  std::uint64_t offset = stdin_offset_;
  for (const std::string& each : unanswered_) {
    ask_write(each, offset);
    offset += each.size();
  }
  if (stdin_closing_) ask(Asked::stdin_close, "process.stdin.close", api::IdParams{id_});
  if (explaining_) ask_denials();
  if (forgetting_) ask(Asked::forget, "process.forget", api::IdParams{id_});
  forward_early_signals();
}

// --- signals -----------------------------------------------------------------------------------------

void Run::read_signals() {
  signalfd_siginfo info;
  while (read(signals_.get(), &info, sizeof info) == sizeof info) {
    const int number = static_cast<int>(info.ssi_signo);
    if (number == SIGINT && ++interrupts_ >= unanswered_interrupts) {
      failed_ = fail(Error(Code::timeout, "the daemon at " + channel_.path() +
                                              " does not answer; session \"" + id_ + "\" is left as it is"));
      return;
    }
    forward(number);
  }
}

void Run::forward(int number, std::optional<std::uint64_t> escalate_after_ms) {
  if (!spawned_ || away_) return early_signals_.push_back({number, escalate_after_ms});
  api::KillParams params;
  params.id = id_;
  params.signal = std::int32_t{number};
  params.escalate_after_ms = escalate_after_ms;
  Request& request = ask(Asked::signal, "process.kill", params);
  request.signal = number;
  request.escalate_after_ms = escalate_after_ms;
}

void Run::forward_early_signals() {
  for (const Signal& each : std::exchange(early_signals_, {})) forward(each.number, each.escalate_after_ms);
}

// --- standard input ----------------------------------------------------------------------------------

void Run::read_stdin() {
  stdin_buffer_.resize(stdin_piece_bytes);
  const long got = input_.read(stdin_buffer_.data(), stdin_buffer_.size());
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got <= 0) {
    // An unreadable stdin ends like an empty one, as it would for the program itself.
    stdin_open_ = false;
    stdin_closing_ = true;
    ask(Asked::stdin_close, "process.stdin.close", api::IdParams{id_});
    return;
  }
  unanswered_.emplace_back(stdin_buffer_.data(), static_cast<std::size_t>(got));
  ask_write(unanswered_.back(), {});
}

/// Only a repeat carries its offset: other writes, of `kairoctl write` say, would make it stale.
void Run::ask_write(const std::string& data, std::optional<std::uint64_t> offset) {
  api::StdinWriteParams params;
  params.id = id_;
  params.data.data = data;
  params.offset = offset;
  ask(Asked::stdin_write, "process.stdin.write", params);
}

/// The program reads no more: whoever feeds our stdin is to know.
void Run::stop_stdin() {
  if (!stdin_open_) return;
  stdin_open_ = false;
  input_.close();
}

// --- frames ------------------------------------------------------------------------------------------

Result<void> Run::read_frames() {
  while (!pending_output_) {
    auto frame = channel_.next();
    if (!frame) return std::move(frame).error();
    if (!*frame) return {};
    Result<void> taken;
    if ((*frame)->type == wire::FrameType::stream_chunk) taken = on_chunk((*frame)->payload);
    if ((*frame)->type == wire::FrameType::response) taken = on_response((*frame)->payload);
    if (!taken) return taken;
  }
  return {};
}

Result<void> Run::on_chunk(std::string_view payload) {
  auto chunk = api::read_chunk(payload);
  if (!chunk) return std::move(chunk).error();
  Output& output = output_of(chunk->stream);
  if (chunk->dropped)
    return Error(Code::internal, "the daemon dropped " + std::to_string(chunk->dropped) +
                                     " bytes at offset " + std::to_string(chunk->offset) +
                                     " of a lossless stream of session \"" + id_ +
                                     "\"; the output is not whole");
  output.position.took(*chunk);
  if (away_) {
    backlog_.push_back({&output, std::string(chunk->chunk)});
    return {};
  }
  pending_ = chunk->chunk;
  pending_output_ = &output;
  write_pending();
  return {};
}

/// False while the end takes no more.
bool Run::write_pending() {
  Output& output = *pending_output_;
  if (!output.broken && !pending_.empty()) {
    const std::string_view before = pending_;
    const OutputEnd::State state = output.end.write(pending_);
    const std::string_view written = before.substr(0, before.size() - pending_.size());
    if (!written.empty() && (&output == &outputs_[1] || one_terminal_)) line_open_ = written.back() != '\n';
    if (state == OutputEnd::State::blocked) return false;
    if (state == OutputEnd::State::broken) {
      output.broken = true;
      output.broken_at = SteadyClock::now();
      on_broken(output);
    }
  } else if (output.broken && !pending_.empty() && !output.terminated &&
             SteadyClock::now() - output.broken_at > broken_pipe_patience) {
    output.terminated = true;
    forward(SIGTERM, std::uint64_t{2000});
  }
  pending_output_ = nullptr;
  pending_ = {};
  return true;
}

/// The same for all that is to be written.
bool Run::write_backlog() {
  for (;;) {
    if (pending_output_ && !write_pending()) return false;
    if (backlog_.empty()) return true;
    held_ = std::move(backlog_.front().bytes);
    pending_ = held_;
    pending_output_ = backlog_.front().output;
    backlog_.pop_front();
  }
}

void Run::on_broken(Output& output) {
  if (output.end.error_number() == EPIPE) {
    // What its own write would have brought it.
    forward(SIGPIPE);
    return;
  }
  const std::string which = &output == &outputs_[0] ? "standard output" : "standard error";
  report(system_error("cannot write the output of session \"" + id_ + "\" to " + which + "; it is terminated",
                      output.end.error_number()));
  exit_code_ = exit_code::run_failed;
  forward(SIGTERM, std::uint64_t{2000});
  output.terminated = true;
}

void Run::on_spawn_error(const Error& error) {
  const auto detail = [&](std::string_view name) -> std::string {
    for (const auto& [key, value] : error.details)
      if (key == name)
        if (const auto* text = std::get_if<std::string>(&value)) return *text;
    return {};
  };
  failed_ = fail(error);
  if (error.code != Code::spawn_failed || detail("step") != "exec") return;
  const std::string cause = detail("errnoName");
  failed_ = cause == "ENOENT" || cause == "ENOTDIR" ? exit_code::not_found : exit_code::cannot_execute;
}

Result<void> Run::on_wait(const msgpack::object& session) {
  auto ended = reflect::from_object<api::ProcessSession>(session, "result", reflect::Unknown::ignore);
  if (!ended) return std::move(ended).error();
  waited_ = true;
  if (!exit_code_) {
    exit_code_ = ended->exit_code.value_or(exit_code::run_failed);
    if (ended->signal) exit_code_ = 128 + signal_number(*ended->signal).value_or(0);
    if (!ended->signal && !ended->exit_code) {
      const bool lost = ended->outcome && ended->outcome->reason == api::EndReason::lost;
      return Error(Code::internal, "how session \"" + id_ + "\" ended is not known" +
                                       std::string(lost ? ": its keeper was lost" : ""));
    }
    const std::string& permissions = ended->permissions.msgpack;
    const bool confined = !permissions.empty() && permissions != "\xc0";  // nil
    if (confined && *exit_code_ != 0) ask_denials();
  }
  return {};
}

Result<void> Run::on_response(std::string_view payload) {
  auto object = decoder_.decode(payload);
  if (!object) return std::move(object).error();
  auto response = api::read_response(*object);
  if (!response) return std::move(response).error();
  const auto* id = std::get_if<std::uint64_t>(&response->id);
  const auto found =
      std::find_if(asked_.begin(), asked_.end(), [&](const Request& each) { return id && each.id == *id; });
  if (found == asked_.end()) return {};
  const Asked what = found->what;
  asked_.erase(found);
  std::optional<Error> error;
  if (response->error) error = api::read_error(*response->error);
  if (error && reconnector_.times() > 0) error = client::after_reconnect(*std::move(error));
  switch (what) {
    case Asked::probe: {
      auto session = error ? Result<api::ProcessSession>(*std::move(error))
                           : reflect::from_object<api::ProcessSession>(*response->result, "result",
                                                                       reflect::Unknown::ignore);
      if (session && client::is_answer_to(*session, spawn_, spawn_asked_)) {
        auto begun = on_spawned();
        go_on();
        return begun;
      }
      ask_spawn();
      return {};
    }
    case Asked::spawn: return error ? on_spawn_refused(*std::move(error)) : on_spawned();
    case Asked::attach:
    case Asked::wait:
      if (error && !spawned_)
        echo_ = std::move(error);  // of a spawn that failed, whose own answer says why
      else if (error)
        return *std::move(error);
      else if (what == Asked::wait)
        return on_wait(*response->result);
      return {};
    case Asked::stdin_write:
      if (error) {
        unanswered_.pop_front();
        const bool ended = error->code == Code::stdin_closed || error->code == Code::not_running;
        if (stdin_open_ && !ended) report(*error);
        stop_stdin();
      } else {
        return on_written(*response->result);
      }
      return {};
    case Asked::signal: interrupts_ = 0; return {};
    case Asked::explain:
      explaining_ = false;
      // An earlier daemon does not know the question, and nothing depends on the answer.
      if (!error) denied_ = denial_lines(*response->result, id_);
      return {};
    case Asked::forget: forgetting_ = false; return {};
    case Asked::stdin_close: stdin_closing_ = false; return {};
  }
  return {};
}

Result<void> Run::on_written(const msgpack::object& result) {
  unanswered_.pop_front();
  auto written = reflect::from_object<api::StdinWriteResult>(result, "result", reflect::Unknown::ignore);
  if (!written) return std::move(written).error();
  stdin_offset_ = written->offset;
  return {};
}

Result<void> Run::on_spawned() {
  spawned_ = true;
  stdin_open_ = has_stdin_;
  if (echo_) return *std::move(echo_);
  if (!away_) forward_early_signals();
  return {};
}

Result<void> Run::on_spawn_refused(Error error) {
  if (spawn_repeated_) {
    // The first try was not in vain: its answer alone was lost.
    const auto session = client::existing_session(error);
    if (session && client::is_answer_to(*session, spawn_, spawn_asked_)) return on_spawned();
  }
  if (error.code == Code::shutting_down && reconnector_.options().patience.count() > 0) {
    // Nothing was started; the next daemon is asked.
    if (away_) return {};
    return Error(Code::not_running, error.message).with("socket", channel_.path());
  }
  on_spawn_error(error);
  return {};
}

int run(Context& context, const Options& options) {
  api::SpawnParams params = spawn_params(options.program, context.program());
  if (options.pty) {
    report(Error(Code::unsupported, "cannot run \"" + params.command[0] +
                                        "\" with -t: terminals are not supported yet; nothing was started"));
    return exit_code::run_failed;
  }
  client::Reconnector reconnector(context.reconnect_options());
  auto channel = reconnector.connect();
  if (!channel) {
    report(channel.error());
    return exit_code::run_failed;
  }
  if (!params.id) params.id = random_id(12);
  return Run(*std::move(channel), std::move(reconnector), options.remove).go(std::move(params));
}

}  // namespace

Action declare_run(OptionSet& set) {
  auto options = std::make_shared<Options>();
  declare_program_options(set, options->program);
  set.flag("--rm", options->remove, "Forget the session once the program has ended");
  set.flag("-t,--tty", options->pty, "Give it a terminal; not supported yet");
  set.flag("-T,--no-tty", options->no_pty, "Give it no terminal");
  set.flag("-i,--interactive", options->interactive, "Accepted: standard input is always forwarded");
  return [options](Context& context) { return run(context, *options); };
}

Action plain_run() {
  return [](Context& context) { return run(context, {}); };
}

}  // namespace kairo::ctl
