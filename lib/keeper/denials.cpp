#include "keeper/denials.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <linux/seccomp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

namespace kairo::keeper {
namespace {

/// Room for what later systems may add to a message; they refuse one that is too short (EINVAL) or write no
/// more than they say (SECCOMP_GET_NOTIF_SIZES).
constexpr std::size_t message_bytes = 512;
static_assert(sizeof(seccomp_notif) <= message_bytes && sizeof(seccomp_notif_resp) <= message_bytes);

std::uint64_t now_us() {
  return static_cast<std::uint64_t>(system_now().time_since_epoch().count());
}

int after(SteadyTime since, SteadyTime now, int per_tick, int most) {
  const std::int64_t ticks = (now - since) / answers_tick;
  return static_cast<int>(std::clamp<std::int64_t>(ticks * per_tick, 0, most));
}

}  // namespace

void Denials::follow(std::uint64_t key, std::uint64_t event, UniqueFd listener) {
  auto made = std::make_unique<Followed>();
  made->key = key;
  made->event = event;
  made->listener = std::move(listener);
  by_event_[event] = made.get();
  by_key_[key] = std::move(made);
}

bool Denials::on_event(std::uint64_t event, std::uint32_t events, SteadyTime now) {
  const auto found = by_event_.find(event);
  if (found == by_event_.end()) return false;
  Followed& followed = *found->second;
  if ((events & EPOLLIN) == 0) {
    if (events & EPOLLHUP) close(followed);
    return true;
  }
  earn(followed, now);
  if (followed.credit == 0 || credit_ == 0) {
    poll(followed, 0);  // its end is told all the same
    waiting_.push_back(event);
    if (!tick_) tick_ = now + answers_tick;
    return true;
  }
  --followed.credit;
  --credit_;
  answer(followed);  // one in a turn of the loop
  return true;
}

void Denials::earn(Followed& followed, SteadyTime now) {
  if (const int more = after(followed.credited, now, answers_per_tick, answers_at_once); more > 0) {
    followed.credit = std::min(followed.credit + more, answers_at_once);
    followed.credited = now;
  }
  if (const int more = after(credited_, now, all_answers_per_tick, all_answers_per_tick); more > 0) {
    credit_ = all_answers_per_tick;
    credited_ = now;
  }
}

std::optional<SteadyTime> Denials::next_timer() const {
  return tick_;
}

void Denials::run_timers(SteadyTime now) {
  if (!tick_ || *tick_ > now) return;
  tick_.reset();
  // As many as may be answered; the others keep their place.
  for (int i = 0; i < all_answers_per_tick && !waiting_.empty(); ++i) {
    const auto found = by_event_.find(waiting_.front());
    waiting_.pop_front();
    if (found != by_event_.end()) poll(*found->second, EPOLLIN);
  }
  if (!waiting_.empty()) tick_ = now + answers_tick;
}

void Denials::poll(const Followed& followed, std::uint32_t events) const {
  epoll_event event{};
  event.events = events;
  event.data.u64 = followed.event;
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, followed.listener.get(), &event);
}

/// Does not wait: the system counts what was handed over and counts nothing down but here, so that a caller
/// which was killed meanwhile is ENOENT.
void Denials::answer(Followed& followed) {
  alignas(seccomp_notif) char bytes[message_bytes] = {};
  auto* const asked = reinterpret_cast<seccomp_notif*>(bytes);
  if (::ioctl(followed.listener.get(), SECCOMP_IOCTL_NOTIF_RECV, asked) != 0) {
    if (errno == ENOENT || errno == EINTR || errno == ENOMEM) return;
    std::fprintf(
        stderr, "kairo-keeper: cannot hear what is denied to session %llu: %s; such calls fail with ENOSYS\n",
        static_cast<unsigned long long>(followed.key), describe_errno(errno).c_str());
    ++followed.unlisted;
    return close(followed);
  }
  std::uint64_t arguments[6];
  std::memcpy(arguments, asked->data.args, sizeof arguments);
  const sandbox::Denial denial = sandbox::denial_of(asked->data.nr, arguments);
  alignas(seccomp_notif_resp) char answer_bytes[message_bytes] = {};
  auto* const answered = reinterpret_cast<seccomp_notif_resp*>(answer_bytes);
  answered->id = asked->id;
  answered->error = -sandbox::refusal_of(denial);
  ::ioctl(followed.listener.get(), SECCOMP_IOCTL_NOTIF_SEND, answered);  // ENOENT: the caller was killed
  count(followed, denial);
}

void Denials::count(Followed& followed, const sandbox::Denial& denial) {
  const std::uint64_t now = now_us();
  auto found = followed.listed.find(denial);
  if (found == followed.listed.end()) {
    if (followed.listed.size() >= sandbox::denials_max) {
      ++followed.unlisted;
      return;
    }
    found = followed.listed.emplace(denial, Counted{0, now, 0}).first;
  }
  ++found->second.count;
  found->second.last_us = now;
}

void Denials::close(Followed& followed) {
  followed.listener.reset();
  budget_.give_back(listener_descriptors);
  by_event_.erase(followed.event);
  if (followed.released) by_key_.erase(followed.key);
}

std::optional<DenialReport> Denials::report(std::uint64_t key) const {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  DenialReport out;
  for (const auto& [denial, counted] : found->second->listed)
    out.listed.push_back({denial, counted.count, counted.first_us, counted.last_us});
  out.unlisted = found->second->unlisted;
  return out;
}

void Denials::release(std::uint64_t key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  found->second->released = true;
  if (!found->second->listener) by_key_.erase(found);
}

std::vector<DenialLetter> Denials::leave() const {
  std::vector<DenialLetter> out;
  for (const auto& [key, followed] : by_key_)
    out.push_back({key, followed->listener.get(), followed->released, *report(key)});
  return out;
}

void Denials::take_over(DenialLetter letter, std::uint64_t event) {
  auto made = std::make_unique<Followed>();
  made->key = letter.key;
  made->event = event;
  made->released = letter.released;
  for (const DeniedCall& each : letter.report.listed)
    made->listed[each.denial] = {each.count, each.first_us, each.last_us};
  made->unlisted = letter.report.unlisted;
  made->listener.reset(letter.listener);
  if (made->listener) {
    budget_.give_back(-listener_descriptors);
    epoll_event added{};
    added.events = EPOLLIN;
    added.data.u64 = event;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, made->listener.get(), &added);
    by_event_[event] = made.get();
  }
  by_key_[letter.key] = std::move(made);
}

}  // namespace kairo::keeper
