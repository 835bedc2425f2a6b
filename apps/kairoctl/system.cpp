// kairoctl metrics, ping, info, introspect: the machine and the daemon.
#include <memory>

#include "context.hpp"
#include "metrics/exposition.hpp"
#include "option_set.hpp"
#include "table.hpp"
#include "wire/payload.hpp"

namespace kairo::ctl {
namespace {

int print_whole(Context& context, std::string_view method) {
  if (!context.globals().table) return call_and_print(context, method, api::NoParams{});
  auto client = context.connect();
  if (!client) return report(client.error());
  auto raw = client->call_raw(method, api::NoParams{});
  if (!raw) return report(raw.error());
  wire::PayloadDecoder decoder;
  auto value = decoder.decode(*raw, wire::Shape::any);
  if (!value) return report(value.error());
  write_out(flattened(*value).text());
  return exit_code::success;
}

struct MetricsOptions {
  bool kernel = false;
  bool prometheus = false;
};

int print_exposition(Context& context) {
  auto client = context.connect();
  if (!client) return report(client.error());
  auto raw = client->call_raw("kernel.metrics", api::NoParams{});
  if (!raw) return report(raw.error());
  auto answer = client::Client::decoded<api::KernelMetricsResult>(*raw);
  if (!answer) return report(answer.error());
  write_out(metrics::render(answer->metrics));
  return exit_code::success;
}

}  // namespace

Action declare_metrics(OptionSet& options) {
  const auto of = std::make_shared<MetricsOptions>();
  options.flag("--kernel", of->kernel, "What the daemon has counted, instead of the machine's state");
  options.flag("--prometheus", of->prometheus, "The same as text for Prometheus");
  return [of](Context& context) {
    if (of->prometheus) return print_exposition(context);
    return print_whole(context, of->kernel ? "kernel.metrics" : "system.get_metrics");
  };
}
Action declare_ping(OptionSet&) {
  return [](Context& context) { return print_whole(context, "kernel.ping"); };
}
int print_info(Context& context) {
  return print_whole(context, "kernel.info");
}
Action declare_info(OptionSet&) {
  return print_info;
}
Action declare_introspect(OptionSet&) {
  return [](Context& context) { return print_whole(context, "kernel.introspect"); };
}

}  // namespace kairo::ctl
