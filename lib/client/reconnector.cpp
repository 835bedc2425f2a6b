#include "client/reconnector.hpp"

#include <algorithm>
#include <thread>

#include "client/socket_path.hpp"

namespace kairo::client {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds shortest_pause{1};
constexpr milliseconds longest_pause{100};
/// A connection that held for so long served, even if nothing was to be said on it.
constexpr std::chrono::seconds settled{1};
/// What a daemon that is being started gets at least.
constexpr milliseconds start_patience_min{1'000};

}  // namespace

Result<Channel> Reconnector::find(milliseconds patience) {
  AutostartOptions start = options_.start;
  start.patience = std::min(start.patience, patience);
  auto channel = options_.autostart ? connect_or_start(start) : Channel::connect(start.connect);
  if (channel && !(options_.trace.correlation_id.empty() && options_.trace.causation_id.empty()))
    channel->set_trace(options_.trace);
  return channel;
}

Result<Channel> Reconnector::connect() {
  return find(options_.start.patience);
}

void Reconnector::lost(Error why) {
  const SteadyTime now = SteadyClock::now();
  if (answered_ || !why_ || (connected_at_ && now - *connected_at_ >= settled)) {
    since_ = now;
    pause_ = milliseconds(0);
  }
  answered_ = false;
  next_attempt_ = now + pause_;
  why_ = std::move(why);
}

Error Reconnector::gave_up(const Error& last) const {
  if (options_.patience.count() == 0) return *why_;
  const std::string path =
      options_.start.connect.socket.empty() ? resolve_socket() : options_.start.connect.socket;
  std::string message =
      why_->message + "; for " + std::to_string(options_.patience.count()) + " ms no daemon took its place";
  if (last.message != why_->message) message += ": " + last.message;
  return Error(Code::not_running, std::move(message)).with("socket", path);
}

Result<std::optional<Channel>> Reconnector::attempt() {
  const SteadyTime deadline = since_ + options_.patience;
  if (SteadyClock::now() >= deadline) return gave_up(failed_ ? *failed_ : *why_);
  const auto left = std::chrono::ceil<milliseconds>(deadline - SteadyClock::now());
  auto channel = find(std::max(left, start_patience_min));
  const SteadyTime now = SteadyClock::now();
  pause_ = std::clamp(pause_ * 2, shortest_pause, longest_pause);
  if (channel) {
    ++times_;
    connected_at_ = now;
    failed_.reset();
    return std::optional<Channel>(*std::move(channel));
  }
  if (!is_unreachable(channel.error())) return std::move(channel).error();
  failed_ = channel.error();
  if (now >= deadline) return gave_up(channel.error());
  next_attempt_ = std::min(now + pause_, deadline);
  return std::optional<Channel>();
}

Result<Channel> Reconnector::reconnect() {
  for (;;) {
    std::this_thread::sleep_until(next_attempt_);
    auto tried = attempt();
    if (!tried) return std::move(tried).error();
    if (*tried) return **std::move(tried);
  }
}

}  // namespace kairo::client
