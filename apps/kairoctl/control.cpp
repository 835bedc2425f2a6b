// kairoctl control: a node's side of the control protocol (kairo-control(7)) for programs that are scripts.
// The executor names its socket, the node and its token in the environment; the daemon is not asked.
#include "api/control.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/ids.hpp"
#include "client/client.hpp"
#include "context.hpp"
#include "json.hpp"
#include "option_set.hpp"
#include "units.hpp"

namespace kairo::ctl {
namespace {

namespace control = api::control;
using Deadline = std::optional<SteadyTime>;
using std::chrono::milliseconds;

/// The longest wait for the answer to a hello, and for the executor to have taken what was said.
constexpr std::chrono::seconds answer_time{10};
/// Between two attempts to connect again.
constexpr milliseconds retry_pause{50};
/// Unsent bytes with which no heartbeat is added.
constexpr std::size_t quiet_bytes = 4096;

struct ControlCommand {
  std::string action;
  std::string topic;
  std::string data;
  std::string socket;
  std::string node;
  std::string interval;
  std::vector<std::string> topics;
  bool until_stdin_ends = false;
  bool no_ack = false;
  std::optional<std::uint64_t> count;
};

std::string from_environment(const std::string& given, const char* name) {
  const char* value = given.empty() ? std::getenv(name) : nullptr;
  return value ? std::string(value) : given;
}

/// Dotted segments; of a pattern also `*`, and `>` at its end. The executor ignores what is none.
bool is_topic(std::string_view text, bool pattern) {
  if (text.empty() || text.size() > limits::tag_bytes) return false;
  for (;;) {
    const std::size_t dot = text.find('.');
    const std::string_view segment = text.substr(0, dot);
    const bool last = dot == std::string_view::npos;
    const bool wildcard = pattern && (segment == "*" || (segment == ">" && last));
    const bool word = !segment.empty() && std::all_of(segment.begin(), segment.end(), [](unsigned char c) {
      return (c < 0x80 && std::isalnum(c)) || c == '_' || c == '-';
    });
    if (!wildcard && !word) return false;
    if (last) return true;
    text.remove_prefix(dot + 1);
  }
}

bool may_be_published(std::string_view topic) {
  return is_topic(topic, false) && !control::is_own_type(topic) && topic != "kairo" &&
         !topic.starts_with("kairo.");
}

/// One connection that speaks for the node.
class ControlLine {
 public:
  ControlLine(std::string socket, std::string node, bool guest)
      : socket_(std::move(socket)), node_(std::move(node)), guest_(guest) {
    if (const char* token = std::getenv(control::environment_token)) token_ = token;
  }

  /// Connects and says hello; the welcome, which is printed where `print` is set.
  Result<control::Welcome> open(bool print) {
    auto channel = client::Channel::connect({.socket = socket_});
    if (!channel) return told(std::move(channel).error());
    channel_.emplace(*std::move(channel));
    send(control::hello,
         reflect::to_msgpack(control::Hello{node_, control::protocol_version, token_, guest_}));
    const Deadline deadline = SteadyClock::now() + answer_time;
    for (;;) {
      auto push = next(deadline);
      if (!push) return std::move(push).error();
      if (!*push) return Error(Code::timeout, "the executor at " + socket_ + " does not answer to the hello");
      if ((*push)->type != control::welcome) continue;
      if (print) print_json_line((*push)->payload);
      return client::Client::decoded<control::Welcome>((*push)->data);
    }
  }

  void send(std::string_view type, std::string data) {
    api::Event event;
    event.type = type;
    event.time = to_iso8601(system_now());
    event.data.msgpack = data.empty() ? std::string("\x80") : std::move(data);  // an empty map
    event.id = random_id(16);
    event.source = node_;
    channel_->event(event);
  }
  Result<void> flush() {
    auto sent = channel_->send_some();
    return sent ? Result<void>() : told(std::move(sent).error());
  }
  /// Whether the executor does not read: a heartbeat more would only wait.
  [[nodiscard]] bool stalled() const { return channel_->unsent_bytes() >= quiet_bytes; }
  [[nodiscard]] pollfd watch() const {
    return {channel_->fd(), static_cast<short>(POLLIN | (channel_->wants_to_send() ? POLLOUT : 0)), 0};
  }

  struct Message {
    std::string type;
    std::string payload;  ///< Of the whole event.
    std::string data;
  };
  /// The next event that has come. E_PERMISSION_DENIED and its like: the executor has refused the node.
  Result<std::optional<Message>> take() {
    for (;;) {
      auto frame = channel_->next();
      if (!frame) return std::move(frame).error();
      if (*frame) {
        auto message = read(**frame);
        if (!message || *message) return message;
        continue;
      }
      auto got = channel_->receive_some();
      if (!got) return told(std::move(got).error());
      if (*got == 0) return std::optional<Message>();
    }
  }
  /// The same, waiting; nothing at the deadline.
  Result<std::optional<Message>> next(Deadline deadline) {
    for (;;) {
      auto message = take();
      if (!message || *message) return message;
      auto ready = channel_->wait(deadline);
      if (!ready) return told(std::move(ready).error());
      if (!*ready) return std::optional<Message>();
    }
  }

