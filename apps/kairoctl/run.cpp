// kairoctl run: behaves like the program that it runs.
//
// One write carries everything: spawn, a lossless subscription to both streams, and the wait, under an id
// that is chosen here. After that a single loop moves four things, none of which may hold up another: frames
// from the daemon, bytes to stdout and stderr, bytes from stdin, and signals. A chunk is written straight
// from the receive buffer; while it cannot be written nothing further is read from the daemon, which then
// holds back the program once its log is full: the back-pressure of a pipe, with a larger pipe.
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <memory>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/ids.hpp"
#include "base/limits.hpp"
#include "base/signals.hpp"
#include "context.hpp"
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
  Run(client::Channel channel, std::string id, bool remove)
      : channel_(std::move(channel)), id_(std::move(id)), remove_(remove) {}

  int go(const api::SpawnParams& params);

 private:
  enum class Asked { spawn, attach, wait, stdin_write, stdin_close, signal, forget };
  struct Output {
    OutputEnd end;
    bool broken = false;
    bool eof = false;
    SteadyTime broken_at{};
    bool terminated = false;
  };

  template <class Params>
  void ask(Asked what, std::string_view method, const Params& params) {
    asked_.emplace_back(channel_.request(method, params), what);
  }
  void attach();
  void block_signals();
  void read_signals();
  void forward(int number, std::optional<std::uint64_t> escalate_after_ms = {});
  void read_stdin();
  void stop_stdin();
  Result<void> read_frames();
  Result<void> on_response(std::string_view payload);
  void on_spawn_error(const Error& error);
  Result<void> on_wait(const msgpack::object& session);
  Result<void> on_chunk(std::string_view payload);
  bool write_pending();
  void on_broken(Output& output);
  Result<void> poll_once();
  [[nodiscard]] bool complete() const;
  [[nodiscard]] bool stdin_has_room() const {
    return writes_in_flight_ < stdin_writes_in_flight && !channel_.wants_to_send();
  }
  Output& output_of(api::StreamName stream) { return outputs_[static_cast<std::size_t>(stream)]; }
  int fail(const Error& error) {
    report(error);
    return exit_code::run_failed;
  }

  client::Channel channel_;
  std::string id_;
  bool remove_;
  std::vector<std::pair<std::uint64_t, Asked>> asked_;  // few at a time, the oldest first
  wire::PayloadDecoder decoder_;
  std::array<Output, 2> outputs_{Output{OutputEnd(STDOUT_FILENO)}, Output{OutputEnd(STDERR_FILENO)}};
  std::string_view pending_;  ///< What is left of the chunk under way, in the receive buffer.
  Output* pending_output_ = nullptr;
  InputEnd input_;
  bool has_stdin_ = false;
  bool stdin_open_ = false;  ///< Started, and more may be forwarded.
  std::string stdin_buffer_;
  std::size_t writes_in_flight_ = 0;
  UniqueFd signals_;
  std::vector<int> early_signals_;  ///< Came before the program was started.
  int interrupts_ = 0;
  bool spawned_ = false;
  std::optional<Error> echo_;
  bool forgetting_ = false;
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

void Run::attach() {
  api::AttachParams params;
  params.id = id_;
  params.flow = api::Flow::lossless;
  params.encoding = api::Encoding::binary;
  params.max_chunk_bytes = chunk_bytes;
  ask(Asked::attach, "process.attach", params);
}

int Run::go(const api::SpawnParams& params) {
  block_signals();
  api::SpawnParams spawn = params;
  spawn.id = id_;
  if (input_.is_null()) spawn.options->standard_input = api::StdinKind::null;
  has_stdin_ = spawn.options->standard_input != api::StdinKind::null;
  ask(Asked::spawn, "process.spawn", spawn);
  attach();
  ask(Asked::wait, "process.wait", api::WaitParams{id_, {}});
  auto sent = channel_.send_some();
  if (!sent) return fail(sent.error());
  while (!failed_ && !complete()) {
    auto moved = poll_once();
    if (!moved) return fail(moved.error());
  }
  return failed_.value_or(exit_code_.value_or(exit_code::run_failed));
}

