#include "keeper/link.hpp"

#include <algorithm>
#include <cerrno>
#include <deque>
#include <fcntl.h>
#include <thread>
#include <unordered_map>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "keeper/channel.hpp"
#include "keeper/start.hpp"
#include "keeper/succession.hpp"

namespace kairo::keeper {
namespace {

constexpr std::chrono::seconds connect_timeout{10};
/// For what waits to be sent at the end.
constexpr std::chrono::seconds stop_timeout{1};
/// Before a keeper that ends this moment is asked again.
constexpr std::chrono::milliseconds retry_delay{20};
/// Keepers before know nothing of what was denied.
constexpr std::uint32_t first_version_to_tell = 4;
/// An ended session takes no descriptor in the keeper, only its slot and some memory.
constexpr std::chrono::milliseconds release_delay{5};
constexpr std::size_t releases_max = 256;
/// Values that one message may hold (limits::payload_values), less some for what is beside argv.
constexpr std::size_t launch_strings_max = limits::payload_values - 1000;

/// E_SPAWN_FAILED or E_LIMIT_EXCEEDED with what SPEC 4.1 wants to be known.
Error launch_error(const std::string& program, const LaunchFailed& failed) {
  if (failed.step == "limits" && failed.error_number == EOPNOTSUPP)
    return Error(Code::unsupported,
                 "cannot limit \"" + program + "\": " + failed.object + "; no session was created")
        .with("step", failed.step);
  const bool exhausted = failed.error_number == EMFILE || failed.error_number == ENFILE ||
                         failed.error_number == EAGAIN || failed.error_number == ENOMEM;
  std::string text = "cannot start \"" + program + "\": ";
  if (failed.step == "exec" && failed.object.compare(0, program.size(), program) == 0)
    text += describe_errno(failed.error_number) + failed.object.substr(program.size());
  else if (failed.object.empty())
    text += "step " + failed.step + ": " + describe_errno(failed.error_number);
  else
    text += "step " + failed.step + " with \"" + failed.object + "\": " + describe_errno(failed.error_number);
  // What the host refused when it was to enforce the declared permissions.
  const bool unenforceable = failed.step == "network" || failed.step == "no-new-privileges" ||
                             failed.step == "capabilities" || failed.step == "landlock" ||
                             failed.step == "seccomp";
  return Error(unenforceable ? Code::unsupported
               : exhausted   ? Code::limit_exceeded
                             : Code::spawn_failed,
               text + "; no session was created")
      .with("errno", std::int64_t{failed.error_number})
      .with("errnoName", errno_name(failed.error_number))
      .with("step", failed.step)
      .with("object", failed.object);
}

Error lost_error(std::string why) {
  return Error(Code::internal, "the keeper is gone: " + std::move(why));
}

}  // namespace

struct Link::Impl {
  using Descriptor = boost::asio::posix::stream_descriptor;

  /// A socket with its readiness.
  struct Line {
    Line(boost::asio::io_context& io, Channel opened)
        : channel(std::move(opened)), readiness(io, channel.socket()) {}
    ~Line() { close(); }
    /// In this order: a closed descriptor's number may be another's by the time Asio lets go of it.
    void close() {
      readiness.release();
      channel.release_socket().reset();
    }
    Channel channel;
    Descriptor readiness;
    bool writing = false;
    std::size_t unanswered = 0;  ///< Launches.
  };

  /// A launch without its answer. What is heard of the session before that waits here.
  struct Pending {
    std::uint64_t key;
    std::uint32_t slot;
    std::string program;
    LaunchDone done;
    Line* line;
    bool changed = false;
    std::optional<Exited> exited = {};
  };

  Impl(boost::asio::io_context& context, Channel control_channel, std::vector<Channel> launch_channels,
       Table shared)
      : io(context),
        control(context, std::move(control_channel)),
        release_timer(context),
        table(std::move(shared)) {
    for (Channel& each : launch_channels) launches.push_back(std::make_unique<Line>(io, std::move(each)));
  }