  /// Ends the connection; the executor ends it, too, once it has taken everything that was said.
  Result<void> close() {
    const SteadyTime deadline = SteadyClock::now() + answer_time;
    while (channel_->wants_to_send()) {
      if (auto sent = flush(); !sent) return sent;
      pollfd socket = watch();
      if (SteadyClock::now() >= deadline) return no_end();
      if (channel_->wants_to_send()) ::poll(&socket, 1, 100);
      if (auto come = take(); !come) return std::move(come).error();
    }
    ::shutdown(channel_->fd(), SHUT_WR);
    for (;;) {
      auto message = next(deadline);
      if (!message && client::is_unreachable(message.error())) return {};
      if (!message) return std::move(message).error();
      if (!*message) return no_end();
    }
  }

 private:
  /// Nothing where it is no event that can be read.
  static Result<std::optional<Message>> read(const wire::Frame& frame) {
    std::optional<Message> message;
    if (frame.type != wire::FrameType::event) return message;
    auto event = client::Client::decoded<api::Event>(frame.payload);
    if (!event) return message;
    if (event->type == control::refused) {
      auto refused = client::Client::decoded<control::Refused>(event->data.msgpack);
      if (!refused) return std::move(refused).error();
      return Error(code_from_name(refused->code), "the executor has refused this node: " + refused->message);
    }
    message = Message{event->type, std::string(frame.payload), event->data.msgpack};
    return message;
  }
  [[nodiscard]] Error no_end() const {
    return Error(Code::timeout, "the executor at " + socket_ + " has not taken what was said to it");
  }
  /// The channel's errors speak of a daemon.
  [[nodiscard]] Error told(Error error) const {
    if (!client::is_unreachable(error)) return error;
    return Error(Code::not_running, "no executor is at the control socket " + socket_)
        .with("socket", socket_);
  }

  std::string socket_;
  std::string node_;
  std::optional<std::string> token_;
  bool guest_;
  std::optional<client::Channel> channel_;
};

/// Stays connected for a node: heartbeats, what comes as lines, and the end.
class ControlRun {
 public:
  ControlRun(ControlLine& line, const ControlCommand& command, milliseconds patience)
      : line_(line),
        command_(command),
        patience_(patience),
        parent_(static_cast<int>(::syscall(SYS_pidfd_open, ::getppid(), 0))) {
    if (!command.interval.empty()) interval_ = parse_duration("--interval", command.interval);
  }

  int go() {
    auto done = begin();
    while (done && !ended_) done = turn();
    return done ? exit_code::success : report(done.error());
  }

 private:
  Result<void> begin() {
    auto welcome = line_.open(true);
    if (!welcome) return std::move(welcome).error();
    for (const std::string& each : command_.topics)
      line_.send(control::subscribe, reflect::to_msgpack(control::Subscription{each}));
    if (command_.interval.empty())
      interval_ = milliseconds(std::min<std::uint64_t>(
          welcome->heartbeat_interval_ms, static_cast<std::uint64_t>(limits::longest_wait.count())));
    beat_at_ = SteadyClock::now();
    return {};
  }

  Result<void> turn() {
    auto done = serve();
    if (done || !client::is_unreachable(done.error())) return done;
    return again(std::move(done).error());
  }

  /// The connection was lost: the executor is sought for as long as --reconnect says.
  Result<void> again(Error why) {
    const SteadyTime end = SteadyClock::now() + patience_;
    while (SteadyClock::now() < end) {
      if (auto done = begin(); done || !client::is_unreachable(done.error())) return done;
      if (wait(SteadyClock::now() + retry_pause, nullptr); ended_) return {};
    }
    return why;
  }

  Result<void> serve() {
    for (;;) {
      auto message = line_.take();
      if (!message) return std::move(message).error();
      if (!*message) break;
      print_json_line((*message)->payload);
      if ((*message)->type != control::shutdown) continue;
      ended_ = true;
      if (!command_.no_ack) line_.send(control::shutdown_ack, {});
      return line_.close();
    }
    Deadline deadline;
    if (interval_.count() > 0) {
      if (SteadyClock::now() >= beat_at_) {
        if (!line_.stalled()) line_.send(control::heartbeat, {});
        beat_at_ = std::max(beat_at_ + interval_, SteadyClock::now());
      }
      deadline = beat_at_;
    }
    if (auto sent = line_.flush(); !sent) return sent;
    pollfd socket = line_.watch();
    wait(deadline, &socket);
    return {};
  }

  /// Until the deadline, or something of the socket, the parent or standard input; sets ended_.
  void wait(Deadline deadline, pollfd* socket) {
    pollfd watched[3] = {{parent_.get(), POLLIN, 0},
                         {command_.until_stdin_ends ? STDIN_FILENO : -1, POLLIN, 0},
                         socket ? *socket : pollfd{-1, 0, 0}};
    int timeout = -1;
    if (deadline) {
      const auto left = std::chrono::ceil<milliseconds>(*deadline - SteadyClock::now());
      timeout = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
    }
    if (::poll(watched, 3, timeout) <= 0) return;
    if (watched[0].revents != 0) ended_ = true;
    char thrown_away[4096];
    if (watched[1].revents != 0 && ::read(STDIN_FILENO, thrown_away, sizeof thrown_away) <= 0) ended_ = true;
  }