bool Run::complete() const {
  return exit_code_ && outputs_[0].eof && outputs_[1].eof && !pending_output_ && !forgetting_;
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
  if (output < count && watch[output].revents) write_pending();
  if (watch[daemon].revents & POLLOUT) {
    auto sent = channel_.send_some();
    if (!sent) return sent;
  }
  if (!pending_output_ && watch[daemon].revents & ~POLLOUT) {
    auto received = channel_.receive_some();
    if (!received) return std::move(received).error();
  }
  if (!pending_output_) {
    auto read = read_frames();
    if (!read) return read;
  }
  if (input < count && watch[input].revents) read_stdin();
  return channel_.send_some();
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
    if (spawned_)
      forward(number);
    else
      early_signals_.push_back(number);
  }
}

void Run::forward(int number, std::optional<std::uint64_t> escalate_after_ms) {
  api::KillParams params;
  params.id = id_;
  params.signal = std::int32_t{number};
  params.escalate_after_ms = escalate_after_ms;
  ask(Asked::signal, "process.kill", params);
}

// --- standard input ----------------------------------------------------------------------------------

void Run::read_stdin() {
  stdin_buffer_.resize(stdin_piece_bytes);
  const long got = input_.read(stdin_buffer_.data(), stdin_buffer_.size());
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got <= 0) {
    // An unreadable stdin ends like an empty one, as it would for the program itself.
    stdin_open_ = false;
    ask(Asked::stdin_close, "process.stdin.close", api::IdParams{id_});
    return;
  }
  api::StdinWriteParams params;
  params.id = id_;
  params.data.data.assign(stdin_buffer_.data(), static_cast<std::size_t>(got));
  ask(Asked::stdin_write, "process.stdin.write", params);
  ++writes_in_flight_;
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
  output.eof = chunk->eof;
  pending_ = chunk->chunk;
  pending_output_ = &output;
  write_pending();
  return {};
}

/// False while the end takes no more.
bool Run::write_pending() {
  Output& output = *pending_output_;
  if (!output.broken && !pending_.empty()) {
    const OutputEnd::State state = output.end.write(pending_);
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
  if (!exit_code_) {
    exit_code_ = ended->exit_code.value_or(exit_code::run_failed);
    if (ended->signal) exit_code_ = 128 + signal_number(*ended->signal).value_or(0);
    if (!ended->signal && !ended->exit_code) {
      const bool lost = ended->outcome && ended->outcome->reason == api::EndReason::lost;
      return Error(Code::internal, "how session \"" + id_ + "\" ended is not known" +
                                       std::string(lost ? ": its keeper was lost" : ""));
    }
  }
  if (remove_) {
    forgetting_ = true;
    ask(Asked::forget, "process.forget", api::IdParams{id_});
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
      std::find_if(asked_.begin(), asked_.end(), [&](const auto& each) { return id && each.first == *id; });
  if (found == asked_.end()) return {};
  const Asked what = found->second;
  asked_.erase(found);
  std::optional<Error> error;
  if (response->error) error = api::read_error(*response->error);
  switch (what) {
    case Asked::spawn:
      if (error) {
        on_spawn_error(*error);
      } else {
        spawned_ = true;
        stdin_open_ = has_stdin_;
        if (echo_) return *std::move(echo_);
        for (int number : early_signals_) forward(number);
      }
      return {};
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
      --writes_in_flight_;
      if (error) {
        const bool ended = error->code == Code::stdin_closed || error->code == Code::not_running;
        if (stdin_open_ && !ended) report(*error);
        stop_stdin();
      }
      return {};
    case Asked::signal: interrupts_ = 0; return {};
    case Asked::forget: forgetting_ = false; return {};
    case Asked::stdin_close: return {};
  }
  return {};
}

int run(Context& context, const Options& options) {
  const api::SpawnParams params = spawn_params(options.program, context.program());
  if (options.pty) {
    report(Error(Code::unsupported, "cannot run \"" + params.command[0] +
                                        "\" with -t: terminals are not supported yet; nothing was started"));
    return exit_code::run_failed;
  }
  auto channel = context.open();
  if (!channel) {
    report(channel.error());
    return exit_code::run_failed;
  }
  return Run(*std::move(channel), params.id ? *params.id : random_id(12), options.remove).go(params);
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
