#include "kernel/cpu_watch.hpp"

#include <algorithm>
#include <thread>

#include <boost/asio/post.hpp>

#include "cgroup/tree.hpp"
#include "kernel/kernel.hpp"

namespace kairo::kernel {
namespace {
constexpr std::chrono::milliseconds soonest{50};
/// While nothing can be read, and so that a clock of the kernel's that lags does no harm.
constexpr std::chrono::milliseconds latest{60'000};
}  // namespace

void CpuWatch::begin(const session::Session& session) {
  if (session.record().limits && session.record().limits->cpu_seconds) look(session.key());
}

void CpuWatch::look(std::uint64_t key) {
  const session::Session* session = kernel_.sessions().find_key(key);
  if (!session || !session->running()) return;
  const cgroup::Group group{key, session->record().detach_descendants, session->group(), false};
  if (group)
    if (const auto used = cgroup::Tree(kernel_.link().groups()).cpu_us(group)) return judge(key, used);
  boost::asio::post(kernel_.worker(), [this, key, main = session->pid(), keeper = kernel_.link().keeper_pid(),
                                       mark = session->id()] {
    const auto used = system::cpu_us(system::session_processes(main, keeper, mark));
    boost::asio::post(kernel_.io(), [this, key, used] { judge(key, used); });
  });
}

void CpuWatch::judge(std::uint64_t key, std::optional<std::uint64_t> used_us) {
  session::Session* session = kernel_.sessions().find_key(key);
  if (!session || !session->running()) return;
  const api::ResourceLimits& limits = *session->record().limits;
  const std::uint64_t most_us = *limits.cpu_seconds * 1'000'000;
  const std::uint64_t used = used_us.value_or(0);
  if (used >= most_us)
    return kernel_.terminate(*session, api::EndReason::cpu_limit, {},
                             std::chrono::milliseconds(session->record().kill_grace_ms));
  double cores = std::max(1u, std::thread::hardware_concurrency());
  if (limits.cpu) cores = std::min(cores, *limits.cpu);
  const auto left = std::chrono::milliseconds(
      static_cast<std::int64_t>(static_cast<double>(most_us - used) / 1000 / cores));
  kernel_.timers().after(std::clamp(left, soonest, latest), [this, key] { look(key); });
}

}  // namespace kairo::kernel
