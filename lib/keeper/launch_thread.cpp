#include "keeper/launch_thread.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>

namespace kairo::keeper {
namespace {

/// Answers that may wait for a kairod that does not read them; no further order is taken until it does.
constexpr std::size_t waiting_answers_bytes = 1u << 20;

int descriptors_for(const Launch& order) {
  int count = process_descriptors;
  if (order.standard_input == Stdio::pipe) count += input_descriptors;
  if (order.standard_output == Stdio::pipe) count += output_descriptors;
  if (order.standard_error == Stdio::pipe) count += output_descriptors;
  if (order.confinement && !order.confinement->tellable.empty()) count += listener_descriptors;
  return count;
}

std::size_t descriptors_sent(const Launch& order) {
  return (order.standard_input == Stdio::fd) + (order.standard_output == Stdio::fd) +
         (order.standard_error == Stdio::fd) + order.ipc;
}

}  // namespace

LaunchThread::LaunchThread(Launcher launcher, int epoll, int logs_dir, Table& table, Arrivals& arrivals,
                           DescriptorBudget& budget, Groups& groups)
    : launcher_(std::move(launcher)),
      epoll_(epoll),
      logs_dir_(logs_dir),
      table_(table),
      arrivals_(arrivals),
      budget_(budget),
      groups_(groups) {}

LaunchThread::~LaunchThread() {
  if (!thread_.joinable()) return;
  stop_ = true;
  ::eventfd_write(poke_.get(), 1);
  thread_.join();
}

Result<void> LaunchThread::start() {
  if (!poke_) poke_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!poke_) return system_error("cannot make an eventfd", errno);
  if (thread_.joinable()) return {};
  stop_ = ended_ = false;
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    return system_error("cannot start the launching thread", error.code().value());
  }
  return {};
}

bool LaunchThread::rest(std::chrono::milliseconds patience) {
  if (!thread_.joinable()) return true;
  const SteadyTime deadline = SteadyClock::now() + patience;
  stop_ = true;
  ::eventfd_write(poke_.get(), 1);
  while (!ended_ && SteadyClock::now() < deadline) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  {
    const std::lock_guard lock(mutex_);
    if (!ended_) {
      stop_ = false;
      return false;
    }
  }
  thread_.join();
  return true;
}

void LaunchThread::add(UniqueFd socket, std::uint64_t epoch) {
  {
    const std::lock_guard lock(mutex_);
    added_.push_back(Connection{Channel(std::move(socket)), epoch});
  }
  ::eventfd_write(poke_.get(), 1);
}

void LaunchThread::run() {
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      ended_ = stop_.load();  // as one step with the look, for rest()
      if (ended_) return;
    }
    const bool keeps = !launcher_.rulesets().empty();
    const std::chrono::milliseconds kept_for = sandbox::ruleset_kept_for;
    if (!turn(keeps ? static_cast<int>(kept_for.count()) : -1, 0)) {
      ended_ = true;
      return;
    }
  }
}

void LaunchThread::refuse_orders(int error_number) {
  turn(0, error_number);
}

bool LaunchThread::turn(int timeout_ms, int refuse_with) {
  {
    const std::lock_guard lock(mutex_);
    for (Connection& each : added_) connections_.push_back(std::move(each));
    added_.clear();
  }
  std::vector<pollfd>& polled = polled_;
  polled.assign(1, pollfd{poke_.get(), POLLIN, 0});
  for (const Connection& each : connections_) {
    const std::size_t waiting = each.channel.waiting();
    const int events = (waiting < waiting_answers_bytes ? POLLIN : 0) | (waiting > 0 ? POLLOUT : 0);
    polled.push_back(pollfd{each.channel.socket(), static_cast<short>(events), 0});
  }
  if (::poll(polled.data(), polled.size(), timeout_ms) < 0 && errno != EINTR) return false;
  eventfd_t count;
  if (polled[0].revents) ::eventfd_read(poke_.get(), &count);
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    const short events = polled[i + 1].revents;
    if ((events & POLLOUT) && !connections_[i].channel.flush()) connections_[i].closed = true;
    if (events & (POLLIN | POLLHUP | POLLERR)) serve(connections_[i], refuse_with);
  }
  std::erase_if(connections_, [](const Connection& each) { return each.closed; });
  launcher_.rulesets().forget(SteadyClock::now());
  return true;
}

void LaunchThread::serve(Connection& connection, int refuse_with) {
  switch (connection.channel.receive()) {
    case Channel::Received::nothing: return;
    case Channel::Received::closed: connection.closed = true; return;
    case Channel::Received::some: break;
  }
  while (!connection.closed && !stop_) {
    auto message = connection.channel.next();
    if (message && !*message) return;
    if (message && (*message)->type == MessageType::launch) {
      auto order = read_message<Launch>(**message);
      if (order) {
        // Busy first, then the look: whoever ends the epoch and finds nobody busy knows that nothing more
        // comes.
        busy_ = true;
        const bool over = connection.epoch != epoch_;
        if (!over) launch(connection, *order, refuse_with);
        busy_ = false;
        if (over) break;
        if (!connection.channel.flush()) connection.closed = true;
        continue;
      }
      message = std::move(order).error();
    }
    std::fprintf(stderr, "kairo-keeper: closed a launch connection: %s\n",
                 message ? "it brought something else than a launch" : message.error().message.c_str());
    break;
  }
  connection.closed = true;
}

