// system.*, kernel.metrics, and process.status, which may look at processes: what may block is
// read on the worker thread and answered on the kernel's.
#include <boost/asio/post.hpp>

#include "kernel/handlers.hpp"
#include "kernel/self_metrics.hpp"

namespace kairo::kernel {
namespace {

/// Runs `work` where it may block and gives its Result to `reply`, or its error.
template <class R, class Work>
void on_worker(Kernel& kernel, Reply<R> reply, Work work) {
  boost::asio::post(kernel.worker(), [&kernel, reply, work = std::move(work)] {
    auto result = std::make_shared<Result<R>>(work());
    boost::asio::post(kernel.io(), [reply, result] {
      if (*result)
        reply(result->value());
      else
        reply(result->error());
    });
  });
}

/// The shortest interval over which the use of the processor says anything: some ticks.
constexpr std::chrono::milliseconds least_interval{200};
/// On top of the usual one: beyond it a reading is too old to compare with.
constexpr std::chrono::seconds longest_interval{5};

}  // namespace

void get_metrics(Kernel& kernel, Call&, api::NoParams, Reply<api::SystemMetrics> reply) {
  const auto sample = [&kernel, reply] {
    on_worker<api::SystemMetrics>(kernel, reply, [&kernel] { return kernel.metrics().sample(); });
  };
  // An average over the hours in which nobody looked says nothing of now.
  auto age = SteadyClock::now() - kernel.monitor().looked_at();
  if (age > longest_interval + std::chrono::seconds(kernel.settings().sample_seconds)) {
    kernel.monitor().read_now();
    age = {};
  }
  if (age >= least_interval) return sample();
  kernel.timers().after(std::chrono::ceil<std::chrono::milliseconds>(least_interval - age), sample);
}

void kernel_metrics(Kernel& kernel, Call&, api::NoParams, Reply<api::KernelMetricsResult> reply) {
  reply(api::KernelMetricsResult{self_metrics(kernel)});
}

void status(Kernel& kernel, Call& call, api::StatusParams params, Reply<api::ProcessSession> reply) {
  auto reached = kernel.look_at(*call.client, params.id);
  if (!reached) return reply(reached.error());
  const session::Session& session = **reached;
  if (!params.metrics.value_or(false) || !session.running()) return reply.packed(session.packed_view());
  // Weak: the worker must not be the last to hold a client.
  boost::asio::post(
      kernel.worker(),
      [&kernel, client = std::weak_ptr(call.client), reply, id = session.id(), key = session.key(),
       pid = session.pid(), keeper = kernel.link().keeper_pid(), started_at = session.started_at()] {
        auto metrics = std::make_shared<std::optional<api::ProcessMetrics>>(
            kernel.process_metrics().sample(key, started_at, system::session_processes(pid, keeper, id)));
        boost::asio::post(kernel.io(), [&kernel, client, reply, id, metrics] {
          const auto asker = client.lock();
          if (!asker) return;
          auto still = kernel.look_at(*asker, id);
          if (!still) return reply(still.error());
          api::ProcessSession view = (*still)->view();
          if ((*still)->running()) view.metrics = std::move(*metrics);
          reply(view);
        });
      });
}

}  // namespace kairo::kernel