  void watch(Line& line);
  void push(Line& line);
  void on_readable(Line& line);
  void read_control();
  void read_launches(Line& line);
  void send_releases();
  void answered(std::uint64_t token, Result<Launched> result);
  void hear_changed(const Changed& changed);
  void hear_exited(const Exited& exited);
  void fail(std::string why);
  void fail_later(std::string why);

  template <class T>
  void order(Line& line, MessageType type, const T& message, std::vector<UniqueFd> descriptors = {}) {
    if (lost) return;
    line.channel.send(type, message, std::move(descriptors));
    push(line);
  }

  boost::asio::io_context& io;
  Line control;
  std::vector<std::unique_ptr<Line>> launches;
  boost::asio::steady_timer release_timer;
  Release releases;
  std::vector<std::function<void()>> when_sent;  ///< Once nothing waits on the control line.
  Table table;
  std::string keeper_id;
  std::int32_t keeper_pid = 0;
  std::uint32_t keeper_version = 0;
  cgroup::Layout groups;
  std::vector<Held> held;
  std::optional<std::string> not_upgraded;
  Listener* listener = nullptr;
  bool lost = false;
  std::uint64_t next_token = 1;
  std::unordered_map<std::uint64_t, Pending> pending;  ///< By token.
  std::unordered_map<std::uint64_t, std::uint64_t> pending_keys;
  std::unordered_map<std::uint32_t, std::uint64_t> pending_slots;
  std::unordered_map<std::uint64_t, SignalDone> signals;
  std::unordered_map<std::uint64_t, DenialsDone> asked_denials;
  /// Handlers that come after our end see it.
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
};

// --- connecting ------------------------------------------------------------------------------------

namespace {

/// What the keeper answered to Hello.
struct Greeted {
  Channel channel;
  Welcome welcome;
  UniqueFd table;
  std::vector<Link::Held> held;
};

/// Nothing when the keeper ended in the middle, or refused.
Result<std::optional<Greeted>> greet(int state_dir, const std::string& role, const std::string& instance_id,
                                     SteadyTime deadline) {
  auto socket = connect_keeper(state_dir);
  if (!socket) return std::move(socket).error();
  if (!*socket) return std::optional<Greeted>{};
  Greeted out{Channel(*std::move(*socket)), {}, {}, {}};
  out.channel.send(MessageType::hello, Hello{protocol_version, role, instance_id});
  if (!out.channel.flush()) return std::optional<Greeted>{};
  for (bool first = true;;) {
    auto message = out.channel.next();
    if (!message) return std::move(message).error();
    if (!*message) {
      if (!wait_readable(out.channel, deadline))
        return Error(Code::timeout, "the keeper does not answer: no Welcome within 10 s");
      if (out.channel.receive() == Channel::Received::closed) return std::optional<Greeted>{};
      continue;
    }
    if ((*message)->type != MessageType::welcome)
      return Error(Code::internal, "the keeper answered Hello with something else than Welcome");
    auto page = read_message<Welcome>(**message);
    if (!page) return std::move(page).error();
    const bool more = page->more;
    if (first && (page->version < oldest_protocol_version || page->version > protocol_version))
      return Error(Code::unsupported,
                   "cannot use the keeper of this state directory: it speaks version " +
                       std::to_string(page->version) + " of the keeper's protocol, this kairod " +
                       std::to_string(oldest_protocol_version) + " to " + std::to_string(protocol_version) +
                       "; its programs run on, and a kairod nearer to its version can take it over");
    if (first && role == "control") {
      auto table = out.channel.take_descriptors(1);
      if (!table) return std::move(table).error();
      out.table = std::move(table->front());
    }
    for (HeldSession& each : page->sessions) {
      auto ring = out.channel.take_descriptors(each.has_stdin_ring ? 1 : 0);
      if (!ring) return std::move(ring).error();
      out.held.push_back({std::move(each), ring->empty() ? UniqueFd() : std::move(ring->front())});
    }
    page->sessions.clear();
    if (first) out.welcome = std::move(*page);
    first = false;
    if (!more) break;
  }
  return std::optional<Greeted>(std::move(out));
}

/// Has the keeper become another program. Nothing when it has, and the connection with it has ended; else why
/// not.
std::optional<std::string> order_upgrade(Channel& control, int program, SteadyTime deadline) {
  std::vector<UniqueFd> descriptors;
  descriptors.emplace_back(::fcntl(program, F_DUPFD_CLOEXEC, 0));
  if (!descriptors[0]) return describe_errno(errno);
  control.send(MessageType::upgrade, Upgrade{oldest_letter_version, letter_version}, std::move(descriptors));
  for (;;) {
    if (!control.flush()) return std::nullopt;
    if (control.waiting() > 0) {
      if (!wait_writable(control, deadline)) return "it does not take the order";
      continue;
    }
    const auto message = control.next();
    if (!message) return message.error().message;
    if (!*message) {
      if (!wait_readable(control, deadline)) return "it does not answer";
      if (control.receive() == Channel::Received::closed) return std::nullopt;
      continue;
    }
    // All else it says again to the connection that follows.
    if ((*message)->type != MessageType::upgrade_failed) continue;
    const auto failed = read_message<UpgradeFailed>(**message);
    return failed ? failed->why : failed.error().message;
  }
}

}  // namespace

namespace {
/// Whether the process executes this very file.
bool runs(pid_t pid, int program) {
  struct stat executed {
  }, wanted{};
  return ::stat(("/proc/" + std::to_string(pid) + "/exe").c_str(), &executed) == 0 &&
         ::fstat(program, &wanted) == 0 && executed.st_dev == wanted.st_dev &&
         executed.st_ino == wanted.st_ino;
}
}  // namespace

Result<std::unique_ptr<Link>> Link::connect(boost::asio::io_context& io, const LinkOptions& options) {
  const SteadyTime deadline = SteadyClock::now() + connect_timeout;
  const UniqueFd state_dir(::open(options.state_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!state_dir) return system_error("cannot open the state directory " + options.state_dir, errno);
  bool started = false;
  bool upgraded = options.next_program < 0;
  std::optional<std::string> not_upgraded;
  while (SteadyClock::now() < deadline) {
    auto control = greet(state_dir.get(), "control", options.instance_id, deadline);
    if (!control) return std::move(control).error();
    if (!*control) {
      // Nobody there. A socket that takes the connection and closes it is a keeper that just ends, or one
      // that still waits for the end of another kairod: ask again.
      auto present = connect_keeper(state_dir.get());
      if (!present) return std::move(present).error();
      if (!*present && !started) {
        if (options.start_command.empty())
          return Error(Code::internal, "no keeper runs and none may be started");
        auto result = start_keeper(state_dir.get(), options.start_command);
        if (!result) return std::move(result).error();
        started = true;
      } else if (!*present && started) {
        return Error(Code::internal, "the keeper ended as soon as it was started; " + options.state_dir +
                                         "/keeper.log may say why");
      } else {
        std::this_thread::sleep_for(retry_delay);
      }
      continue;
    }
    auto table = Table::open(std::move((*control)->table));
    if (!table) return std::move(table).error();
    if (!upgraded && !started && !runs((*control)->welcome.pid, options.next_program)) {
      // Now, while nothing else is under way: this program reads its table and, if it knows its letter, too,
      // can take its place. Either way the connection is made anew.
      upgraded = true;
      not_upgraded = order_upgrade((*control)->channel, options.next_program, deadline);
      continue;
    }
    std::vector<Channel> launches;
    for (unsigned i = 0; i < launch_connections; ++i) {
      auto launch = greet(state_dir.get(), "launch", options.instance_id, deadline);
      if (!launch) return std::move(launch).error();
      if (!*launch) break;
      launches.push_back(std::move((*launch)->channel));
    }
    if (launches.size() < launch_connections) continue;
    auto impl =
        std::make_unique<Impl>(io, std::move((*control)->channel), std::move(launches), std::move(*table));
    impl->keeper_id = (*control)->welcome.keeper_id;
    impl->keeper_pid = (*control)->welcome.pid;
    impl->keeper_version = (*control)->welcome.version;
    impl->groups = std::move((*control)->welcome.groups);
    impl->held = std::move((*control)->held);
    impl->not_upgraded = std::move(not_upgraded);
    return std::unique_ptr<Link>(new Link(std::move(impl)));
  }
  return Error(Code::timeout,
               "cannot reach a keeper within 10 s; " + options.state_dir + "/keeper.log may say why");
}

Link::Link(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Link::~Link() {
  stop();
}

Table& Link::table() {
  return impl_->table;
}
const std::string& Link::keeper_id() const {
  return impl_->keeper_id;
}
std::int32_t Link::keeper_pid() const {
  return impl_->keeper_pid;
}
std::uint32_t Link::keeper_version() const {
  return impl_->keeper_version;
}
const cgroup::Layout& Link::groups() const {
  return impl_->groups;
}
const std::optional<std::string>& Link::not_upgraded() const {
  return impl_->not_upgraded;
}
std::vector<Link::Held> Link::take_held() {
  return std::exchange(impl_->held, {});
}

void Link::start(Listener& listener) {
  impl_->listener = &listener;
  impl_->watch(impl_->control);
  for (const auto& each : impl_->launches) impl_->watch(*each);
  // What came behind the last Welcome.
  boost::asio::post(impl_->io, [impl = impl_.get(), alive = impl_->alive] {
    if (*alive) impl->read_control();
  });
}

void Link::stop() {
  if (!*impl_->alive) return;
  // Orders given before go out, unless the keeper does not take them.
  if (!impl_->lost) impl_->send_releases();
  const SteadyTime deadline = SteadyClock::now() + stop_timeout;
  Channel& control = impl_->control.channel;
  while (control.flush() && control.waiting() > 0 && wait_writable(control, deadline)) {
  }
  *impl_->alive = false;
  impl_->lost = true;
  impl_->release_timer.cancel();
  impl_->control.close();
  for (const auto& each : impl_->launches) each->close();
}

// --- reading ---------------------------------------------------------------------------------------

void Link::Impl::watch(Line& line) {
  line.readiness.async_wait(Descriptor::wait_read,
                            [this, &line, still = alive](boost::system::error_code error) {
                              if (!*still || error) return;
                              on_readable(line);
                              if (*still && !lost) watch(line);
                            });
}

void Link::Impl::on_readable(Line& line) {
  const auto still = alive;
  for (;;) {
    const auto received = line.channel.receive();
    if (received == Channel::Received::nothing) return;
    &line == &control ? read_control() : read_launches(line);
    if (!*still || lost) return;
    if (received == Channel::Received::closed) return fail("it closed the connection");
    // A short read has most likely emptied the socket; epoll tells otherwise.
    return;
  }
}

void Link::Impl::read_control() {
  // Each launch was answered before its session could be heard of, so its answer can be read by now.
  const auto still = alive;
  for (const auto& line : launches)
    while (*still && line->unanswered > 0 && line->channel.receive() == Channel::Received::some)
      read_launches(*line);
  while (*still && !lost) {
    const auto message = control.channel.next();
    if (!message) return fail(message.error().message);
    if (!*message) return;
    bool good = true;
    switch ((*message)->type) {
      case MessageType::changed: {
        const auto changed = read_message<Changed>(**message);
        if ((good = changed.ok())) hear_changed(*changed);
        break;
      }
      case MessageType::exited: {
        const auto exited = read_message<Exited>(**message);
        if ((good = exited.ok())) hear_exited(*exited);
        break;
      }
      case MessageType::signaled: {
        const auto signaled = read_message<Signaled>(**message);
        if (!(good = signaled.ok())) break;
        auto found = signals.extract(signaled->token);
        if (found) found.mapped()(signaled->error_number);
        break;
      }
      case MessageType::denials: {
        auto told = read_message<DenialsAnswer>(**message);
        if (!(good = told.ok())) break;
        auto found = asked_denials.extract(told->token);
        if (found) found.mapped()(std::move(told->report));
        break;
      }
      default: good = false;
    }
    if (!*still) return;
    if (!good) return fail("it sent a message that cannot be read");
  }
}

void Link::Impl::read_launches(Line& line) {
  const auto still = alive;
  while (*still && !lost) {
    const auto message = line.channel.next();
    if (!message) return fail(message.error().message);
    if (!*message) return;
    if ((*message)->type == MessageType::launched) {
      auto launched = read_message<Launched>(**message);
      if (!launched) return fail(launched.error().message);
      answered(launched->token, *launched);
    } else if ((*message)->type == MessageType::launch_failed) {
      const auto failed = read_message<LaunchFailed>(**message);
      if (!failed) return fail(failed.error().message);
      const auto found = pending.find(failed->token);
      if (found != pending.end()) answered(failed->token, launch_error(found->second.program, *failed));
    } else {
      return fail("it sent a message that cannot be read");
    }
  }
}

void Link::Impl::answered(std::uint64_t token, Result<Launched> result) {
  auto found = pending.extract(token);
  if (!found) return;
  Pending& launch = found.mapped();
  --launch.line->unanswered;
  pending_keys.erase(launch.key);
  pending_slots.erase(launch.slot);
  const auto still = alive;
  launch.done(std::move(result));
  if (*still && launch.changed && listener) listener->on_changed(launch.slot);
  if (*still && launch.exited && listener) listener->on_exited(*launch.exited);
}

void Link::Impl::hear_changed(const Changed& changed) {
  const auto still = alive;
  for (const std::uint32_t slot : changed.slots) {
    if (slot >= table.slots()) continue;
    if (const auto early = pending_slots.find(slot); early != pending_slots.end())
      pending.at(early->second).changed = true;
    else if (listener)
      listener->on_changed(slot);
    if (!*still) return;
  }
}

void Link::Impl::hear_exited(const Exited& exited) {
  if (const auto early = pending_keys.find(exited.key); early != pending_keys.end())
    pending.at(early->second).exited = exited;
  else if (listener)
    listener->on_exited(exited);
}

void Link::Impl::fail(std::string why) {
  if (lost) return;
  lost = true;
  const auto still = alive;
  control.readiness.cancel();
  for (const auto& each : launches) each->readiness.cancel();
  pending_keys.clear();
  pending_slots.clear();
  for (auto& [token, each] : std::exchange(pending, {})) {
    each.done(lost_error("\"" + each.program + "\" may or may not have been started; " + why));
    if (!*still) return;
  }
  for (auto& [token, done] : std::exchange(signals, {})) {
    done(ECONNRESET);
    if (!*still) return;
  }
  for (auto& [token, done] : std::exchange(asked_denials, {})) {
    done(std::nullopt);
    if (!*still) return;
  }
  if (listener) listener->on_lost(lost_error(std::move(why)));
}

// --- orders ----------------------------------------------------------------------------------------

void Link::Impl::push(Line& line) {
  if (line.writing || lost) return;
  if (!line.channel.flush())
    return boost::asio::post(io, [this, still = alive] {
      if (*still) fail("it does not take orders any more");
    });
  if (line.channel.waiting() == 0) {
    if (&line == &control)
      for (const auto& each : std::exchange(when_sent, {})) each();
    return;
  }
  line.writing = true;
  line.readiness.async_wait(Descriptor::wait_write,
                            [this, &line, still = alive](boost::system::error_code error) {
                              if (!*still || error) return;
                              line.writing = false;
                              push(line);
                            });
}

void Link::Impl::send_releases() {
  if (releases.keys.empty()) return;
  order(control, MessageType::release, releases);
  releases.keys.clear();
}

void Link::launch(Launch order, std::vector<UniqueFd> descriptors, LaunchDone done) {
  Impl& impl = *impl_;
  const auto refuse = [&](Error error) {
    // Also of a link that has been stopped: every launch is answered.
    boost::asio::post(
        impl.io, [done = std::move(done), error = std::move(error)]() mutable { done(std::move(error)); });
  };
  const std::string program = order.argv.empty() ? std::string() : order.argv[0];
  if (impl.lost) return refuse(lost_error("\"" + program + "\" was not started"));
  std::size_t bytes = order.record.data.size();
  std::size_t values = 0;  // of the confinement, which count like strings
  if (order.confinement) {
    values = order.confinement->paths.size() * 8 + order.confinement->ports.size() * 5;
    bytes += order.confinement->filter.data.size();
    for (const sandbox::PathRule& each : order.confinement->paths) bytes += each.path.size() + 64;
    bytes += order.confinement->ports.size() * 32;
  }
  for (const std::string& each : order.argv) bytes += each.size() + 8;
  bytes += order.env.data.size();
  if (order.argv.size() + values > launch_strings_max || bytes > message_bytes_max - 4096 * 8)
    return refuse(launch_error(program, LaunchFailed{0, "argv", E2BIG, ""}));
  order.token = impl.next_token++;
  impl.pending_keys[order.key] = order.token;
  impl.pending_slots[order.slot] = order.token;
  Impl::Line& line =
      **std::min_element(impl.launches.begin(), impl.launches.end(),
                         [](const auto& a, const auto& b) { return a->unanswered < b->unanswered; });
  ++line.unanswered;
  impl.pending.emplace(order.token, Impl::Pending{order.key, order.slot, program, std::move(done), &line});
  impl.order(line, MessageType::launch, order, std::move(descriptors));
}

void Link::signal(std::uint64_t key, int number, SignalScope scope, SignalDone done) {
  Impl& impl = *impl_;
  if (impl.lost) return boost::asio::post(impl.io, [done = std::move(done)] { done(ECONNRESET); });
  const std::uint64_t token = impl.next_token++;
  impl.signals.emplace(token, std::move(done));
  impl.order(impl.control, MessageType::signal, Signal{token, key, number, scope});
}

bool Link::tells_denials() const {
  return impl_->keeper_version >= first_version_to_tell;
}
void Link::denials(std::uint64_t key, DenialsDone done) {
  Impl& impl = *impl_;
  if (impl.lost || !tells_denials())
    return boost::asio::post(impl.io, [done = std::move(done)] { done(std::nullopt); });
  const std::uint64_t token = impl.next_token++;
  impl.asked_denials.emplace(token, std::move(done));
  impl.order(impl.control, MessageType::ask_denials, AskDenials{token, key});
}

Result<void> Link::stdin_ring(std::uint64_t key, int memfd, std::function<void()> sent) {
  std::vector<UniqueFd> descriptors;
  descriptors.emplace_back(::fcntl(memfd, F_DUPFD_CLOEXEC, 0));
  if (!descriptors[0])
    return system_error("cannot pass a stdin buffer to the keeper", errno, Code::limit_exceeded);
  impl_->order(impl_->control, MessageType::stdin_ring, Key{key}, std::move(descriptors));
  if (impl_->lost) return {};
  if (impl_->control.channel.waiting() == 0)
    sent();
  else
    impl_->when_sent.push_back(std::move(sent));
  return {};
}

void Link::stdin_ready(std::uint64_t key) {
  impl_->order(impl_->control, MessageType::stdin_ready, Key{key});
}
void Link::note(std::uint64_t key, std::string note) {
  impl_->order(impl_->control, MessageType::note, Note{key, {std::move(note)}});
}
void Link::resume_pump(std::uint64_t key) {
  impl_->order(impl_->control, MessageType::resume_pump, Key{key});
}
void Link::release(std::uint64_t key) {
  Impl& impl = *impl_;
  impl.releases.keys.push_back(key);
  if (impl.releases.keys.size() >= releases_max) return impl.send_releases();
  if (impl.releases.keys.size() > 1) return;
  impl.release_timer.expires_after(release_delay);
  impl.release_timer.async_wait([&impl, alive = impl.alive](boost::system::error_code error) {
    if (*alive && !error) impl.send_releases();
  });
}
void Link::stop_keeper() {
  impl_->send_releases();
  impl_->order(impl_->control, MessageType::stop, Stop{});
}

}  // namespace kairo::keeper