  ControlLine& line_;
  const ControlCommand& command_;
  milliseconds patience_;
  /// Of the node; -1 where the system gives none, then the executor's end is this one's.
  UniqueFd parent_;
  milliseconds interval_{0};
  SteadyTime beat_at_{};
  bool ended_ = false;
};

int listen(ControlLine& line, const ControlCommand& command) {
  auto welcome = line.open(false);
  if (!welcome) return report(welcome.error());
  line.send(control::subscribe, reflect::to_msgpack(control::Subscription{command.topic}));
  for (std::uint64_t printed = 0; !command.count || printed < *command.count; ++printed) {
    auto message = line.next({});
    if (!message) return report(message.error());
    print_json_line((*message)->payload);
  }
  return exit_code::success;
}

int say(ControlLine& line, std::string_view type, std::string data) {
  auto welcome = line.open(false);
  if (!welcome) return report(welcome.error());
  line.send(type, std::move(data));
  const auto done = line.close();
  return done ? exit_code::success : report(done.error());
}

void check(const ControlCommand& command) {
  const std::string& action = command.action;
  const bool runs = action == "run", publishes = action == "publish", listens = action == "listen";
  if (!runs && !publishes && !listens && action != "heartbeat" && action != "ack")
    throw UsageError{"the action is run, heartbeat, ack, publish or listen, not \"" + action + "\""};
  if (!runs &&
      (!command.interval.empty() || !command.topics.empty() || command.until_stdin_ends || command.no_ack))
    throw UsageError{"--interval, --topic, --stdin and --no-ack go with run alone"};
  if (command.count && !listens) throw UsageError{"--count goes with listen alone"};
  if ((publishes || listens) == command.topic.empty())
    throw UsageError{publishes || listens ? action + " needs a topic" : action + " takes no topic"};
  if (!command.data.empty() && !publishes) throw UsageError{action + " takes no data"};
  if (publishes && !may_be_published(command.topic))
    throw UsageError{"\"" + command.topic + "\" is no topic that a node may publish"};
  if (listens && !is_topic(command.topic, true))
    throw UsageError{"\"" + command.topic + "\" is no pattern of topics"};
  for (const std::string& each : command.topics)
    if (!is_topic(each, true)) throw UsageError{"\"" + each + "\" is no pattern of topics"};
}

int act(Context& context, ControlCommand& command) {
  check(command);
  std::string data;
  if (!command.data.empty()) {
    auto read = from_json(command.data);
    if (!read) throw UsageError{read.error().message};
    data = *std::move(read);
    if (data.size() > limits::event_data_bytes)
      return report(Error(Code::limit_exceeded,
                          "a message holds at most " + std::to_string(limits::event_data_bytes) + " bytes"));
  }
  const std::string socket = from_environment(command.socket, control::environment_socket);
  const std::string node = from_environment(command.node, control::environment_node);
  if (socket.empty() || node.empty())
    return report(Error(Code::not_found,
                        "this is no node of a topology: KAIRO_CONTROL_SOCKET and KAIRO_NODE "
                        "are not set, and --control-socket and --node not given"));
  ControlLine line(socket, node, command.action == "publish" || command.action == "listen");
  if (command.action == "run")
    return ControlRun(line, command, parse_duration("--reconnect", context.globals().reconnect)).go();
  if (command.action == "listen") return listen(line, command);
  if (command.action == "heartbeat") return say(line, control::heartbeat, {});
  if (command.action == "ack") return say(line, control::shutdown_ack, {});
  return say(line, command.topic, std::move(data));
}

}  // namespace

Action declare_control(OptionSet& set) {
  auto command = std::make_shared<ControlCommand>();
  set.argument("ACTION", command->action, "run, heartbeat, ack, publish or listen");
  set.optional_argument("TOPIC", command->topic, "What to publish to; a pattern of what to listen to");
  set.optional_argument("DATA", command->data, "JSON to publish ({})");
  set.value("--control-socket", command->socket, "PATH", "The executor's socket (KAIRO_CONTROL_SOCKET)");
  set.value("--node", command->node, "NODE", "The node to speak for (KAIRO_NODE)");
  set.value("--interval", command->interval, "DURATION",
            "run: time between heartbeats (as the executor asks); 0: none");
  set.list("--topic", command->topics, "PATTERN", "run: print what is published to these topics, too");
  set.flag("--stdin", command->until_stdin_ends, "run: end when standard input does");
  set.flag("--no-ack", command->no_ack, "run: leave it to the script to acknowledge the shutdown");
  set.number("-n,--count", command->count, "MESSAGES", "listen: leave after so many");
  return [command](Context& context) { return act(context, *command); };
}

}  // namespace kairo::ctl
