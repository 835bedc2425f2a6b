#include "kernel/self_metrics.hpp"

#include <fstream>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/version.hpp"
#include "kernel/kernel.hpp"

namespace kairo::kernel {
namespace {

using api::MetricFamily;
using api::MetricKind;
using api::MetricSample;
using Labels = std::map<std::string, std::string>;

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

class Families {
 public:
  MetricFamily& add(std::string name, MetricKind kind, std::string help) {
    return all.emplace_back(MetricFamily{std::move(name), kind, std::move(help), {}});
  }
  void counter(std::string name, std::string help, double value) {
    put(add(std::move(name), MetricKind::counter, std::move(help)), {}, value);
  }
  void gauge(std::string name, std::string help, double value) {
    put(add(std::move(name), MetricKind::gauge, std::move(help)), {}, value);
  }
  static void put(MetricFamily& family, Labels labels, double value) {
    MetricSample sample;
    sample.labels = std::move(labels);
    sample.value = value;
    family.samples.push_back(std::move(sample));
  }

  std::vector<MetricFamily> all;
};

double exact(std::uint64_t count) {
  return static_cast<double>(count);
}

void add_requests(Families& out, const Kernel& kernel, const Counters& counters) {
  MetricFamily requests{"kairo_requests_total", MetricKind::counter, "Requests that came, by method.", {}};
  MetricFamily errors{
      "kairo_request_errors_total", MetricKind::counter, "Requests that were answered with an error.", {}};
  MetricFamily duration{"kairo_request_duration_seconds",
                        MetricKind::histogram,
                        "From a request's arrival until its answer is sent; process.wait and the like wait.",
                        {}};
  const auto& table = kernel.methods().all();
  for (std::size_t i = 0; i < counters.methods.size(); ++i) {
    const Counters::OfMethod& of = counters.methods[i];
    if (of.requests == 0) continue;
    const std::string name = i < table.size() ? std::string(table[i].name) : "unknown";
    Families::put(requests, {{"method", name}}, exact(of.requests));
    for (std::size_t code = 0; code < of.errors.size(); ++code)
      if (of.errors[code] > 0)
        Families::put(errors, {{"method", name}, {"code", std::string(code_name(static_cast<Code>(code)))}},
                      exact(of.errors[code]));
    duration.samples.push_back(of.duration.sample({{"method", name}}));
  }
  for (MetricFamily* each : {&requests, &errors, &duration}) out.all.push_back(std::move(*each));
}

void add_clients(Families& out, const Kernel& kernel, const Counters& counters) {
  MetricFamily& received =
      out.add("kairo_frames_received_total", MetricKind::counter, "Frames that clients sent.");
  Families::put(received, {{"type", "request"}}, exact(counters.request_frames));
  Families::put(received, {{"type", "event"}}, exact(counters.client_event_frames));
  MetricFamily& sent = out.add("kairo_frames_sent_total", MetricKind::counter, "Frames for clients.");
  Families::put(sent, {{"type", "response"}}, exact(counters.response_frames));
  Families::put(sent, {{"type", "event"}}, exact(counters.event_frames));
  Families::put(sent, {{"type", "chunk"}}, exact(counters.chunk_frames));
  out.counter("kairo_received_bytes_total", "Bytes read from clients.",
              exact(counters.traffic.received_bytes));
  out.counter("kairo_sent_bytes_total", "Bytes that clients' sockets took.",
              exact(counters.traffic.sent_bytes));
  out.counter("kairo_connections_total", "Connections accepted.", exact(counters.connections));
  out.counter("kairo_connections_refused_total", "Connections of other users, and those that were too many.",
              exact(counters.refused_connections));
  const Kernel::ClientTotals totals = kernel.client_totals();
  out.gauge("kairo_connections", "Connections now.", exact(kernel.clients()));
  out.gauge("kairo_requests_pending", "Requests that are not answered yet.", exact(totals.unanswered));
  out.gauge("kairo_output_subscriptions", "Readers of output now.", exact(totals.output_subscriptions));
  out.gauge("kairo_event_subscriptions", "Topics subscribed to now.", exact(totals.event_subscriptions));
  out.gauge("kairo_event_lag_seconds",
            "How long an event has been waiting for the slowest subscriber to read.",
            totals.event_lag_seconds);
  const std::uint64_t newest = kernel.bus().newest();
  out.gauge("kairo_event_store_behind", "Events that the store has not taken yet.",
            exact(newest - std::min(newest, kernel.archive().stored())));
}

void add_sessions(Families& out, const Kernel& kernel, const Counters& counters) {
  MetricFamily& spawns = out.add("kairo_spawns_total", MetricKind::counter, "Launches that were tried.");
  Families::put(spawns, {{"result", "started"}}, exact(counters.spawns));
  Families::put(spawns, {{"result", "failed"}}, exact(counters.failed_spawns));
  out.add("kairo_spawn_duration_seconds", MetricKind::histogram, "From the request until the program runs.")
      .samples.push_back(counters.spawn_duration.sample({}));
  out.gauge("kairo_sessions_live", "Sessions that have not ended.", exact(kernel.sessions().live()));
  out.gauge("kairo_sessions_ended", "Sessions that have ended and are still known.",
            exact(kernel.sessions().ended_count()));
  MetricFamily& ended =
      out.add("kairo_session_ends_total", MetricKind::counter, "Ends of sessions, by reason.");
  for (std::size_t i = 0; i < counters.ended.size(); ++i)
    if (counters.ended[i] > 0)
      Families::put(ended, {{"reason", std::string(reflect::enum_name(static_cast<api::EndReason>(i)))}},
                    exact(counters.ended[i]));
  MetricFamily& dropped =
      out.add("kairo_output_dropped_bytes_total", MetricKind::counter,
              "Bytes of output that subscribers were told of instead of sent: over their rate (throttle), or "
              "no longer in the log (follow; lossless only where a log was lost).");
  for (std::size_t i = 0; i < counters.dropped_bytes.size(); ++i)
    Families::put(dropped, {{"flow", std::string(reflect::enum_name(static_cast<api::Flow>(i)))}},
                  exact(counters.dropped_bytes[i]));
}

void add_events(Families& out, const Counters& counters) {
  MetricFamily& events = out.add("kairo_events_total", MetricKind::counter, "Events published, by who did.");
  Families::put(events, {{"source", "kernel"}}, exact(counters.kernel_events));
  Families::put(events, {{"source", "client"}}, exact(counters.client_events));
  out.counter("kairo_events_unrecorded_total", "Events that the journal refused.",
              exact(counters.unrecorded_events));
  out.counter("kairo_events_missed_total", "Events left out for subscribers that do not read.",
              exact(counters.missed_events));
}

/// The names that Prometheus' own libraries give to these.
void add_process(Families& out, const Kernel& kernel) {
  rusage use{};
  if (::getrusage(RUSAGE_SELF, &use) == 0)
    out.counter("process_cpu_seconds_total", "Processor time of the daemon, user and system.",
                seconds(use.ru_utime) + seconds(use.ru_stime));
  std::ifstream statm("/proc/self/statm");
  std::uint64_t size = 0, resident = 0;
  if (statm >> size >> resident)
    out.gauge("process_resident_memory_bytes", "Memory of the daemon that is there.",
              exact(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  out.gauge("process_start_time_seconds", "Unix time of the daemon's start.",
            static_cast<double>(unix_us(kernel.started_at())) / 1e6);
  MetricFamily& build = out.add("kairo_build_info", MetricKind::gauge, "1, with the version of the daemon.");
  Families::put(build, {{"version", std::string(version())}}, 1);
}

}  // namespace

std::vector<MetricFamily> self_metrics(Kernel& kernel) {
  Families out;
  const Counters& counters = kernel.counters();
  add_requests(out, kernel, counters);
  add_clients(out, kernel, counters);
  add_sessions(out, kernel, counters);
  add_events(out, counters);
  add_process(out, kernel);
  return std::move(out.all);
}

}  // namespace kairo::kernel
