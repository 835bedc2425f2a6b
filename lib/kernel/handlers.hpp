// Every handler, by domain. Each answers its Reply exactly once, now or later.
#pragma once

#include "api/audit.hpp"
#include "api/device.hpp"
#include "api/methods.hpp"
#include "api/policy.hpp"
#include "api/system.hpp"
#include "api/topology.hpp"
#include "kernel/kernel.hpp"

namespace kairo::kernel {

// kernel_methods.cpp
void ping(Kernel&, Call&, api::NoParams, Reply<api::PingResult>);
void info(Kernel&, Call&, api::NoParams, Reply<api::InfoResult>);
void introspect(Kernel&, Call&, api::NoParams, Reply<api::IntrospectResult>);
void stop(Kernel&, Call&, api::StopParams, Reply<api::StopResult>);
void upgrade(Kernel&, Call&, api::NoParams, Reply<api::UpgradeResult>);
void identify(Kernel&, Call&, api::IdentifyParams, Reply<api::IdentifyResult>);

// policy_methods.cpp
void policy_test(Kernel&, Call&, api::PolicyTestParams, Reply<api::PolicyTestResult>);

// spawn_method.cpp
void spawn(Kernel&, Call&, api::SpawnParams, Reply<api::SpawnResult>);

// process_methods.cpp
void list(Kernel&, Call&, api::ListParams, Reply<api::ListResult>);
void wait(Kernel&, Call&, api::WaitParams, Reply<api::ProcessSession>);
void kill(Kernel&, Call&, api::KillParams, Reply<api::ProcessSession>);
void pause(Kernel&, Call&, api::IdParams, Reply<api::ProcessSession>);
void resume(Kernel&, Call&, api::IdParams, Reply<api::ProcessSession>);
void cancel(Kernel&, Call&, api::CancelParams, Reply<api::ProcessSession>);
void forget(Kernel&, Call&, api::IdParams, Reply<api::Done>);
void resize(Kernel&, Call&, api::ResizeParams, Reply<api::Done>);
void explain(Kernel&, Call&, api::ExplainParams, Reply<api::ExplainResult>);
void stdin_write(Kernel&, Call&, api::StdinWriteParams, Reply<api::StdinWriteResult>);
void stdin_close(Kernel&, Call&, api::IdParams, Reply<api::Done>);

// output_methods.cpp
void attach(Kernel&, Call&, api::AttachParams, Reply<api::SubscriptionResult>);
void detach(Kernel&, Call&, api::SubscriptionParams, Reply<api::Done>);
void credit(Kernel&, Call&, api::CreditParams, Reply<api::Done>);
void read(Kernel&, Call&, api::ReadParams, Reply<api::ReadResult>);

// event_methods.cpp
void event_subscribe(Kernel&, Call&, api::EventSubscribeParams, Reply<api::EventSubscribeResult>);
void event_unsubscribe(Kernel&, Call&, api::SubscriptionParams, Reply<api::Done>);
void event_query(Kernel&, Call&, api::EventQueryParams, Reply<api::EventQueryResult>);
void event_publish(Kernel&, Call&, api::PublishParams, Reply<api::PublishResult>);
/// An EVENT frame that a client sent (SPEC 7.4): kairo.cancel, kairo.connect, or as event.publish; nothing is
/// answered.
Result<void> take_client_event(Kernel&, const std::shared_ptr<Client>&, const msgpack::object& payload,
                               std::vector<UniqueFd>& descriptors);

// audit_methods.cpp
void audit_query(Kernel&, Call&, api::AuditQueryParams, Reply<api::AuditQueryResult>);

// topology_methods.cpp
void topology_up(Kernel&, Call&, api::TopologyUpParams, Reply<api::TopologyStatus>);
void topology_status(Kernel&, Call&, api::TopologyParams, Reply<api::TopologyStatus>);
void topology_list(Kernel&, Call&, api::NoParams, Reply<api::TopologyListResult>);
void topology_cutover(Kernel&, Call&, api::CutoverParams, Reply<api::CutoverResult>);
void topology_down(Kernel&, Call&, api::TopologyDownParams, Reply<api::TopologyDownResult>);

// system_methods.cpp
void status(Kernel&, Call&, api::StatusParams, Reply<api::ProcessSession>);
void kernel_metrics(Kernel&, Call&, api::NoParams, Reply<api::KernelMetricsResult>);
void get_metrics(Kernel&, Call&, api::NoParams, Reply<api::SystemMetrics>);

// device_methods.cpp
void device_list(Kernel&, Call&, api::DeviceListParams, Reply<api::DeviceListResult>);
void device_claim(Kernel&, Call&, api::DeviceClaimParams, Reply<api::Device>);
void device_release(Kernel&, Call&, api::DeviceParams, Reply<api::Device>);

}  // namespace kairo::kernel
