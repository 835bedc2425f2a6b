// system.*: read on the worker thread, answered on the kernel's.
#include <boost/asio/post.hpp>

#include "kernel/handlers.hpp"

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

}  // namespace

void get_metrics(Kernel& kernel, Call&, api::NoParams, Reply<api::SystemMetrics> reply) {
  on_worker<api::SystemMetrics>(kernel, reply, [&kernel] { return kernel.metrics().sample(); });
}

}  // namespace kairo::kernel