void LaunchThread::launch(Connection& connection, const Launch& order, int refuse_with) {
  const auto refuse = [&](const char* step, int error_number, std::string object) {
    connection.channel.send(MessageType::launch_failed,
                            LaunchFailed{order.token, step, error_number, std::move(object)});
  };
  auto descriptors = connection.channel.take_descriptors(descriptors_sent(order));
  const int wanted = descriptors_for(order);
  if (refuse_with != 0) {
    refuse("thread", refuse_with, "");
  } else if (order.key == 0 || order.slot >= table_.slots() || table_.slot(order.slot).key != 0) {
    refuse("slot", order.key == 0 || order.slot >= table_.slots() ? EINVAL : EBUSY,
           "slot " + std::to_string(order.slot));
  } else if (!descriptors || !budget_.take(wanted)) {
    refuse("descriptors", EMFILE, "");
  } else {
    cgroup::Group group;
    std::map<std::string, std::string> degraded;
    auto result = launch_in_group(order, *descriptors, group, degraded);
    if (auto* error = std::get_if<LaunchError>(&result)) {
      budget_.give_back(wanted);
      groups_.remove(group);
      refuse(error->step, error->error_number, std::move(error->object));
    } else {
      Child& child = std::get<Child>(result);
      if (order.confinement && !order.confinement->tellable.empty() && !child.listener)
        budget_.give_back(listener_descriptors);
      const Launched launched{order.token, child.pid, child.started_us, group.in, degraded};
      auto session = make_session(order, std::move(child), connection.epoch);
      session->group = group.in;
      session->limited = order.limits.has_value();
      session->degraded = std::move(degraded);
      // Pushed before it is answered: whatever kairod then orders for it finds it.
      arrivals_.push(epoll_, std::move(session));
      connection.channel.send(MessageType::launched, launched);
    }
  }
}

/// `group` is made, with what of the limits can be set, and the child is born into it.
std::variant<Child, LaunchError> LaunchThread::launch_in_group(const Launch& order,
                                                               std::span<UniqueFd> descriptors,
                                                               cgroup::Group& group,
                                                               std::map<std::string, std::string>& degraded) {
  cgroup::GroupLimits wanted;
  const bool strict = order.limits && !order.limits->best_effort;
  if (order.limits)
    wanted = {order.limits->cpu, order.limits->memory, order.limits->pids,
              order.limits->cpu_seconds.has_value(), true};
  std::vector<cgroup::Refusal> refusals;
  group = groups_.make(order.key, order.detach_descendants, wanted, refusals);
  for (const cgroup::Refusal& each : refusals) {
    const std::string name(cgroup::name_of(each.controller));
    // What only counts, or helps to kill, is nobody's limit.
    const bool asked = (each.controller == cgroup::Controller::cpu && wanted.cpu) ||
                       (each.controller == cgroup::Controller::memory && wanted.memory) ||
                       (each.controller == cgroup::Controller::pids && wanted.pids);
    if (!asked) continue;
    if (strict) return LaunchError{"limits", EOPNOTSUPP, name + ": " + each.why};
    degraded[name] = each.why;
  }
  auto joining = groups_.tree().open_to_join(group);
  if (!joining) return LaunchError{"limits", EMFILE, joining.error().message};
  const bool cpu_is_counted = wanted.cpu_time && groups_.tree().cpu_us(group).has_value();
  // It may be the group that was killed; or our own, with whose count of kills the kernel compares that of
  // the new one's.
  enum class Suspect { its_group, ours, either } suspect = Suspect::its_group;
  const auto elsewhere = [&]() -> const cgroup::Joining* {
    switch (suspect) {
      case Suspect::its_group:
        suspect = Suspect::ours;
        if (group.number() != 0) {  // else it was made for this launch
          groups_.tree().mark_killed(group);
          groups_.remove(group);
          std::vector<cgroup::Refusal> none;  // there are no limits
          group = groups_.tree().make(order.key, order.detach_descendants, wanted, none);
          joining = groups_.tree().open_to_join(group);
          return joining ? &*joining : nullptr;
        }
        [[fallthrough]];
      case Suspect::ours:
        suspect = Suspect::either;
        if (groups_.tree().move_to_leaf() == 0) return &*joining;
        [[fallthrough]];
      case Suspect::either:
        joining->unified.reset();
        joining->kills_at_birth = true;
        return &*joining;
    }
    return nullptr;
  };
  auto result = launcher_.launch(order, descriptors, *joining, elsewhere, cpu_is_counted, watch_);
  if (const Child* child = std::get_if<Child>(&result);
      child && !child->in_unified && (group.in & cgroup::unified_bit) != 0) {
    const cgroup::Group outside = group.only_unified();
    group = group.without_unified();
    groups_.remove(outside);
  }
  return result;
}

std::unique_ptr<Session> LaunchThread::make_session(const Launch& order, Child child, std::uint64_t epoch) {
  auto session = std::make_unique<Session>();
  session->key = order.key;
  session->slot = order.slot;
  session->epoch = epoch;
  session->pid = child.pid;
  session->started_us = child.started_us;
  session->started_boot_us = child.started_boot_us;
  session->process = std::move(child.process);
  session->listener = std::move(child.listener);
  session->grace_ms = static_cast<std::uint32_t>(std::min<std::uint64_t>(order.kill_grace_ms, UINT32_MAX));
  session->detach = order.detach_descendants;
  session->mark = order.mark;
  session->record = order.record.data;
  session->input = std::move(child.standard_input);

  SessionSlot& slot = table_.slot(order.slot);
  if (session->input)
    slot.standard_input.idle = 1;
  else
    slot.standard_input.state = stdin_closed;
  for (unsigned i = 0; i < 2; ++i) {
    stream::LogWriter log(logs_dir_, order.key, i, order.retain_bytes, slot.streams[i]);
    if (child.output[i]) {
      session->output[i].pipe = std::move(child.output[i]);
      session->output[i].log.emplace(std::move(log));
    } else {
      log.seal();
    }
  }
  slot.pid = child.pid;
  slot.key.store(order.key, std::memory_order_release);
  return session;
}

}  // namespace kairo::keeper
