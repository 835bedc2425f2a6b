// device.*: answered once all is known that the kernel has said of its devices until now.
#include "kernel/devices.hpp"
#include "kernel/handlers.hpp"

namespace kairo::kernel {

void device_list(Kernel& kernel, Call& call, api::DeviceListParams params,
                 Reply<api::DeviceListResult> reply) {
  kernel.devices().when_known(
      [&kernel, client = call.client, params = std::move(params), reply](const Result<void>& known) {
        if (!known) return reply(known.error());
        reply(api::DeviceListResult{kernel.devices().list(*client, params)});
      });
}

void device_claim(Kernel& kernel, Call& call, api::DeviceClaimParams params, Reply<api::Device> reply) {
  kernel.devices().when_known([&kernel, client = call.client, params = std::move(params),
                               reply](const Result<void>& known) {
    if (!known) return reply(known.error());
    if (!client->open()) return;  // nobody is left to have it
    if (!params.process_id) return kernel.devices().claim(*client, params.id, nullptr, reply);
    auto session = kernel.reach(*client, *params.process_id);
    if (!session) return reply(std::move(session).error().with("path", std::string("params.processId")));
    if (!(*session)->running())
      return reply(Error(Code::not_running,
                         "cannot claim a device for session \"" + *params.process_id + "\", which has ended")
                       .with("id", *params.process_id));
    kernel.devices().claim(*client, params.id, *session, reply);
  });
}

void device_release(Kernel& kernel, Call& call, api::DeviceParams params, Reply<api::Device> reply) {
  kernel.devices().when_known(
      [&kernel, client = call.client, params = std::move(params), reply](const Result<void>& known) {
        if (!known) return reply(known.error());
        kernel.devices().release(*client, params.id, reply);
      });
}

}  // namespace kairo::kernel
